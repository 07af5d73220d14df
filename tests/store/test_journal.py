"""Portions that were drawn before a kill are not drawn again, and the end is the same to the byte."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import DataError
from selfimprove.foreign import free_memory
from selfimprove.interfaces import Ask, Sampling
from selfimprove.loop import loop
from selfimprove.methods.engine.fake import Fake
from selfimprove.records import Checkpoint, Prompt, Rollout, dumps
from selfimprove.store import journal, journal_lines
from selfimprove.store.journal import Journal
from selfimprove.store.seal import signed_line

HERE = Checkpoint(path="model")
TABLE = {f"S:{i}=": {"a": 0.5, "b": 0.3, "c": 0.2} for i in range(40)}


class Power(Exception):
    """The end of a process."""


@dataclass
class Mortal(Fake):
    """Three prompts of four completions are a portion; gives up before the portion with number `left`."""

    portion: ClassVar[int] = 12
    left: int = -1
    asked: list[str] = field(default_factory=list)

    def draw(self, asks, log):
        self._go_on()
        self.asked += [ask.prompt.prompt[-1]["content"] for ask in asks]
        groups = super().draw(asks, log)
        for ask, group in zip(asks, groups, strict=True):
            if ask.sampling.note:  # the ids of an engine that runs weights
                group[:] = [replace(one, ids=[ask.seed, i]) for i, one in enumerate(group, ask.first)]
        return groups

    def logprobs_of(self, checkpoint, rollouts, statistic="logprob"):
        self._go_on()
        self.asked += [rollout.text for rollout in rollouts]
        return super().logprobs_of(checkpoint, rollouts, statistic)

    def _go_on(self) -> None:
        if self.left == 0:
            raise Power
        self.left -= 1


@pytest.fixture
def open_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Journal, Mortal]]:
    """`open_journal(left=2, step="s")`: the journal of a step before an engine that gives up."""
    monkeypatch.setattr(journal, "SECONDS", 0.0)

    def make(left: int = -1, step: str = "step", file: str = "journal") -> tuple[Journal, Mortal]:
        engine = Mortal(TABLE, left=left)
        return Journal(tmp_path / file, step), engine

    return make


def draw(made: tuple[Journal, Mortal], prompts: Sequence[Prompt], log: Any) -> list[Any]:
    """What a step may ask: two equal calls, then scores of what came back."""
    engine = made[0].before("engine", made[1])
    groups = [engine.sample(HERE, prompts, 4, Sampling(), seed, log) for seed in (7, 7)]
    scores = engine.logprobs_of(HERE, [rollout for group in groups[0] for rollout in group])
    return [[r.text for group in call for r in group] for call in groups] + scores


@given(left=st.integers(0, 12))
def test_a_step_that_ended_anywhere_draws_the_rest_only(open_journal, make_prompt, quiet_log, left, tmp_path) -> None:
    prompts = [make_prompt(str(i)) for i in range(10)]
    whole = draw(open_journal(file="whole"), prompts, quiet_log)
    first = open_journal(left, file="j")
    try:
        draw(first, prompts, quiet_log)
    except Power:
        before = first[1].asked
        again, engine = open_journal(file="j")
        assert draw((again, engine), prompts, quiet_log) == whole
        assert len(before) + len(engine.asked) == 10 + 10 + 40, "nothing was asked for twice"
        assert again.reused == sum(1 if asked in "abc" else 4 for asked in before)
    finally:
        (tmp_path / "j").unlink(missing_ok=True)


NOTED = Sampling(note=("entropy", "logprob"), tops=2)
REQUESTS = [(i, 1 + i % 4, i % 3, (NOTED, Sampling(), Sampling(stop=("b",)))[i % 3], i // 5) for i in range(14)]
"""Problem, number of samples, the first one's number, sampling and seed: portions of 12 completions at most."""


