"""Is self-improvement possible here, and is it over? Measures of samples that the task has marked, and verdicts.

Pure functions. What is drawn for one prompt is a group; all that is needed of a completion is a `Sample`. Errors are
bootstrap standard errors over prompts, because completions of one prompt are not independent.

Sources: arXiv:2107.03374 (pass@k); arXiv:2412.02674 (generation-verification gap); arXiv:2412.01951 (sharpening and
coverage); arXiv:2505.21444 and arXiv:2504.16084 (how majorities collapse); arXiv:2504.13837 (pass@k at large k);
arXiv:2507.00075 (dynamics).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from selfimprove import statistics
from selfimprove.records import Rollout

RESAMPLES = 1000
"""Bootstrap resamples of the prompts."""
AGREEMENT = 0.5
"""Share of a prompt's completions that must agree, for the filter by majority."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion, as far as a diagnosis looks at it."""

    right: bool
    answer: str | None
    """The final answer, or None where none can be read."""
    score: float | None = None
    """Mean log-probability of a token, in nats; None where the engine gives none."""
    length: int = 0
    """Tokens."""
    truncated: bool = False
    reward: float | None = None
    """The recipe's reward, where there is one."""


Groups = Sequence[Sequence[Sample]]
"""Samples by prompt."""
Scores = Sequence[Sequence[float | None]]
"""A score of each sample; None where it could not be scored."""


@dataclass(frozen=True)
class Estimate:
    """A number with its bootstrap standard error, its 95 % percentile interval, and the prompts that speak to it."""

    value: float
    error: float
    low: float
    high: float
    n: int

    def above(self, bound: float) -> bool:
        """More than two standard errors above a bound."""
        return self.value - 2 * self.error > bound

    def below(self, bound: float) -> bool:
        """More than two standard errors below a bound."""
        return self.value + 2 * self.error < bound

    def __str__(self) -> str:
        return f"{self.value:.3f} ±{self.error:.3f}"


@dataclass(frozen=True)
class Ladder:
    """What k completions are worth by who chooses among them: chance, the model itself, or the reference answer."""

    k: int
    single: Estimate
    """pass@1: chance chooses."""
    majority: Estimate
    """maj@k."""
    best: dict[str, Estimate]
    """best-of-k by each score of the model's own: `votes`, `logprob`."""
    any: Estimate
    """pass@k: the reference chooses."""
    consensus: Estimate
    """maj@k - pass@1: what training on majorities can bring in."""
    judged: dict[str, Estimate]
    """best-of-k - pass@1: what the model's own score can bring in."""
    oracle: Estimate
    """pass@k - pass@1: what a true reward can bring in."""
    efficiency: dict[str, Estimate | None]
    """(best-of-k - pass@1) / (pass@k - pass@1); None where a true reward brings nothing in."""


@dataclass(frozen=True)
class Gap:
    """The generation-verification gap: accuracy of what a filter keeps, less accuracy of everything."""

    absolute: Estimate
    relative: Estimate | None
    """Mean over prompts of gap / (1 - accuracy); prompts that are always solved are left out."""
    overall: Estimate | None
    """Mean gap / (1 - mean accuracy), which single prompts cannot dominate."""
    idle: float
    """Share of prompts where the filter keeps nothing, which count unfiltered."""


@dataclass(frozen=True)
class Score:
    """What a score knows of right and wrong: one of the model's own, or the recipe's reward."""

    name: str
    """`votes`, `logprob` or `reward`."""
    gap: Gap
    auroc: Estimate | None
    """P(score of a right completion > score of a wrong one of the same prompt); None where no prompt has both."""
    thresholds: tuple[float, ...]
    """Lowest score that the filter keeps; of a tuned one, for prompts in even and in odd places."""

    @property
    def possible(self) -> bool:
        """Whether training on what the score keeps can help."""
        return self.gap.absolute.above(0) and self.auroc is not None and self.auroc.above(0.5)


@dataclass(frozen=True)
class Labels:
    """How often the majority of k completions is right on the prompts that a filter by agreement keeps."""

    k: int
    agreement: float
    kept: Estimate
    accuracy: Estimate | None


