"""Verdicts: whether self-improvement is possible from here, whether it is over, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from selfimprove.measures.diagnosis.fit import Fit
from selfimprove.measures.diagnosis.measures import agreements, any_of, change, majority_of, single_of
from selfimprove.measures.diagnosis.types import Diagnosis, Estimate, Groups


@dataclass(frozen=True)
class Change:
    """The change between two models: `learning`, `sharpening`, `no gain`, or `loss`."""

    word: str
    single: Estimate
    """Change of pass@1."""
    any: Estimate
    """Change of pass@k."""
    k: int


@dataclass(frozen=True)
class Verdict:
    """A conclusion, what led to it, and what to do next."""

    name: str
    by: str
    """The score that it is about, or ""."""
    because: str
    advice: str
    numbers: dict[str, float]

    def __str__(self) -> str:
        return f"{self.name}{f'(by {self.by})' if self.by else ''}: {self.because}. {self.advice}"


def verdicts(
    now: Diagnosis, first: Diagnosis | None = None, previous: Diagnosis | None = None, fit: Fit | None = None
) -> list[Verdict]:
    """The verdicts on a model and, with earlier rounds, on the loop.

    Args:
        first: the model of round 0.
        previous: the model of the round before.
        fit: the accuracy of all rounds, fitted by `dynamics`.
    """
    found = _promises(now)
    if previous is not None:
        found += _saturated(now, previous, fit)
    if first is not None:
        found += [*_collapsing(now, first), *_less_diverse(now, first)]
    return found


def _promises(now: Diagnosis) -> list[Verdict]:
    """POSSIBLE, CONSENSUS-SAFE, NEEDS-GOLD and NO-SIGNAL."""
    rung, found = now.ladder, list[Verdict]()
    for score in now.scores:
        if score.possible and score.auroc is not None:
            found.append(
                Verdict(
                    "POSSIBLE",
                    score.name,
                    f"what it keeps is right more often by {_signed(score.gap.absolute)}, and within a prompt it ranks "
                    f"right above wrong with AUROC {score.auroc}",
                    "Train on what it keeps: the gap, less what training loses, is what a round can add to pass@1.",
                    {
                        "gap": score.gap.absolute.value,
                        "gap_error": score.gap.absolute.error,
                        "auroc": score.auroc.value,
                        "auroc_error": score.auroc.error,
                    },
                )
            )
    agreed = now.labels[0]  # of the fewest votes, which agree by chance most often
    if (
        rung.consensus.above(0)
        and (now.beyond is None or now.beyond.above(0))
        and agreed.accuracy is not None
        and agreed.accuracy.value > 0.5
    ):
        found.append(
            Verdict(
                "CONSENSUS-SAFE",
                "",
                f"maj@{rung.k} - pass@1 is {_signed(rung.consensus)}, and of the {agreed.kept.value:.0%} of prompts "
                f"where {agreed.agreement:.0%} of {agreed.k} votes agree the majority is right on {agreed.accuracy}",
                f"A majority reward with min_agreement={agreed.agreement} may be tried.",
                {
                    "consensus": rung.consensus.value,
                    "consensus_error": rung.consensus.error,
                    "label_accuracy": agreed.accuracy.value,
                    "kept": agreed.kept.value,
                    **({} if now.beyond is None else {"beyond": now.beyond.value, "beyond_error": now.beyond.error}),
                },
            )
        )
    if rung.oracle.above(0) and not {verdict.by for verdict in found} - {"reward"}:
        found.append(
            Verdict(
                "NEEDS-GOLD",
                "",
                f"pass@{rung.k} - pass@1 is {_signed(rung.oracle)}, and no score of the model's own passes its test",
                "Use a verifier as the reward.",
                {"oracle": rung.oracle.value, "oracle_error": rung.oracle.error},
            )
        )
    if now.unsolved.value > 0.8:
        found.append(
            Verdict(
                "NO-SIGNAL",
                "",
                f"{now.unsolved.value:.0%} of {now.problems} prompts have no right completion among {now.samples}",
                "Take easier problems, give hints, or bring in data from elsewhere.",
                {"unsolved": now.unsolved.value},
            )
        )
    return found


def _saturated(now: Diagnosis, previous: Diagnosis, fit: Fit | None) -> list[Verdict]:
    """SATURATED: no score has a gap left, two rounds in a row, or the fitted ceiling is reached."""
    rounds = [[s.gap.overall for s in diagnosis.scores if s.gap.overall is not None] for diagnosis in (now, previous)]
    left = [max((gap.value for gap in gaps), default=0.0) for gaps in rounds]
    reasons, numbers = list[str](), {"gap": left[0], "gap_before": left[1]}
    if not any(gap.value >= 0.05 and gap.above(0) for gaps in rounds for gap in gaps):
        reasons.append(f"the relative gap is {left[0]:.3f} after {left[1]:.3f}, below 0.05 or 2 standard errors twice")
    if fit is not None:
        current = fit.ceiling + fit.distance * math.exp(-fit.rate * (fit.rounds - 1))
        numbers |= {"ceiling": fit.ceiling, "current": current}
        if abs(fit.ceiling - current) < now.ladder.single.error:
            reasons.append(f"the fitted ceiling {fit.ceiling:.3f} is within 1 standard error of {current:.3f}")
    oracle = now.ladder.oracle
    advice = f"More rounds of the same bring little; a true reward could still bring {_signed(oracle)} in."
    if not oracle.above(0):
        advice = "More rounds of the same bring little; take harder problems."
    return [Verdict("SATURATED", "", "; ".join(reasons), advice, numbers)] if reasons else []


def _collapsing(now: Diagnosis, first: Diagnosis) -> list[Verdict]:
    """COLLAPSING: the model agrees with itself more than at the start, but is not right more often."""
    k = min(now.samples, first.samples)
    accuracy, agreement = change(now, first, single_of), change(now, first, agreements)
    labelled = change(now, first, lambda groups: majority_of(groups, k))
    reasons = list[str]()
    numbers = {"accuracy": accuracy.value, "majority": agreement.value, "majority_right": labelled.value}
    if accuracy.below(0) or labelled.below(0):
        fallen = f"while pass@1 changed by {_signed(accuracy)} and maj@{k} by {_signed(labelled)}"
        if now.reward is not None and first.reward is not None and now.reward.value > first.reward.value:
            reasons.append(f"the reward rose from {first.reward.value:.3f} to {now.reward.value:.3f} {fallen}")
            numbers["reward"] = now.reward.value - first.reward.value
        if agreement.above(0):
            reasons.append(f"the majority ratio rose by {_signed(agreement)} {fallen}")
    if not accuracy.above(0):
        if now.majority.value > 0.95 and now.majority.value - now.ladder.single.value > 0.05:
            reasons.append(f"the majority ratio is {now.majority.value:.3f} and pass@1 has not risen")
        if now.token_entropy and first.token_entropy and now.token_entropy.value < 0.2 * first.token_entropy.value:
            reasons.append(f"token entropy fell from {first.token_entropy.value:.3f} to {now.token_entropy.value:.3f}")
            numbers["token_entropy"] = now.token_entropy.value
    if now.top_answer is not None and now.top_answer[1] > 0.3:
        answer, share = now.top_answer

        def of_answer(groups: Groups) -> list[float]:
            return [sum(s.answer == answer for s in group) / len(group) for group in groups]

        risen = change(now, first, of_answer)
        if risen.above(0.1):  # if a task has few answers, one is frequent from the start
            reasons.append(f"one answer, {answer[:20]!r}, is {share:.0%} of all, {_signed(risen)} since the start")
            numbers["top_answer"] = share
    advice = "Stop, go back to the champion, and use a reward that looks at the reference, or frozen labels."
    return [Verdict("COLLAPSING", "", "; ".join(reasons), advice, numbers)] if reasons else []


def _less_diverse(now: Diagnosis, first: Diagnosis) -> list[Verdict]:
    """DIVERSITY-LOSS: fewer prompts are solved in many tries than at the start."""
    between = compare(now, first)
    if not between.any.below(0):
        return []
    return [
        Verdict(
            "DIVERSITY-LOSS",
            "",
            f"pass@{between.k} changed by {_signed(between.any)} against the start",
            "Train on more different completions of a prompt, for fewer steps, or from the base model.",
            {"pass_k": between.any.value, "pass_k_error": between.any.error, "k": float(between.k)},
        )
    ]


def compare(now: Diagnosis, then: Diagnosis) -> Change:
    """Learning solves prompts that many tries did not solve before; sharpening only makes known solutions likelier."""
    k = min(now.samples, then.samples)
    single, every = change(now, then, single_of), change(now, then, lambda groups: any_of(groups, k))
    if not single.above(0):
        return Change("loss" if single.below(0) else "no gain", single, every, k)
    return Change("learning" if every.above(0) else "sharpening", single, every, k)


def summary(now: Diagnosis, said: Sequence[Verdict], first: Diagnosis | None) -> dict[str, Any]:
    """A diagnosis as a run stores it: the largest k's ladder, the gaps, the verdicts, the change since `first`."""
    rung = now.ladder
    return {
        "problems": now.problems,
        "samples": now.samples,
        "ladder": {"pass@1": rung.single.value, f"maj@{rung.k}": rung.majority.value}
        | {f"best_of_{rung.k}/{name}": best.value for name, best in rung.best.items()}
        | {f"pass@{rung.k}": rung.any.value},
        "gap": {
            score.name: {"value": score.gap.absolute.value, "ci": [score.gap.absolute.low, score.gap.absolute.high]}
            for score in now.scores
        },
        "verdicts": [{**asdict(verdict), "text": str(verdict)} for verdict in said],
        "change": compare(now, first).word if first is not None else None,
    }


def _signed(found: Estimate) -> str:
    return f"{found.value:+.3f} ±{found.error:.3f}"
