"""The table of the stages of a run and their properties, used by runner, history, verify and steps.

`steps.WORK` has the function of each stage, under its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from selfimprove.recipe.legs import step_of


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One kind of step. Its name is also that of its folder and, if `depends` is empty, of its key in a recipe."""

    name: str
    when: Literal["start", "always", "round", "end"]
    """The rounds with this stage: round 0, all, all except round 0, or the last."""
    depends: tuple[str, ...] = ()
    """The keys of the recipe that its result depends on; its fingerprint covers them."""
    also: tuple[str, ...] = ()
    """Further keys that its result depends on where they name a method; a recipe without one has the fingerprint that
    it had before the key existed."""
    recipe: Literal["round", "run", "first"] = "round"
    """The recipe that gives the values of those keys: that of its round, which controllers and accepted changes may
    change; the run's own, which never changes; or that of round 1."""
    held_out: bool = False
    """It reads problems of held-out splits, and the ledger records this."""
    spends: bool = False
    """It spends alpha, and the ledger records this."""
    trains: bool = False
    """It trains a policy, which may take hours, so stopped training continues from a checkpoint."""
    each_part: bool = False
    """It runs once in each leg of a round, see `recipe/legs.py`: `acquisition.propose`, then `acquisition`."""


_EXAM = ("gate_problems", "probe_problems", "sealed_problems", "evaluation", "answer_tokens", "answer_calls")

TABLE = (
    Stage(name="model", when="start"),
    Stage(name="acquisition", when="round", depends=("acquisition", "reward", "task"), each_part=True),
    Stage(name="selection", when="round", each_part=True),
    Stage(name="optimization", when="round", also=("sampler",), trains=True, each_part=True),
    Stage(name="refinement", when="always"),
    Stage(name="evaluation", when="always", depends=_EXAM, recipe="run", held_out=True),
    Stage(
        name="audit",
        when="always",
        depends=("alarm", "reward", "audit_problems", "audit_samples", "variant_problems"),
        recipe="run",
        held_out=True,
    ),
    Stage(name="gate", when="round", depends=("gate", "rounds"), recipe="run", spends=True),
    Stage(name="controller", when="round"),
    Stage(name="confirmation", when="end", depends=(*_EXAM, "gate"), recipe="run", held_out=True, spends=True),
    Stage(
        name="null",
        when="end",
        depends=("selection", "optimization"),
        also=("sampler",),
        recipe="first",
        trains=True,
    ),
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
"""The names of the stages after the last round; each builds on the round, not on another of these stages."""


def of_round(number: int, legs: Sequence[str] = ()) -> tuple[str, ...]:
    """The names of the steps of a round in order, without those of `END`.

    Args:
        legs: the names of the legs before the last one.
    """
    if not number:
        return _START
    each = [name for name in _ROUND if NAMED[name].each_part]
    return (*(step_of(name, leg) for leg in legs for name in each), *_ROUND)


def stage_of(step: str) -> Stage:
    """The stage of a step: for `acquisition.propose` it is acquisition."""
    return NAMED[step.partition(".")[0]]
