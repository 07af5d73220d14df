"""Methods that learn from selection problems what they show before a problem: each with a planted truth to find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from selfimprove.interfaces import Refinement
from selfimprove.methods.refinement.dynamic_cheatsheet import DynamicCheatsheet
from selfimprove.methods.refinement.experience_memory import ExperienceMemory
from selfimprove.methods.refinement.few_shot import FewShot
from selfimprove.methods.refinement.training_free_grpo import TrainingFreeGrpo, carried_out
from selfimprove.records import Message

Table = Callable[[Sequence[Message]], Mapping[str, float]]


@pytest.fixture
def learns(table_model: ModuleType, tmp_path: Path) -> Callable[..., Any]:
    """`learns(method, table, state, seed)`: the state after `fit`, and then the answers to 12 problems."""

    def run(method: Refinement, table: Table, state: dict[str, Any] | None = None, seed: int = 0) -> Any:
        task, engine = table_model.Quiz(own_words=True), table_model.TableModel(table=table)
        policy = table_model.policy_of(method, engine, task, seed=seed)
        context = table_model.context_of(policy.held(method), task, tmp_path, state=state or {})
        learned = method.fit(context)
        answers = replace(policy, states=(learned,)).answer(task.problems("test", 12, 1))
        return SimpleNamespace(state=learned, answers=answers, right=sum(one.reward for one in answers), engine=engine)

    return run


def imitates(messages: Sequence[Message]) -> Mapping[str, float]:
    """Says what the last example says; without one it is right in nearly half of all cases."""
    said = [one["content"] for one in messages if one["role"] == "assistant"]
    return {said[-1]: 1.0} if said else {"#5": 0.51, "#4": 0.49}


def item(key: str, text: str, **counts: Any) -> dict[str, Any]:
    return {"key": key, "prompt": [{"role": "user", "content": "q"}], "text": text, **counts}


# ---- examples ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", [FewShot(), FewShot(choose="search"), ExperienceMemory()])
def test_right_examples_make_right_answers(learns: Callable, method: Any) -> None:
    made = learns(method, imitates)
    assert made.right == 12
    known = made.state.get("items") or made.state["examples"]
    assert known and all(one["text"] == "#4" for one in known), "only what was marked right is kept"


@pytest.mark.parametrize("method", [FewShot(examples=0), ExperienceMemory(examples=0), ExperienceMemory(problems=0)])
def test_without_examples_nothing_changes(learns: Callable, method: Any) -> None:
    assert all(len(ask.prompt.prompt) == 1 for ask in learns(method, imitates).engine.asked)


def test_examples_that_mislead_are_not_chosen(learns: Callable) -> None:
    def misled(messages: Sequence[Message]) -> Mapping[str, float]:
        return {"#5": 1.0} if len(messages) > 1 else {"#4": 1.0}

    made = learns(FewShot(choose="search"), misled)
    assert made.state == {"examples": []} and made.right == 12
    made = learns(ExperienceMemory(), misled)
    assert made.state["items"] and not made.state["shown"] and made.right == 12, "kept, and not shown"


def test_a_harmful_item_is_retired_within_forty_uses(learns: Callable) -> None:
    """Shown, it makes 1 in 10 right; without it 8 in 10 are. 20 problems with 4 attempts show it some 40 times."""

    def table(messages: Sequence[Message]) -> Mapping[str, float]:
        bad = any("bad" in one["content"] for one in messages)
        return {"#4": 0.1 if bad else 0.8, "#5": 0.9 if bad else 0.2}

    method = ExperienceMemory(problems=20, samples=4, examples=1)
    gone = 0
    for seed in range(20):
        kept = learns(method, table, {"items": [item("planted", "bad")]}, seed).state["items"]
        gone += not any(one["key"] == "planted" for one in kept)
    assert gone >= 19


def test_what_helps_stays_and_the_cap_holds(learns: Callable) -> None:
    old = [item("good", "g", **{"with": [9, 10], "without": [1, 10]}), item("idle", "i"), item("worse", "w")]
    old[2] |= {"with": [3, 9], "without": [5, 9]}
    state = learns(ExperienceMemory(problems=0, size=2), imitates, {"items": old}).state
    assert [one["key"] for one in state["items"]] == ["good", "idle"], "the most helpful ones"
    again = learns(ExperienceMemory(problems=0, size=2), imitates, state).state
    assert again == state, "without problems the memory stays as it is"


# ---- notes -------------------------------------------------------------------------------------------------------
def noted(good: str, reply: str) -> Table:
    """Right with notes that contain `good`, wrong with others; without notes right in half of all cases."""

    def table(messages: Sequence[Message]) -> Mapping[str, float]:
        role, *parts = messages[-1]["content"].split("\n")
        match role:
            case "curate" | "lesson":
                return {reply: 1.0}
            case "recall":
                return {"#4" if good in "\n".join(parts) else "#5": 1.0}
        return {"#4": 0.5, "#5": 0.49}

    return table


@pytest.mark.parametrize("method", [DynamicCheatsheet(trials=0), TrainingFreeGrpo(trials=0)])
def test_notes_that_help_are_learned(learns: Callable, method: Any) -> None:
    made = learns(method, noted("carry", "ADD: carry the one"))
    assert made.right == 12 and "carry the one" in str(made.state)


@pytest.mark.parametrize("method", [DynamicCheatsheet(), TrainingFreeGrpo()])
def test_notes_that_harm_are_not_kept(learns: Callable, method: Any) -> None:
    before = {"sheet": "carry", "lessons": ["carry"]}
    state = learns(method, noted("carry", "MODIFY 1: guess"), before).state
    assert state == {name: value for name, value in before.items() if name in state}


def test_a_group_of_equal_marks_teaches_nothing(learns: Callable) -> None:
    made = learns(TrainingFreeGrpo(), lambda messages: {"#5": 1.0})
    assert made.state == {"lessons": []} and not any("lesson" in repr(ask.prompt.prompt) for ask in made.engine.asked)


@pytest.mark.parametrize(
    ("replies", "lessons"),
    [
        (["ADD: 2 and 2 is 4"], ["a", "b", "2 and 2 is 4"]),
        (["MODIFY 2: c", "- DELETE 1"], ["c"]),
        (["DELETE 2\nADD: d", "MODIFY 2: x\nMODIFY 3: y"], ["a", "d"]),
        (["ADD: a", "KEEP", "I would add: much", "DELETE 9", "MODIFY 1:"], ["a", "b"]),
        (["DELETE 1\nDELETE 2"], []),
    ],
)
def test_operations_are_carried_out(replies: list[str], lessons: list[str]) -> None:
    assert carried_out(["a", "b"], replies) == lessons
