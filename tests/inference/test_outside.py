"""Tools and slow worlds of a step that was killed: nothing is called twice, and who answers otherwise is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from selfimprove.costs import Cost, Given
from selfimprove.episodes import Episode, Tool, Turn
from selfimprove.errors import Refused
from selfimprove.inference import outside
from selfimprove.inference.routines import Account, Call, Strand
from selfimprove.interfaces import GREEDY, Refinement, Session
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.needs import Needs
from selfimprove.records import Message, Prompt, Rollout
from selfimprove.store import journal
from selfimprove.store.journal import Journal


def user(text: str) -> Message:
    return {"role": "user", "content": text}


ASKED = [Prompt(prompt=[user(f"q{i}")], answer="1", key=f"q{i}") for i in range(3)]
TURNS = 3


@dataclass
class Outside:
    """What was really called, and how a world words its news."""

    calls: list[str] = field(default_factory=list)
    steps: list[tuple[str, str]] = field(default_factory=list)
    news: str = "again"


@dataclass
class Echo(Tool):
    seen: Outside

    def call(self, text: str) -> str:
        self.seen.calls.append(text)
        if text == "q1":
            raise ValueError("no echo")
        return f"{text} {text}"


@dataclass
class Counting(Episode):
    """Is over after some replies, each of which is worth a point; what it notes is the last reply."""

    problem: Prompt
    seen: Outside
    slow: ClassVar[bool] = True
    left: int = TURNS

    def step(self, said: Message | None) -> Turn:
        self.seen.steps.append((self.problem.key, "" if said is None else said["content"]))
        if said is None:
            return Turn("solve", self.problem.prompt)
        self.left, noted = self.left - 1, {"last": said["content"]}
        if not self.left:
            return Turn(None, rewards={"solve": 1.0}, noted=noted)
        return Turn("solve", [user(f"{self.seen.news} {self.left}")], {"solve": 0.5}, noted)


@dataclass
class World(ChainSums):
    """A task with slow worlds and a tool."""

    seen: Outside = field(default_factory=Outside)

    def open(self, problem: Prompt) -> Episode:
        return Counting(problem, self.seen)

    def tools(self, problem: Prompt) -> Mapping[str, Tool]:
        return {"echo": Echo(self.seen)}


@dataclass
class Calls(Refinement):
    """Calls a tool with what was asked, and answers then."""

    def needs(self) -> Needs:
        return Needs(tools=("echo",))

    def cost(self, given: Given) -> Cost:
        return given.attempt + Cost(calls=1)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        heard = await session.call("echo", prompt.prompt[-1]["content"])
        told = Prompt(prompt=[*prompt.prompt, {"role": "tool", "content": heard}])
        return (await session.attempts(told, 1, GREEDY))[0]


@pytest.fixture
def attempt(words: Any, chained: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`attempt(seen, die_at=2)`: one attempt at a step, whose journal is that of all attempts of this test."""
    monkeypatch.setattr(journal, "SECONDS", 0.0)

    def run(seen: Outside, die_at: int | None = None) -> list[Any]:
        kept = Journal(tmp_path / "journal", "step")
        engine = words(rule=lambda messages: {messages[-1]["content"]: 1.0}, die_at=die_at)
        desk = {"task": World(seen=seen), "kept": kept.answers("sessions")}
        played = chained(kept.before("engine", engine), Calls(), **desk).play(ASKED)
        return [(one.rollout.text, one.rollout.reward, one.noted, one.rollout.completion) for one in played]

    return run


@pytest.mark.parametrize("die_at", range(TURNS))
def test_a_killed_step_calls_nothing_twice_and_ends_alike(
    attempt: Callable, power: Any, tmp_path: Path, die_at: int
) -> None:
    first, second, whole = Outside(), Outside(), Outside()
    with pytest.raises(power):
        attempt(first, die_at)
    made = attempt(second)
    (tmp_path / "journal").unlink()
    assert attempt(whole) == made
    assert sorted(first.calls + second.calls) == sorted(whole.calls) and len(whole.calls) == 3 * TURNS
    new = [step for step in second.steps if step not in first.steps]
    assert set(first.steps) | set(new) == set(whole.steps)
    _, reward, noted, talk = made[0]
    assert reward == 2.0 and noted == {"last": "again 1 again 1"} and len(talk) == 2 * TURNS - 1
    assert {one["content"] for one in made[1][3]} >= {"error: no echo"}, "a tool that breaks costs its call only"


def test_a_finished_world_is_not_opened_again(attempt: Callable) -> None:
    made, again = attempt(Outside()), Outside()
    assert attempt(again) == made and again == Outside()


def test_a_world_that_answers_otherwise_than_before_is_refused(attempt: Callable, power: Any) -> None:
    with pytest.raises(power):
        attempt(Outside(), 2)
    with pytest.raises(Refused, match="Counting answers the same messages in another way than before the interruption"):
        attempt(Outside(news="anew"))


class Where(Tool):
    """Says whether it is called where the routines run."""

    def call(self, text: str) -> str:
        if text == "bad":
            raise ValueError("no place")
        return str(threading.current_thread() is threading.main_thread())


class Quick(Where):
    slow: ClassVar[bool] = False


@pytest.mark.parametrize("tool", [Where(), Quick()])
def test_only_a_tool_that_may_wait_runs_in_threads(tool: Tool) -> None:
    async def nothing() -> None: ...

    texts, kept, strands = ("a", "bad", "b"), dict[str, Any](), list[Strand]()
    for i, text in enumerate(texts):
        work = nothing()
        work.close()
        strands.append(Strand(work, Account(), i, (text, 0), waits=Call("where", tool, text)))
    outside.calls(strands, kept, 0)
    here = str(not tool.slow)
    assert [strand.value for strand in strands] == [here, "error: no place", here]
    assert [*kept.values()] == [strand.value for strand in strands], "replies are stored in the order of the strands"