def asks_of(make_prompt: Callable[..., Prompt]) -> list[Ask]:
    """Mixed requests, every fourth of other weights and with a third policy beside."""
    other, beside = Checkpoint(path="other"), {"start": Checkpoint(path="beside")}
    return [
        Ask(
            checkpoint=HERE if i % 4 else other,
            prompt=make_prompt(str(i)),
            n=n,
            first=first,
            sampling=sampling,
            seed=seed,
            beside={} if i % 4 else beside,
        )
        for i, n, first, sampling, seed in REQUESTS
    ]


def noted(groups: Sequence[Sequence[Rollout]]) -> list[list[Any]]:
    """All that a caller sees of the rollouts, what is in memory only included."""
    return [[(one, list(one.ids), one.noted, one.tops) for one in group] for group in groups]


@given(left=st.integers(0, 6))
def test_mixed_requests_go_on_with_the_ids_and_notes_of_what_was_drawn(
    open_journal, make_prompt, quiet_log, left, tmp_path
) -> None:
    asks = asks_of(make_prompt)

    def twice(made: tuple[Journal, Mortal]) -> list[Any]:
        engine = made[0].before("engine", made[1])
        return [noted(engine.draw(asks, quiet_log)) for _ in range(2)]

    plain = noted(Fake(TABLE).draw(asks, quiet_log))
    whole, first = twice(open_journal(file="whole")), open_journal(left, file="j")
    assert [[rollout[0].text for rollout in group] for group in whole[0]] == [
        [rollout[0].text for rollout in group] for group in plain
    ]
    assert whole[0][3][0][1] == [0, 0] and len(whole[0][3][0][3][0]) == 2 and set(whole[0][3][0][2]) == set(NOTED.note)
    try:
        with contextlib.suppress(Power):
            twice(first)
        again, engine = open_journal(file="j")
        assert twice((again, engine)) == whole
        assert len(first[1].asked) + len(engine.asked) == 2 * len(asks), "nothing was asked for twice"
        sizes = {ask.prompt.prompt[-1]["content"]: ask.n for ask in asks}
        assert again.reused == sum(sizes[name] for name in first[1].asked)
    finally:
        (tmp_path / "j").unlink(missing_ok=True)


@pytest.mark.parametrize("noting", [False, True])
def test_a_journal_from_before_prompts_were_left_out_is_read(
    open_journal, make_prompt, quiet_log, monkeypatch, noting: bool
) -> None:
    def old_line(one: Rollout) -> Any:
        return [dumps(one), list(one.ids), one.noted, one.tops] if noting else dumps(one)

    prompts = [make_prompt(str(i)) for i in range(10)]
    with monkeypatch.context() as old:
        old.setattr(journal_lines, "_line", old_line)
        whole = draw(open_journal(), prompts, quiet_log)
    again, engine = open_journal()
    assert draw((again, engine), prompts, quiet_log) == whole
    assert engine.asked == [] and again.reused == 120


def test_the_weights_of_a_portion_are_told_of_before_it_and_not_where_it_is_in_the_file(
    open_journal, make_prompt, quiet_log
) -> None:
    told = list[str]()

    def attempt(left: int) -> list[str]:
        told.clear()
        kept, engine = open_journal(left)
        kept.needed = told.append
        kept.before("engine", engine).draw(asks_of(make_prompt), quiet_log)
        return told

    with pytest.raises(Power):
        attempt(2)
    assert set(told) == {"model", "other", "beside"}
    once = len(told)
    assert 0 < len(attempt(-1)) < once, "only the portions that are left"
    assert attempt(-1) == []
    kept, engine = open_journal()
    kept.needed = told.append
    kept.before("engine", engine).embed(Checkpoint(path="copy"), ["a"])
    assert told == ["copy"]


def test_the_journal_of_another_step_is_thrown_away(open_journal, make_prompt, quiet_log, tmp_path: Path) -> None:
    prompts = [make_prompt(str(i)) for i in range(10)]
    draw(open_journal(), prompts, quiet_log)
    other, engine = open_journal(step="other")
    assert not (tmp_path / "journal").exists()
    draw((other, engine), prompts, quiet_log)
    assert other.reused == 0 and len(engine.asked) == 60


