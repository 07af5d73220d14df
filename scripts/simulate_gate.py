"""What the gate's rules do when they are repeated thousands of times on invented policies whose worth is known.

Every table has its Monte-Carlo error, three standard errors, and every claim is printed as PASS or FAIL. The decisions
are made by the program's own functions: `certify` and `accept` of the gate `ratchet`, and the tests of statistics.py.

A policy solves a share of all problems. A candidate with effect e and discordance d changes a share d of the answers:
(d + e) / 2 of the problems become right, (d - e) / 2 wrong. Champion, incumbent and candidate are a chain of steps.

    python scripts/simulate_gate.py                   all tables, about three minutes on one core
    python scripts/simulate_gate.py --quick           with a tenth of the repetitions, under half a minute
    python scripts/simulate_gate.py --json FILE       also write the numbers to a file
    python scripts/simulate_gate.py --document        run nothing; write the kept numbers into docs/evaluation.md
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from selfimprove.measures.statistics import (
    clustered_difference,
    e_value,
    expected_max,
    mcnemar,
    mcnemar_mid,
    sample_size,
    sample_size_of_means,
    shrunken,
    sign_flip,
    z_test,
)
from selfimprove.methods.gate.ratchet import accept, certify

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "docs" / "results" / "simulate_gate.json"
PAGE = ROOT / "docs" / "evaluation.md"
ALPHA = 0.05
"""Chance of a false certificate that a run, or a single test, may have."""
ROLLBACK = 0.05
"""The level at which a policy counts as worse than the champion, as in the gate."""
START = 0.5
"""Accuracy of the first policy."""
Array = np.ndarray[Any, Any]
Mix = Sequence[tuple[float, float]]
"""(probability, effect) of the candidates that a training loop may make."""
MIXES: dict[str, Mix] = {
    "all harmful": ((0.8, -0.02), (0.2, 0.0)),
    "mostly harmful": ((0.7, -0.02), (0.2, 0.0), (0.1, 0.05)),
    "small steps": ((0.3, -0.01), (0.3, 0.0), (0.4, 0.02)),
    "steady": ((0.2, -0.01), (0.2, 0.0), (0.6, 0.03)),
}
NULL: Mix = ((1.0, 0.0),)


# ---- numbers with their error --------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Estimate:
    """A simulated number with three standard errors."""

    value: float
    error: float
    points: bool = False
    """Whether it is shown in points, hundredths of an accuracy."""

    @property
    def low(self) -> float:
        """The least that the truth can well be."""
        return self.value - self.error

    @property
    def high(self) -> float:
        """The most that the truth can well be."""
        return self.value + self.error

    def __str__(self) -> str:
        return (
            f"{100 * self.value:+z.1f} ± {100 * self.error:.1f}"
            if self.points
            else f"{self.value:.3f} ± {self.error:.3f}"
        )


def share(hits: Array) -> Estimate:
    """A probability; the error of one that was never or always seen is that of three cases."""
    p, n = float(hits.mean()), hits.size
    return Estimate(p, 3 * math.sqrt(max(p * (1 - p), 3 / n) / n))


def average(values: Array, points: bool = True) -> Estimate:
    """A mean; nothing to average is NaN with an infinite error, which no claim survives."""
    if values.size < 2:
        return Estimate(math.nan, math.inf, points)
    return Estimate(float(values.mean()), 3 * float(values.std(ddof=1)) / math.sqrt(values.size), points)


@dataclass
class Section:
    """One table with its claims."""

    title: str
    words: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    claims: list[tuple[str, bool]] = field(default_factory=list)

    def claim(self, text: str, holds: bool) -> None:
        """Note what the table shows, and whether it does."""
        self.claims.append((text, bool(holds)))


# ---- one decision ----------------------------------------------------------------------------------------------------
def step(accuracy: Array, effect: Array, discordance: float) -> tuple[Array, Array, Array]:
    """Probabilities that a candidate mends a wrong answer and breaks a right one, and its accuracy."""
    mends = np.minimum(1.0, (discordance + effect) / 2 / (1 - accuracy))
    breaks = np.minimum(1.0, (discordance - effect) / 2 / accuracy)
    return mends, breaks, accuracy + (1 - accuracy) * mends - accuracy * breaks


def answers(
    source: np.random.Generator, n: int, champion: Array, ahead: tuple[Array, Array], last: tuple[Array, Array]
) -> Array:
    """Of n fresh problems how many each of the three solves: counts[run, champion, incumbent, candidate]."""
    right = np.stack([1 - champion, champion], axis=-1)
    incumbent, candidate = (
        np.stack([np.stack([1 - mends, mends], axis=-1), np.stack([breaks, 1 - breaks], axis=-1)], axis=-2)
        for mends, breaks in (ahead, last)
    )
    cells = right[:, :, None, None] * incumbent[:, :, :, None] * candidate[:, None, :, :]
    return source.multinomial(n, cells.reshape(-1, 8)).reshape(-1, 2, 2, 2)


def discordance_counts(
    source: np.random.Generator, runs: int, n: int, discordance: float, effect: float
) -> tuple[Array, Array]:
    """(only new right, only old right) among n problems, many times."""
    cells = [(discordance + effect) / 2, (discordance - effect) / 2, 1 - discordance]
    counts = source.multinomial(n, cells, size=runs)
    return counts[:, 0], counts[:, 1]


def p_values(better: Array, worse: Array) -> Array:
    """`mcnemar` of many pairs; each distinct pair is worked out once."""
    pairs, places = np.unique(np.stack([better.ravel(), worse.ravel()], axis=1), axis=0, return_inverse=True)
    return np.array([_mcnemar(int(b), int(c)) for b, c in pairs])[places.reshape(-1)].reshape(better.shape)


_mcnemar = cache(mcnemar)


@cache
def least(passes: Callable[[int, int], bool], changed: int) -> int:
    """The least number of wins among so many changed problems at which a test passes."""
    return bisect_left(range(changed + 1), True, key=lambda better: passes(better, changed - better))


# ---- the rules over a whole run ------------------------------------------------------------------------------------
@dataclass
class Runs:
    """What came out of many runs of one rule."""

    champion: Array
    """True accuracy of the last champion."""
    false: Array
    """Whether the champion was ever replaced by one that is no better."""
    scored: Array
    """Answers that were scored, over all policies."""
    luck: Array
    """Measured minus true gain, of each certificate."""


def ratchet(
    source: np.random.Generator,
    mix: Mix,
    *,
    runs: int,
    rounds: int,
    n: int,
    discordance: float,
    provisional_alpha: float = 0.2,
    lagged: bool = True,
) -> Runs:
    """The gate `ratchet`: certify the incumbent of the round before, then perhaps go on from the candidate.

    Args:
        lagged: False is the mistake that the gate avoids. The candidate, if it was accepted, else the incumbent, is
            certified by the same problems that it was accepted by.
    """
    champion = np.full(runs, START)
    incumbent, mends, breaks = champion.copy(), np.zeros(runs), np.zeros(runs)
    ahead, false = np.zeros(runs, dtype=bool), np.zeros(runs, dtype=bool)
    scored, spent = np.zeros(runs, dtype=int), np.zeros(runs)
    luck: list[float] = []

    def certified(run: int, gain: float) -> None:
        false[run] |= incumbent[run] <= champion[run] + 1e-12
        luck.append(gain - (incumbent[run] - champion[run]))
        champion[run], ahead[run], mends[run], breaks[run] = incumbent[run], False, 0.0, 0.0

    def back(run: int) -> None:
        incumbent[run], ahead[run], mends[run], breaks[run] = champion[run], False, 0.0, 0.0

    def test(run: int, pair: tuple[int, int], tests_left: int) -> str:
        level = (ALPHA - spent[run]) / tests_left
        spent[run] += level
        said = certify(pair, level, rollback_alpha=ROLLBACK)
        if said == "certify":
            certified(run, (pair[0] - pair[1]) / n)
        elif said == "rollback":
            back(run)
        return said

    for number in range(1, rounds + 1):
        mend, hurt, made = step(incumbent, effects(source, mix, runs), discordance)
        counts = answers(source, n, champion, (mends, breaks), (mend, hurt))
        over = {
            "incumbent": _pairs(counts.sum(axis=3)),
            "candidate": _pairs(counts.sum(axis=2)),
            "step": _pairs(counts.sum(axis=1)),
        }
        scored += np.where(ahead, 3, 2) * n
        tests_left = rounds - number + 1 + lagged
        for run in range(runs):
            fixed, new, moved = over["incumbent"][run], over["candidate"][run], over["step"][run]
            if lagged and ahead[run] and test(run, fixed, tests_left) == "rollback":
                continue
            if accept(moved, new if ahead[run] else moved, provisional_alpha, rollback_alpha=ROLLBACK):
                up, down = mends[run], breaks[run]
                mends[run] = up * (1 - hurt[run]) + (1 - up) * mend[run]
                breaks[run] = down * (1 - mend[run]) + (1 - down) * hurt[run]
                incumbent[run], ahead[run], fixed = made[run], True, new
            if not lagged and ahead[run]:
                test(run, fixed, tests_left)
    if lagged:  # the incumbent of the last round is heard once more
        pairs = _pairs(answers(source, n, champion, (mends, breaks), (mends, breaks)).sum(axis=3))
        scored += np.where(ahead, 2 * n, 0)
        for run in np.flatnonzero(ahead):
            test(int(run), pairs[run], 1)
    return Runs(champion, false, scored, np.array(luck))


def single(
    source: np.random.Generator,
    mix: Mix,
    takes: Callable[[Array, Array], Array],
    *,
    runs: int,
    rounds: int,
    n: int,
    discordance: float,
) -> Runs:
    """A rule that looks at the candidate only: it becomes champion, or it is dropped."""
    champion, none = np.full(runs, START), np.zeros(runs)
    false, luck = np.zeros(runs, dtype=bool), list[Array]()
    for _ in range(rounds):
        mend, hurt, made = step(champion, effects(source, mix, runs), discordance)
        counts = answers(source, n, champion, (none, none), (mend, hurt)).sum(axis=2)
        better, worse = counts[:, 0, 1], counts[:, 1, 0]
        taken = takes(better, worse)
        luck.append(((better - worse) / n - (made - champion))[taken])
        false |= taken & (made <= champion + 1e-12)
        champion = np.where(taken, made, champion)
    return Runs(champion, false, np.full(runs, 2 * n * rounds), np.concatenate(luck))


def effects(source: np.random.Generator, mix: Mix, runs: int) -> Array:
    """The true effects of one round's candidates."""
    return source.choice([effect for _, effect in mix], size=runs, p=[chance for chance, _ in mix])


