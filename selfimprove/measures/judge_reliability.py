"""The reliability of a judge: its judgements of labelled attempts against the task's own marks. Pure functions.

A judge is a reward that asks a model. A score above 1/2 is a yes. The attempts of one problem are not independent,
so intervals count problems, not attempts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from selfimprove.interfaces import Judging
from selfimprove.measures.attempts import auroc, auroc_within
from selfimprove.measures.statistics import Z95, mean, proportion
from selfimprove.records import Metric
from selfimprove.rounds import AuditForm, Groups, Reliability

MIN_YOUDEN = 0.1
"""TPR - FPR must be above this with all of its 95 % interval, unless the judge has an option `min_youden`."""
MIN_AUC = 0.6
"""How often a right attempt must score above a wrong one of the same problem; option `min_auc`."""
FEWEST = 20
"""Fewest right and fewest wrong attempts of a form; fewer cannot test a judge. Our choice."""
MIXED = 10
"""Fewest problems with both kinds of attempts in a form. Our choice."""

PREFERRED = {"#1": 1.0, "#2": 0.0, "#=": 0.5}
"""Last line of a reply that compares two attempts -> the judgement of the one shown first."""

Marked = Sequence[Sequence[tuple[bool, float | None]]]
"""By problem and labelled attempt: whether it is right, and the judge's score; None if the judgement is unreadable."""
Scores = Sequence[Sequence[float | None]]
"""By problem, the reward of each attempt."""


# ---- figures -----------------------------------------------------------------------------------------------------
def preferred(text: str) -> float | None:
    """What a reply that compares two attempts ends with: 1 for #1, the one shown first, 0 for #2, 1/2 for #=."""
    lines = text.strip().splitlines()
    return PREFERRED.get(lines[-1].strip(" \t*_`.")) if lines else None


def reliability(problems: Marked) -> Reliability:
    """TPR, FPR and Youden's J = TPR - FPR (Youden, 1950), and the AUC within a problem, of a judge."""
    read = _read(problems)
    said = {kind: [_yes(score) for group in read for right, score in group if right == kind] for kind in (True, False)}
    mixed = [group for group in read if len({right for right, _ in group}) == 2]
    rates = {kind: sum(votes) / len(votes) for kind, votes in said.items() if votes}
    return Reliability(
        right=len(said[True]),
        wrong=len(said[False]),
        unread=sum(map(len, problems)) - sum(map(len, read)),
        mixed=len(mixed),
        tpr=rates.get(True),
        fpr=rates.get(False),
        youden=_youden(read, rates[True], rates[False]) if len(rates) == 2 else None,
        auc=auroc_within([([right for right, _ in group], [score for _, score in group]) for group in mixed])
        if mixed
        else None,
    )


def drift(now: Marked, then: Marked) -> dict[str, Metric]:
    """The change of J and the AUC between two judges of the same attempts, on attempts that both judged."""
    both = [
        [(right, a, b) for (right, a), (_, b) in zip(*group, strict=True) if a is not None and b is not None]
        for group in zip(now, then, strict=True)
    ]
    new, old = ([[(row[0], row[place]) for row in group] for group in both] for place in (1, 2))
    first, last = reliability(new), reliability(old)
    if first.youden is None or last.youden is None:
        return {}
    pulls = [a - b for a, b in zip(_pulls(new), _pulls(old), strict=True)]
    gap, error = first.youden.value - last.youden.value, _error(pulls)
    found = {"youden": Metric(value=gap, low=gap - Z95 * error, high=gap + Z95 * error, n=len(pulls))}
    ranks = [(auroc(*zip(*a, strict=True)), auroc(*zip(*b, strict=True))) for a, b in zip(new, old, strict=True) if a]
    changes = [a - b for a, b in ranks if a is not None and b is not None]
    return found | ({"auc": mean(changes, (-1.0, 1.0))} if changes else {})


def corrected(yes: int, n: int, found: Reliability) -> Metric | None:
    """The share of right attempts behind `yes` of n judgements: Rogan and Gladen (1978), with delta interval.

    p = (share - FPR) / (TPR - FPR), clipped to [0, 1]; None for a judge whose TPR and FPR are equal. The interval
    assumes independent attempts.
    """
    if found.tpr is None or found.fpr is None or found.tpr <= found.fpr or not n:
        return None
    share, power = yes / n, found.tpr - found.fpr
    p = min(1.0, max(0.0, (share - found.fpr) / power))
    spread = share * (1 - share) / n
    spread += (
        p**2 * found.tpr * (1 - found.tpr) / found.right + (1 - p) ** 2 * found.fpr * (1 - found.fpr) / found.wrong
    )
    half = Z95 * math.sqrt(spread) / power
    return Metric(value=p, low=max(0.0, p - half), high=min(1.0, p + half), n=n)


def _read(problems: Marked) -> list[list[tuple[bool, float]]]:
    return [[(right, score) for right, score in group if score is not None] for group in problems]


def _yes(score: float) -> bool:
    return score > 0.5


