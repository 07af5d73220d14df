"""Form without content: the whole text must fit, and a pattern that is none is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.reward.format import Format


@pytest.mark.parametrize(
    ("pattern", "scores"),
    [
        (None, [1.0, 0.0, 1.0, 0.0]),  # the wrong answer has the form too
        (".*#\\d", [1.0, 0.0, 1.0, 0.0]),
        ("<think>.*</think>.*", [0.0, 0.0, 0.0, 1.0]),
        ("think", [0.0, 0.0, 0.0, 0.0]),  # in the text is not enough
        ("", [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_by_hand(make_context: Callable, make_rollout: Callable, pattern: str | None, scores: list[float]) -> None:
    group = [make_rollout(text) for text in ("3+5=8;8+8=6#6", "3+5=8", "#5", "<think>a\nb</think>\nc")]
    assert Format(pattern=pattern).rate([group, []], make_context()) == [scores, []]


def test_the_tags_are_judged_as_trl_judges_them(make_context: Callable, make_rollout: Callable) -> None:
    from trl.rewards.format_rewards import think_format_reward

    texts = ["<think>a\nb</think>\nc", "<think>a", "a</think>", "x<think>a</think>", "<think></think>"]
    judged = think_format_reward([[{"content": text}] for text in texts])
    reward = Format(pattern="<think>(?!.*<think>).*?</think>.*")
    assert reward.rate([[make_rollout(text) for text in texts]], make_context()) == [judged]


def test_a_broken_pattern_is_refused() -> None:
    with pytest.raises(RecipeError, match="not a regular expression"):
        Format(pattern="(")
