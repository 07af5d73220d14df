"""How many rounds a run goes to: as many as its recipe says, or as `resume --rounds` or `--add` said last.

The ledger has what was said, with the round from which on it holds. So it survives a stop, and a round that is decided
again knows what was planned when it was decided first.
"""

from __future__ import annotations

from pathlib import Path

from selfimprove import foreign
from selfimprove.errors import DataError, RecipeError, StoppedError
from selfimprove.loop.history import Stored


def target(stored: Stored, number: int) -> int:
    """How many rounds were planned when round `number` was decided; at least that many."""
    said = [one["rounds"] for one in stored.ledger.plans() if one["round"] <= number]
    return max(said[-1] if said else stored.recipe.rounds, number)


def settle(stored: Stored, rounds: int | None, add: int | None) -> tuple[int, str]:
    """How many rounds to go to, and a line about it if a person has just changed that.

    Args:
        rounds: how many in all; None leaves what was planned.
        add: how many more than planned; None means none. Said again before the run got there, it adds no more.

    Raises:
        RecipeError: fewer rounds than have begun, less than one more, or both are given.
        StoppedError: a rule has ended the run, and would end it there again.
    """
    root, said = stored.folder.root, stored.ledger.plans()
    begun, decided = last_round(root, "*"), last_round(root, "gate")
    planned = said[-1]["rounds"] if said else max(stored.recipe.rounds, begun)
    if rounds is not None and add is not None:
        raise RecipeError("--rounds says how many rounds in all, --add how many more; give one of them")
    if add is not None:
        if add < 1:
            raise RecipeError(f"--add {add} adds nothing; it must be at least 1")
        again = bool(said) and said[-1].get("added") == add and decided < planned
        rounds = planned if again else planned + add
    if rounds is None or rounds == planned:
        return planned, ""
    if rounds > begun and (reason := _ended(root)):
        raise StoppedError(f"a rule has ended {root}: {reason}. More rounds would end there too; start a new run")
    if rounds < begun:
        state = "is done" if begun == decided else "has begun"
        raise RecipeError(
            f"--rounds {rounds} is too few: round {begun} of {root} {state}, and nothing that is done is taken back. "
            f"For more rounds: selfimprove resume {root} --rounds {max(begun, planned) + 1}, or --add 1. What it has: "
            f"selfimprove report {root}"
        )
    stored.ledger.plan(decided + 1, rounds, add)
    return rounds, _told(stored, decided, rounds) if rounds > decided else ""


def finished_rounds(stored: Stored) -> int:
    """How many rounds have all their steps, from round 0 on."""
    number = 0
    while set(stored.steps(number)) <= stored.folder.finished(number):
        number += 1
    return number


def _told(stored: Stored, decided: int, rounds: int) -> str:
    """What the rounds to come can certify with."""
    gate = stored.recipe.the("gate")
    alpha, left = gate.error_rate(), gate.left(stored.history(decided + 1)) if decided else None
    goes = f"the run goes to round {rounds}"
    if alpha is None or left is None:
        return goes
    if left > 0:
        return f"{goes}; {left:.3g} of alpha {alpha:g} is left for the tests to come"
    return (
        f"{goes}, but nothing can be certified in the rounds to come: tests that certified nothing spent all of alpha "
        f"{alpha:g}. They train and measure, the champion stays. To certify more, start a new run with more rounds: "
        f"selfimprove run {stored.environment.get('recipe', 'RECIPE')} rounds={rounds}"
    )


def _ended(root: Path) -> str:
    """Why a rule ended the run before its last round, as its summary has it; "" if none did."""
    try:
        return str(foreign.json_in(root / "summary.json")["stopped"])
    except (OSError, DataError, LookupError, TypeError):
        return ""


def last_round(root: Path, step: str) -> int:
    """The last round of a run that has a finished step of this name, or any for `*`; 0 for none."""
    rounds = [path.parent.name for path in root.glob(f"round_*/{step}") if not path.name.startswith(".")]
    return max((int(name.removeprefix("round_")) for name in rounds), default=0)
