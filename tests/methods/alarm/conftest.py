"""Simulated audits: models whose skill, variety, certainty and length are known, so that a failure can be planted."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from selfimprove.interfaces import Alarm
from selfimprove.records import Alert, Prompt, Report, Rollout
from selfimprove.rounds import Evidence, Groups, Round


def simulate(
    seed: int,
    problems: int = 100,
    samples: int = 8,
    skill: float = 0.5,
    sharp: float = 1.0,
    praised: float = 0.1,
    missed: float = 0.1,
    constant: float = 0.0,
    ways: int = 5,
    nats: float = 0.4,
    characters: float = 60.0,
    cut: float = 0.02,
    values: int = 10,
) -> list[list[Rollout]]:
    """The audit of a model. Each problem has its own probability of a right answer, of mean `skill`.

    Args:
        sharp: exponent of the probabilities of the answers; at 20 every problem has almost always the same answer.
        praised: share of wrong answers that the reward takes for right; `missed`: share of right ones it does not.
        constant: share of samples that answer "0" whatever the problem.
        ways: texts of a right solution.
        values: how many answers there are.
    """
    source, made = np.random.default_rng(seed), list[list[Rollout]]()
    for place in range(problems):
        right, chance = str(source.integers(values)), source.beta(3 * skill, 3 * (1 - skill))
        others = [str(value) for value in range(values) if str(value) != right]
        weights = np.array([chance, *(1 - chance) * source.dirichlet(np.full(values - 1, 0.5))]) ** sharp
        drawn = source.choice([right, *others], samples, p=weights / weights.sum())
        answers = np.where(source.random(samples) < constant, "0", drawn)
        prompt = Prompt(prompt=[{"role": "user", "content": f"{seed}:{place}"}], answer=right, key=f"{seed}:{place}")
        level = source.gamma(4, 1 / 4, 2)  # some problems are longer, and some less certain, than others
        group = []
        for answer in answers:
            truth = float(answer == right)
            way = int(source.integers(ways))
            text = f"way {way} to {answer} " + "-" * int(level[0] * characters * (0.8 + 0.1 * way))
            count = len(text) + 1
            group.append(
                Rollout(
                    prompt=prompt,
                    completion=[{"role": "assistant", "content": text}],
                    reward=float(source.random() < (1 - missed if truth else praised)),
                    logprobs={"sum": -count * level[1] * nats * source.gamma(4, 1 / 4), "count": count},
                    info={
                        "truth": truth,
                        "answer": str(answer),
                        "finish_reason": "length" if source.random() < cut else "stop",
                    },
                )
            )
        made.append(group)
    return made


def reports(
    source: np.random.Generator, changes: dict[str, float], n: int = 100, changed: float = 0.1
) -> tuple[Report, Report]:
    """Champion's and candidate's: of each part a share of the problems changes, and its mean by the amount given."""
    old: dict[str, dict[str, float]] = {}
    new: dict[str, dict[str, float]] = {}
    for name, change in changes.items():
        was, luck = source.random(n) < 0.6, source.random(n)
        gained, lost = (changed + change) / 2 / 0.4, (changed - change) / 2 / 0.6
        now = np.where(was, luck >= lost, luck < gained)
        keys = [f"{name}:{place}" for place in range(n)]
        old[name] = dict(zip(keys, was.astype(float).tolist(), strict=True))
        new[name] = dict(zip(keys, now.astype(float).tolist(), strict=True))
    champion, candidate = [Report(metrics={}, scores=part.pop("scores", {}), parts=part) for part in (old, new)]
    return champion, candidate


def evidence(
    start: Groups = (),
    champion: Groups = (),
    candidate: Groups = (),
    reports: tuple[Report, Report] | None = None,
    counts: dict[str, float] | None = None,
    rounds: int = 5,
) -> Evidence:
    """What an alarm is handed in round 1."""
    old, new = reports or (Report(metrics={}), Report(metrics={}))
    now = Round(round=1, rounds=rounds, champion=old, incumbent=old, candidate=new, counts=counts or {})
    before = Round(round=0, rounds=rounds, champion=old)
    return Evidence(
        round=1, rounds=rounds, start=start, champion=champion or start, candidate=candidate, history=[before, now]
    )


def shuffled(given: Evidence) -> Evidence:
    """The same with the problems of all audits and reports in another order."""
    source, now = np.random.default_rng(5), given.history[-1]
    audits = {name: mixed(getattr(given, name), source) for name in ("start", "champion", "candidate")}
    assert now.candidate is not None
    turned = replace(now, champion=_turned(now.champion, source), candidate=_turned(now.candidate, source))
    return replace(given, **audits, history=[*given.history[:-1], turned])


def mixed(items: Sequence[Any], source: np.random.Generator) -> list[Any]:
    return [items[place] for place in source.permutation(len(items))]


def _turned(report: Report, source: np.random.Generator) -> Report:
    parts = {name: dict(mixed([*part.items()], source)) for name, part in report.parts.items()}
    return replace(report, scores=dict(mixed([*report.scores.items()], source)), parts=parts)


@pytest.fixture
def make_audit() -> Callable[..., list[list[Rollout]]]:
    """`make_audit(seed, skill=0.5, ...)`: the audit of a simulated model."""
    return simulate


@pytest.fixture
def make_reports() -> Callable[..., tuple[Report, Report]]:
    """`make_reports(seed, {"probe/a": -0.1})`: champion and candidate with paired marks; "scores" are the gate's."""
    return lambda seed, changes, **options: reports(np.random.default_rng(seed), changes, **options)


