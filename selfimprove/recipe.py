"""A recipe: one YAML file that names a method for each slot. Load, override, check the flow, save a runnable copy.

Hydra's `compose` does the merging and the types; `yaml_file` reads the file, because recipes may come from strangers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hydra import compose, initialize
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from selfimprove import option_values, registry, yaml_file
from selfimprove.errors import DeviceError, MissingError, RecipeError
from selfimprove.interfaces import (
    ROLES,
    Acquisition,
    Alarm,
    Controller,
    Engine,
    Evaluation,
    Gate,
    Launcher,
    Model,
    Optimization,
    Refinement,
    Reward,
    Selection,
    Task,
)
from selfimprove.judging import FEWEST, MIXED
from selfimprove.records import Checkpoint, Record
from selfimprove.registry import nearest

ONE = ("task", "model", "refinement", "gate", "launcher")
SOME = ("engine", "acquisition", "optimization", "evaluation", "controller")
DEFAULTS = {
    "task": ["chain_sums"],
    "model": ["tiny"],
    "engine": ["transformers"],
    "acquisition": ["seed_prompts", "rejection_sampling"],
    "reward": ["verifier"],
    "selection": ["threshold"],
    "optimization": ["sft"],
    "refinement": ["greedy"],
    "evaluation": ["accuracy", "probes"],
    "alarm": [
        *("reward_hacking", "majority_collapse", "entropy", "diversity", "large_k"),
        *("length", "forgetting", "reversal", "contamination", "judge", "honeypots"),
    ],
    "gate": ["ratchet"],
    "controller": ["fixed"],
    "launcher": ["inline"],
}
"""What a slot holds when a recipe does not name it."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""What the file of a recipe may be called, without its ending."""


@dataclass
class Recipe:
    """One entry per slot; a slot maps the names of its methods to the methods, in order."""

    rounds: int = 3
    """Rounds of improvement; round 0 only measures the start."""
    seed: int = 0
    """Every random choice of the run follows from it."""
    autonomy: int = 3
    """What the loop does by itself: 0 measures and keeps the start, 1 proposes and waits for a person, 2 decides but
    leaves the recipe as it is, 3 also changes the recipe as its controllers say. A controller may always stop."""
    gate_problems: int = 500
    """Fresh problems for each gate decision."""
    probe_problems: int = 100
    """Fresh problems of each of the task's probes for each gate decision; 0 leaves them out."""
    audit_problems: int = 100
    """Fresh problems that the alarms watch in each round; 0 turns the audit off."""
    audit_samples: int = 8
    """Samples of each audit problem."""
    sealed_problems: int = 1000
    """Problems of the final exam, scored once, for the start and the champion only."""
    control_problems: int = 200
    """Of these, the first so many are also answered by the start with self-consistency; 0 leaves that out."""
    control_samples: int = 16
    """Completions for each of them: as many as the loop drew per sealed problem, and no more than this."""
    null_round: bool = False
    """Whether the first round is trained once more on shuffled rewards, to show how far chance alone moves accuracy."""
    task: dict[str, Task] = field(default_factory=dict)
    model: dict[str, Model] = field(default_factory=dict)
    engine: dict[str, Engine] = field(default_factory=dict)
    acquisition: dict[str, Acquisition] = field(default_factory=dict)
    reward: dict[str, Reward] = field(default_factory=dict)
    selection: dict[str, Selection] = field(default_factory=dict)
    optimization: dict[str, Optimization] = field(default_factory=dict)
    refinement: dict[str, Refinement] = field(default_factory=dict)
    evaluation: dict[str, Evaluation] = field(default_factory=dict)
    alarm: dict[str, Alarm] = field(default_factory=dict)
    gate: dict[str, Gate] = field(default_factory=dict)
    controller: dict[str, Controller] = field(default_factory=dict)
    launcher: dict[str, Launcher] = field(default_factory=dict)

    def the(self, slot: str) -> Any:
        """The one method of a slot that takes one; the engine that runs the weights."""
        [method] = (method for method in getattr(self, slot).values() if slot != "engine" or not method.roles)
        return method

    @property
    def helpers(self) -> dict[str, Engine]:
        """The engines that answer in a role, by role."""
        return {role: engine for engine in self.engine.values() for role in engine.roles}


ConfigStore.instance().store(name="recipe_schema", node=Recipe)
Settings = dict[str, Any]
"""A recipe as plain values: {"rounds": 5, "task": {"chain_sums": {...}}, ...}."""


