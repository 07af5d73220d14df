"""Checks that the parts of a recipe fit, before anything is built."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from importlib.metadata import requires
from pathlib import Path
from typing import Any, get_args

from selfimprove import registry
from selfimprove.bounds import bounds_of
from selfimprove.errors import DeviceError, EngineError, RecipeError, UserError
from selfimprove.interfaces import ROLES, Acquisition, Judging, Selection
from selfimprove.measures.judge_reliability import FEWEST, MIXED
from selfimprove.needs import OTHERS, Needs
from selfimprove.recipe import option_values
from selfimprove.recipe.legs import legs_of
from selfimprove.recipe.schema import FEW, ONE, SOME, Recipe, Settings
from selfimprove.recipe.thoughts import unclosed
from selfimprove.records import SOLVE, Checkpoint, Record
from selfimprove.registry import Find, nearest

USING = ("acquisition", "reward", "selection", "sampler", "optimization", "refinement", "evaluation")
"""Slots whose methods may use engines; they declare this in `needs`."""
DRAWING = ("stop", "tops", "pattern", "shape")
"""Abilities used by requests for completions; the engine of the request's role must have them."""


def preflight(recipe: Recipe, elsewhere: bool = False) -> list[str]:
    """Check before anything is built that everything a recipe needs is available; returns notes for the user.

    Args:
        elsewhere: another machine may run the recipe, so a missing device is only a note.

    Raises:
        UserError: something is missing or cannot be used.
    """
    _check_together(recipe)
    check_needs(recipe)
    launcher, remarks = recipe.the("launcher"), list[str]()
    looked = [launcher, *recipe.engine.values(), recipe.the("model"), recipe.the("task"), *recipe.acquisition.values()]
    looked += [*recipe.optimization.values(), recipe.the("tracker")]
    for method in looked:
        try:
            remarks += method.preflight()
        except DeviceError as error:
            if not (elsewhere or launcher.elsewhere):
                raise
            remarks.append(f"not on this machine: {error}")
    recipe.the("model").suits(recipe.the("task"))
    return remarks + unclosed(recipe)


def _check_together(recipe: Recipe) -> None:
    """Check that the training methods support the launcher's number of processes, and that there are enough GPUs."""
    methods = [(slot, *pair) for slot in ("optimization", "sampler") for pair in getattr(recipe, slot).items()]
    alone = [f"{slot}.{name}" for slot, name, method in methods if method.needs().one_process]
    if alone and (size := recipe.the("launcher").together()) > 1:
        [launcher] = recipe.launcher
        raise RecipeError(
            f"{alone[0]} trains in one process, and launcher.{launcher} starts {size}; "
            f"set launcher.{launcher}.processes=1, or launcher=process"
        )


def check_needs(recipe: Recipe) -> None:
    """Check that engines and packages have what the methods declare in `needs`.

    Raises:
        EngineError: something is missing.
    """
    [own] = (name for name, engine in recipe.engine.items() if not engine.roles)
    for slot in USING:
        for name, method in getattr(recipe, slot).items():
            needs = method.needs()
            for policy in needs.policies:
                if policy not in OTHERS:
                    raise RecipeError(
                        f"{slot}.{name} draws from {policy!r}, and a run has no such policy; it has {', '.join(OTHERS)}"
                    )
            _check_tools(recipe, f"{slot}.{name}", needs)
            others = {name for name, engine in recipe.engine.items() if set(engine.roles) & set(needs.roles)}
            for engine in (own, *sorted(others)):
                lacks = needs.missing(recipe.engine[engine].can)
                lacks = [one for one in lacks if engine == own or one in DRAWING]
                if lacks:
                    raise EngineError(
                        f"{slot}.{name} needs {' and '.join(lacks)} of its engine, and engine.{engine} has no "
                        f"{lacks[0]}; engines that have: {', '.join(_able(lacks)) or 'none'}"
                    )
            for package in needs.not_installed():
                raise EngineError(
                    f"{slot}.{name} needs the package {package}, which is not installed: pip install {_wanted(package)}"
                )