@dataclass(frozen=True)
class Sharpening:
    """What the model would gain by always giving its most likely completion (of those that were drawn)."""

    coverage: float
    """log10 of C_cov = mean 1 / p(most likely completion): the samples per prompt that its route by SFT needs."""
    probability: Estimate
    accuracy: Estimate
    gain: Estimate
    """Accuracy of the most likely completion, less pass@1."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All measures of one model."""

    problems: int
    samples: int
    """Completions of each prompt; the least, where they differ."""
    ladders: list[Ladder]
    """For growing k; the last is for k = samples."""
    greedy: Estimate | None
    length: Estimate
    truncated: Estimate
    parsed: Estimate
    unsolved: Estimate
    """Prompts without a right completion."""
    answer_entropy: Estimate
    """Entropy in nats of the answers to a prompt."""
    majority: Estimate
    """Share of a prompt's completions that have its most frequent answer."""
    token_entropy: Estimate | None
    """Mean -log p of the drawn tokens, in nats: an unbiased estimate of their entropy at temperature 1."""
    reward: Estimate | None
    """Of the completions that the recipe's reward could score."""
    top_answer: tuple[str, float] | None
    """The most frequent answer to all prompts together, and its share."""
    scores: list[Score]
    """Of the model's own, and the recipe's reward where there is one."""
    labels: list[Labels]
    """For the k of each ladder, with a filter by AGREEMENT, and last without a filter for the largest k."""
    beyond: Estimate | None
    """maj@k - greedy accuracy, for the largest k: what a majority knows that the likeliest answer does not say. Without
    greedy completions the most likely ones that were drawn stand in."""
    sharpening: Sharpening | None
    groups: Groups = field(repr=False)
    keys: tuple[str, ...] = field(repr=False)
    """Names of the prompts: models with equal keys are compared prompt by prompt."""

    @property
    def ladder(self) -> Ladder:
        """The ladder for the largest k."""
        return self.ladders[-1]


@dataclass(frozen=True)
class Change:
    """What happened between two models: `learning`, `sharpening`, `no gain`, or `loss`."""

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
    """The score that it is about, or nothing."""
    because: str
    advice: str
    numbers: dict[str, float]

    def __str__(self) -> str:
        return f"{self.name}{f'(by {self.by})' if self.by else ''}: {self.because}. {self.advice}"


@dataclass(frozen=True)
class Fit:
    """y(t) = ceiling + distance exp(-rate t), fitted to the rounds."""

    ceiling: float
    error: float
    """Standard error of the ceiling; infinite where the rounds do not determine it."""
    distance: float
    rate: float
    rounds: int
    """Rounds that were fitted, the start included."""

    def rounds_to(self, eps: float) -> float:
        """The round from which on y stays within eps of the ceiling."""
        return max(0.0, math.log(abs(self.distance) / eps) / self.rate) if abs(self.distance) > eps else 0.0


# ---- measures ----------------------------------------------------------------------------------------------------
def estimate(top: Sequence[float], bottom: Sequence[float] | None = None) -> Estimate | None:
    """sum(top) / sum(bottom) over prompts; without `bottom`, the mean. None where all of `bottom` is 0.

    Raises:
        ValueError: there are fewer than two prompts, so there is no standard error.
    """
    import numpy

    if len(top) < 2:
        raise ValueError(f"a standard error needs at least 2 prompts, there are {len(top)}")
    above, below = numpy.asarray(top, float), numpy.ones(len(top)) if bottom is None else numpy.asarray(bottom, float)
    if not below.sum():
        return None
    weights = _resamples(len(top))
    sums = weights @ below
    ratios = (weights @ above)[sums != 0] / sums[sums != 0]
    low, high = numpy.quantile(ratios, [0.025, 0.975])
    error = float(ratios.std()) * math.sqrt(len(top) / (len(top) - 1))  # resampling alone is low by this factor
    return Estimate(float(above.sum() / below.sum()), error, float(low), float(high), int((below != 0).sum()))


@lru_cache(maxsize=8)
def _resamples(prompts: int) -> Any:
    """How often each prompt is in each resample; the same for all measures, so that their differences are paired."""
    import numpy

    return numpy.random.default_rng(0).multinomial(prompts, [1 / prompts] * prompts, size=RESAMPLES).astype(float)