def rules(rounds: int) -> dict[str, Callable[[Array, Array], Array]]:
    """The rules that look at the candidate only."""
    return {
        "keep if better": lambda better, worse: better > worse,
        "McNemar .05 in each round": lambda better, worse: p_values(better, worse) <= ALPHA,
        "McNemar .05 / rounds": lambda better, worse: p_values(better, worse) <= ALPHA / rounds,
    }


def _pairs(counts: Array) -> list[tuple[int, int]]:
    """Of counts[run, old, new]: what only the new one solves, and what only the old one solves."""
    return list(zip(counts[:, 0, 1].tolist(), counts[:, 1, 0].tolist(), strict=True))


# ---- the tables ------------------------------------------------------------------------------------------------------
def level(source: np.random.Generator, quick: bool) -> Section:
    """Items 1 and 5: how often a test passes where nothing is gained, with one look and with many."""
    section = Section(
        "Level, and looking early",
        "Nothing is gained (effect 0), and a test at .05 passes this often. McNemar once, after all n problems; "
        "McNemar after every 25 problems, until it passes; the e-process after every single problem.",
    )
    longest, runs = 2000, 2000 if quick else 20_000
    single_look, evidence = _passes(ALPHA), _evident(ALPHA)
    for discordance in (0.10, 0.20, 0.35):
        most = round(longest * discordance + 8 * math.sqrt(longest * discordance))
        needed, crossing = (np.array([least(test, m) for m in range(most)]) for test in (single_look, evidence))
        seen: dict[int, list[Array]] = {n: [] for n in (200, 500, 1000, 2000)}
        for _ in range(0, runs, 1000):
            drawn = source.random((1000, longest), dtype=np.float32)
            better = np.cumsum(drawn < discordance / 2, axis=1, dtype=np.int32)
            changed = np.cumsum(drawn < discordance, axis=1, dtype=np.int32)
            passed, crossed = better >= needed[changed], better >= crossing[changed]
            for n, found in seen.items():
                found.append(np.stack([passed[:, n - 1], passed[:, 24:n:25].any(1), crossed[:, :n].any(1)]))
        for n, found in seen.items():
            once, often, always = (share(hits) for hits in np.concatenate(found, axis=1))
            section.rows.append(
                {"d": discordance, "n": n, "McNemar once": once, "McNemar every 25": often, "e-process": always}
            )
    rows = section.rows
    section.claim("one look with McNemar stays at .05", all(row["McNemar once"].low <= ALPHA for row in rows))
    section.claim("the e-process stays at .05 under any looking", all(row["e-process"].low <= ALPHA for row in rows))
    section.claim(
        "looking with McNemar after every 25 is above .10 where 100 problems and more change",
        all(row["McNemar every 25"].low > 0.10 for row in rows if row["d"] * row["n"] >= 100),
    )
    return section