def _check_tools(recipe: Recipe, method: str, needs: Needs) -> None:
    """Check that the problems of the task have the tools that a method calls; else raise RecipeError."""
    [(task, offering)] = ((name, one.offers()) for name, one in recipe.task.items())
    for tool in needs.tools:
        if tool not in offering:
            raise RecipeError(
                f"{method} calls the tool {tool!r}, and task.{task} has {', '.join(offering) or 'no tools'}; tasks "
                "with numbers have a calculator and python, code has tests with task.code.test_tool=true"
            )


def _able(abilities: Iterable[str]) -> list[str]:
    """The engines that have all of these abilities."""
    return [name for name in registry.names("engine") if registry.find("engine", name).method.can >= set(abilities)]


def _wanted(package: str) -> str:
    """The argument for pip: the extra of this project with the package, or the package itself."""
    for line in requires("selfimprove") or ():
        found = re.match(r"""([\w.-]+).*extra == ["']([\w-]+)["']""", line)
        if found and found[1].replace("-", "_").lower() == package.lower():
            return f"'selfimprove[{found[2]}]'"
    return package.replace("_", "-")


def check_flow(recipe: Recipe) -> None:
    """Check that each method gets the kind of record that it consumes.

    Raises:
        RecipeError: two neighbours do not fit; the message names methods that fit between them.
    """
    for leg in legs_of(recipe):
        _check_chain(
            {"acquisition": leg.acquisition, "selection": recipe.selection, "optimization": recipe.optimization}
        )


def _check_chain(chain: Mapping[str, Mapping[str, Any]]) -> None:
    """What `check_flow` says of the methods that one leg of a round goes through, by slot."""
    giver, kind = "the start of the chain", None
    for slot, methods in chain.items():
        for name, method in methods.items():
            if not _takes(method.consumes, kind):
                registry.discover()
                bridges = sorted(
                    entry.name
                    for entry in registry.METHODS.values()
                    if issubclass(entry.method, Acquisition | Selection)
                    and _takes(entry.method.consumes, kind)
                    and _takes(method.consumes, entry.method.produces)
                )
                hint = f" These fit between them: {', '.join(bridges)}" if bridges else ""
                raise RecipeError(
                    f"{giver} gives {_kind(kind)}, but {slot} {name!r} takes {_kind(method.consumes)}.{hint}"
                )
            giver = f"{slot} {name!r}"
            made = Checkpoint if slot == "optimization" else method.produces
            kind = kind if made is Record else made


def _takes(consumes: Any, kind: Any) -> bool:
    return consumes is Record or consumes == kind or kind in get_args(consumes)  # it may be `Rollout | Document`


def _kind(kind: Any) -> str:
    if kind in (None, Checkpoint):
        return "a checkpoint" if kind else "nothing"
    return f"{'any' if kind is Record else ' or '.join(one.__name__ for one in get_args(kind) or (kind,))} records"


def _methods(values: Settings, method: Find) -> Iterator[tuple[str, type, dict[str, Any]]]:
    """The methods with options in the recipe, with their place: ("task.jsonl.", JsonlTask, {...})."""
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
    """Check that the audit is large enough for the audit form of a judge that selects data."""
    for name, reward in recipe.reward.items():
        asked = isinstance(reward, Judging) and reward.weight and not reward.trust
        few = recipe.audit_problems * recipe.audit_samples < 2 * FEWEST or recipe.audit_problems < MIXED
        if asked and (few or recipe.audit_samples < 2):
            raise RecipeError(
                f"{path}: reward {name!r} must pass an audit form before it selects data, and {recipe.audit_problems} "
                f"problems of {recipe.audit_samples} samples cannot show it; audit_problems=100 audit_samples=8 can"
            )