@pytest.mark.parametrize("damage", ["cut", "changed", "noise"])
def test_a_damaged_portion_is_drawn_again(open_journal, make_prompt, quiet_log, tmp_path: Path, damage: str) -> None:
    prompts, file = [make_prompt(str(i)) for i in range(10)], tmp_path / "journal"
    whole = draw(open_journal(), prompts, quiet_log)
    lines = file.read_text().split("\n")
    entry = json.loads(lines[2])
    entry["value"][0][0]["completion"][0]["content"] += " "
    changed = json.dumps(entry, separators=(",", ":"))
    lines[2] = {"cut": lines[2][:40], "changed": changed, "noise": "\x00\xff[[[["}[damage]
    file.write_text("\n".join(lines))
    again, engine = open_journal()
    assert draw((again, engine), prompts, quiet_log) == whole
    assert len(engine.asked) == 3, "one portion"
    [said, reused] = again.notes()
    assert said.startswith("1 lines of the step's journal") and reused.startswith(f"reused {4 * 17 + 40} completions")
    [kept] = [path for path in tmp_path.iterdir() if path.name.endswith("_journal")]
    assert kept.read_bytes().decode(errors="surrogateescape") == lines[2] + "\n", "nothing is lost"


WRONG: list[Any] = [
    None,
    7,
    "x",
    [],
    [[]],
    [["x"]],
    [[None] * 4] * 3,
    {"a": 1},
    [["{}"] * 4] * 3,
    [[["x", 1, 2, 3]] * 4] * 3,
]


@pytest.mark.parametrize("value", WRONG, ids=range(len(WRONG)))
def test_a_signed_value_of_another_form_is_set_aside(
    open_journal, make_prompt, quiet_log, tmp_path: Path, value
) -> None:
    """An older version may have written it, or a stranger."""
    prompts, file = [make_prompt(str(i)) for i in range(10)], tmp_path / "journal"
    whole = draw(open_journal(), prompts, quiet_log)
    lines = file.read_text().split("\n")
    for place in (2, -2):  # completions, and numbers for them
        lines[place] = signed_line({"name": json.loads(lines[place])["name"], "value": value})
    file.write_text("\n".join(lines))
    again, engine = open_journal()
    assert draw((again, engine), prompts, quiet_log) == whole
    assert len(engine.asked) == 3 + 4 and len(again.unusable) == 2


def test_what_a_kill_has_cut_off_is_removed_so_that_the_next_line_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "journal"
    first = Journal(file, "step")
    first.answers("E")["a"] = {"completion": 1}
    first.write()
    file.write_bytes(file.read_bytes() + b'{"sha256": "cut o')
    second = Journal(file, "step")
    second.answers("E")["b"] = {"completion": 2}
    second.write()
    third = Journal(file, "step")
    assert {name: one["completion"] for name, one in third.answers("E").items()} == {"a": 1, "b": 2}
    assert not second.unusable and not third.unusable


def test_a_journal_that_does_not_say_whose_it_is_is_set_aside(tmp_path: Path) -> None:
    first = Journal(tmp_path / "journal", "step")
    first.answers("E")["a"] = 1
    first.write()
    _, rest = (tmp_path / "journal").read_bytes().split(b"\n", 1)
    (tmp_path / "journal").write_bytes(rest)
    second = Journal(tmp_path / "journal", "step", lambda name: tmp_path / "kept")
    assert not second.answers("E") and not (tmp_path / "journal").exists()
    [note] = second.notes()
    assert "1 lines" in note and (tmp_path / "kept").read_bytes() == rest


def test_what_is_larger_than_memory_is_refused_not_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "journal").write_bytes(journal_lines.entry_of("step", "s") + journal_lines.entry_of("paid", "x" * 1000))
    monkeypatch.setattr(free_memory, "free", lambda: 8000)
    monkeypatch.setattr(free_memory, "SMALL", 0)
    with pytest.raises(DataError, match="GB are free here; use a machine with more memory"):
        Journal(tmp_path / "journal", "s")
    monkeypatch.setattr(free_memory, "free", lambda: 80_000)
    assert Journal(tmp_path / "journal", "s").found == {"step": "s", "paid": "x" * 1000}