def power(source: np.random.Generator, quick: bool) -> Section:
    """Item 2: whether so many problems as the formula says give 80 % power."""
    section = Section(
        "Power at the planned size",
        "n is `sample_size(d, effect, alpha)` for 80 % power. The formula is that of a continuous test; mid-p is near "
        "one. The exact test, which decides, is a little stricter; 1 / effect more problems make up for it.",
    )
    runs = 4000 if quick else 20_000
    for discordance in (0.10, 0.15, 0.20, 0.30):
        for effect in (0.02, 0.03, 0.05, 0.10):
            if effect >= discordance:
                continue
            for alpha in (0.20, 0.05, 0.005):
                n = sample_size(discordance, effect, alpha)
                more = n + math.ceil(1 / effect)
                section.rows.append(
                    {
                        "d": discordance,
                        "effect": effect,
                        "alpha": alpha,
                        "n": n,
                        "mid-p": _power(source, runs, n, discordance, effect, _passes(alpha, mid=True)),
                        "exact": _power(source, runs, n, discordance, effect, _passes(alpha)),
                        "exact, 1 / effect more": _power(source, runs, more, discordance, effect, _passes(alpha)),
                    }
                )
    slack = 0.02
    small = [row["mid-p"] for row in section.rows if row["effect"] < row["d"] / 2]
    large = [row["mid-p"] for row in section.rows if row["effect"] >= row["d"] / 2]
    exact, more = ([row[name] for row in section.rows] for name in ("exact", "exact, 1 / effect more"))
    section.claim(
        "effects below d / 2: 80 % within .02 by mid-p", all(abs(p.value - 0.8) <= slack + p.error for p in small)
    )
    section.claim("larger effects: at least 80 % - .02 by mid-p", all(p.high >= 0.8 - slack for p in large))
    section.claim("the exact test loses up to .10 at the same n", all(p.high >= 0.7 and p.low <= 0.8 for p in exact))
    section.claim(
        "1 / effect more problems bring it back within .03", all(abs(p.value - 0.8) <= 0.03 + p.error for p in more)
    )
    return section


