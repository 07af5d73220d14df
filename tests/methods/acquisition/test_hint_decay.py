"""A known solution is shown less and less of, and only a right one ever is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.acquisition.hint_decay import HintDecay

CHAIN = "3+5=8;8+8=6;6+1=7#7"
"""Three steps; the last one has the answer."""


@pytest.fixture
def shown(make_context: Callable, make_rollout: Callable) -> Callable[..., list[str]]:
    """`shown([CHAIN], round=2)`: the beginnings that problem 3+5+8+1 is given on with."""

    def run(texts: list[str], round: int = 1, **options: Any) -> list[str]:
        context = make_context(round=round)
        rollouts = [make_rollout(text, "3+5+8+1") for text in texts]
        made: Sequence[Any] = HintDecay(separator=";", **options).acquire(rollouts, context)
        assert all(p.answer == "7" and p.key == "3+5+8+1" and p.prompt[0]["content"] == "S:3+5+8+1=" for p in made)
        return [p.prompt[1]["content"] if len(p.prompt) > 1 else "" for p in made]

    return run


@pytest.mark.parametrize(("round", "beginning"), [(1, "3+5=8;8+8=6;"), (2, "3+5=8;"), (3, ""), (4, "")])
def test_each_round_takes_one_step_more_away(shown: Callable, round: int, beginning: str) -> None:
    assert shown([CHAIN], round) == [beginning]
    assert shown([CHAIN], 1, remove=round) == [beginning]


def test_only_right_solutions_are_shown_and_of_several_the_shortest(shown: Callable) -> None:
    assert shown(["3+5=9;9+8=7;7+1=8#8"]) == [] and shown([]) == []
    assert shown([CHAIN, "3+5=8;8+9=7#7"]) == ["3+5=8;"]  # by its end: the steps of a chain are nobody's mark
    assert shown(["#3", CHAIN]) == ["3+5=8;8+8=6;"]


def test_the_completion_of_a_begun_problem_is_marked_as_its_answer(
    make_context: Callable, make_engine: Callable, make_rollout: Callable
) -> None:
    context = make_context(make_engine({"3+5=8;8+8=6;": {"6+1=7#7": 1.0}}))
    [begun] = HintDecay(separator=";").acquire([make_rollout(CHAIN, "3+5+8+1")], context)
    [[end]] = context.policy.sample([begun])
    assert end.text == "6+1=7#7" and context.reward([end])[0].reward == 1.0


def test_cut_off_solutions_are_no_solutions(make_context: Callable, make_rollout: Callable) -> None:
    cut = make_rollout(CHAIN, "3+5+8+1", info={"finish_reason": "length"})
    assert list(HintDecay(separator=";").acquire([cut], make_context())) == []


@pytest.mark.parametrize("options", [{"separator": ""}])
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="acquisition.hint_decay"):
        HintDecay(**options)