def _mean(values: Sequence[float]) -> Estimate:
    found = estimate(values)
    assert found is not None
    return found


def ladder(groups: Groups, k: int) -> Ladder:
    """The headroom ladder for k completions.

    Raises:
        ValueError: a prompt has fewer than k completions.
    """
    least = min(map(len, groups))
    if not 1 <= k <= least:
        raise ValueError(f"k = {k} needs as many completions of each prompt, there are {least}")
    single, every = _single(groups), any_of(groups, k)
    majority = majority_of(groups, k)
    best = {
        name: [statistics.best_of_k([s.right for s in group], row, k) for group, row in zip(groups, rows, strict=True)]
        for name, rows in self_scores(groups).items()
    }
    oracle = _minus(every, single)
    judged = {name: _minus(column, single) for name, column in best.items()}
    return Ladder(
        k=k,
        single=_mean(single),
        majority=_mean(majority),
        best={name: _mean(column) for name, column in best.items()},
        any=_mean(every),
        consensus=_mean(_minus(majority, single)),
        judged={name: _mean(column) for name, column in judged.items()},
        oracle=_mean(oracle),
        efficiency={name: estimate(column, oracle) for name, column in judged.items()},
    )


def self_scores(groups: Groups) -> dict[str, list[list[float]]]:
    """Scores of the model's own: `votes`, the share of a completion's answer among all of its group, and `logprob`."""
    found: dict[str, list[list[float]]] = {"votes": []}
    for group in groups:
        counts = Counter(sample.answer for sample in group if sample.answer is not None)
        found["votes"].append([counts[s.answer] / len(group) if s.answer is not None else 0.0 for s in group])
    if all(sample.score is not None for group in groups for sample in group):
        found["logprob"] = [[sample.score or 0.0 for sample in group] for group in groups]
    return found


def any_of(groups: Groups, k: int) -> list[float]:
    """pass@k of each prompt."""
    return [statistics.pass_at_k(len(group), sum(s.right for s in group), k) for group in groups]


def majority_of(groups: Groups, k: int) -> list[float]:
    """maj@k of each prompt."""
    return [statistics.majority_at_k([s.answer for s in group], [s.right for s in group], k) for group in groups]


def gap(groups: Groups, weights: Sequence[Sequence[float]]) -> Gap:
    """What accuracy gains when each completion counts by its weight; a prompt without weight counts unfiltered."""
    single = _single(groups)
    gained, wrong = _minus(_filtered(groups, weights), single), [1 - before for before in single]
    relative = [gain / left if left else 0.0 for gain, left in zip(gained, wrong, strict=True)]
    return Gap(
        absolute=_mean(gained),
        relative=estimate(relative, [float(left > 0) for left in wrong]),
        overall=estimate(gained, wrong),
        idle=sum(not any(row) for row in weights) / len(groups),
    )


def _filtered(groups: Groups, weights: Sequence[Sequence[float]]) -> list[float]:
    """The accuracy of each prompt when each completion counts by its weight."""
    found: list[float] = []
    for group, row in zip(groups, weights, strict=True):
        used = row if any(row) else [1.0] * len(group)
        found.append(sum(w for s, w in zip(group, used, strict=True) if s.right) / sum(used))
    return found


def auroc(groups: Groups, scores: Scores) -> Estimate | None:
    """P(score of a right completion > score of a wrong one) over all such pairs of one prompt; ties count a half."""
    wins, pairs = list[float](), list[float]()
    for group, row in zip(groups, scores, strict=True):
        known = [(sample.right, score) for sample, score in zip(group, row, strict=True) if score is not None]
        right = sum(mark for mark, _ in known)
        pairs.append(float(right * (len(known) - right)))
        wins.append(pairs[-1] * (statistics.auroc([m for m, _ in known], [score for _, score in known]) or 0.0))
    return estimate(wins, pairs)


def by_threshold(name: str, groups: Groups, scores: Scores, *thresholds: float) -> Score:
    """A score as a filter; several thresholds go by turns to the prompts."""
    weights = [_kept(row, thresholds[place % len(thresholds)]) for place, row in enumerate(scores)]
    return Score(name, gap(groups, weights), auroc(groups, scores), thresholds)


