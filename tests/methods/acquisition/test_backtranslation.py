"""Problems for worked solutions: the judge's grade tells which pairs fit, and no held-out problem comes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.interfaces import Ask
from selfimprove.methods.acquisition.backtranslation import Backtranslation
from selfimprove.problems.splits import split_of
from selfimprove.records import Checkpoint, Document, Rollout


def says(wrong: set[str], task: Any) -> Callable[[Ask], str]:
    """Inverts a worked solution, but for the first number of those in `wrong`; judges by the task's own rule."""

    def reply(ask: Ask) -> str:
        text = ask.prompt.prompt[-1]["content"]
        if text.startswith("J:"):
            key, _, attempt = text[2:-1].partition("=")
            return f"looked at it #{'y' if task.answer_of(attempt) == str(sum(map(int, key.split('+'))) % 10) else 'n'}"
        solution = text.removeprefix("P:").removesuffix("|")
        steps = [step.partition("=")[0].split("+") for step in solution.partition("#")[0].split(";")]
        digits = [steps[0][0], *(step[1] for step in steps)]
        return "+".join([str((int(digits[0]) + 1) % 10), *digits[1:]] if solution in wrong else digits)

    return reply


@pytest.fixture
def solutions(make_context: Callable, worked: Callable[..., str]) -> list[str]:
    problems = make_context().problems(60, 1)
    return [worked([int(digit) for digit in problem.key.split("+")]) for problem in problems]


def test_ratings_tell_the_pairs_that_fit(
    make_context: Callable, given_engine: Callable, task: Any, solutions: list[str]
) -> None:
    wrong = set(solutions[::3])
    given = make_context(given_engine(says=says(wrong, task)))
    documents = [Document(text=text) for text in solutions]
    method = Backtranslation(words="P:{document}|", as_proposal=True)
    made: Any = method.acquire(documents, given.held(method))
    texts = {one.id: one.text for one in documents}
    assert all(one.text == texts[one.parents[0]] and split_of(one.prompt.key) == "train" for one in made)
    assert len(made) < len(documents)  # inverted wrongly, some became problems of other splits
    assert {one.reward for one in made if one.text in wrong} == {0.0}
    assert {one.reward for one in made if one.text not in wrong} == {1.0}
    assert all(one.prompt.answer is None and one.rated for one in made)
    assert given.log.metrics["backtranslation/auroc"] == 1.0
    assert 0.6 < given.log.metrics["backtranslation/right"] < 0.8
    assert given.log.metrics["backtranslation/read"] == 1.0


def test_a_plain_model_is_asked_in_words_and_graded_on_five_points(
    make_context: Callable, given_engine: Callable
) -> None:
    asked: list[str] = []

    def reply(ask: Ask) -> str:
        asked.append(ask.prompt.prompt[-1]["content"])
        return "Here is the question:\nHow many are there?" if "Write the question" in asked[-1] else "Fine.\nScore: 4"

    class Words:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

        def words(self, role: str, prompt: Any, parts: Any) -> None:
            return None

        def judge(self, prompt: Any, attempt: str) -> list[Any]:
            return [{"role": "user", "content": f"rate {prompt.prompt[-1]['content']} / {attempt}"}]

    given = make_context(given_engine(says=reply), roles=Words())
    made: Any = Backtranslation().acquire([Document(text="There are 8.")], given)
    assert [(one.prompt.prompt[-1]["content"], one.text) for one in made] == [("How many are there?", "There are 8.")]
    assert made[0].reward == pytest.approx(0.75) and split_of(made[0].prompt.key) == "train"


def test_the_backward_model_learns_from_worked_examples_turned_round(
    make_context: Callable, given_engine: Callable, task: Any, solutions: list[str]
) -> None:
    class Learned:
        most, rows = 4, list[Rollout]()

        @contextmanager
        def trained(self, start: Checkpoint, rows: Sequence[Rollout], schedule: Any) -> Iterator[Checkpoint]:
            self.rows += rows
            yield Checkpoint(path="copy")

    engine, learned = given_engine(says=says(set(), task)), Learned()
    engine.can = frozenset({"copies"})  # pyright: ignore[reportAttributeAccessIssue]
    given = make_context(engine)
    given = replace(given, policy=replace(given.policy, copies=learned))
    method = Backtranslation(words="P:{document}|", as_proposal=True, seeds=40)
    method.acquire([Document(text=solutions[0])], given.held(method))
    assert 0 < len(learned.rows) < 40  # those that the task's rule marks right
    for row in learned.rows:
        problem = task.roles().read_proposal(row.text)
        assert task.verify(problem, row.prompt.prompt[-1]["content"][2:-1]) == 1.0