@pytest.fixture
def make_evidence() -> Callable[..., Evidence]:
    """`make_evidence(start=..., candidate=..., reports=..., counts=...)`: round 1 of 5; the champion is the start."""
    return evidence


@pytest.fixture(scope="session")
def calm() -> list[Evidence]:
    """200 rounds in which nothing changes: start, champion and candidate are one model on fresh problems."""
    pool, source = simulate(0, problems=3000), np.random.default_rng(1)
    parts = {"scores": 0.0, "pass@16": 0.0, "probe/a": 0.0, "probe/b": 0.0, "ood/c": 0.0}
    found = []
    for _ in range(200):
        drawn = [pool[place] for place in source.choice(3000, 300, replace=False)]
        audits = {"start": drawn[:100], "champion": drawn[100:200], "candidate": drawn[200:]}
        found.append(evidence(**audits, reports=reports(source, parts), counts={"acquisition/records": 500.0}))
    return found


@pytest.fixture(scope="session")
def calm_levels(calm: list[Evidence]) -> Callable[..., list[int]]:
    """`calm_levels(Length)`: the highest level of each of the 200 calm rounds; `parts=False`: from the audits alone."""

    @functools.cache
    def levels(alarm: type[Alarm], parts: bool = True) -> list[int]:
        rounds = calm if parts else [without_reports(given) for given in calm]
        return [max((alert.level for alert in alarm().check(given)), default=0) for given in rounds]

    return levels


@pytest.fixture
def false_alarms(calm_levels: Callable[..., list[int]]) -> Callable[..., tuple[int, int]]:
    """`false_alarms(Length)`: in how many of the 200 calm rounds it says anything, and in how many level 2."""

    def count(alarm: type[Alarm], parts: bool = True) -> tuple[int, int]:
        levels = calm_levels(alarm, parts)
        return sum(level >= 1 for level in levels), sum(level >= 2 for level in levels)

    return count


def without_reports(given: Evidence) -> Evidence:
    empty = Report(metrics={})
    return replace(given, history=[replace(given.history[-1], champion=empty, candidate=empty)])


@pytest.fixture
def alert() -> Callable[[Alarm, Evidence], Alert]:
    """`alert(alarm, evidence)`: the one alert, which is the same whatever the order of the problems."""

    def one(alarm: Alarm, given: Evidence) -> Alert:
        (found,) = alarm.check(given)
        (again,) = alarm.check(shuffled(given))
        assert (again.level, again.text) == (found.level, found.text)
        assert again.numbers == pytest.approx(found.numbers)
        assert found.alarm in type(alarm).__module__ and found.level in (1, 2) and "\n" not in found.text
        return found

    return one