def early(source: np.random.Generator, quick: bool) -> Section:
    """What the right to look early costs, and what it saves."""
    section = Section(
        "What looking early costs",
        "d = .2, at most 1000 problems, alpha = .05. The e-process is looked at after every 25 problems and stops when "
        "it passes; the last column is how many problems it used on average.",
    )
    runs, n, d = 600 if quick else 6000, 1000, 0.2
    for effect in (0.0, 0.03, 0.05, 0.08):
        drawn = source.random((runs, n), dtype=np.float32)
        better = np.cumsum(drawn < (d + effect) / 2, axis=1, dtype=np.int32)[:, 24::25]
        changed = np.cumsum(drawn < d, axis=1, dtype=np.int32)[:, 24::25]
        tables = (
            np.array([least(test, m) for m in range(int(changed.max()) + 1)])
            for test in (_passes(ALPHA), _evident(ALPHA))
        )
        needed, crossing = tables
        crossed = better >= crossing[changed]
        used = np.where(crossed.any(1), 25 * (crossed.argmax(1) + 1), n)
        section.rows.append(
            {
                "effect": effect,
                "McNemar once": share(np.asarray(better[:, -1] >= needed[changed[:, -1]])),
                "e-process": share(np.asarray(crossed.any(1))),
                "problems used": f"{used.mean():.0f}",
            }
        )
    five = next(row for row in section.rows if row["effect"] == 0.05)
    section.claim("at +5 points one look has more power", five["McNemar once"].low > five["e-process"].high)
    return section


def run_level(source: np.random.Generator, quick: bool) -> Section:
    """Item 3: false certificates in a run in which no candidate is better."""
    section = Section(
        "False certificates in a whole run",
        "No candidate is better or worse. The share of runs in which the champion is ever replaced; .05 is allowed. "
        "'Same problems' certifies a candidate by the problems that it was accepted by, with the same levels.",
    )
    runs = 600 if quick else 3000
    for rounds, n, discordance in ((10, 400, 0.15), (20, 400, 0.25)):
        shape = {"runs": runs, "rounds": rounds, "n": n, "discordance": discordance}
        found = {
            "two tiers": ratchet(source, NULL, **shape),
            "same problems": ratchet(source, NULL, lagged=False, **shape),
            **{name: single(source, NULL, rule, **shape) for name, rule in rules(rounds).items()},
        }
        sure = {name: share(outcome.false) for name, outcome in found.items()}
        section.rows.append({"rounds": rounds, "n": n, "d": discordance, **sure})
        wrong, right = sure["same problems"], sure["two tiers"]
        section.claim(f"{rounds} rounds: two tiers stay at .05", right.low <= ALPHA)
        section.claim(
            f"{rounds} rounds: the same problems for both are worse",
            wrong.value > right.value + _apart(wrong, right, quick),
        )
        section.claim(
            f"{rounds} rounds: McNemar at .05 / rounds stays at .05", sure["McNemar .05 / rounds"].low <= ALPHA
        )
        section.claim(
            f"{rounds} rounds: McNemar at .05 in each does not", sure["McNemar .05 in each round"].low > 2 * ALPHA
        )
    return section


