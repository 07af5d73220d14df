"""The win rate: both orders of every pair, ties and unread replies, a judge that is never the candidate."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.interfaces import GREEDY, Ask, Engine, Log, Sampling
from selfimprove.measures.statistics import mean
from selfimprove.methods.evaluation.win_rate import WinRate
from selfimprove.records import Checkpoint, Metric, Prompt, Rollout, measured
from selfimprove.rounds import Exam

START, NEW = Checkpoint(path="start"), Checkpoint(path="new")


@dataclass
class Stage(Engine):
    """The start says `old`, the new policy what `says` holds for a problem; the judge decides by `rule(first, second)`."""

    says: dict[str, str] = field(default_factory=dict)
    rule: Any = None
    calls: list[tuple[str, str, Sampling]] = field(default_factory=list)

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        said = [[{"role": "assistant", "content": self._said(ask)}] for ask in asks]
        return [[Rollout(prompt=ask.prompt, completion=one)] for ask, one in zip(asks, said, strict=True)]

    def _said(self, ask: Ask) -> str:
        asked = ask.prompt.prompt[-1]["content"]
        if "<reply_1>" in asked:
            self.calls.append(("judge", ask.checkpoint.path, ask.sampling))
            first, second = (asked.split(f"<reply_{i}>\n")[1].split(f"\n</reply_{i}>")[0] for i in (1, 2))
            return f"I compared them.\n{self.rule(first, second)}"
        self.calls.append(("solve", ask.checkpoint.path, ask.sampling))
        return self.says[asked] if ask.checkpoint == NEW else "old"

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        raise AssertionError


def problems(names: str, **info: Any) -> list[Prompt]:
    return [Prompt(prompt=[{"role": "user", "content": name}], key=name, info=info) for name in names]


def fair(first: str, second: str) -> str:
    """`good` beats everything, `bad` loses to everything, `same` is equal, `odd` cannot be judged when shown first."""
    if first == "odd":
        return "hm"
    if "same" in (first, second):
        return "#="
    return "**#1**" if "good" in (first,) or second == "bad" else "#2"


SAYS = {"a": "good", "b": "good", "c": "bad", "d": "same", "e": "old", "f": "odd"}


def test_by_hand(make_policy: Callable) -> None:
    engine = Stage(SAYS, fair)
    exam = Exam(problems=problems("abcdef"), verify=lambda *_: None, start=START)
    report = WinRate().evaluate(make_policy(engine, checkpoint=NEW), exam)
    # f: unread when shown first (1/2); shown second, "old" against "odd" is decided for what is second, the answer: 1
    assert report.scores == {"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.5, "e": 0.5, "f": 0.75}
    values = {name: (metric.value, metric.n) for name, metric in report.metrics.items()}
    assert values == {
        "win_rate": (pytest.approx(3.75 / 6), 6),
        "win_rate/tie": (pytest.approx(2 / 6), 6),
        "win_rate/unread": (pytest.approx(1 / 10), 10),  # of e nobody is asked
        "win_rate/first": (pytest.approx(3 / 7), 7),  # a, b, c once each; f was decided for what was second
        "truncated": (0.0, 6),
    }
    assert report.metrics["win_rate"] == mean([1.0, 1.0, 0.0, 0.5, 0.5, 0.75])
    assert isinstance(report.metrics["win_rate"], Metric) and [r.reward for r in report.rollouts] == [
        *report.scores.values()
    ]


def test_the_start_judges_greedily_and_the_candidate_only_answers(make_policy: Callable) -> None:
    engine = Stage(SAYS, fair)
    WinRate(temperature=0.7).evaluate(
        make_policy(engine, checkpoint=NEW), Exam(problems=problems("abc"), verify=lambda *_: None, start=START)
    )
    assert engine.calls[:3] == [("solve", "start", Sampling(temperature=0.7))] * 3
    assert {call[:2] for call in engine.calls[3:6]} == {("solve", "new")}
    assert engine.calls[6:] == [("judge", "start", GREEDY)] * 6


def test_a_judge_that_likes_a_place_gives_ties_and_is_shown(make_policy: Callable) -> None:
    engine = Stage(SAYS, lambda first, second: "#1")
    exam = Exam(problems=problems("abc"), verify=lambda *_: None, start=START)
    report = WinRate().evaluate(make_policy(engine, checkpoint=NEW), exam)
    assert set(report.scores.values()) == {0.5} and report.metrics["win_rate/tie"].value == 1.0
    assert report.metrics["win_rate/first"].value == 1.0


def test_a_reference_of_the_data_and_a_judge_of_its_own(make_policy: Callable) -> None:
    engine = Stage({"a": "good", "b": "bad"}, fair)
    given = [*problems("a", solution="reference"), *problems("b")]
    exam = Exam(problems=given, verify=lambda *_: None)
    report = WinRate(against="reference", judge_path="elsewhere").evaluate(make_policy(engine, checkpoint=NEW), exam)
    assert report.scores == {"a": 1.0}, "a problem without a reference is left out"
    assert {call[1] for call in engine.calls if call[0] == "judge"} == {"elsewhere"}
    for method in (WinRate(), WinRate(against="reference"), WinRate(judge_path="elsewhere")):
        with pytest.raises(RecipeError, match="there is no run here"):
            method.evaluate(make_policy(engine), exam)


def test_replies_that_nobody_can_read_are_ties_and_said(make_policy: Callable, quiet_log: Any) -> None:
    exam = Exam(problems=problems("ab"), verify=lambda *_: None, start=START)
    policy = make_policy(Stage(SAYS, lambda first, second: "?"), checkpoint=NEW, log=quiet_log)
    report = WinRate().evaluate(policy, exam)
    assert set(report.scores.values()) == {0.5} and report.metrics["win_rate/unread"].value == 1.0
    assert quiet_log.notes == ["4 of 4 replies of the judge could not be read and count as ties"]


@pytest.mark.parametrize("options", [{"against": "gpt"}])
def test_options_that_make_no_sense_are_refused(options: dict) -> None:
    with pytest.raises(RecipeError, match=r"evaluation\.win_rate\."):
        WinRate(**options)


@pytest.mark.runs
def test_a_run_on_what_no_rule_marks_is_decided_by_the_judge(make_run: Callable, tmp_path: Path) -> None:
    from selfimprove.loop.loop import Runner

    path = tmp_path / "open.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Say {i}.", "completion": f"{i}!"}) + "\n" for i in range(400)))
    options = ["task=open_instructions", f"task.open_instructions.path={path}", "evaluation=win_rate", "engine=fake"]
    folder, log = make_run(*options, "evaluation.win_rate.against=reference", "probe_problems=0", "reward=random")
    summary = Runner(folder, log).run()
    assert summary["rounds"] == 1 and summary["sealed"]["n"] > 10 and "no significant gain" in summary["verdict"]
    assert "win rate 0.50" in summary["verdict"]
    assert measured(summary["per_round"][1], "candidate")["value"] == 0.5
    noted = json.loads((folder.root / "round_001" / "evaluation" / "candidate.json").read_text())
    assert noted["metrics"]["win_rate"]["value"] == 0.5 and noted["metrics"]["win_rate/unread"]["value"] == 1.0
