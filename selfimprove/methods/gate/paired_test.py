"""Certify a candidate only if an exact paired test shows that it is better.

Idea: champion and candidate answer the same fresh problems; only those count that exactly one of them solves.
Survey: autonomous evaluation, section 6.
Paper: McNemar, 1947, exact form; the spending over rounds is the Bonferroni bound.
Algorithm:
  1. b problems only the candidate solves, c only the champion; p = P(Bin(b + c, 1/2) >= b).
  2. p <= alpha / rounds: certify. Over all planned rounds the probability of any false certificate is at most alpha.
  3. Otherwise, if p <= `accept_alpha`, the next round trains from the candidate, which is not certified.
  4. Otherwise, and always after an alert of level 2, reject or roll back: the next round trains from the champion.
Differs: nothing to compare with. If the number of rounds is changed in a run, the rounds that are left share what is
left of alpha; tests that certified do not count as spent: see measures/alpha.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.interfaces import Gate
from selfimprove.measures.alpha import decisions, remaining
from selfimprove.measures.statistics import difference, discordant, mcnemar
from selfimprove.records import Alert, Decision, Report
from selfimprove.registry import register
from selfimprove.rounds import Round


@register("paired_test")
@dataclass
class PairedTest(Gate):
    alpha: float = 0.05
    """Probability of any false certificate in the whole run."""
    accept_alpha: float = bounded(0.0, 0, 1)
    """One-sided level at which training continues from an uncertified candidate; 0: never."""

    def provisional(self) -> bool:
        return self.accept_alpha > 0

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
        keys = [key for key in champion.scores if key in candidate.scores]
        new, old = [candidate.scores[key] for key in keys], [champion.scores[key] for key in keys]
        better, worse = discordant(new, old)
        p, level = mcnemar(better, worse), self._level(history, rounds)
        delta = difference(new, old)
        statistics = {
            "n": len(keys),
            "b": better,
            "c": worse,
            "p": p,
            "alpha_r": level,
            "delta": delta.value,
            "ci": [delta.low, delta.high],
        }
        back = "reject" if incumbent.scores == champion.scores else "rollback"
        grave = dict.fromkeys(alert.alarm for alert in alerts if alert.level >= 2)
        verdict = back if grave else "certify" if p <= level else "accept" if p <= self.accept_alpha else back
        reason = f"{better} gained, {worse} lost, p = {p:.2g} {'<=' if p <= level else '>'} {level:.2g}"
        reason += f"; vetoed by {', '.join(grave)}" if grave else ""
        return Decision(verdict=verdict, reason=reason, statistics=statistics)

    def _level(self, history: Sequence[Round], rounds: int) -> float:
        share = self.alpha / max(1, rounds)
        had = [test.statistics["alpha_r"] for test in decisions(history)]
        if not history or (rounds == history[0].rounds and all(level == share for level in had)):
            return share
        return remaining(self.alpha, decisions(history), recycled=True) / max(1, rounds - len(history) + 1)