def test_half_a_character_in_a_journal_does_not_end_the_run(tmp_path: Path) -> None:
    """As an older version kept it."""
    lines = [{"name": "step", "value": "step"}, {"name": "E keeps a", "value": {"completion": ["x\ud800"]}}]
    (tmp_path / "journal").write_text("".join(signed_line(line) + "\n" for line in lines))
    assert Journal(tmp_path / "journal", "step").answers("E")["a"] == {"completion": ["x\ufffd"]}


def test_a_symlink_is_no_journal(open_journal, make_prompt, quiet_log, tmp_path: Path) -> None:
    draw(open_journal(file="elsewhere"), [make_prompt("1")], quiet_log)
    kept = (tmp_path / "elsewhere").read_bytes()
    (tmp_path / "journal").symlink_to(tmp_path / "elsewhere")
    again = open_journal()
    draw(again, [make_prompt("1")], quiet_log)
    assert again[0].reused == 0 and (tmp_path / "elsewhere").read_bytes() == kept


def test_short_work_writes_nothing(tmp_path: Path, make_prompt, quiet_log) -> None:
    short = Journal(tmp_path / "journal", "step")
    draw((short, Mortal(TABLE)), [make_prompt("1")], quiet_log)
    assert not (tmp_path / "journal").exists()
    short.write()
    assert Journal(tmp_path / "journal", "step").found


def test_progress_of_a_portion_is_progress_of_the_whole(open_journal, make_prompt, quiet_log) -> None:
    kept, engine = open_journal()
    before = kept.before("engine", engine)
    before.sample(HERE, [make_prompt(str(i)) for i in range(10)], 4, Sampling(), 0, quiet_log)
    assert quiet_log.marks[0] == (4, 40, "samples") and quiet_log.marks[-1] == (40, 40, "samples")
    assert [done for done, *_ in quiet_log.marks] == sorted(done for done, *_ in quiet_log.marks)


@pytest.mark.faults
@pytest.mark.parametrize("stage", ["acquisition", "evaluation", "audit", "sealed"])
def test_a_run_that_is_stopped_in_a_stage_ends_as_if_it_had_not_been(
    make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(journal, "SECONDS", 0.0)
    undisturbed, log = make_run("rounds=1", name="undisturbed")
    student = type(loop.Runner(undisturbed, log).stored.recipe.the("engine"))
    monkeypatch.setattr(student, "portion", 20)
    plain, now, asked, allowed = student.draw, [""], list[tuple[str, int]](), [3]

    def mortal(self: Any, asks: Any, log: Any) -> Any:
        if now[0] == stage and allowed[0] == 0:
            allowed[0] = -1
            raise KeyboardInterrupt
        allowed[0] -= now[0] == stage
        asked.append((now[0], sum(ask.n for ask in asks)))
        return plain(self, asks, log)

    monkeypatch.setattr(student, "draw", mortal)
    monkeypatch.setattr(type(log), "step", lambda self, number, name: now.__setitem__(0, name if number else ""))
    allowed[0] = -1
    loop.Runner(undisturbed, log).run()
    drawn, allowed[0] = sum(count for _, count in asked), 3
    asked.clear()

    folder, log = make_run("rounds=1", name="disturbed")
    with pytest.raises(KeyboardInterrupt):
        loop.Runner(folder, log).run()
    assert folder.journal(1, stage).exists()
    loop.Runner(folder, log).run()
    assert sum(count for _, count in asked) == drawn, "no completion was drawn twice"
    assert any("from before the interruption" in note for note in log.notes)
    assert not list(folder.root.rglob("*.journal"))
    for path in undisturbed.root.rglob("*.jsonl"):
        if path.name != "metrics.jsonl":
            assert (folder.root / path.relative_to(undisturbed.root)).read_bytes() == path.read_bytes(), path
