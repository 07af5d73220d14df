"""The parts of a round that evaluations, alarms, gates and controllers see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from selfimprove.records import Alert, Checkpoint, Decision, Metric, Prompt, Report, Rollout

Verify = Callable[[Prompt, str], float | None]
"""The task's rule: (prompt, text) -> mark in [0, 1], or None if the reference cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Exam:
    """What an evaluation measures a policy on. All policies of a round get the same exam."""

    problems: Sequence[Prompt]
    """Fresh problems of the task."""
    verify: Verify
    probes: dict[str, list[Prompt]] = field(default_factory=dict)
    """Problems of the task's `probes`, by name."""
    start: Checkpoint | None = None
    """The weights of round 0, as judge or for comparison; None if a model is measured outside a run."""


Groups = Sequence[Sequence[Rollout]]
"""Samples by problem."""


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """The reliability of a judge on marked attempts. A judgement above 1/2 is a yes. None means no data."""

    right: int
    """Right attempts with a judgement."""
    wrong: int
    """Wrong attempts with a judgement."""
    unread: int
    """Marked attempts without a readable judgement."""
    mixed: int
    """Problems with right and wrong attempts."""
    tpr: float | None
    """True positive rate: the share of right attempts that it judges right."""
    fpr: float | None
    """False positive rate: the share of wrong attempts that it judges right."""
    youden: Metric | None
    """TPR - FPR, Youden's J: 1 for a judge that is always right, 0 for one that guesses."""
    auc: Metric | None
    """How often the judge scores a right attempt above a wrong one of the same problem; ties count half."""


@dataclass(frozen=True, kw_only=True)
class AuditForm:
    """The test of a judge on audit problems: it decides whether the judge may select data."""

    judge: Reliability
    start: Reliability
    """The reliability of the weights of round 0 as judge of the same attempts."""
    drift: dict[str, Metric]
    """Change of `youden` and `auc` from `start` to `judge`."""
    short: bool
    """Whether there are too few marked attempts to decide."""
    failure: str
    """Why the judge failed; empty if it passed. `judge.json` has this as `fault`."""
    binding: bool = True
    """Whether its rewards select data; False for a monitor, and for a judge that the recipe trusts untested."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What an alarm sees of a round.

    The audits are raw samples of fresh audit problems, drawn at temperature 1: `reward` is what the loop optimizes,
    and `info["truth"]` the task's own mark, which the loop should improve. `info["answer"]` is the sample's answer and
    `info["reference"]` the reference, both as the task reads answers; None if it cannot read one.
    """

    round: int
    rounds: int
    start: Groups
    """The audit of round 0."""
    champion: Groups
    """The audit of the champion, from the round that made it."""
    candidate: Groups
    """The audit of this round's candidate."""
    history: Sequence[Round]
    """All rounds up to this one, which is the last and has no decision yet."""
    judges: Mapping[str, AuditForm] = field(default_factory=dict)
    """The audit form of each reward that judges, with the candidate as judge."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round as alarms, gates and controllers see it. Round 0 has only a champion, the start."""

    round: int
    rounds: int
    champion: Report
    incumbent: Report | None = None
    candidate: Report | None = None
    alerts: Sequence[Alert] = ()
    decision: Decision | None = None
    confirmation: Decision | None = None
    """The gate's decision on the incumbent after the last round."""
    counts: dict[str, float] = field(default_factory=dict)
    """The counts of the steps as in metrics.jsonl, for example `selection/label_precision`."""
    reported: dict[str, float] = field(default_factory=dict)
    """The metrics that its steps reported, as in metrics.jsonl, for example `refined/lift`."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds of each step."""

    def metric(self, name: str) -> Metric | None:
        """A metric of the candidate, or of the start in round 0."""
        return (self.candidate or self.champion).metrics.get(name)


@dataclass(frozen=True, kw_only=True)
class Stop:
    """What a controller returns to end the run."""

    reason: str
