"""What the models of a run say: worked by hand on a folder with a few records, and on a small run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import MissingError, RecipeError
from selfimprove.loop.loop import Runner
from selfimprove.records import Preference, Prompt, Rollout, write_records
from selfimprove.report.samples.drawn import drawn
from selfimprove.report.samples.listing import lines
from selfimprove.report.samples.pairs import GROUPS, compared
from selfimprove.report.samples.rule import rule_of
from selfimprove.report.samples.spoken import fork, said, shortened
from selfimprove.report.samples.wanted import Wanted, find
from selfimprove.store.run_folder import RunDir


def prompt(key: str, answer: str = "1") -> Prompt:
    return Prompt(prompt=[{"role": "user", "content": f"S:{key}="}], answer=answer, key=key, info={"level": 2})


def rollout(problem: Prompt, text: str, reward: float | None = None) -> Rollout:
    return Rollout(prompt=problem, completion=[{"role": "assistant", "content": text}], reward=reward)


def a_round(root: Path) -> RunDir:
    """A run folder whose first round compared four problems and drew for three."""
    names = ["0+1", "2+9", "3+8", "4+7"]
    scores = {"champion": [0, 1, 0, 1], "candidate": [1, 0, 0, 1]}
    for step in ("evaluation", "gate", "acquisition", "selection"):
        (root / "round_001" / step).mkdir(parents=True)
    for who, marks in scores.items():
        folder = root / "round_001" / "evaluation"
        told = {"metrics": {}, "scores": dict(zip(names, marks, strict=True)), "parts": {}}
        (folder / f"{who}.json").write_text(json.dumps(told))
        write_records(folder / f"{who}.jsonl", [rollout(prompt(key), f"{who} on {key}") for key in names])
    (root / "round_001" / "gate" / "decision.json").write_text(json.dumps({"verdict": "reject", "reason": ""}))
    one, two, three = prompt("5+5", "0"), prompt("6+6", "2"), prompt("7+7", "4")
    acquired = [rollout(one, "#1", 1.0), rollout(one, "#0", 0.0), rollout(one, "#1", 1.0), rollout(two, "#9", 0.0)]
    pair = [rollout(three, "#4", 1.0), rollout(three, "#5", 0.5)]
    write_records(root / "round_001" / "acquisition" / "output.jsonl", [*acquired, *pair])
    kept = [acquired[0], Preference.of(pair[0], pair[1])]
    write_records(root / "round_001" / "selection" / "output.jsonl", kept)
    return RunDir(root)


def test_problems_fall_into_four_groups_with_what_both_said(tmp_path: Path) -> None:
    found = compared(a_round(tmp_path), 1)
    assert found is not None
    assert found.keys == {"gained": ["0+1"], "lost": ["2+9"], "wrong": ["3+8"], "right": ["4+7"]}
    [pair] = found.pairs("lost")
    assert (pair.champion.text, pair.candidate.text) == ("champion on 2+9", "candidate on 2+9")
    assert compared(RunDir(tmp_path), 2) is None


def test_equal_samples_are_one_and_the_kept_ones_come_first(tmp_path: Path) -> None:
    one, two, three = drawn(a_round(tmp_path), 1)
    assert [(a.text, a.times, a.use) for a in one.answers] == [("#1", 2, "kept"), ("#0", 1, "")]
    assert not two.kept and [(a.text, a.use) for a in three.answers] == [("#4", "chosen"), ("#5", "rejected")]


def test_the_rule_tells_that_what_was_kept_is_wrong() -> None:
    settings = {"task": {"chain_sums": {}}, "reward": {"majority_vote": {}}}
    right = rule_of(settings)
    assert [right(rollout(prompt("5+5", "0"), text)) for text in ("5+5=0#0", "5+5=1#1")] == [True, False]
    verified = rule_of({**settings, "reward": {"verifier": {"weight": 2.0}}})
    assert [verified(rollout(prompt("5+5"), "", reward)) for reward in (2.0, 0.5, None)] == [True, False, None]
    assert rule_of({"task": {"gone": {}}})(rollout(prompt("5+5"), "#0")) is None


def test_texts_fork_where_they_differ_and_long_ones_are_cut_in_the_middle() -> None:
    assert [fork("abc", "abd"), fork("ab", "abc"), fork("same", "same")] == [2, 2, 4]
    assert shortened("\n".join(map(str, range(20)))).split("\n")[5:8] == ["5", "... 11 more lines ...", "17"]
    assert "more characters" in shortened("x" * 5000) and len(shortened("x" * 5000)) < 2100
    talk: Any = [{"role": "assistant", "content": "a", "thinking": "hm"}, {"role": "tool", "content": "b"}]
    assert said(talk) == "assistant: (thought: hm)\na\ntool: b"


@pytest.mark.long
def test_a_run_shows_its_rounds_and_never_opens_the_sealed_folder(
    make_run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, log = make_run("rounds=2", "gate_problems=40")
    runner = Runner(folder, log)
    runner.run()
    root = folder.root
    opened = list[str]()
    monkeypatch.setattr(RunDir, "step", _noting(RunDir.step, opened))
    shutil.rmtree(root / "round_002" / "sealed")
    for source in (*GROUPS, "trained", "audit", ""):
        found = find(root, Wanted(source=source, most=2))
        text = "\n".join(lines(found, 0))
        assert text.startswith("round 2: ") and "more: -n 20" in text
        assert len(found.pairs) <= 2 and len(found.drawn) <= 2
    assert opened and "sealed" not in opened
    kept = find(root, Wanted(source="trained", kept=True, low=1.0, high=1.0)).drawn
    assert kept and all(answer.rollout.reward == 1.0 for one in kept for answer in one.answers)
    [key] = {one.problem.key for one in find(root, Wanted(source="trained", problem=kept[0].problem.key)).drawn}
    assert key == kept[0].problem.key
    assert not find(root, Wanted(source="trained", grep="no such text")).drawn
    with pytest.raises(MissingError, match="it has rounds 1 to 2"):
        find(root, Wanted(round=3))
    with pytest.raises(RecipeError, match="is no pattern"):
        find(root, Wanted(source="trained", grep="("))
    (root / "summary.json").unlink()
    with pytest.raises(RecipeError, match="shown after the exam only"):
        find(root, Wanted(source="audit"))


def _noting(step: Callable[..., Path], opened: list[str]) -> Callable[..., Path]:
    def noted(self: RunDir, number: int, stage: str) -> Path:
        opened.append(stage)
        return step(self, number, stage)

    return noted


def test_the_place_where_two_answers_differ_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_round(tmp_path)
    found = compared(run, 1)
    assert found
    from selfimprove.report.samples.wanted import Found

    shown = Found(
        round=1,
        rounds=1,
        source="lost",
        counts=found,
        pairs=[*found.pairs("lost")],
        drawn=[],
        rule=lambda _: None,
        more=False,
    )
    assert list(lines(shown, 0))[:7] == [
        "round 1: champion (start) and candidate (round 1) on the same 4 new problems",
        "gained 1   lost 1   both wrong 1   both right 1",
        "",
        "lost 1 of 1   S:2+9=   answer 1   level 2",
        "  champion   champion on 2+9   right",
        "  candidate  candidate on 2+9   wrong",
        "              ^ differ from here",
    ]
