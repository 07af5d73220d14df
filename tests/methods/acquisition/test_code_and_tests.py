"""Programs by tests: who passes what decides what both are worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import RecipeError
from selfimprove.methods.acquisition.code_and_tests import CodeAndTests, _discernment, _passes
from selfimprove.methods.task.list_programs import ListPrograms
from selfimprove.records import Prompt, Rollout

TASK = ListPrograms(forms="I")
PROBLEM = TASK._prompt("r|314")
"""Turn round: right is `r`; `s` sorts and `t` drops the first digit."""


@pytest.mark.parametrize(
    ("passed", "worth"),
    [
        # two right programs, then two wrong ones
        ([True, True, False, False], 1.0),  # all right ones pass and all wrong ones fail
        ([True, True, True, False], 0.5),
        ([True, True, True, True], 0.0),  # passed by everybody: tells nothing
        ([True, False, True, False], -0.5),  # a right one fails, so the test is wrong; one wrong program passes it
        ([False, False, True, True], -1.0),
        ([False, False, False, False], 0.0),
    ],
)
def test_what_a_test_is_worth_by_hand(passed: list[bool], worth: float) -> None:
    assert _discernment(passed, [True, True, False, False]) == worth


@given(st.lists(st.booleans(), min_size=2, max_size=8).filter(lambda right: len({*right}) == 2), st.data())
def test_no_test_beats_the_one_that_only_the_right_pass(right: list[bool], data: Any) -> None:
    passed = data.draw(st.lists(st.booleans(), min_size=len(right), max_size=len(right)))
    assert -1 <= _discernment(passed, right) <= _discernment(right, right) == 1
    order = data.draw(st.permutations(range(len(right))))
    assert _discernment([passed[i] for i in order], [right[i] for i in order]) == _discernment(passed, right)


@pytest.mark.parametrize(
    ("program", "test", "passes"),
    [
        ("r", "12=21", True),
        ("r", " 12=21\n", True),
        ("s", "12=21", False),
        ("t", "1=5", False),  # nothing is left: no output
        ("x", "12=21", False),
        ("r", "12=", False),
        ("r", "=", False),
        ("r", "12", False),
    ],
)
def test_one_run(program: str, test: str, passes: bool) -> None:
    assert _passes(program, test) is passes


@pytest.fixture
def play(make_context: Callable, given_engine: Callable) -> Callable[..., Any]:
    """`play(["r", "s"], ["12=21"])`: scores of programs and tests for PROBLEM, each by its text."""

    def run(programs: Sequence[str], tests: Sequence[str], **options: Any) -> tuple[dict, dict, list[Rollout]]:
        def of(text: str) -> Rollout:
            return Rollout(prompt=PROBLEM, completion=[{"role": "assistant", "content": text}])

        engine, said = given_engine([]), iter([[of(f"#{p}") for p in programs], [of(t) for t in tests]])
        plain = engine.draw

        def draw(*given: Any) -> Any:
            engine.groups = [next(said)]
            return plain(*given)

        engine.draw = draw
        context = make_context(engine, verify=TASK.verify, answer_of=TASK.answer_of, roles=TASK.roles())
        method = CodeAndTests(samples=len(programs), tests=len(tests), **options)
        made: list[Any] = list(method.acquire([PROBLEM], context))
        scores: tuple[dict, dict] = ({}, {})
        for rollout in made:
            scores["=" in rollout.text][rollout.text] = rollout.reward
        return *scores, made

    return run


def test_with_right_answers(play: Callable) -> None:
    programs, tests, made = play(["r", "s", "t"], ["321=123", "21=12", "15=15", "9=9"])
    assert programs == {"#r": 1.0, "#s": 0.0, "#t": 0.0}
    # 321=123: r and s pass: half of the wrong ones fail. 21=12: the same. 15=15: r fails, s passes. 9=9: only t fails
    assert tests == {"321=123": 0.5, "21=12": 0.5, "15=15": -0.5, "9=9": 0.5}
    asked = [r.prompt.prompt[-1]["content"] for r in made if "=" in r.text]
    assert set(asked) == {f"T:{PROBLEM.prompt[-1]['content']}"}
    assert all(r.prompt.answer is None for r in made if "=" in r.text)  # no reference: the rule does not mark tests
    assert all(r.prompt.key == PROBLEM.key for r in made)
    assert {r.prompt.info.get("role") for r in made} == {None, "test"}  # what compares each role with itself reads this


@pytest.mark.parametrize("programs", [["r", "r"], ["s", "t"]])
def test_a_problem_that_is_solved_by_all_or_none_tells_nothing_of_tests(play: Callable, programs: list[str]) -> None:
    assert play(programs, ["12=21", "9=9"])[2] == []


def test_without_right_answers_programs_and_tests_mark_each_other(play: Callable) -> None:
    programs, tests, _ = play(["r", "s", "t", "x"], ["321=123", "12=21"], gold=False)
    assert programs == {"#r": 1.0, "#s": 0.5, "#t": 0.0, "#x": 0.0}
    assert tests == {"321=123": 0.5, "12=21": 0.25}


def test_one_role_alone(play: Callable) -> None:
    assert play(["r", "s"], ["12=21", "9=9"], train=["tests"])[0] == {}
    assert play(["r", "s"], ["12=21", "9=9"], train=["programs"])[1] == {}


def test_other_problems_are_refused(make_context: Callable, make_prompt: Callable) -> None:
    with pytest.raises(RecipeError, match="task=list_programs"):
        CodeAndTests().acquire([make_prompt()], make_context())


@pytest.mark.parametrize("options", [{"train": []}, {"train": ["docs"]}])
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="acquisition.code_and_tests"):
        CodeAndTests(**options)


def test_problems_of_other_forms_are_left_out(make_context: Callable, make_engine: Callable) -> None:
    both = ListPrograms(forms="DI")
    problems: list[Prompt] = both.problems("train", 20, 0)
    context = make_context(make_engine({}, "#r"), verify=both.verify, answer_of=both.answer_of, roles=both.roles())
    CodeAndTests(samples=2, tests=2).acquire(problems, context)
    asked = [p.prompt[-1]["content"] for p in context.policy.engine.seen]
    assert {text[0] for text in asked} == {"I", "T"}
    assert len(asked) == 2 * sum(p.info["form"] == "I" for p in problems)