def shipped() -> Path:
    """The folder of the recipes that come with the package."""
    package = Path(__file__).parent
    return package / "recipes" if (package / "recipes").is_dir() else package.parent / "recipes"


def find(name: str) -> Path:
    """The file of a recipe, given its path or the name of a shipped one.

    Raises:
        MissingError: there is no such file.
    """
    path = Path(name)
    try:
        if path.is_dir() and name not in ("", "."):
            raise MissingError(f"{name} is a folder, not a recipe file; name one of the files in it")
        if path.is_file():
            if not NAME.fullmatch(path.stem):
                raise RecipeError(
                    f"{name!r}: the name of a recipe names its run folder as well, so it may have letters, digits, "
                    "'.', '_' and '-' (at most 80); rename the file"
                )
            return path
    except OSError as error:
        raise MissingError(f"cannot read {name[:80]!r}: {error.strerror}") from error
    own = shipped() / f"{path.name.removesuffix('.yaml')}.yaml"
    if path.parent == Path() and own.is_file():
        return own
    names = sorted(path.stem for path in shipped().glob("*.yaml"))
    raise MissingError(f"no recipe file {name!r} and no shipped recipe of that name.{nearest(path.stem, names)}")


def load(name: str | Path, overrides: Sequence[str] = ()) -> tuple[Recipe, Settings]:
    """Compose a recipe: its file, then overrides such as `rounds=5`, `model=pretrained`, `task.jsonl.path=FILE`.

    `bench=false` leaves out what the recipe's `bench` block scales down for the tiny model.

    Raises:
        RecipeError: anything in it that cannot be used, in one line.
        MissingError: no such recipe.
    """
    path = find(str(name))
    body = yaml_file.read(path)
    chosen = _defaults(body.pop("defaults", []), path)
    named = chosen["engine"]
    whole = "bench=false" in overrides  # the recipe's own sizes, with the tiny model too
    values = [override for override in overrides if override != "bench=false" and not _choose(override, chosen)]
    bench = body.pop("bench", None) or {}
    if not isinstance(bench, dict):
        raise RecipeError(f"{path}: bench must hold settings for the tiny model, such as `rounds: 2`")
    if chosen["model"] == ["tiny"] and not whole:
        body = _merge(body, bench)
    for key in body:
        if key not in {f.name for f in fields(Recipe)}:
            raise RecipeError(f"{path}: unknown key {key!r}.{nearest(key, [f.name for f in fields(Recipe)])}")
    _hand_over(body, named, chosen["engine"], values)
    for slot in registry.SLOTS:
        _prune(slot, body, chosen[slot], path)
    _check_types(body, path)
    for value in values:
        _check_override(value, chosen)
    store = ConfigStore.instance()
    methods = {slot: {name: registry.find(slot, name).method for name in chosen[slot]} for slot in registry.SLOTS}
    store.store(name="recipe_methods", node=OmegaConf.create(methods))
    store.store(name="recipe", node={"defaults": ["recipe_schema", "recipe_methods", "_self_"], **body})
    try:
        with initialize(config_path=None, version_base="1.3"):
            config = compose("recipe", overrides=[_quoted(value) for value in values])
        plain = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
        assert isinstance(plain, dict)
        settings: Settings = {str(key): value for key, value in plain.items()}
        _check_ranges(settings, path)
        recipe = OmegaConf.to_object(config)
    except (HydraException, OmegaConfBaseException) as error:
        raise RecipeError(f"{path}: {_explain(error)}") from error
    assert isinstance(recipe, Recipe)
    _check_counts(recipe, path)
    _check_engines(recipe, path)
    _check_judges(recipe, path)
    check_flow(recipe)
    return recipe, settings


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


def runnable(settings: Settings) -> str:
    """The resolved recipe as YAML that `load` reads."""
    defaults = [{slot: list(settings[slot])} for slot in registry.SLOTS]
    return yaml_file.dump({"defaults": defaults, **settings})


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
                    if entry.slot in ("acquisition", "selection")
                    and getattr(entry.method, "consumes", 0) in (kind, Record)
                    and getattr(entry.method, "produces", 0) is method.consumes
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


