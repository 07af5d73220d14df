"""Two tiers: go on from a candidate that is probably better, certify it a round later, roll harm back.

Idea: a strict test in every round throws most real gains away, a lax one lets harm in. So training may go on from a
candidate on weak evidence, but champion becomes only what was fixed before the problems of its test were drawn.
Survey: autonomous evaluation, section 6.
Paper: none; the rule is ours. What it has to beat: arXiv:2606.08106 (PACE) and arXiv:2610.09239.
Algorithm:
  1. All three answer the same fresh problems. Incumbent ahead of the champion: certify it where McNemar's exact
     one-sided p is at most alpha_r and no guard falls; roll back to the champion where it is significantly worse.
  2. A level 2 alert, or a guard of the candidate that falls significantly below the champion: roll back. The guards
     that fell stand in the decision as `fallen`.
  3. Candidate against incumbent with p at most `provisional_alpha`, and not significantly below the champion: accept.
  4. After the last round an incumbent that is still ahead is tested once more, on a form of its own.
  alpha_r = (alpha - spent) / (tests left): the sum is at most alpha, so is the chance of any false certificate.
Differs: nothing to compare with. `python scripts/simulate_gate.py` measures level and power; see docs/evaluation.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.interfaces import Gate
from selfimprove.measures.statistics import detectable_effect, difference, discordant, holm, lower_bound, mcnemar
from selfimprove.records import Alert, Decision, Report
from selfimprove.registry import register
from selfimprove.rounds import Round


@register("ratchet")
@dataclass
class Ratchet(Gate):
    lagged: ClassVar[bool] = True
    alpha: float = bounded(0.05, above=0, below=1)
    """Probability of any false certificate in the whole run."""
    provisional_alpha: float = bounded(0.2, above=0, below=1)
    """One-sided level at which training goes on from a candidate."""
    rollback_alpha: float = bounded(0.05, above=0, below=1)
    """One-sided level at which a policy counts as worse than the champion."""
    veto_alpha: float = bounded(0.01, above=0, below=1)
    """One-sided level, Holm-corrected over the guards, at which a fall of a guard vetoes."""
    probe_margin: float = 0.03
    """Loss that `probe/...` and `pass@k` guards may hide; a certificate says which could not be shown to lose less."""
    ood_margin: float = 0.05
    """The same for `ood/...` and `level/...` guards."""
    delta_min: float = 0.02
    """A smaller gain is not worth a round: an undecided candidate that could still have it is held, not rejected."""

    def error_rate(self) -> float | None:
        return self.alpha

    def decide(
        self,
        champion: Report,
        incumbent: Report,
        candidate: Report,
        alerts: Sequence[Alert],
        history: Sequence[Round],
        rounds: int,
    ) -> Decision:
        tests = max(1, rounds - len(history) + 2)  # this one, one in each later round, and the one after the last
        first = self._incumbent(champion, incumbent, history, tests)
        if first.verdict == "rollback":
            return first
        base = incumbent if first.certified else champion
        better, worse = _pair(candidate, incumbent)
        delta = difference(*_scores(candidate, incumbent))
        accepted = accept(
            (better, worse), _pair(candidate, base), self.provisional_alpha, rollback_alpha=self.rollback_alpha
        )
        fallen, _ = self._guards(base, candidate)
        grave = dict.fromkeys([*(alert.alarm for alert in alerts if alert.level >= 2), *fallen])
        undecided = delta.value >= 0 and delta.high >= self.delta_min
        verdict = "rollback" if grave else "accept" if accepted else "hold" if undecided else "reject"
        told = [first.reason, _told(candidate, incumbent, "candidate over model on trial: ", self.provisional_alpha)]
        told += [f"vetoed by {', '.join(grave)}"] if grave else []
        n = len(champion.scores)
        statistics = {
            **first.statistics,
            "b": better,
            "c": worse,
            "p": mcnemar(better, worse),
            "delta": delta.value,
            "ci": [delta.low, delta.high],
            "detectable": detectable_effect(n, max(1, better + worse) / n, self.provisional_alpha),
        }
        statistics |= {"fallen": fallen} if fallen else {}
        reason = "; ".join(text for text in told if text)
        return Decision(verdict=verdict, certified=first.certified, reason=reason, statistics=statistics)

    def confirm(self, champion: Report, incumbent: Report, history: Sequence[Round]) -> Decision:
        return self._incumbent(champion, incumbent, history, 1)

    def _incumbent(self, champion: Report, incumbent: Report, history: Sequence[Round], tests: int) -> Decision:
        """Certify or roll back the incumbent, which was fixed before these problems were drawn."""
        ahead = incumbent.scores != champion.scores
        level = max(0.0, self.alpha - spent(history)) / tests if ahead else 0.0
        statistics: dict[str, Any] = {"n": len(champion.scores), "alpha_r": level}
        if not ahead:
            return Decision(verdict="hold", reason="", statistics=statistics)
        pair, (fallen, unproven) = _pair(incumbent, champion), self._guards(champion, incumbent)
        verdict = "rollback" if fallen else certify(pair, level, rollback_alpha=self.rollback_alpha)
        certified = verdict == "certify"
        statistics |= {"incumbent": {"b": pair[0], "c": pair[1], "p": mcnemar(*pair)}}
        statistics |= {"unproven": unproven} if certified else {}
        statistics |= {"fallen": fallen} if fallen else {}
        reason = _told(incumbent, champion, "model on trial over champion: ", level)
        reason += f", but lost {', '.join(fallen)}" if fallen else ""
        return Decision(
            verdict="hold" if certified else verdict, certified=certified, reason=reason, statistics=statistics
        )

    def _guards(self, old: Report, new: Report) -> tuple[list[str], list[str]]:
        """Guards that fell significantly from old to new, and those that could have lost more than their margin."""
        names = [name for name in old.parts if name in new.parts]
        if old is new or not names:
            return [], []
        pairs = [([new.parts[name][key] for key in old.parts[name]], [*old.parts[name].values()]) for name in names]
        falls = holm([_fall(was, now) for now, was in pairs])
        fallen = [name for name, p in zip(names, falls, strict=True) if p <= self.veto_alpha]
        unproven = [
            name
            for name, (now, was) in zip(names, pairs, strict=True)
            if lower_bound(now, was) <= -(self.ood_margin if name.startswith(("ood/", "level/")) else self.probe_margin)
        ]
        return fallen, unproven


def certify(over_champion: tuple[int, int], alpha: float, *, rollback_alpha: float) -> str:
    """Of an incumbent that was fixed before the problems were drawn: `certify`, `rollback` or `hold`.

    Args:
        over_champion: how many problems only the incumbent solves, and how many only the champion.
    """
    better, worse = over_champion
    if mcnemar(better, worse) <= alpha:
        return "certify"
    return "rollback" if mcnemar(worse, better) <= rollback_alpha else "hold"


def accept(
    over_incumbent: tuple[int, int], over_champion: tuple[int, int], alpha: float, *, rollback_alpha: float
) -> bool:
    """Whether training goes on from a candidate: probably better than the incumbent, not worse than the champion.

    Args:
        over_incumbent: how many problems only the candidate solves, and how many only the incumbent.
        over_champion: the same against the champion as it is after `certify`.
    """
    better, worse = over_champion
    return mcnemar(*over_incumbent) <= alpha and mcnemar(worse, better) > rollback_alpha


def spent(history: Sequence[Round]) -> float:
    """The alpha that the tests of earlier rounds had."""
    tests = [decision for past in history for decision in (past.decision, past.confirmation) if decision]
    return sum(decision.statistics.get("alpha_r", 0.0) for decision in tests)


def _scores(new: Report, old: Report) -> tuple[list[float], list[float]]:
    keys = sorted(key for key in old.scores if key in new.scores)  # sums in one order, whatever that of the problems
    return [new.scores[key] for key in keys], [old.scores[key] for key in keys]


def _pair(new: Report, old: Report) -> tuple[int, int]:
    return discordant(*_scores(new, old))


def _fall(was: Sequence[float], now: Sequence[float]) -> float:
    """One-sided p that a guard fell: McNemar's for marks of 0 and 1, else by the normal distribution of the mean."""
    if all(mark in (0.0, 1.0) for mark in (*was, *now)):
        return mcnemar(*discordant(was, now))
    fall = difference(was, now)
    error = (fall.high - fall.low) / (2 * 1.959963984540054)
    return 0.5 * math.erfc(fall.value / error / math.sqrt(2)) if error > 0 else float(fall.value <= 0)


def _told(new: Report, old: Report, who: str, level: float) -> str:
    better, worse = _pair(new, old)
    p = mcnemar(better, worse)
    return f"{who}{better} gained, {worse} lost, p = {p:.2g} {'<=' if p <= level else '>'} {level:.2g}"