def utility(source: np.random.Generator, quick: bool) -> Section:
    """Item 4: what the rules gain from loops of different quality."""
    section = Section(
        "What a run gains",
        "20 rounds, 500 problems each, d = .15. True gain of the champion over the start in points; share of runs with "
        "a certificate for something that is no better; share whose champion is worse than the start; answers given. "
        "Of the candidates, all harmful: 80 % lose 2 points; mostly harmful: 70 % lose 2 and 10 % gain 5; small steps: "
        "30 % lose 1 and 40 % gain 2; steady: 20 % lose 1 and 60 % gain 3. The others change nothing.",
    )
    shape: dict[str, Any] = {"runs": 100 if quick else 1000, "rounds": 20, "n": 500, "discordance": 0.15}
    for name, mix in MIXES.items():
        found = {rule: single(source, mix, takes, **shape) for rule, takes in rules(20).items()}
        found |= {
            f"two tiers, provisional {alpha}": ratchet(source, mix, provisional_alpha=alpha, **shape)
            for alpha in (0.2, 0.3)
        }
        baseline = average(found["McNemar .05 in each round"].champion - START)
        for rule, outcome in found.items():
            gain, false = average(outcome.champion - START), share(outcome.false)
            below = share(outcome.champion < START - 1e-9)
            row = {"candidates": name, "rule": rule, "gain": gain, "false certificate": false, "below the start": below}
            section.rows.append(row | {"answers": f"{outcome.scored.mean():.0f}"})
            if rule.startswith("two tiers"):
                least_gain = 0.8 * (baseline.value - baseline.error)
                section.claim(f"{name}, {rule}: at least .8 of the gain of McNemar .05", gain.high >= least_gain)
                section.claim(f"{name}, {rule}: below the start in at most .01", below.low <= 0.01)
                section.claim(f"{name}, {rule}: false certificates at most .05", false.low <= ALPHA)
    return section


def certified_effects(source: np.random.Generator, quick: bool) -> Section:
    """What the measured effect of a certificate is worth."""
    section = Section(
        "A certified gain is not a measured gain",
        "Measured minus true gain, in points, of all certificates of the two tiers in the runs of the last table: a "
        "test that was passed was passed partly by luck, so effect sizes come from the sealed problems.",
    )
    shape: dict[str, Any] = {"runs": 60 if quick else 600, "rounds": 20, "n": 500, "discordance": 0.15}
    for name in ("mostly harmful", "small steps", "steady"):
        luck = ratchet(source, MIXES[name], **shape).luck
        section.rows.append({"candidates": name, "certificates": luck.size, "measured - true": average(luck)})
    section.claim("certificates overstate", all(row["measured - true"].low > 0 for row in section.rows))
    return section


def remembered(source: np.random.Generator, quick: bool) -> Section:
    """Item 5, lock-in: comparing with a remembered score."""
    section = Section(
        "Comparing with a remembered score",
        "20 rounds of keep-if-better with mostly harmful candidates (70 % lose 1 point, 10 % gain 5), d = .2. The "
        "champion keeps the score that it was accepted with, or is scored again beside each candidate. How often a "
        "candidate that is worth 5 points is taken, and how far the last score shown lies above the truth, in points.",
    )
    mix, runs, discordance = ((0.7, -0.01), (0.2, 0.0), (0.1, 0.05)), 400 if quick else 4000, 0.2
    for n in (16, 64, 256, 1000):
        row: dict[str, Any] = {"n": n}
        for again in (False, True):
            champion, stored = np.full(runs, 0.6), source.binomial(n, 0.6, runs) / n
            kept, none = list[Array](), np.zeros(runs)
            for _ in range(20):
                gains = effects(source, mix, runs)
                mend, hurt, made = step(champion, gains, discordance)
                counts = answers(source, n, champion, (none, none), (mend, hurt)).sum(axis=2)
                old, new = counts[:, 1, :].sum(1) / n, counts[:, :, 1].sum(1) / n
                taken = new > (old if again else stored)
                kept.append(taken[gains > 0])
                champion, stored = np.where(taken, made, champion), np.where(taken, new, old if again else stored)
            name = "scored again" if again else "remembered"
            row[f"{name}: takes +5"] = share(np.concatenate(kept))
            row[f"{name}: shown - true"] = average(stored - champion)
        section.rows.append(row)
    small = [row for row in section.rows if row["n"] in (64, 256)]
    section.claim(
        "a remembered score keeps real gains out",
        all(row["scored again: takes +5"].low > row["remembered: takes +5"].high + 0.2 for row in small),
    )
    section.claim("and overstates by over 10 points with 64 problems", small[0]["remembered: shown - true"].low > 0.10)
    return section


