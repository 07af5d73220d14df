"""Samples as lines for the terminal: champion above candidate, or all that was drawn for a problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from selfimprove.records import Prompt, Rollout
from selfimprove.report.makers import named
from selfimprove.report.samples.drawn import Answer, Drawn
from selfimprove.report.samples.pairs import GROUPS, Pair
from selfimprove.report.samples.spoken import asked, fork, said, shortened
from selfimprove.report.samples.wanted import Found

WIDE = 100
"""Columns of a line; a mark below a place beyond them says the place in words."""
NAMES = {"gained": "gained", "lost": "lost", "wrong": "both wrong", "right": "both right"}


def lines(found: Found, champion: int | None, full: bool = False) -> Iterator[str]:
    """What `selfimprove samples RUN` prints.

    Args:
        champion: the round that made the champion of this decision; None if it is not known.
        full: nothing is shortened.
    """
    cut = str if full else shortened
    if found.source in GROUPS:
        counts = found.counts.keys if found.counts else {}
        n = sum(map(len, counts.values()))
        yield (
            f"round {found.round}: champion ({named(champion)}) and candidate (round {found.round}) on the same {n} "
            "new problems"
        )
        yield "   ".join(f"{NAMES[group]} {len(keys)}" for group, keys in counts.items())
        of = len(counts.get(found.source, ()))
        for place, pair in enumerate(found.pairs, 1):
            yield ""
            yield from _pair(pair, f"{NAMES[found.source]} {place} of {of}", cut)
        yield ""
        yield "Each of these problems was used for one decision; with a finite data file another run can draw it again."
    else:
        yield f"round {found.round}: {_what(found)}"
        for group in found.drawn:
            yield ""
            yield from _drawn(group, found, cut)
        yield ""
    kinds = "--gained, --lost, --wrong, --right, --trained, --audit"
    rounds = "--round 1" if found.rounds == 1 else f"--round 1..{found.rounds}"
    yield f"more: -n 20, {kinds}, {rounds}, --grep TEXT, --json"


def _what(found: Found) -> str:
    if found.source == "audit":
        return "audit problems, which the alarms read; the exam is over, so they can be shown"
    return "samples that the round drew for training, and which of them it kept"


def _of(problem: Prompt) -> str:
    answer = "" if problem.answer is None else f"   answer {problem.answer}"
    level = f"   level {problem.info['level']}" if "level" in problem.info else ""
    return shortened(answer) + level


def _pair(pair: Pair, place: str, cut: Callable[[str], str]) -> Iterator[str]:
    question = cut(asked(pair.problem.prompt)).split("\n")
    yield f"{place}   {question[0]}{_of(pair.problem) if len(question) == 1 else ''}"
    if len(question) > 1:
        yield from (f"  {line}" for line in question[1:])
        yield f"  {_of(pair.problem).strip()}"
    texts = [said(one.completion) for one in (pair.champion, pair.candidate)]
    solved = GROUPS[pair.group]
    for who, text, right, rollout in zip(
        ("champion", "candidate"), texts, solved, (pair.champion, pair.candidate), strict=True
    ):
        yield from _said(who, cut(text), ("right" if right else "wrong") + _ended(rollout))
    where = fork(*texts)
    if texts[0] == texts[1]:
        yield "             the same"
    elif "\n" in texts[0] + texts[1] or 13 + where > WIDE - 18:
        line = texts[0][:where].count("\n")
        yield (
            f"             differ from line {line + 1} on"
            if line
            else f"             differ from character {where + 1} on"
        )
    else:
        yield " " * (13 + where) + "^ differ from here"


def _said(who: str, text: str, mark: str) -> Iterator[str]:
    first, *others = text.split("\n")
    yield f"  {who:<11}{first}" + (f"   {mark}" if not others else "")
    yield from (f"             {line}" for line in others)
    if others:
        yield f"             -> {mark}"


def _ended(rollout: Rollout) -> str:
    return ", cut off" if rollout.truncated else ""


def _drawn(group: Drawn, found: Found, cut: Callable[[str], str]) -> Iterator[str]:
    yield from f"{cut(asked(group.problem.prompt))}{_of(group.problem)}".split("\n")
    wide = min(48, max(len(answer.text.split("\n")[0]) for answer in group.answers))
    for answer in group.answers:
        first, *others = cut(answer.text).split("\n")
        yield f"  x{answer.times:<3} {first:<{wide}}  {done_with(answer, found)}"
        yield from (f"       {line}" for line in others)


def done_with(answer: Answer, found: Found) -> str:
    """What was done with a completion, and whether that fits the task's own rule."""
    right = found.rule(answer.rollout) if found.source != "audit" else _truth(answer.rollout)
    reward = answer.rollout.reward
    told = answer.use or ("no reward" if reward is None else f"reward {reward:g}")
    if answer.use in ("kept", "chosen"):
        return told + (", BUT WRONG" if right is False else "") + _ended(answer.rollout)
    if found.source == "audit":
        return told + {True: ", right", False: ", wrong", None: ""}[right] + _ended(answer.rollout)
    return (
        told + (", though right" if right and answer.use != "rejected" and not reward else "") + _ended(answer.rollout)
    )


def _truth(rollout: Rollout) -> bool | None:
    mark = rollout.info.get("truth")
    return mark > 0.5 if isinstance(mark, int | float) else None