def by_tuned_threshold(name: str, groups: Groups, scores: Scores) -> Score:
    """A score as a filter; each half of the prompts is filtered at the decile that served the other half best.

    So every prompt counts, and none has chosen its own threshold. The lowest choice keeps everything.
    """
    import numpy

    chosen: list[float] = []
    for half in (1, 0):
        tuned, rows = groups[half::2], scores[half::2]
        pooled = [score for row in rows for score in row if score is not None] or [0.0]
        deciles = [float(bound) for bound in numpy.quantile(pooled, [i / 10 for i in range(10)], method="higher")]
        chosen.append(max(deciles, key=lambda bound: sum(_filtered(tuned, [_kept(row, bound) for row in rows]))))
    return by_threshold(name, groups, scores, *chosen)


def _kept(row: Sequence[float | None], threshold: float) -> list[float]:
    return [float(score is not None and score >= threshold) for score in row]


def labels(groups: Groups, agreement: float, k: int) -> Labels:
    """Whether the majority of k completions is right where it is at least this large; a tie gives no label.

    Every k completions of a prompt count as one vote, as in a run that draws k.
    """
    kept, right = list[float](), list[float]()
    for group in groups:
        votes = [group[place : place + k] for place in range(0, len(group) - k + 1, k)]
        marks = [mark for vote in votes if (mark := _label(vote, agreement)) is not None]
        kept.append(len(marks) / len(votes))
        right.append(sum(marks) / len(votes))
    return Labels(k, agreement, _mean(kept), estimate(right, kept))


def _label(vote: Sequence[Sample], agreement: float) -> bool | None:
    """Whether the majority's answer is right; None where the filter drops the prompt."""
    ranked = Counter(sample.answer for sample in vote if sample.answer is not None).most_common(2)
    tied = len(ranked) == 2 and ranked[0][1] == ranked[1][1]
    if not ranked or tied or ranked[0][1] < agreement * len(vote) - 1e-9:
        return None
    return any(sample.right for sample in vote if sample.answer == ranked[0][0])


def sharpening(groups: Groups) -> Sharpening | None:
    """Coverage and accuracy of the most likely completion that was drawn; None without log-probabilities."""
    likely = _likely(groups)
    if likely is None:
        return None
    rarity = [-_logprob(sample) for sample in likely]
    most = max(rarity)
    coverage = (most + math.log(sum(math.exp(value - most) for value in rarity) / len(rarity))) / math.log(10)
    right = [float(sample.right) for sample in likely]
    return Sharpening(
        coverage, _mean([math.exp(-value) for value in rarity]), _mean(right), _mean(_minus(right, _single(groups)))
    )


def _likely(groups: Groups) -> list[Sample] | None:
    """The most likely completion of each group; None without log-probabilities."""
    known = all(sample.score is not None for group in groups for sample in group)
    return [max(group, key=_logprob) for group in groups] if known else None