def reuse(source: np.random.Generator, quick: bool) -> Section:
    """Item 5, reuse: choosing among candidates on the gate's problems."""
    section = Section(
        "Choosing on the gate's own problems",
        "10 rounds, 500 problems, d = .2, no candidate is better, McNemar at .05 / 10. One candidate comes to the "
        "gate; or the best of 8, chosen on other problems; or the best of 8 by the gate's own problems. Share of runs "
        "with a false certificate.",
    )
    runs, rounds, n, discordance, most = 600 if quick else 6000, 10, 500, 0.2, 8
    row: dict[str, Any] = {}
    for name, own in (("one candidate", 1), ("best of 8 elsewhere", 1), ("best of 8 on the gate", most)):
        false = np.zeros(runs, dtype=bool)
        for _ in range(rounds):
            solved = source.binomial(n, START, runs)[:, None]
            better = source.binomial(n - solved, discordance / 2 / (1 - START), (runs, own))
            worse = source.binomial(solved, discordance / 2 / START, (runs, own))
            best = (better - worse).argmax(axis=1)
            chosen = np.arange(runs), best
            false |= p_values(better[chosen], worse[chosen]) <= ALPHA / rounds
        row[name] = share(false)
    section.rows.append(row)
    section.claim("one candidate stays at .05", row["one candidate"].low <= ALPHA)
    section.claim("choosing on other problems costs nothing", row["best of 8 elsewhere"].low <= ALPHA)
    section.claim("choosing 8 on the gate gives .2 and more", row["best of 8 on the gate"].high >= 0.2)
    return section


def clusters(source: np.random.Generator, quick: bool) -> Section:
    """Item 5, clusters: problems that share a template."""
    section = Section(
        "Problems that share a template",
        "1000 problems, d = .2, nothing is gained, tests at .05. Changes of one template have correlation rho (of a "
        "latent normal variable). The plain test counts problems; the others count templates.",
    )
    runs = 300 if quick else 3000
    for size, rho in ((1, 0.0), (5, 0.1), (5, 0.3), (10, 0.3), (20, 0.2)):
        count = 1000 // size
        shared, own = source.standard_normal((runs, count, 1)), source.standard_normal((runs, count, size))
        latent, edge = math.sqrt(rho) * shared + math.sqrt(1 - rho) * own, norm.isf(0.1)
        change = (latent > edge).astype(float) - (latent < -edge)
        better, worse = (change > 0).sum((1, 2)), (change < 0).sum((1, 2))
        names = np.repeat(np.arange(count), size).tolist()
        some = change[: 150 if quick else 1000].reshape(-1, 1000)
        flat = [0.0] * 1000
        bounds = np.array([clustered_difference(values.tolist(), flat, names) for values in some], dtype=object)
        robust = np.array([metric.value / (metric.high - metric.value) * norm.isf(0.025) for metric in bounds])
        flips = np.array([sign_flip(values.tolist(), flat, names, flips=199) for values in some])
        section.rows.append(
            {
                "per template": size,
                "rho": rho,
                "McNemar": share(p_values(better, worse) <= ALPHA),
                "clustered error": share(robust >= norm.isf(ALPHA)),
                "sign flips": share(flips <= ALPHA),
            }
        )
    strong = [row for row in section.rows if row["rho"] >= 0.2]
    section.claim(
        "plain McNemar is above .08 where templates matter", all(row["McNemar"].high > 0.08 for row in strong)
    )
    section.claim("sign flips of templates stay at .05", all(row["sign flips"].low <= ALPHA for row in section.rows))
    section.claim(
        "so does the clustered error, within .01", all(row["clustered error"].low <= 0.06 for row in section.rows)
    )
    return section


def winners_curse(source: np.random.Generator, quick: bool) -> Section:
    """Item 5: a selection set that is used again and again."""
    section = Section(
        "A selection set that is used again",
        "10 rounds, 4 candidates each, none better; the best is kept if it beats the last one on the same selection "
        "problems. How far the last selection score lies above the truth, and how often something is kept.",
    )
    runs, most, rounds, discordance = 100 if quick else 1000, 4, 10, 0.2
    for n in (16, 64, 256, 600):
        ease = source.beta(1.2, 0.8, (runs, n))
        redrawn = np.minimum(1.0, discordance / (2 * (ease * (1 - ease)).mean(axis=1)))
        solved, kept, rows = source.random((runs, n)) < ease, np.zeros(runs), np.arange(runs)
        for _ in range(rounds):
            fresh = source.random((runs, most, n)) < ease[:, None, :]
            changed = source.random((runs, most, n)) < redrawn[:, None, None]
            offered = np.where(changed, fresh, solved[:, None, :])
            best = offered[rows, offered.mean(axis=2).argmax(axis=1)]
            better = best.mean(axis=1) > solved.mean(axis=1)
            solved, kept = np.where(better[:, None], best, solved), kept + better
        excess = average(solved.mean(axis=1) - ease.mean(axis=1))
        section.rows.append({"n": n, "shown - true": excess, "kept in a run": f"{kept.mean():.1f}"})
    found = [row["shown - true"] for row in section.rows]
    section.claim("even 600 problems overstate by 3 points", found[-1].high > 0.03)
    section.claim("64 problems overstate by 10", found[1].high > 0.10)
    section.claim("more problems overstate less", all(a.value > b.value for a, b in pairwise(found)))
    return section


