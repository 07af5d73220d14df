"""Steps by what comes after them: a wrong step shows where no finish is right, and luck at the end does not hide it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.costs import Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Sampling
from selfimprove.methods.reward.math_shepherd import MathShepherd
from selfimprove.records import Checkpoint

GOOD, BAD, LUCKY = "3+5=8;8+8=6#6", "3+5=9;9+8=7#7", "3+5=9;9+8=6#6"
"""`LUCKY` has two wrong steps and the right answer."""


@pytest.fixture
def finish(make_context: Callable, make_engine: Callable) -> Callable[..., Any]:
    """`finish({"3+5=8;": {...}})`: a context whose engine goes on from these beginnings of 3+5+8."""

    def make(ends: dict[str, dict[str, float]]) -> Any:
        return make_context(make_engine(ends, "lost"))

    return make


def value(context: Any, text: str, make_rollout: Callable, **options: Any) -> float | None:
    [[score]] = MathShepherd(**{"separator": ";", "samples": 200, **options}).rate([[make_rollout(text)]], context)
    return score


@pytest.mark.parametrize(
    ("combine", "estimate", "expected"),
    [("min", "soft", 0.5), ("product", "soft", 0.5), ("mean", "soft", 0.75), ("min", "hard", 1.0)],
)
def test_by_hand(finish: Callable, make_rollout: Callable, combine: str, estimate: str, expected: float) -> None:
    context = finish({"3+5=8;": {"8+8=6#6": 1.0, "8+8=7#7": 1.0}})  # half of all finishes are right
    found = value(context, GOOD, make_rollout, combine=combine, estimate=estimate)
    assert found == pytest.approx(expected, abs=0.08)


def test_a_lucky_solution_scores_what_its_worst_step_is_worth(finish: Callable, make_rollout: Callable) -> None:
    context = finish({"3+5=8;": {"8+8=6#6": 1.0}, "3+5=9;": {"9+8=7#7": 1.0}})
    assert [value(context, text, make_rollout) for text in (GOOD, BAD, LUCKY)] == [1.0, 0.0, 0.0]
    assert value(context, LUCKY, make_rollout, combine="mean") == 0.5  # its end alone is marked right


def test_soft_is_never_above_hard(finish: Callable, make_rollout: Callable) -> None:
    context = finish({"3+5=8;": {"8+8=6#6": 1.0, "lost": 9.0}})
    soft, hard = (value(context, GOOD, make_rollout, estimate=kind, samples=64) for kind in ("soft", "hard"))
    assert soft is not None and hard == 1.0 and 0.0 < soft < 0.4


def test_equal_beginnings_are_finished_once_and_the_model_goes_on_behind_them(
    finish: Callable, make_rollout: Callable
) -> None:
    context = finish({})
    MathShepherd(separator=";").rate(
        [[make_rollout(GOOD), make_rollout(GOOD), make_rollout("3+5=8;8+8=5#5")], []], context
    )
    engine = context.policy.engine
    [asked] = engine.seen
    assert [message["role"] for message in asked.prompt] == ["user", "assistant"]
    assert asked.prompt[-1]["content"] == "3+5=8;" and asked.answer is None


def test_a_problem_without_a_reference_has_no_score(
    finish: Callable, make_rollout: Callable, make_prompt: Callable
) -> None:
    bare = make_rollout(GOOD, make_prompt(answer=None))
    assert MathShepherd(separator=";").rate([[bare]], finish({})) == [[None]]


def test_a_solution_of_one_step_is_its_mark(finish: Callable, make_rollout: Callable) -> None:
    assert value(finish({}), "#6", make_rollout) == 1.0 and value(finish({}), "#5", make_rollout) == 0.0


def test_only_the_first_steps_are_finished_where_the_recipe_says_so(finish: Callable, make_rollout: Callable) -> None:
    long, context = make_rollout("3+5=8;8+8=6;6+0=6#6"), finish({})
    method = MathShepherd(separator=";", samples=3, most_steps=1)
    method.rate([[long]], context)
    assert [asked.prompt[-1]["content"] for asked in context.policy.engine.seen] == ["3+5=8;"]
    assert method.cost(Given(flow=Flow(5, 5), length=20)).completions == 5 * 3
    assert MathShepherd().cost(Given(flow=Flow(5, 5), length=20)).completions == 5 * 19 * 4


@pytest.mark.parametrize("options", [{"estimate": "vague"}, {"combine": "sum"}, {"separator": ""}])
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="reward.math_shepherd"):
        MathShepherd(**options)


@pytest.mark.slow
def test_the_tiny_model_goes_on_behind_a_beginning(tmp_path: Any, quiet_log: Any) -> None:
    from selfimprove.methods.engine.transformers import Transformers
    from selfimprove.methods.model.tiny import Tiny
    from selfimprove.methods.task.chain_sums import ChainSums
    from selfimprove.text import prefilled

    task, engine = ChainSums(gap_share=0.0, min_length=2, max_length=3), Transformers(max_completion_length=24)
    model: Checkpoint = Tiny(max_steps=300, target_accuracy=0.9).build(task, engine, tmp_path, 0, quiet_log)
    problems = [p for p in task.problems("train", 60, 1) if p.info["level"] == 3][:20]
    digits = [[int(digit) for digit in problem.key.split("+")] for problem in problems]
    firsts = [f"{a}+{b}={(a + b) % 10};" for a, b, _ in digits]
    asked = [prefilled(problem, first) for problem, first in zip(problems, firsts, strict=True)]
    drawn = engine.sample(model, asked, 1, Sampling(temperature=0.0), 0, quiet_log)
    begins = [f"{(a + b) % 10}+{c}=" for a, b, c in digits]
    assert sum(end.text.startswith(begin) for [end], begin in zip(drawn, begins, strict=True)) >= 15
