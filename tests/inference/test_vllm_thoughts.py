"""A completion of vLLM that is drawn piece by piece, by outputs that are written by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from selfimprove.inference.vllm_thoughts import Line
from selfimprove.interfaces import Sampling

END = 9


def output(*tokens: int, stop: Any = None) -> Any:
    """Tokens, each with the log-probability -1."""
    said = [{token: SimpleNamespace(logprob=-1.0)} for token in tokens]
    return SimpleNamespace(token_ids=list(tokens), logprobs=said, stop_reason=stop)


def line(room: int = 6, **how: Any) -> Line:
    return Line((1, 2), (3, Sampling(**how), 100, 7), room)


def test_a_piece_goes_on_after_what_was_drawn_as_far_as_room_and_thought_go() -> None:
    one = line()
    one.take(output(5, 6), 2, [END])
    piece = one.piece(free=3)
    assert (piece.job.prompt, piece.keys) == ((1, 2, 5, 6), [(3, one.key[1], 3, 7)])
    assert one.piece(free=None).keys[0][2] == 4  # what is left of the room
    assert line(pattern=("choice", "a")).piece(free=2).keys[0][2] == 6  # a pattern has no thought


@pytest.mark.parametrize(
    ("said", "count", "over"),
    [
        (output(5, 6), 2, False),
        (output(5, END), 2, True),
        (output(5, END), 1, False),  # cut before the end: its thought was closed there
        (output(5, 6, stop="done"), 2, True),
        (output(5, 6, stop="done"), 1, False),
        (output(1, 2, 3, 4, 5, 6), 6, True),  # the room is full
    ],
)
def test_a_line_is_over_at_an_end_a_stop_string_or_its_room(said: Any, count: int, over: bool) -> None:
    one = line()
    one.take(said, count, [END])
    assert (one.over, one.token_ids, one.cumulative_logprob) == (over, said.token_ids[:count], -count)
