"""Raised when the model agrees with itself more often and is right less often: the failure of majority rewards.

Idea: a reward for agreement is highest if every answer is the same, whatever the problem.
Survey: model collapse, section 7.1; reward hacking, section 7.3.
Paper: arXiv:2505.21444 (Can Large Reasoning Models Self-Train?), Shafayat et al., 2025.
Algorithm:
  1. Compare the histogram of answers with that of right answers. Level 1: their total variation distance is more than
     `distance` above that of round 0, and significantly so at `alpha`.
  2. A problem is unanimous if all samples have the same answer. Level 2: their share is at least `unanimity` above
     round 0, and at `veto_alpha` accuracy fell on all problems, or on the unanimous ones without a rise on all
     problems.
  3. Level 2: the most frequent answer has more than `times` the share of that answer among the right ones, more than
     `min_share`, and significantly more than in round 0 at `veto_alpha`.
Differs: the paper shows the collapse and stops early by held-out accuracy; the statistics are ours. In step 2 a fall on
  unanimous problems alone is not enough: as the model sharpens, harder problems become unanimous, and their accuracy
  falls while that of all problems rises. `min_share` excludes open answers, where every share is near 0.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from selfimprove.bounds import bounded
from selfimprove.interfaces import Alarm
from selfimprove.measures.statistics import z_test
from selfimprove.measures.votes import tally
from selfimprove.records import Alert
from selfimprove.registry import register
from selfimprove.rounds import Evidence, Groups


@register("majority_collapse", paper="2505.21444")
@dataclass
class MajorityCollapse(Alarm):
    distance: float = 0.1
    """Growth of the distance between the histograms that raises level 1."""
    unanimity: float = 0.1
    """Growth of the share of unanimous problems from which accuracy is tested."""
    times: float = 3.0
    """Largest ratio of the most frequent answer's share to its share among the right answers."""
    min_share: float = bounded(0.2, 0, 1)
    """Share of the most frequent answer up to which there is no alert."""
    alpha: float = 0.05
    """One-sided level of level 1."""
    veto_alpha: float = bounded(0.01, 0, 1)
    """One-sided level of the tests of level 2."""

    def check(self, evidence: Evidence) -> list[Alert]:
        now, start = _problems(evidence.candidate), _problems(evidence.start)
        if not now or not start:
            return []
        numbers, grave = dict[str, float](), list[str]()
        away, before = _distances(now), _distances(start)
        numbers["distance"] = _mean(away) - _mean(before)
        shown = numbers["distance"] > self.distance and z_test(away, before) <= self.alpha
        if self._agrees_wrongly(now, start, numbers):
            more = 100 * numbers["unanimous"]
            grave.append(f"{more:.0f} points more problems have one answer only, and fewer are right")
        answer, share = max(_given(now).items(), key=lambda item: (item[1], item[0]))
        right = _right(now).get(answer, 0.0)
        numbers |= {"largest_share": share, "share_among_right": right}
        usual, usual_before = [[one.given.get(answer, 0.0) for one in problems] for problems in (now, start)]
        if share > max(self.times * right, self.min_share) and z_test(usual, usual_before) <= self.veto_alpha:
            grave.append(f"{share:.0%} of the answers are {answer[:20]!r}, which is right in {right:.0%}")
        if not shown and not grave:
            return []
        text = "; ".join(grave) or f"the histogram of answers moved {numbers['distance']:.2f} away from the right ones"
        return [Alert(alarm="majority_collapse", level=2 if grave else 1, text=text, numbers=numbers)]

    def _agrees_wrongly(self, now: Problems, start: Problems, numbers: dict[str, float]) -> bool:
        """Whether more problems are unanimous, and accuracy on them or on all problems fell."""
        sure, sure_before = [[one.mark for one in problems if one.unanimous] for problems in (now, start)]
        marks, before = [[one.mark for one in problems] for problems in (now, start)]
        numbers["unanimous"] = len(sure) / len(now) - len(sure_before) / len(start)
        numbers["mark"] = _mean(marks) - _mean(before)
        all_worse = z_test(before, marks) <= self.veto_alpha
        sure_worse = z_test(sure_before, sure) <= self.veto_alpha and numbers["mark"] <= 0
        return numbers["unanimous"] >= self.unanimity and (all_worse or sure_worse)


class Problem(NamedTuple):
    """One audit problem."""

    given: dict[str, float]
    """The answers' shares among the samples that have one."""
    right: str
    """The right answer as the task reads answers: a reference may be a worked solution."""
    mark: float
    unanimous: bool


Problems = Sequence[Problem]


def _problems(groups: Groups) -> list[Problem]:
    """The problems with a known right answer and some answer."""
    found = list[Problem]()
    for group in groups:
        marks = [mark for rollout in group if (mark := rollout.info.get("truth")) is not None]
        answers = [(rollout.info.get("answer"), rollout.info.get("truth") or 0.0) for rollout in group]
        counts = tally(answer for answer, _ in answers)
        solved = sorted(answer for answer, mark in answers if answer is not None and mark > 0.5)
        right = solved[0] if solved else group[0].info.get("reference") or group[0].prompt.answer
        if marks and counts and right is not None:
            shares = {answer: count / counts.total() for answer, count in counts.items()}
            one = len(group) > 1 and counts.total() == len(group) and len(counts) == 1
            found.append(Problem(shares, right, _mean(marks), one))
    return found


def _given(problems: Problems) -> dict[str, float]:
    """The histogram of answers, with equal weight for each problem."""
    shares: dict[str, list[float]] = defaultdict(list)
    for one in problems:
        for answer, share in one.given.items():
            shares[answer].append(share)
    return {answer: math.fsum(parts) / len(problems) for answer, parts in shares.items()}


def _right(problems: Problems) -> dict[str, float]:
    return {answer: count / len(problems) for answer, count in Counter(one.right for one in problems).items()}


def _distances(problems: Problems) -> list[float]:
    """Each problem's contribution to the total variation distance of the two histograms, which is their mean."""
    given, right = _given(problems), _right(problems)

    def sign(answer: str) -> float:
        return 0.5 if given.get(answer, 0.0) > right.get(answer, 0.0) else -0.5

    return [sum(sign(answer) * share for answer, share in one.given.items()) - sign(one.right) for one in problems]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
