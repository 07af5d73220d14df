"""The stages of a run and what is true of each. Runner, history, verify and steps read this one table.

What a stage does stands in `steps.WORK`, under its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from selfimprove.recipe.legs import step_of


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One kind of step. The name is also that of its folder and, where `depends` is empty, of its key in a recipe."""

    name: str
    when: Literal["start", "always", "round", "end"]
    """The rounds that have it: round 0 only, all, all but round 0, or only the one that a run ends with."""
    depends: tuple[str, ...] = ()
    """The keys of the recipe that its result depends on, which its fingerprint holds."""
    recipe: Literal["round", "run", "first"] = "round"
    """Whose values of those keys count: the recipe in force in its round, which controllers and accepted changes
    change; the run's own, which never changes; or the one in force in round 1."""
    held_out: bool = False
    """It reads problems of held-out splits, and notes that in the ledger."""
    spends: bool = False
    """It spends alpha, and notes that in the ledger."""
    trains: bool = False
    """It trains a policy, for hours perhaps, so a training that was stopped goes on where it was."""
    each_part: bool = False
    """It is done once in each leg of a round, see `recipe/legs.py`: `acquisition.propose`, then `acquisition`."""


_EXAM = ("gate_problems", "probe_problems", "sealed_problems", "evaluation", "answer_tokens", "answer_calls")

TABLE = (
    Stage(name="model", when="start"),
    Stage(name="acquisition", when="round", depends=("acquisition", "reward", "task"), each_part=True),
    Stage(name="selection", when="round", each_part=True),
    Stage(name="optimization", when="round", trains=True, each_part=True),
    Stage(name="refinement", when="always"),
    Stage(name="evaluation", when="always", depends=_EXAM, recipe="run", held_out=True),
    Stage(
        name="audit",
        when="always",
        depends=("alarm", "reward", "audit_problems", "audit_samples"),
        recipe="run",
        held_out=True,
    ),
    Stage(name="gate", when="round", depends=("gate", "rounds"), recipe="run", spends=True),
    Stage(name="controller", when="round"),
    Stage(name="confirmation", when="end", depends=(*_EXAM, "gate"), recipe="run", held_out=True, spends=True),
    Stage(name="null", when="end", depends=("selection", "optimization"), recipe="first", trains=True),
    Stage(
        name="sealed",
        when="end",
        depends=(*_EXAM, "control_problems", "control_samples", "null_round"),
        recipe="run",
        held_out=True,
    ),
)
"""All stages, in the order of a round."""
NAMED = {stage.name: stage for stage in TABLE}

_START = tuple(stage.name for stage in TABLE if stage.when in ("start", "always"))
_ROUND = tuple(stage.name for stage in TABLE if stage.when in ("round", "always"))
END = tuple(stage.name for stage in TABLE if stage.when == "end")
"""The names of the stages that come after the last round; each that there is builds on the round, not on another."""


def of_round(number: int, legs: Sequence[str] = ()) -> tuple[str, ...]:
    """The names of the steps of a round, in order; those of `END` are not among them.

    Args:
        legs: the names of the legs before the last one.
    """
    if not number:
        return _START
    each = [name for name in _ROUND if NAMED[name].each_part]
    return (*(step_of(name, leg) for leg in legs for name in each), *_ROUND)


def stage_of(step: str) -> Stage:
    """The stage of a step: of `acquisition.propose` it is acquisition."""
    return NAMED[step.partition(".")[0]]