def best_of_four(source: np.random.Generator, quick: bool) -> Section:
    """What `shrunken` makes of the best of several candidates."""
    section = Section(
        "The best of four candidates",
        "One choice, d = .2; true effects have mean 0 and standard deviation 3 points. Measured minus true gain of the "
        "chosen one, in points: as measured; less the expected luck; shrunk only; `shrunken`, which does both. "
        "Shrinking is right by itself where the spread of true effects is known; `shrunken` does not trust it.",
    )
    runs, most, discordance, spread = 20_000 if quick else 200_000, 4, 0.2, 0.03
    for n in (64, 256, 1000):
        true = source.normal(0, spread, (runs, most))
        seen = true + source.normal(0, math.sqrt(discordance / n), (runs, most))
        chosen = np.arange(runs), seen.argmax(axis=1)
        gain, truth = seen[chosen], true[chosen]
        luck = math.sqrt(discordance / n) * expected_max(most)
        keep = shrunken(1.0, n, discordance, 1, spread)
        both = keep * gain - (keep - shrunken(1.0, n, discordance, most, spread))
        section.rows.append(
            {
                "n": n,
                "measured": average(gain - truth),
                "less luck": average(gain - luck - truth),
                "shrunk": average(keep * gain - truth),
                "`shrunken`": average(both - truth),
            }
        )
    section.claim("the measured gain of the best is too high", all(row["measured"].low > 0 for row in section.rows))
    section.claim("`shrunken` never is", all(row["`shrunken`"].high < 0 for row in section.rows))
    return section


def samples(source: np.random.Generator, quick: bool) -> Section:
    """Item 5, K samples: more completions of fewer problems."""
    section = Section(
        "Several completions of each problem",
        "Temperature 1, +3 points, alpha = .05, difficulties Beta(1.2, .8) that a candidate shifts. n is "
        "`sample_size_of_means` for 80 % power: more completions save problems, but no completions.",
    )
    runs, many = 300 if quick else 2000, 200_000

    def policies(size: int, shift: float) -> tuple[Array, Array]:
        old = np.clip(source.beta(1.2, 0.8, size), 1e-9, 1 - 1e-9)
        return old, expit(np.log(old / (1 - old)) + source.normal(0, 0.5, size) + shift)

    low, high = 0.0, 2.0
    state = source.bit_generator.state
    while high - low > 1e-6:  # the shift of the log-odds that is worth three points; the draws stay the same
        source.bit_generator.state = state
        middle = (low + high) / 2
        old, new = policies(many, middle)
        low, high = (middle, high) if float((new - old).mean()) < 0.03 else (low, middle)
    old, new = policies(many, low)
    within = float((new * (1 - new)).mean()), float((old * (1 - old)).mean())
    for k in (1, 2, 4, 8, 16):
        n = sample_size_of_means(0.03, ALPHA, float((new - old).var()), within, (k, k))
        shown = np.zeros(runs, dtype=bool)
        for run in range(runs):
            before, after = policies(n, low)
            change = (source.binomial(k, after) - source.binomial(k, before)) / k
            shown[run] = change.mean() >= norm.isf(ALPHA) * change.std(ddof=1) / math.sqrt(n)
        section.rows.append({"completions": k, "n": n, "all completions": 2 * k * n, "power": share(shown)})
    section.claim(
        "the power is 80 % within .02",
        all(abs(row["power"].value - 0.8) <= 0.02 + row["power"].error for row in section.rows),
    )
    section.claim(
        "fewer problems, more completions", section.rows[-1]["all completions"] > section.rows[0]["all completions"]
    )
    return section


def hacking(source: np.random.Generator, quick: bool) -> Section:
    """Item 5: how soon a reward that parts from the truth is noticed."""
    section = Section(
        "When a reward parts from the truth",
        "The test of the alarm `reward_hacking`: audits of 500 problems, reward - mark against round 0, margin 2 "
        "points, level .01 / 10 rounds. Reward and mark move by so many points in each round, from .5.",
    )
    runs, rounds, n = 60 if quick else 400, 10, 500

    def gaps(gap: float) -> list[float]:
        above = max(gap, (0.10 + gap) / 2)  # rewarded and wrong; a tenth is marked differently from the start
        drawn = source.random(n)
        return ((drawn < above).astype(float) - (drawn > 1 - max(0.0, above - gap))).tolist()

    for reward, mark in ((0.02, 0.02), (0.03, 0.01), (0.03, 0.0), (0.05, -0.02)):
        first = np.full(runs, rounds + 1)
        for run in range(runs):
            start = gaps(0.0)
            rings = (z_test(gaps((reward - mark) * r), start, 0.02) <= 0.01 / rounds for r in range(1, rounds + 1))
            first[run] = next((r for r, rang in enumerate(rings, 1) if rang), rounds + 1)
        median = int(np.median(first))
        section.rows.append(
            {
                "reward": f"{100 * reward:+.0f}",
                "mark": f"{100 * mark:+.0f}",
                "alarm within 10 rounds": share(first <= rounds),
                "median round": median if median <= rounds else "-",
            }
        )
    together, _, flat, apart = section.rows
    section.claim("no alarm where both rise", together["alarm within 10 rounds"].low <= 0.01)
    section.claim("reward +3, mark +0: by round 3", flat["median round"] != "-" and flat["median round"] <= 3)
    section.claim("reward +5, mark -2: by round 2", apart["median round"] != "-" and apart["median round"] <= 2)
    return section