def measure(groups: Groups, greedy: Sequence[bool] = (), keys: Sequence[str] = ()) -> Diagnosis:
    """All measures of one model.

    Args:
        groups: for each prompt its samples, at least two prompts and two samples.
        greedy: whether the greedy completion of each prompt is right, if it was drawn.
        keys: names of the prompts, for comparisons with other models.

    Raises:
        ValueError: there are too few prompts or samples.
    """
    if len(groups) < 2 or min(map(len, groups)) < 2:
        raise ValueError("a diagnosis needs at least 2 prompts with 2 completions each")
    n = min(map(len, groups))
    everything = [sample for group in groups for sample in group]
    scores = self_scores(groups)
    found = [by_threshold("votes", groups, scores["votes"], AGREEMENT)]
    tokens = [float(sum(s.length for s in group)) for group in groups]
    surprise = reward = None
    if "logprob" in scores:
        found.append(by_tuned_threshold("logprob", groups, scores["logprob"]))
        surprise = estimate([-sum(map(_logprob, group)) for group in groups], tokens)
    given = [[sample.reward for sample in group] for group in groups]
    known = [[value for value in row if value is not None] for row in given]
    if any(known):
        found.append(by_tuned_threshold("reward", groups, given))
        reward = estimate([sum(row) for row in known], [float(len(row)) for row in known])
    likely = [float(mark) for mark in greedy] or [float(sample.right) for sample in _likely(groups) or ()]
    ladders = [ladder(groups, k) for k in sorted({max(2, n >> i) for i in range(3)})]
    answers = Counter(sample.answer for sample in everything if sample.answer is not None)
    top = answers.most_common(1)
    return Diagnosis(
        problems=len(groups),
        samples=n,
        ladders=ladders,
        greedy=_mean([float(mark) for mark in greedy]) if greedy else None,
        length=_share(groups, lambda s: s.length),
        truncated=_share(groups, lambda s: s.truncated),
        parsed=_share(groups, lambda s: s.answer is not None),
        unsolved=_mean([float(not any(s.right for s in group)) for group in groups]),
        answer_entropy=_mean([_entropy(group) for group in groups]),
        majority=_mean(_agreements(groups)),
        token_entropy=surprise,
        reward=reward,
        top_answer=(str(top[0][0]), top[0][1] / len(everything)) if top else None,
        scores=found,
        labels=[*(labels(groups, AGREEMENT, rung.k) for rung in ladders), labels(groups, 0.0, n)],
        beyond=_mean(_minus(majority_of(groups, n), likely)) if likely else None,
        sharpening=sharpening(groups),
        groups=groups,
        keys=tuple(keys),
    )


def _single(groups: Groups) -> list[float]:
    return [sum(s.right for s in group) / len(group) for group in groups]