def check_engines(recipe: Recipe, path: Path) -> None:
    """Check that one engine runs the weights, and every other one has roles that a method of the recipe uses."""
    own = [name for name, engine in recipe.engine.items() if not engine.roles]
    if len(own) != 1:
        some = f"{len(own)} of {len(recipe.engine)} engines have no roles"
        raise RecipeError(
            f"{path}: one engine runs the weights, and {some}; say which roles the others answer in, "
            "for example engine.openai.roles=[judge]"
        )
    asked = _asked(recipe)
    taken: dict[str, str] = {}
    for name, engine in recipe.engine.items():
        for role in engine.roles:
            askers = _known(role, asked, f"{path}: engine.{name}.roles")
            if role in taken:
                raise RecipeError(f"{path}: the role {role!r} is given to two engines, {taken[role]} and {name}")
            if role not in asked:
                raise RecipeError(
                    f"{path}: engine.{name}.roles: no method of this recipe asks in the role {role!r}; "
                    f"those that do: {', '.join(askers)}"
                )
            taken[role] = name


def check_parts(recipe: Recipe, path: Path) -> None:
    """Check that each part of the weights is for a role that data stages use and no other engine answers in."""
    asked = _asked(recipe)
    for role in recipe.parts or ():
        _known(role, asked, f"{path}: parts")
        if role in recipe.helpers:
            raise RecipeError(f"{path}: parts: another engine answers in the role {role!r}; give it to one of them")
        if role not in asked:
            raise RecipeError(f"{path}: parts: no method of this recipe asks in the role {role!r}")
        if recipe.parts and recipe.parts.count(role) > 1:
            raise RecipeError(f"{path}: parts names {role!r} twice")
    _check_legs(recipe, path)


def _check_legs(recipe: Recipe, path: Path) -> None:
    """A leg is that of a part, and has acquisitions of the recipe; each of them belongs to one."""
    if recipe.legs is None:
        return
    known = [*(recipe.parts or ()), SOLVE]
    for leg in recipe.legs:
        role, _, name = leg.partition(".")
        if role not in known:
            raise RecipeError(f"{path}: legs: {role!r} of {leg!r} has no weights of its own.{nearest(role, known)}")
        if name not in recipe.acquisition:
            said = nearest(name, recipe.acquisition)
            raise RecipeError(f"{path}: legs: the recipe has no acquisition {name!r} for {leg!r}.{said}")
    idle = [name for name in recipe.acquisition if not any(leg.endswith(f".{name}") for leg in recipe.legs)]
    if idle:
        raise RecipeError(f"{path}: legs: no leg has the acquisition {idle[0]!r}; add {SOLVE}.{idle[0]}")


def _asked(recipe: Recipe) -> set[str]:
    """The roles that the methods of a recipe use."""
    methods = (method for slot in USING for method in getattr(recipe, slot).values())
    return {role for method in methods for role in method.needs().roles}


def _known(role: str, asked: Set[str], place: str) -> list[str]:
    """The methods that use a role, none if the recipe itself does; the solver is nobody's role.

    Raises:
        RecipeError: no method uses it.
    """
    if role in asked and role != SOLVE:
        return []
    askers = [] if role == SOLVE else sorted(set(_asking(role)))
    if not askers:
        known = dict.fromkeys([*ROLES, *sorted(asked - {SOLVE})])
        raise RecipeError(f"{place}: no role is called {role!r}.{nearest(role, known)}")
    return askers


def _asking(role: str) -> Iterator[str]:
    """The methods that use a role with their default options."""
    registry.discover()
    for entry in registry.METHODS.values():
        if entry.slot in USING:
            with contextlib.suppress(UserError):  # it has a required option
                if role in entry.method().needs().roles:
                    yield entry.name


def check_counts(recipe: Recipe, path: Path) -> None:
    """Refuse a slot with too few or too many methods."""
    for slot in registry.SLOTS:
        count = len(getattr(recipe, slot))
        if slot in ONE and count != 1:
            raise RecipeError(f"{path}: {slot} takes one method, {count} are named.{nearest('', registry.names(slot))}")
        if slot in FEW and count > 1:
            raise RecipeError(f"{path}: {slot} takes one method or none, and {count} are named")
        if slot in SOME and count == 0:
            raise RecipeError(f"{path}: {slot} names no method.{nearest('', registry.names(slot))}")