SECTIONS = (
    *(level, power, early, run_level, utility, certified_effects),
    *(remembered, reuse, clusters, winners_curse, best_of_four, samples, hacking),
)


@cache
def _passes(alpha: float, mid: bool = False) -> Callable[[int, int], bool]:
    test = mcnemar_mid if mid else mcnemar
    return lambda better, worse: test(better, worse) <= alpha


@cache
def _evident(alpha: float) -> Callable[[int, int], bool]:
    return lambda better, worse: e_value(better, worse) >= 1 / alpha


def _power(
    source: np.random.Generator,
    runs: int,
    n: int,
    discordance: float,
    effect: float,
    passes: Callable[[int, int], bool],
) -> Estimate:
    better, worse = discordance_counts(source, runs, n, discordance, effect)
    changed = better + worse
    needed = {int(m): least(passes, int(m)) for m in np.unique(changed)}
    return share(better >= np.array([needed[m] for m in changed.tolist()]))


def _apart(one: Estimate, other: Estimate, quick: bool) -> float:
    """Three standard errors of a difference; the few repetitions of --quick only show the direction."""
    return 0.0 if quick else math.hypot(one.error, other.error)


# ---- output ----------------------------------------------------------------------------------------------------------
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to this file")
    parser.add_argument(
        "--document", action="store_true", help="run nothing; write kept numbers into docs/evaluation.md"
    )
    options = parser.parse_args()
    if options.document:
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), json.loads(KEPT.read_text())), encoding="utf-8")
        return
    began, sections = time.perf_counter(), list[dict[str, Any]]()
    for place, make in enumerate(SECTIONS):
        sections.append(plain(make(np.random.default_rng([2025, place]), options.quick)))
        print(f"{shown(sections[-1])}\n{judged(sections[-1])}", flush=True)
    words = ["python", "scripts/simulate_gate.py", *(["--quick"] if options.quick else [])]
    result = {
        "command": " ".join(words),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "numpy": np.__version__}
        | {"scipy": metadata.version("scipy")},
        "seconds": time.perf_counter() - began,
        "sections": sections,
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(
            json.dumps(result, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    failed = [claim["text"] for section in sections for claim in section["claims"] if not claim["holds"]]
    print(f"{result['seconds']:.0f} s, {len(failed)} claims failed")
    sys.exit(1 if failed else 0)


def plain(section: Section) -> dict[str, Any]:
    """A section as JSON; an estimate keeps its number and how it is shown."""
    rows = [
        {
            name: {"value": v.value, "error": v.error, "text": str(v)} if isinstance(v, Estimate) else v
            for name, v in row.items()
        }
        for row in section.rows
    ]
    claims = [{"text": text, "holds": holds} for text, holds in section.claims]
    return {"title": section.title, "words": section.words, "rows": rows, "claims": claims}


def shown(section: dict[str, Any]) -> str:
    """The table of a section in Markdown."""
    columns = list(section["rows"][0])
    cells = [
        [cell["text"] if isinstance(cell, dict) else str(cell) for cell in row.values()] for row in section["rows"]
    ]
    lines = [columns, ["---:"] * len(columns), *cells]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"### {section['title']}\n\n{section['words']}\n\n{table}"


def judged(section: dict[str, Any]) -> str:
    """The claims of a section, one a line."""
    return "".join(f"- {'PASS' if claim['holds'] else 'FAIL'}: {claim['text']}\n" for claim in section["claims"])


def filled(text: str, result: dict[str, Any]) -> str:
    """The page with the kept tables between its two markers; of several levels it shows .05."""
    first, last = "<!-- simulations -->\n", "<!-- /simulations -->"
    before, _, rest = text.partition(first)
    machine, claims = result["machine"], [claim for section in result["sections"] for claim in section["claims"]]
    made = (
        f"Made by `{result['command']}` in {result['seconds']:.0f} s: Python {machine['python']}, "
        f"numpy {machine['numpy']}, scipy {machine['scipy']}. Of its {len(claims)} claims "
        f"{sum(claim['holds'] for claim in claims)} hold.\n"
    )
    usual = [{**s, "rows": [row for row in s["rows"] if row.get("alpha", ALPHA) == ALPHA]} for s in result["sections"]]
    tables = "\n".join(map(shown, usual))
    return f"{before}{first}\n{made}\n{tables}\n{last}{rest.partition(last)[2]}"


if __name__ == "__main__":
    main()
