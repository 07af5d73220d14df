"""Which samples of which round somebody wants to see."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from selfimprove.errors import MissingError, RecipeError
from selfimprove.loop import shapes
from selfimprove.loop.origin import began
from selfimprove.records import Rollout
from selfimprove.report.lines import last_lines
from selfimprove.report.samples.audited import audited
from selfimprove.report.samples.drawn import Answer, Drawn, Rule, drawn
from selfimprove.report.samples.pairs import GROUPS, Compared, Pair, compared
from selfimprove.report.samples.rule import rule_of
from selfimprove.report.samples.spoken import asked, said
from selfimprove.store.run_folder import RunDir
from selfimprove.store.shape import read

SOURCES = (*GROUPS, "trained", "audit")
"""What can be shown: the groups of a decision, the samples of a round, and after the exam those of its audit."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to show of a round."""

    source: str = ""
    """One of `SOURCES`; "" takes `lost` if the candidate was refused and lost anything, else `gained`."""
    round: int | None = None
    """None takes the last round that is decided."""
    most: int | None = 5
    """Problems; None means all."""
    grep: str = ""
    """A pattern that the problem or a completion has; upper and lower case count."""
    problem: str = ""
    """The key of a problem, or a part of its text."""
    kept: bool | None = None
    """Of samples: only problems with some that were kept, or only those that were dropped."""
    truncated: bool = False
    """Only completions that were cut off at the length limit."""
    low: float | None = None
    high: float | None = None
    """Of samples: the least and the greatest reward."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The samples of a round."""

    round: int
    rounds: int
    """The last round that is decided."""
    source: str
    counts: Compared | None
    """The problems of the decision by group; None if there was none."""
    pairs: list[Pair]
    drawn: list[Drawn]
    rule: Rule
    more: bool
    """Whether there are more of them."""


def find(root: Path, wanted: Wanted) -> Found:
    """The wanted samples of a run, of the first problems in the order of the files.

    Raises:
        MissingError: the run has no decided round, or not this one.
        RecipeError: a pattern cannot be used, or audit problems are asked for before the exam.
        DataError: a file is damaged.
    """
    run = RunDir.open(root)
    lines = last_lines(run, 1)
    last = lines[-1]["round"] if lines else 0
    if not last:
        raise MissingError(f"{root} has no finished round yet; see how far it is: selfimprove status {root}")
    number = last if wanted.round is None else wanted.round
    if not 1 <= number <= last:
        raise MissingError(f"round {number} of {root} is not finished; it has rounds 1 to {last}")
    counts = compared(run, number)
    source = wanted.source or _default(run, number, counts)
    fits, rule = _filter(wanted), rule_of(began(run)["settings"])
    pairs, samples = list[Pair](), list[Drawn]()
    most = None if wanted.most is None else wanted.most + 1
    if source in GROUPS:
        if counts is None:
            raise MissingError(f"round {number} of {root} compared no scores; try --trained")
        plain = not (wanted.grep or wanted.problem or wanted.truncated)
        found = counts.pairs(source, most if plain else None)
        pairs = list(islice((one for one in found if any(map(fits, (one.champion, one.candidate)))), most))
    else:
        groups = audited(run, number) if source == "audit" else drawn(run, number)
        samples = list(islice(_only(groups, wanted), most))
    more = wanted.most is not None and max(len(pairs), len(samples)) > wanted.most
    return Found(
        round=number,
        rounds=last,
        source=source,
        counts=counts,
        pairs=pairs[: wanted.most],
        drawn=samples[: wanted.most],
        rule=rule,
        more=more,
    )


def _default(run: RunDir, number: int, counts: Compared | None) -> str:
    if counts is None:
        return "trained"
    decision = read(run.step(number, "gate") / "decision.json", shapes.DECISION)
    refused = decision["verdict"] in ("reject", "rollback", "hold")
    return "lost" if refused and counts.keys["lost"] else "gained"


def _only(groups: Iterator[Drawn], wanted: Wanted) -> Iterator[Drawn]:
    fits = _filter(wanted)

    def fitting(answer: Answer) -> bool:
        reward = answer.rollout.reward
        low = wanted.low is None or (reward is not None and reward >= wanted.low)
        high = wanted.high is None or (reward is not None and reward <= wanted.high)
        return low and high and fits(answer.rollout) and (wanted.kept is not False or not answer.use)

    for group in groups:
        if wanted.kept and not group.kept:
            continue
        narrow = wanted.truncated or wanted.low is not None or wanted.high is not None or wanted.kept is False
        answers = [answer for answer in group.answers if fitting(answer)]
        if answers:
            yield Drawn(problem=group.problem, answers=answers if narrow else group.answers)


def _filter(wanted: Wanted) -> Callable[[Rollout], bool]:
    try:
        pattern = re.compile(wanted.grep)
    except re.error as error:
        raise RecipeError(f"--grep {wanted.grep!r} is no pattern: {error}") from error

    def fits(rollout: Rollout) -> bool:
        text = asked(rollout.prompt.prompt)
        named = not wanted.problem or rollout.prompt.key == wanted.problem or wanted.problem in text
        found = not wanted.grep or pattern.search(text) or pattern.search(said(rollout.completion))
        return bool(named and found and (not wanted.truncated or rollout.truncated))

    return fits