def _merge(body: Any, over: Any) -> Any:
    """The body with the values of its `bench` block, which scales a recipe down to the tiny model."""
    if not isinstance(body, dict) or not isinstance(over, dict):
        return over
    return {**body, **{key: _merge(body[key], value) if key in body else value for key, value in over.items()}}


def _defaults(given: Any, path: Path) -> dict[str, list[str]]:
    """The methods of each slot, from a recipe's defaults list."""
    chosen = {slot: list(names) for slot, names in DEFAULTS.items()}
    if not isinstance(given, list):
        raise RecipeError(f"{path}: defaults must be a list such as `- task: chain_sums`")
    for item in given:
        if item in ("recipe_schema", "_self_"):
            continue
        if not isinstance(item, dict) or len(item) != 1:
            raise RecipeError(f"{path}: cannot read {item!r} in defaults; write `- slot: method`")
        [(slot, names)] = item.items()
        _set_slot(slot, names, chosen)
    return chosen


def _choose(override: str, chosen: dict[str, list[str]]) -> bool:
    """Carry out an override that swaps the methods of a slot, `slot=name` or `slot=[a,b]`; False for any other."""
    match = re.fullmatch(r"(\w+)=(.*)", override)
    if not match or match[1] not in registry.SLOTS:
        return False
    names = [part.strip(" '\"") for part in match[2].strip("[]").split(",") if part.strip()]
    _set_slot(match[1], names, chosen)
    return True


def _set_slot(slot: str, names: Any, chosen: dict[str, list[str]]) -> None:
    if slot not in registry.SLOTS:
        raise RecipeError(f"no slot is called {slot!r}.{nearest(slot, registry.SLOTS)}")
    names = [names] if isinstance(names, str) else [] if names is None else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RecipeError(f"{slot} takes the name of a method or a list of names, not {names!r}")
    for name in names:
        registry.find(slot, name)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise RecipeError(f"{slot} names {twice[0]!r} twice; a method can stand in a slot once")
    chosen[slot] = names


def _hand_over(body: dict[str, Any], named: list[str], chosen: list[str], values: list[str]) -> None:
    """Give an engine that was swapped in what the recipe sets for the one swapped out, where both have the option.

    Else completions would fall to another length than the recipe trains with. An engine with roles is left as it is.
    """
    given = body.get("engine")
    if not isinstance(given, dict):
        return
    helpers = {value.split(".")[1] for value in values if re.match(r"engine\.\w+\.roles=", value)}
    options = {name: given.get(name) or {} for name in (*named, *chosen) if name not in helpers}
    own = {name: said for name, said in options.items() if isinstance(said, dict) and not said.get("roles")}
    for new in own.keys() - set(named):
        known = registry.option_names(registry.find("engine", new).method)
        for old in own.keys() - set(chosen):
            given[new] = {name: value for name, value in own[old].items() if name in known} | own[new]


def _prune(slot: str, body: dict[str, Any], chosen: list[str], path: Path) -> None:
    """Drop the options of methods that an override swapped out, and refuse those of methods that do not exist."""
    options = body.get(slot)
    if options is None:
        body.pop(slot, None)
        return
    if not isinstance(options, dict):
        raise RecipeError(f"{path}: {slot} must map method names to options; the methods themselves stand in defaults")
    for name in list(options):
        registry.find(slot, name)
        if name not in chosen:
            del options[name]
        elif options[name] is None:
            options[name] = {}
        elif not isinstance(options[name], dict):
            raise RecipeError(f"{path}: {slot}.{name} must map options to values, not {options[name]!r}")


def _quoted(override: str) -> str:
    """An override whose value Hydra's grammar reads as one string, where it holds signs such as `=` or a space."""
    key, _, value = override.partition("=")
    if value[:1] in ("[", "{", "'", '"') or re.fullmatch(r"[\w.+/:%@?|*-]*", value):
        return override
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"


def _check_override(override: str, chosen: dict[str, list[str]]) -> None:
    """Refuse a command-line override of something that is not there, with the nearest name."""
    key, equals, _ = override.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w.]*", key):
        raise RecipeError(f"cannot read the override {override!r}; write key=value, for example rounds=5")
    yaml_file.check_text(override, f"the override of {key}")
    slot, _, rest = key.partition(".")
    plain = [f.name for f in fields(Recipe) if f.name not in registry.SLOTS]
    if slot not in registry.SLOTS:
        if key not in plain:
            raise RecipeError(f"unknown key {key!r}.{nearest(key, [*plain, *registry.SLOTS])}")
        return
    name, _, option = rest.partition(".")
    registry.find(slot, name)
    if name not in chosen[slot]:
        raise RecipeError(f"{key}: the recipe does not use {slot} {name!r}; add {slot}={name} to swap it in")
    known = registry.option_names(registry.find(slot, name).method)
    if option.partition(".")[0] not in known:
        raise RecipeError(f"{slot} {name!r} has no option {option!r}.{nearest(option, known)}")


