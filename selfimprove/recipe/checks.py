"""Whether the parts of a recipe fit, before anything is built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selfimprove import registry
from selfimprove.bounds import bounds_of
from selfimprove.errors import DeviceError, RecipeError
from selfimprove.interfaces import (
    ROLES,
    Acquisition,
    Evaluation,
    Judging,
    Reward,
    Selection,
)
from selfimprove.measures.judge_reliability import FEWEST, MIXED
from selfimprove.recipe import option_values
from selfimprove.recipe.schema import ONE, SOME, Recipe, Settings
from selfimprove.records import Checkpoint, Record
from selfimprove.registry import Find, nearest


def preflight(recipe: Recipe, elsewhere: bool = False) -> list[str]:
    """Look for what a recipe needs before anything is built; remarks that a user should see.

    Args:
        elsewhere: whether another machine may run it; a device that is not here is a remark then.

    Raises:
        UserError: something is not there, or cannot be used.
    """
    _check_together(recipe)
    launcher, remarks = recipe.the("launcher"), list[str]()
    looked = [launcher, *recipe.engine.values(), recipe.the("model"), recipe.the("task"), *recipe.optimization.values()]
    for method in looked:
        try:
            remarks += method.preflight()
        except DeviceError as error:
            if not (elsewhere or launcher.elsewhere):
                raise
            remarks.append(f"not on this machine: {error}")
    return remarks


def _check_together(recipe: Recipe) -> None:
    """Several processes that train together need methods that share the work; GPUs are counted where it matters."""
    alone = [name for name, method in recipe.optimization.items() if method.alone]
    if alone and (size := recipe.the("launcher").together()) > 1:
        [launcher] = recipe.launcher
        raise RecipeError(
            f"optimization.{alone[0]} trains in one process, and launcher.{launcher} starts {size}; "
            f"set launcher.{launcher}.processes=1, or launcher=process"
        )


def check_flow(recipe: Recipe) -> None:
    """Each method must be given the kind of record that it consumes.

    Raises:
        RecipeError: two neighbours do not fit; the message says what would fit between them.
    """
    giver, kind = "the start of the chain", None
    for slot in ("acquisition", "selection", "optimization"):
        for name, method in getattr(recipe, slot).items():
            if method.consumes not in (kind, Record):
                registry.discover()
                bridges = sorted(
                    entry.name
                    for entry in registry.METHODS.values()
                    if issubclass(entry.method, Acquisition | Selection)
                    and entry.method.consumes in (kind, Record)
                    and entry.method.produces is method.consumes
                )
                hint = f" Between them fits: {', '.join(bridges)}" if bridges else ""
                raise RecipeError(
                    f"{giver} gives {_kind(kind)}, but {slot} {name!r} takes {_kind(method.consumes)}.{hint}"
                )
            giver = f"{slot} {name!r}"
            made = Checkpoint if slot == "optimization" else method.produces
            kind = kind if made is Record else made


def _kind(kind: Any) -> str:
    if kind in (None, Checkpoint):
        return "a checkpoint" if kind else "nothing"
    return f"{kind.__name__} records" if isinstance(kind, type) else "any records"


def _methods(values: Settings, method: Find) -> Iterator[tuple[str, type, dict[str, Any]]]:
    """The methods that values are given for, with their place: ("task.jsonl.", JsonlTask, {...})."""
    for slot in registry.SLOTS:
        for name, options in values.get(slot, {}).items():
            yield f"{slot}.{name}.", method(slot, name).method, options


def check_types(body: dict[str, Any], path: Path, method: Find = registry.find) -> None:
    """Refuse values of the wrong type, all in one message."""
    plain = {key: value for key, value in body.items() if key not in registry.SLOTS}
    faults = option_values.check_types(plain, Recipe)
    for where, kind, options in _methods(body, method):
        faults += option_values.check_types(options, kind, where)
    option_values.refuse(faults, path)


def check_ranges(settings: Settings, path: Path, method: Find = registry.find) -> None:
    """Refuse values outside the range of their option, all in one message."""
    faults = option_values.check_ranges(settings, bounds_of(Recipe))
    for where, kind, options in _methods(settings, method):
        faults += option_values.check_ranges(options, bounds_of(kind), where)
    option_values.refuse(faults, path)


def check_judges(recipe: Recipe, path: Path) -> None:
    """A judge that selects data must have an audit that it can pass."""
    for name, reward in recipe.reward.items():
        asked = isinstance(reward, Judging) and reward.weight and not reward.trust
        few = recipe.audit_problems * recipe.audit_samples < 2 * FEWEST or recipe.audit_problems < MIXED
        if asked and (few or recipe.audit_samples < 2):
            raise RecipeError(
                f"{path}: reward {name!r} must pass an audit form before it selects data, and {recipe.audit_problems} "
                f"problems of {recipe.audit_samples} samples cannot show it; audit_problems=100 audit_samples=8 can"
            )


def check_engines(recipe: Recipe, path: Path) -> None:
    """One engine runs the weights; each other one has roles, and a method that asks in them."""
    own = [name for name, engine in recipe.engine.items() if not engine.roles]
    if len(own) != 1:
        some = f"{len(own)} of {len(recipe.engine)} engines have no roles"
        raise RecipeError(
            f"{path}: one engine runs the weights, and {some}; say which roles the others answer in, "
            "for example engine.openai.roles=[judge]"
        )
    methods = [*recipe.acquisition.items(), *recipe.reward.items(), *recipe.evaluation.items()]
    asked = {role: name for name, method in methods for role in method.asks}
    taken: dict[str, str] = {}
    for name, engine in recipe.engine.items():
        for role in engine.roles:
            if role not in ROLES:
                raise RecipeError(f"{path}: engine.{name}.roles: no role is called {role!r}.{nearest(role, ROLES)}")
            if role in taken:
                raise RecipeError(f"{path}: the role {role!r} is given to two engines, {taken[role]} and {name}")
            if role not in asked:
                askers = sorted({entry.name for entry in _asking(role)})
                raise RecipeError(
                    f"{path}: engine.{name}.roles: no method of this recipe asks in the role {role!r}; "
                    f"those that do: {', '.join(askers)}"
                )
            taken[role] = name


def check_parts(recipe: Recipe, path: Path) -> None:
    """A part of the weights is for a role that no other engine has, and that the data stages ask in."""
    methods = [*recipe.acquisition.items(), *recipe.reward.items(), *recipe.evaluation.items()]
    asked = {role for _, method in methods for role in method.asks}
    for role in recipe.parts or ():
        if role not in ROLES:
            raise RecipeError(f"{path}: parts: no role is called {role!r}.{nearest(role, ROLES)}")
        if role in recipe.helpers:
            raise RecipeError(f"{path}: parts: another engine answers in the role {role!r}; give it to one of them")
        if role not in asked:
            raise RecipeError(f"{path}: parts: no method of this recipe asks in the role {role!r}")
        if recipe.parts and recipe.parts.count(role) > 1:
            raise RecipeError(f"{path}: parts names {role!r} twice")


def _asking(role: str) -> list[registry.Entry]:
    registry.discover()
    askers = (Acquisition, Reward, Evaluation)
    kinds = [(entry, entry.method) for entry in registry.METHODS.values()]
    return [entry for entry, kind in kinds if issubclass(kind, askers) and role in kind.asks]


def check_counts(recipe: Recipe, path: Path) -> None:
    """Refuse a slot with too few or too many methods."""
    for slot in registry.SLOTS:
        count = len(getattr(recipe, slot))
        if slot in ONE and count != 1:
            raise RecipeError(f"{path}: {slot} takes one method, {count} are named.{nearest('', registry.names(slot))}")
        if slot in SOME and count == 0:
            raise RecipeError(f"{path}: {slot} names no method.{nearest('', registry.names(slot))}")