def _minus(a: Sequence[float], b: Sequence[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


def _share(groups: Groups, of: Callable[[Sample], float]) -> Estimate:
    return _mean([sum(map(of, group)) / len(group) for group in groups])


def _logprob(sample: Sample) -> float:
    """The log-probability of a completion as a whole."""
    return (sample.score or 0.0) * sample.length


def _agreements(groups: Groups) -> list[float]:
    """The share of the most frequent answer in each group."""
    return [max(row) for row in self_scores(groups)["votes"]]


def _entropy(group: Sequence[Sample]) -> float:
    """The entropy in nats of the answers of a group; completions without an answer are left out."""
    counts = Counter(sample.answer for sample in group if sample.answer is not None).values()
    total = sum(counts)
    return sum(-count / total * math.log(count / total) for count in counts)


# ---- verdicts ----------------------------------------------------------------------------------------------------
def verdicts(
    now: Diagnosis, first: Diagnosis | None = None, previous: Diagnosis | None = None, fit: Fit | None = None
) -> list[Verdict]:
    """What the measures say of a model, and with earlier rounds, of the loop.

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
    """Nothing that any of the scores can bring in, two rounds in a row; or the fitted ceiling is reached."""
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
    """The model agrees with itself more and more, and is right no more often."""
    k = min(now.samples, first.samples)
    accuracy, agreement = change(now, first, _single), change(now, first, _agreements)
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
        if risen.above(0.1):  # where a task has few answers, one of them is frequent from the start
            reasons.append(f"one answer, {answer[:20]!r}, is {share:.0%} of all, {_signed(risen)} since the start")
            numbers["top_answer"] = share
    advice = "Stop, go back to the champion, and use a reward that looks at the reference, or frozen labels."
    return [Verdict("COLLAPSING", "", "; ".join(reasons), advice, numbers)] if reasons else []


def _less_diverse(now: Diagnosis, first: Diagnosis) -> list[Verdict]:
    """Fewer prompts can be solved in many tries than at the start."""
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
    """Learning solves what many tries did not solve before; sharpening only makes likely what some tries solved."""
    k = min(now.samples, then.samples)
    single, every = change(now, then, _single), change(now, then, lambda groups: any_of(groups, k))
    if not single.above(0):
        return Change("loss" if single.below(0) else "no gain", single, every, k)
    return Change("learning" if every.above(0) else "sharpening", single, every, k)


def change(now: Diagnosis, then: Diagnosis, of: Callable[[Groups], list[float]]) -> Estimate:
    """How the mean of a column changed: prompt by prompt where both models had the same, else between two samples."""
    new, old = of(now.groups), of(then.groups)
    if now.keys and now.keys == then.keys:
        return _mean(_minus(new, old))
    a, b = _mean(new), _mean(old)
    value, error = a.value - b.value, math.hypot(a.error, b.error)
    half = statistics.Z95 * error
    return Estimate(value, error, value - half, value + half, a.n + b.n)


def of_audit(groups: Sequence[Sequence[Rollout]]) -> Diagnosis | None:
    """The same from a run's audit: `score` is the reward, `info` has the task's `truth` and the `answer`.

    None where there are too few prompts or samples to tell.
    """
    samples, keys = marked(groups, lambda r: r.info["truth"], lambda r: r.info["answer"])
    return measure(samples, keys=keys) if len(samples) > 1 and min(map(len, samples)) > 1 else None


def summary(now: Diagnosis, said: Sequence[Verdict], first: Diagnosis | None) -> dict[str, Any]:
    """What a run keeps of a diagnosis: the largest k's ladder, the gaps, the verdicts, the change since `first`."""
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


def marked(
    groups: Sequence[Sequence[Rollout]],
    mark: Callable[[Rollout], float | None],
    answer: Callable[[Rollout], str | None],
) -> tuple[list[list[Sample]], tuple[str, ...]]:
    """Rollouts as samples, and the keys of their prompts; a prompt that cannot be marked is left out."""
    found, keys = list[list[Sample]](), list[str]()
    for group in groups:
        texts = {rollout.text: rollout for rollout in group}  # equal completions are marked once
        marks = {text: mark(rollout) for text, rollout in texts.items()}
        if None not in marks.values():
            answers = {text: answer(rollout) for text, rollout in texts.items()}
            found.append([_sample(rollout, marks[rollout.text], answers[rollout.text]) for rollout in group])
            keys.append(group[0].prompt.key)
    return found, tuple(keys)


def _sample(rollout: Rollout, mark: float | None, answer: str | None) -> Sample:
    noted = rollout.logprobs or {}
    length = int(noted.get("count", len(rollout.text)))
    score = noted["sum"] / max(1, length) if "sum" in noted else None
    return Sample((mark or 0.0) > 0.5, answer, score, length, rollout.truncated, rollout.score)


def _signed(found: Estimate) -> str:
    return f"{found.value:+.3f} ±{found.error:.3f}"


# ---- dynamics ----------------------------------------------------------------------------------------------------
def dynamics(values: Sequence[float], low: float = -math.inf, high: float = math.inf) -> Fit | None:
    """Fit y(t) = ceiling + distance exp(-rate t) to rounds 0, 1, 2, ...; None where no fit is found.

    Args:
        low: the least that the ceiling can be.
        high: the most; an accuracy has 0 and 1.

    Raises:
        ValueError: there are fewer than four rounds.
    """
    import warnings

    import numpy
    from scipy.optimize import OptimizeWarning, curve_fit

    if len(values) < 4:
        raise ValueError(f"a fit of the dynamics needs at least 4 rounds, there are {len(values)}")
    if max(values) - min(values) < 1e-9:
        return Fit(values[-1], 0.0, 0.0, 0.0, len(values))
    rounds, seen = numpy.arange(len(values), dtype=float), numpy.asarray(values, float)

    def curve(t: Any, ceiling: float, distance: float, rate: float) -> Any:
        return ceiling + distance * numpy.exp(-rate * t)

    best: tuple[float, Fit] | None = None
    for rate in (0.1, 0.5, 1.5):
        guess = [min(max(values[-1], low), high), values[0] - values[-1], rate]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", OptimizeWarning)
                found, spread = curve_fit(
                    curve, rounds, seen, guess, bounds=([low, -math.inf, 1e-3], [high, math.inf, 20.0]), maxfev=5000
                )
        except RuntimeError:
            continue
        loss = float(((curve(rounds, *found) - seen) ** 2).sum())
        fit = Fit(float(found[0]), float(spread[0, 0]) ** 0.5, float(found[1]), float(found[2]), len(values))
        if best is None or loss < best[0]:
            best = loss, fit
    return best[1] if best else None
