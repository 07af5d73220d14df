"""Copies of the weights in a step: what they saw stands in the ledger, and a step that is done again trains none anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from selfimprove import training
from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Policy, Refinement, Session
from selfimprove.loop import steps
from selfimprove.methods.engine.fake import Fake
from selfimprove.needs import Needs
from selfimprove.problems.splits import split_of
from selfimprove.records import Checkpoint, Prompt, Rollout
from selfimprove.store import journal
from selfimprove.store.journal import Journal
from selfimprove.store.ledger import Ledger
from selfimprove.training import copies

PLAN = training.Schedule(learning_rate=1e-2, max_steps=4)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[list[Rollout]]:
    """The rows of each training, which only makes a folder here."""
    seen: list[list[Rollout]] = []

    def sft(job: training.Job, rows: Any, **_: Any) -> Checkpoint:
        seen.append(list(rows))
        job.folder.mkdir(parents=True)
        return Checkpoint(path=str(job.folder))

    monkeypatch.setattr(copies, "sft", sft)
    return seen


def step(folder: Path, journal: Journal | None, log: Any) -> tuple[training.Copies, Ledger]:
    stored: Any = SimpleNamespace(ledger=Ledger(folder / "ledger.jsonl"), journal=journal)
    return steps._copies(stored, 3, "evaluation", folder / "partial", log), stored.ledger


def test_held_out_questions_stand_in_the_ledger_once_and_without_answers(
    tmp_path: Path, quiet_log: Any, make_rollout: Callable, trained: list
) -> None:
    keys = [f"{a}+{b}" for a in range(10) for b in range(10)]
    own = {split: [key for key in keys if split_of(key) == split][:2] for split in ("train", "gate", "sealed")}
    rows = [make_rollout(prompt=key) for several in own.values() for key in [*several, several[0]]]
    for _ in range(2):  # a step that is done again
        made, ledger = step(tmp_path, None, quiet_log)
        with made.trained(Checkpoint(path="start"), rows, PLAN):
            pass
    found = [{name: entry[name] for name in ("round", "step", "split", "adapted")} for entry in ledger.entries()]
    assert found == [{"round": 3, "step": "evaluation", "split": split, "adapted": 2} for split in ("gate", "sealed")]
    assert len(trained) == 2 and all(row.prompt.answer is None for several in trained for row in several)
    with made.trained(Checkpoint(path="start"), rows[:3], PLAN):
        assert len(ledger.entries()) == 2, "training problems may be seen"


def test_a_step_that_is_done_again_takes_its_answers_and_trains_nothing(
    tmp_path: Path, quiet_log: Any, make_rollout: Callable, make_policy: Callable, trained: list
) -> None:
    class Copying(Fake):
        can = Fake.can | {"copies"}

    engine, rows, texts = Copying(default="8"), [make_rollout()], []
    for attempt in range(3):
        journal = Journal(tmp_path / "journal", "this step")
        made, _ = step(tmp_path, journal, quiet_log)
        policy: Policy = make_policy(journal.before("engine", engine), checkpoint=Checkpoint(path="s"), copies=made)
        with policy.adapted(rows, PLAN) as copy:
            texts.append([one.text for one in copy.sample([rows[0].prompt], 2)[0]])
            if attempt == 2:
                copy.sample([rows[0].prompt], 1)
        journal.write()
        assert not (tmp_path / "partial").exists() or not list((tmp_path / "partial").iterdir())
    assert texts[0] == texts[1] == texts[2]
    assert len(trained) == 2, "the first attempt and the one that asks for more"


@dataclass
class Learner(Refinement):
    """Answers each problem with a copy that has learned its question."""

    def needs(self) -> Needs:
        return Needs(engine=("copies",))

    def cost(self, given: Given) -> Cost:
        return given.attempt + Cost(copies=1)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        row = Rollout(prompt=prompt, completion=[{"role": "assistant", "content": prompt.key}])
        async with session.adapted([row], PLAN) as copy:
            return (await session.draw(prompt, of=copy))[0]


def test_a_session_trains_what_it_draws_from_and_a_repeated_step_only_what_is_missing(
    tmp_path: Path, quiet_log: Any, make_policy: Callable, make_prompt: Callable, trained: list, monkeypatch: Any
) -> None:
    monkeypatch.setattr(journal, "SECONDS", 0.0)
    asked = [make_prompt(f"{i}+1") for i in range(6)]

    class Copying(Fake):
        can = Fake.can | {"copies"}
        left = 2

        def draw(self, asks: Any, log: Any) -> Any:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return super().draw(asks, log)

    def answer(engine: Copying) -> list[str]:
        kept = Journal(tmp_path / "journal", "this step")
        made, _ = step(tmp_path, kept, quiet_log)
        engine = kept.before("engine", engine)  # type: ignore[assignment]
        policy = make_policy(engine, Learner(), checkpoint=Checkpoint(path="s"), copies=made)
        return [one.text for one in policy.answer(asked)]

    engine = Copying(default="8")
    engine.left = 1
    with pytest.raises(KeyboardInterrupt):  # of six problems four have a copy at a time
        answer(engine)
    assert len(trained) == 6
    engine.left = 9
    assert answer(engine) == ["8"] * 6 and len(trained) == 6 + 2, "the last two were not in the journal"
    assert answer(engine) == ["8"] * 6 and len(trained) == 8
