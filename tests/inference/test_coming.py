"""Asks that come while others are drawn get what one call gives them; what cannot join is drawn by that call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.interfaces import GREEDY, Ask, Sampling
from selfimprove.logs import Silent
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.records import Checkpoint, Prompt, Rollout

WAYS = [Sampling(), GREEDY, Sampling(temperature=0.7, top_k=5), Sampling(tops=2), Sampling(max_completion_length=3)]


@pytest.fixture(scope="module")
def asks(tmp_path_factory: pytest.TempPathFactory) -> list[Ask]:
    from selfimprove.methods.model.tiny import Tiny

    made = Tiny(hidden_size=32, num_hidden_layers=2)._untrained(tmp_path_factory.mktemp("model") / "m", 0)
    here = Checkpoint(path=str(made.path))
    prompts = [Prompt(prompt=[{"role": "user", "content": text}]) for text in ("S:3+5+8=", "S:4=", "S:3+5+8=")]
    return [
        Ask(checkpoint=here, prompt=prompts[i % 3], n=1 + i % 3, sampling=WAYS[i % 5], seed=i // 4) for i in range(15)
    ]


def drawn(engine: Transformers, waves: Sequence[Sequence[Ask]]) -> list[list[Rollout]]:
    coming, found = [*waves], dict[int, list[Rollout]]()
    engine.draw_coming(lambda: coming.pop(0) if coming else [], found.__setitem__, Silent())
    assert not coming
    return [found[i] for i in range(len(found))]


def texts(groups: Sequence[Sequence[Rollout]]) -> list[list[Any]]:
    return [[(one.text, one.info, one.logprobs and one.logprobs["count"]) for one in group] for group in groups]


@pytest.mark.parametrize("options", [{}, {"batch_size": 2}, {"draft": "ngram"}], ids=str)
def test_the_completions_are_those_of_one_call(asks: list[Ask], options: dict[str, Any]) -> None:
    engine = Transformers(max_completion_length=12, **options)
    expected = texts(engine.draw(asks, Silent()))
    assert texts(drawn(engine, [asks[:4], asks[4:5], asks[5:]])) == expected


def test_where_memory_runs_out_what_is_left_is_drawn_by_smaller_batches(
    asks: list[Ask], monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfimprove.inference.joining import Joining

    engine, steps = Transformers(max_completion_length=12), list[int]()
    whole = Joining.step

    def step(self: Joining) -> bool:
        steps.append(len(steps))
        if len(steps) == 3:
            raise MemoryError
        return whole(self)

    expected = texts(engine.draw(asks, Silent()))
    monkeypatch.setattr(Joining, "step", step)
    assert texts(drawn(engine, [asks[:9], asks[9:]])) == expected and len(steps) > 3


def test_an_ask_is_heard_though_another_wants_the_same(asks: list[Ask]) -> None:
    heard: list[tuple[int, int, int]] = []
    both = [
        replace(asks[1], n=1, hear=lambda place, token, who=who: heard.append((who, place, token))) for who in (0, 1)
    ]
    groups = drawn(Transformers(max_completion_length=5), [both])
    assert len(heard) == 2 * len(groups[0][0].ids or ()) and {who for who, *_ in heard} == {0, 1}
