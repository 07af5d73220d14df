"""Whose model is champion, and whose is on trial, in each round: from the decisions alone, as `Stored.standing`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from selfimprove.loop import shapes, standing
from selfimprove.loop.origin import began
from selfimprove.store.ledger import Ledger
from selfimprove.store.run_folder import RunDir
from selfimprove.store.shape import read


@dataclass(frozen=True)
class Makers:
    """The rounds that made the models of a round; 0 is the start, None is not known."""

    champion: int | None = 0
    trial: int | None = 0
    """The model that training goes on from; the champion itself if nothing is ahead of it."""


def makers(
    lines: Iterable[dict[str, Any]], last_tests: Mapping[int, dict[str, Any]] | None = None
) -> Iterator[tuple[dict[str, Any], Makers]]:
    """The lines of rounds with the makers at the start of each round.

    Args:
        lines: consecutive rounds; if the first is not round 0 or 1, what it began with is not known.
        last_tests: the effective decision of the test after a round, by round.
    """
    now: Makers | None = None
    for line in lines:
        if now is None:
            now = Makers() if line["round"] <= 1 else Makers(None, None)
        yield line, now
        for decision in (line.get("decision"), (last_tests or {}).get(line["round"])):
            if decision:
                now = after(now, decision, line["round"])


def after(now: Makers, decision: Mapping[str, Any], number: int) -> Makers:
    """The makers after a decision on the candidate of round `number`."""
    certified = bool(decision.get("certified"))
    return Makers(*standing.after(now.champion, now.trial, decision["verdict"], certified, number))


def named(maker: int | None) -> str:
    """A model in words: `start`, `round 3`."""
    return "the model on trial" if maker is None else "start" if maker == 0 else f"round {maker}"


def last_tests(run: RunDir) -> dict[int, dict[str, Any]]:
    """The effective decisions of the tests after a last round, by round; one that nobody has approved holds nothing.

    Raises:
        DataError: a file is damaged.
    """
    settings = began(run)["settings"]
    level = settings.get("autonomy", 3)
    entries = Ledger(run.root / "ledger.jsonl").entries(repair=False) if level == 1 else ()
    approved = {entry["round"] for entry in entries if entry.get("approved") and entry["step"] == "confirmation"}
    found = dict[int, dict[str, Any]]()
    for path in run.root.glob("round_*/confirmation/decision.json"):
        number = int(path.parent.parent.name.removeprefix("round_"))
        said = read(path, shapes.DECISION)
        holds = level >= 2 or number in approved
        found[number] = said if holds else {**said, "verdict": "hold", "certified": False}
    return found