def _pulls(problems: Sequence[Sequence[tuple[bool, float]]]) -> list[float]:
    """What each problem adds to the error of J: the linear part of TPR - FPR, after Taylor."""
    rows = list(itertools.chain(*problems))
    sizes = {kind: sum(right == kind for right, _ in rows) for kind in (True, False)}
    rates = {kind: sum(_yes(s) for right, s in rows if right == kind) / size for kind, size in sizes.items()}
    return [
        math.fsum((1 if right else -1) * (_yes(score) - rates[right]) / sizes[right] for right, score in group)
        for group in problems
        if group
    ]


def _error(pulls: Sequence[float]) -> float:
    """Standard error of a sum over problems that are independent of each other."""
    n = len(pulls)
    return math.sqrt(math.fsum(pull**2 for pull in pulls) * n / (n - 1)) if n > 1 else 1.0


def _youden(read: Sequence[Sequence[tuple[bool, float]]], tpr: float, fpr: float) -> Metric:
    """J with the wider end, on each side, of two 95 % intervals: by problems, and Newcombe's (1998) by attempts.

    The first knows that attempts at one problem are alike, the second that a rate of 0 or 1 is not certain.
    """
    rows, gap = list(itertools.chain(*read)), tpr - fpr
    sizes = {kind: sum(right == kind for right, _ in rows) for kind in (True, False)}
    one, two = proportion(tpr * sizes[True], sizes[True]), proportion(fpr * sizes[False], sizes[False])
    half = Z95 * _error(_pulls(read))
    low = min(gap - half, gap - math.hypot(tpr - one.low, two.high - fpr))
    high = max(gap + half, gap + math.hypot(one.high - tpr, fpr - two.low))
    return Metric(value=gap, low=max(-1.0, low), high=min(1.0, high), n=len(rows))


# ---- the form ----------------------------------------------------------------------------------------------------
def form(now: Marked, start: Marked, min_youden: float = MIN_YOUDEN, min_auc: float = MIN_AUC) -> AuditForm:
    """Whether a judge may select data, by the attempts of an audit; `start` has the scores of round 0's weights."""
    found = reliability(now)
    return AuditForm(
        judge=found,
        start=reliability(start),
        drift=drift(now, start),
        short=_short(found),
        failure=_reasons(found, min_youden, min_auc),
    )


def form_of(reward: Judging, attempts: Groups, now: Scores, start: Scores) -> AuditForm:
    """The form of a judge, by its own bounds.

    Args:
        attempts: samples of audit problems with the task's mark in `info["truth"]`; those without one are left out.
        now: the judge's scores of them.
        start: the scores by the weights of round 0.
    """
    bounds = reward.min_youden, reward.min_auc
    found = form(_labelled(attempts, now), _labelled(attempts, start), *bounds)
    return replace(found, binding=bool(reward.weight) and not reward.trust)


def numbers(found: AuditForm) -> dict[str, float]:
    """The metrics of a form in a run."""
    judge, named = found.judge, dict[str, float]()
    if judge.tpr is not None and judge.fpr is not None and judge.youden is not None:
        named |= {"tpr": judge.tpr, "fpr": judge.fpr, "youden": judge.youden.value, "youden_low": judge.youden.low}
    if judge.auc is not None:
        named |= {"auc": judge.auc.value}
    named |= {f"{name}_drift": change.value for name, change in found.drift.items()}
    return named | {"passed": float(not found.failure)}


def _labelled(attempts: Groups, scores: Scores) -> Marked:
    return [
        [(r.info["truth"] > 0.5, mark) for r, mark in zip(group, marks, strict=True) if r.info["truth"] is not None]
        for group, marks in zip(attempts, scores, strict=True)
    ]


def _short(found: Reliability) -> bool:
    return min(found.right, found.wrong) < FEWEST or found.mixed < MIXED


def _reasons(found: Reliability, min_youden: float, min_auc: float) -> str:
    """Why a judge does not pass, in words; empty if it passes."""
    if _short(found) or found.youden is None or found.auc is None:
        return (
            f"judgements of {found.right} right and {found.wrong} wrong attempts ({found.unread} unread) on "
            f"{found.mixed} problems with both are too few; at least {FEWEST}, {FEWEST} and {MIXED} are needed"
        )
    youden, reasons = found.youden, list[str]()
    if youden.low <= min_youden:
        reasons.append(
            f"TPR - FPR is {found.tpr:.2f} - {found.fpr:.2f} = {youden.value:.2f} with a lower bound of "
            f"{youden.low:.2f}, which must be above {min_youden:g}"
        )
    if found.auc.value < min_auc:
        reasons.append(f"the AUC within a problem is {found.auc.value:.2f}, which must be at least {min_auc:g}")
    return "; ".join(reasons)


def stored(found: AuditForm) -> dict[str, Any]:
    """A form as `judge.json` has it: its fields, with `failure` under the key `fault`."""
    return {"fault" if name == "failure" else name: value for name, value in asdict(found).items()}


def parse(values: dict[str, Any]) -> AuditForm:
    """The form that `stored` wrote."""

    def metric(given: dict[str, Any] | None) -> Metric | None:
        return None if given is None else Metric(**given)

    judges = {
        who: Reliability(**{**values[who], "youden": metric(values[who]["youden"]), "auc": metric(values[who]["auc"])})
        for who in ("judge", "start")
    }
    drift = {name: Metric(**m) for name, m in values["drift"].items()}
    rest = {"failure" if name == "fault" else name: value for name, value in values.items()}
    return AuditForm(**{**rest, **judges, "drift": drift})
