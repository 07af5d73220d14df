"""Pairs in both orders: a taste for the first place cancels out, a real preference stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.methods.reward.pairwise_judge import PairwiseJudge, _question
from selfimprove.methods.task.chain_sums import ChainSums

A, B, C = "3+5=8;8+8=6#6", "3+5=9;9+8=7#7", "no idea"


@pytest.fixture
def compare(make_context: Callable, make_engine: Callable, make_rollout: Callable, make_prompt: Callable) -> Callable:
    """`compare(texts, {(A, B): "#1"})`: the scores of one problem's completions, by what is said of each order."""

    def run(texts: list[str], said: dict[tuple[str, str], Any], **options: Any) -> tuple[list, Any]:
        answers = {
            _question(make_prompt(), *pair, ChainSums().roles()).prompt[-1]["content"]: {reply: 1.0}
            if isinstance(reply, str)
            else reply
            for pair, reply in said.items()
        }
        context = make_context(make_engine(answers, "lost"))
        [scores] = PairwiseJudge(**options).rate([[make_rollout(text) for text in texts]], context)
        return scores, context

    return run


@pytest.mark.parametrize(
    ("said", "scores"),
    [
        ({(A, B): "#1", (B, A): "#2"}, [0.75, 0.25]),  # A wins both orders: (1 + 1/2) / 2
        ({(A, B): "#1", (B, A): "#1"}, [0.5, 0.5]),  # whoever is first
        ({(A, B): "#1", (B, A): "#="}, [0.625, 0.375]),  # (1 + 1 - 1/2) / 2 = 3/4
        ({(A, B): "#1"}, [0.75, 0.25]),  # the other order was not read
        ({}, [None, None]),
    ],
)
def test_both_orders_by_hand(compare: Callable, said: dict, scores: list) -> None:
    assert compare([A, B], said)[0] == scores


def test_a_win_rate_counts_the_completion_itself_and_equal_texts_as_even(compare: Callable) -> None:
    wins = {(A, B): "#1", (B, A): "#2", (A, C): "#1", (C, A): "#2", (B, C): "#1", (C, B): "#2"}
    assert compare([A, B, C], wins)[0] == pytest.approx([2.5 / 3, 1.5 / 3, 0.5 / 3])
    assert compare([A, A, B], wins)[0] == pytest.approx([2 / 3, 2 / 3, 0.5 / 3])
    assert compare([A, A], {})[0] == [0.5, 0.5] and compare([A], {})[0] == [0.5]


def test_a_completion_that_no_reply_compares_is_left_out(compare: Callable) -> None:
    scores, context = compare([A, B, C], {(A, B): "#1", (B, A): "#2"})
    assert scores == [pytest.approx(0.75), pytest.approx(0.25), None]
    assert context.log.metrics["pairwise_judge/unread"] == pytest.approx(4 / 6)


def test_a_reply_counts_by_its_last_line_and_samples_are_averaged(compare: Callable) -> None:
    said = {(A, B): {"1 is right.\n**#1**": 3.0, "#1 or #2": 1.0}, (B, A): "#2"}
    assert compare([A, B], said, samples=8, temperature=1.0)[0] == [0.75, 0.25]


def test_every_pair_is_asked_in_one_call_and_the_reference_stays_hidden(compare: Callable) -> None:
    _, context = compare([A, B, C, A], {})
    engine = context.policy.engine
    assert len(engine.calls) == 1 and len(engine.seen) == 6
    assert all(prompt.answer is None for prompt in engine.seen)
    assert all("3+5+8" in prompt.prompt[-1]["content"] for prompt in engine.seen)
