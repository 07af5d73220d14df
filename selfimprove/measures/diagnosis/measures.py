"""The measures of a diagnosis. The completions of one prompt form a group; each is reduced to a `Sample`.

Errors are bootstrap standard errors over prompts, because completions of one prompt are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from selfimprove.measures import attempts, statistics
from selfimprove.measures.diagnosis.estimates import estimate, mean
from selfimprove.measures.diagnosis.samples import marked
from selfimprove.measures.diagnosis.types import (
    Diagnosis,
    Estimate,
    Gap,
    Groups,
    Labels,
    Ladder,
    Sample,
    Score,
    Scores,
    Sharpening,
)
from selfimprove.measures.votes import plurality, shares, tally
from selfimprove.records import Rollout

AGREEMENT = 0.5
"""Share of a prompt's completions that must agree, for the filter by majority."""


def ladder(groups: Groups, k: int) -> Ladder:
    """The headroom ladder for k completions.

    Raises:
        ValueError: a prompt has fewer than k completions.
    """
    least = min(map(len, groups))
    if not 1 <= k <= least:
        raise ValueError(f"k = {k} needs as many completions of each prompt, there are {least}")
    single, every = single_of(groups), any_of(groups, k)
    majority = majority_of(groups, k)
    best = {
        name: [attempts.best_of_k([s.right for s in group], row, k) for group, row in zip(groups, rows, strict=True)]
        for name, rows in self_scores(groups).items()
    }
    oracle = _minus(every, single)
    judged = {name: _minus(column, single) for name, column in best.items()}
    return Ladder(
        k=k,
        single=mean(single),
        majority=mean(majority),
        best={name: mean(column) for name, column in best.items()},
        any=mean(every),
        consensus=mean(_minus(majority, single)),
        judged={name: mean(column) for name, column in judged.items()},
        oracle=mean(oracle),
        efficiency={name: estimate(column, oracle) for name, column in judged.items()},
    )


def self_scores(groups: Groups) -> dict[str, list[list[float]]]:
    """Scores of the model's own: `votes`, the share of a completion's answer among all of its group, and `logprob`."""
    found: dict[str, list[list[float]]] = {"votes": []}
    for group in groups:
        share = shares([sample.answer for sample in group])
        found["votes"].append([0.0 if s.answer is None else share[s.answer] for s in group])
    if all(sample.score is not None for group in groups for sample in group):
        found["logprob"] = [[sample.score or 0.0 for sample in group] for group in groups]
    return found


def any_of(groups: Groups, k: int) -> list[float]:
    """pass@k of each prompt."""
    return [attempts.pass_at_k(len(group), sum(s.right for s in group), k) for group in groups]


def majority_of(groups: Groups, k: int) -> list[float]:
    """maj@k of each prompt."""
    return [attempts.majority_at_k([s.answer for s in group], [s.right for s in group], k) for group in groups]


def gap(groups: Groups, weights: Sequence[Sequence[float]]) -> Gap:
    """The gain in accuracy when each completion counts by its weight; a prompt without weight counts unfiltered."""
    single = single_of(groups)
    gained, wrong = _minus(_filtered(groups, weights), single), [1 - before for before in single]
    relative = [gain / left if left else 0.0 for gain, left in zip(gained, wrong, strict=True)]
    return Gap(
        absolute=mean(gained),
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
        wins.append(pairs[-1] * (attempts.auroc([m for m, _ in known], [score for _, score in known]) or 0.0))
    return estimate(wins, pairs)


def by_threshold(name: str, groups: Groups, scores: Scores, *thresholds: float) -> Score:
    """A score as a filter; several thresholds are assigned to the prompts in turn."""
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
    return Labels(k, agreement, mean(kept), estimate(right, kept))


def _label(vote: Sequence[Sample], agreement: float) -> bool | None:
    """Whether the majority's answer is right; None where the filter drops the prompt."""
    label = plurality((sample.answer for sample in vote), agreement)
    return None if label is None else any(sample.right for sample in vote if sample.answer == label)


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
        coverage, mean([math.exp(-value) for value in rarity]), mean(right), mean(_minus(right, single_of(groups)))
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
    top = tally(sample.answer for sample in everything).most_common(1)
    return Diagnosis(
        problems=len(groups),
        samples=n,
        ladders=ladders,
        greedy=mean([float(mark) for mark in greedy]) if greedy else None,
        length=_share(groups, lambda s: s.length),
        truncated=_share(groups, lambda s: s.truncated),
        parsed=_share(groups, lambda s: s.answer is not None),
        unsolved=mean([float(not any(s.right for s in group)) for group in groups]),
        answer_entropy=mean([_entropy(group) for group in groups]),
        majority=mean(agreements(groups)),
        token_entropy=surprise,
        reward=reward,
        top_answer=(str(top[0][0]), top[0][1] / len(everything)) if top else None,
        scores=found,
        labels=[*(labels(groups, AGREEMENT, rung.k) for rung in ladders), labels(groups, 0.0, n)],
        beyond=mean(_minus(majority_of(groups, n), likely)) if likely else None,
        sharpening=sharpening(groups),
        groups=groups,
        keys=tuple(keys),
    )


def single_of(groups: Groups) -> list[float]:
    """The share of right completions of each prompt: pass@1."""
    return [sum(s.right for s in group) / len(group) for group in groups]


def _minus(a: Sequence[float], b: Sequence[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


def _share(groups: Groups, of: Callable[[Sample], float]) -> Estimate:
    return mean([sum(map(of, group)) / len(group) for group in groups])


def _logprob(sample: Sample) -> float:
    """The log-probability of a completion as a whole."""
    return (sample.score or 0.0) * sample.length


def agreements(groups: Groups) -> list[float]:
    """The share of the most frequent answer in each group."""
    return [max(row) for row in self_scores(groups)["votes"]]


def _entropy(group: Sequence[Sample]) -> float:
    """The entropy in nats of the answers of a group; completions without an answer are left out."""
    counts = tally(sample.answer for sample in group).values()
    total = sum(counts)
    return sum(-count / total * math.log(count / total) for count in counts)


def change(now: Diagnosis, then: Diagnosis, of: Callable[[Groups], list[float]]) -> Estimate:
    """How the mean of a column changed: prompt by prompt where both models had the same, else between two samples."""
    new, old = of(now.groups), of(then.groups)
    if now.keys and now.keys == then.keys:
        return mean(_minus(new, old))
    a, b = mean(new), mean(old)
    value, error = a.value - b.value, math.hypot(a.error, b.error)
    half = statistics.Z95 * error
    return Estimate(value, error, value - half, value + half, a.n + b.n)


def of_audit(groups: Sequence[Sequence[Rollout]]) -> Diagnosis | None:
    """A diagnosis from a run's audit: `info` has the task's `truth` and the `answer`.

    None where there are too few prompts or samples to tell.
    """
    samples, keys = marked(groups, lambda r: r.info["truth"], lambda r: r.info["answer"])
    return measure(samples, keys=keys) if len(samples) > 1 and min(map(len, samples)) > 1 else None
