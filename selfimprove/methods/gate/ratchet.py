"""Two tiers: continue from a candidate that is probably better, certify it a round later, roll back harm.

Idea: a strict test in every round loses most real gains, a lax one lets harm in. So training may continue from a
candidate on weak evidence, but only a model fixed before the problems of its test were drawn becomes champion.
Survey: autonomous evaluation, section 6.
Paper: none; the rule is ours. What it has to beat: arXiv:2606.08106 (PACE) and arXiv:2610.09239.
Algorithm:
  1. Champion, incumbent and candidate answer the same fresh problems. If the incumbent is ahead of the champion,
     certify it if McNemar's exact one-sided p is at most alpha_r and no guard falls; roll back to the champion if it is
     significantly worse.
  2. Roll back after a level 2 alert, or if a guard of the candidate falls significantly below the champion's. The
     decision lists the guards that fell as `fallen`.
  3. Accept the candidate if p against the incumbent is at most `provisional_alpha` and it is not significantly worse
     than the champion.
  4. After the last round, test an incumbent that is still ahead once more, on new problems.
  alpha_r = (alpha - spent) / (tests left). The sum is at most alpha, and so is the probability of any false
  certificate. In rounds added to the plan, tests that certified do not count as spent: see measures/alpha.py.
Differs: nothing to compare with. `python scripts/simulate_gate.py` measures level and power; see docs/evaluation.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.interfaces import Gate
from selfimprove.measures.alpha import decisions, extended, remaining
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
    """One-sided level at which training continues from a candidate."""
    rollback_alpha: float = bounded(0.05, above=0, below=1)
    """One-sided level at which a policy counts as worse than the champion."""
    veto_alpha: float = bounded(0.01, above=0, below=1)
    """One-sided level, Holm-corrected over the guards, at which a fall of a guard vetoes."""
    probe_margin: float = 0.03
    """Margin of `probe/...` and `pass@k` guards; a certificate lists guards that may have lost more than this."""
    ood_margin: float = 0.05
    """The same for `ood/...` and `level/...` guards."""
    delta_min: float = 0.02
    """Smallest gain worth a round; an undecided candidate that may still have it is held, not rejected."""

    def error_rate(self) -> float | None:
        return self.alpha

    def left(self, history: Sequence[Round]) -> float | None:
        return remaining(self.alpha, decisions(history), recycled=True)

    def decide(
        self,
        champion: Report,
        incumbent: Report,
        candidate: Report,
        alerts: Sequence[Alert],
        history: Sequence[Round],
        rounds: int,
    ) -> Decision:
        more = max(1, rounds - len(history) + 2)  # this one, one in each later round, and the one after the last
        first = self._incumbent(champion, incumbent, history, more, extended(history, len(history)))
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
        return self._incumbent(champion, incumbent, history, 1, extended(history[:-1], len(history) - 1))

    def _incumbent(
        self, champion: Report, incumbent: Report, history: Sequence[Round], more: int, recycled: bool
    ) -> Decision:
        """Certify or roll back the incumbent, which was fixed before these problems were drawn."""
        ahead = incumbent.scores != champion.scores
        level = remaining(self.alpha, decisions(history), recycled) / more if ahead else 0.0
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
    """Decide on an incumbent that was fixed before the problems were drawn: `certify`, `rollback` or `hold`.

    Args:
        over_champion: number of problems that only the incumbent solves, and that only the champion solves.
    """
    better, worse = over_champion
    if mcnemar(better, worse) <= alpha:
        return "certify"
    return "rollback" if mcnemar(worse, better) <= rollback_alpha else "hold"


def accept(
    over_incumbent: tuple[int, int], over_champion: tuple[int, int], alpha: float, *, rollback_alpha: float
) -> bool:
    """Whether training continues from a candidate: probably better than the incumbent, not worse than the champion.

    Args:
        over_incumbent: number of problems that only the candidate solves, and that only the incumbent solves.
        over_champion: the same against the champion after `certify`.
    """
    better, worse = over_champion
    return mcnemar(*over_incumbent) <= alpha and mcnemar(worse, better) > rollback_alpha


def _scores(new: Report, old: Report) -> tuple[list[float], list[float]]:
    keys = sorted(key for key in old.scores if key in new.scores)  # sum in a fixed order
    return [new.scores[key] for key in keys], [old.scores[key] for key in keys]


def _pair(new: Report, old: Report) -> tuple[int, int]:
    return discordant(*_scores(new, old))


def _fall(was: Sequence[float], now: Sequence[float]) -> float:
    """One-sided p that a guard fell: McNemar's test for marks of 0 and 1, else a normal test of the mean."""
    if all(mark in (0.0, 1.0) for mark in (*was, *now)):
        return mcnemar(*discordant(was, now))
    fall = difference(was, now)
    error = (fall.high - fall.low) / (2 * 1.959963984540054)
    return 0.5 * math.erfc(fall.value / error / math.sqrt(2)) if error > 0 else float(fall.value <= 0)


def _told(new: Report, old: Report, who: str, level: float) -> str:
    better, worse = _pair(new, old)
    p = mcnemar(better, worse)
    return f"{who}{better} gained, {worse} lost, p = {p:.2g} {'<=' if p <= level else '>'} {level:.2g}"