def _explain(error: Exception) -> str:
    """Hydra's message in one line, with the nearest valid name where an option is unknown."""
    text = str(error)
    unknown = re.search(r"Key '(\w+)' not in '(\w+)'", text)
    if unknown:
        entry = next((e for e in registry.METHODS.values() if e.method.__name__ == unknown[2]), None)
        if entry:
            known = registry.option_names(entry.method)
            return f"{entry.slot} {entry.name!r} has no option {unknown[1]!r}.{nearest(unknown[1], known)}"
    where = re.search(r"full_key: (\S+)", text)
    if "missing mandatory value" in text and where:
        return f"{where[1]} is required: add {where[1]}=VALUE"
    lines = [line.strip() for line in text.splitlines() if not line.startswith("In 'recipe'")]
    first = lines[0].removeprefix("Error merging override ")
    cause = f": {str(error.__cause__).splitlines()[0].strip()}" if error.__cause__ else ""
    return f"{where[1] + ': ' if where else ''}{first}{cause}"


def _methods(values: Settings) -> Iterator[tuple[str, type, dict[str, Any]]]:
    """The methods that values are given for, with their place: ("task.jsonl.", JsonlTask, {...})."""
    for slot in registry.SLOTS:
        for name, options in values.get(slot, {}).items():
            yield f"{slot}.{name}.", registry.find(slot, name).method, options


def _check_types(body: dict[str, Any], path: Path) -> None:
    plain = {key: value for key, value in body.items() if key not in registry.SLOTS}
    faults = option_values.check_types(plain, Recipe)
    for where, method, options in _methods(body):
        faults += option_values.check_types(options, method, where)
    option_values.refuse(faults, path)


def _check_ranges(settings: Settings, path: Path) -> None:
    faults = option_values.check_ranges(settings)
    for where, _, options in _methods(settings):
        faults += option_values.check_ranges(options, where)
    option_values.refuse(faults, path)


def _check_judges(recipe: Recipe, path: Path) -> None:
    """A judge that selects data must have an audit that it can pass."""
    for name, reward in recipe.reward.items():
        asked = reward.judges and reward.weight and not getattr(reward, "trust", False)
        few = recipe.audit_problems * recipe.audit_samples < 2 * FEWEST or recipe.audit_problems < MIXED
        if asked and (few or recipe.audit_samples < 2):
            raise RecipeError(
                f"{path}: reward {name!r} must pass an audit form before it selects data, and {recipe.audit_problems} "
                f"problems of {recipe.audit_samples} samples cannot show it; audit_problems=100 audit_samples=8 can"
            )


def _check_engines(recipe: Recipe, path: Path) -> None:
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


def _asking(role: str) -> list[registry.Entry]:
    registry.discover()
    return [entry for entry in registry.METHODS.values() if role in getattr(entry.method, "asks", ())]


def _check_counts(recipe: Recipe, path: Path) -> None:
    for slot in registry.SLOTS:
        count = len(getattr(recipe, slot))
        if slot in ONE and count != 1:
            raise RecipeError(f"{path}: {slot} takes one method, {count} are named.{nearest('', registry.names(slot))}")
        if slot in SOME and count == 0:
            raise RecipeError(f"{path}: {slot} names no method.{nearest('', registry.names(slot))}")
    if recipe.autonomy not in range(4):
        raise RecipeError(
            f"{path}: autonomy is {recipe.autonomy}; it must be 0 (measure), 1 (ask), 2 (decide) or 3 (adapt)"
        )
    for name, low in (
        ("rounds", 0),
        ("gate_problems", 1),
        ("probe_problems", 0),
        ("audit_problems", 0),
        ("audit_samples", 1),
        ("sealed_problems", 1),
        ("control_problems", 0),
        ("control_samples", 1),
    ):
        if getattr(recipe, name) < low:
            raise RecipeError(f"{path}: {name} is {getattr(recipe, name)}; it must be at least {low}")
