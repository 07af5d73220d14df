"""Begin a run, and accept changes to an existing one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError, EngineError, MissingError, RecipeError, StorageError
from selfimprove.interfaces import Log
from selfimprove.logs import MetricLog
from selfimprove.loop import provenance, start_model, steps
from selfimprove.loop.history import Stored
from selfimprove.loop.origin import ACCEPTED, acceptable, as_begun, began, changed_values
from selfimprove.recipe import compose, yaml_file
from selfimprove.store import durable
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import signed, write_json, write_text


def create(
    name: str,
    overrides: Sequence[str],
    out: Path | None,
    deterministic: bool = False,
    load: compose.Load = compose.load,
) -> RunDir:
    """Create the folder of a new run and write its recipe and environment.

    Args:
        name: the path of a recipe or the name of a shipped one.
        overrides: changes such as `rounds=5`.
        out: the folder; None means runs/<recipe>, with a number if that exists.
        deterministic: restrict torch to deterministic algorithms.
        load: composes the recipe.

    Raises:
        UserError: the recipe cannot be used, or the folder is not empty.
    """
    recipe, settings = load(name, overrides)
    steps.threads(recipe)
    settings = dated(absolute(settings))
    title = compose.find(name).stem
    device = provenance.accelerator()
    found = {
        "recipe": title,
        "settings": settings,
        **provenance.environment(settings),
        "accelerator": device,
        "deterministic": deterministic,
        "tier": provenance.tier(settings, device, deterministic),
        "data": provenance.fingerprints(settings),
    }
    root = out or next(path for path in _candidates(Path("runs") / title) if not path.exists())
    before = there(root)
    folder = RunDir.create(root)
    try:
        write_text(folder.root / "recipe.yaml", compose.runnable(settings))
        write_json(folder.root / "environment.json", signed(found))
    except StorageError:
        _remove(root, before)
        raise
    return folder


def there(out: Path | None) -> frozenset[Path]:
    """Of the folder that `create` would write in and those above it, those that exist."""
    path = (out or Path("runs") / "new").absolute()
    return frozenset(one for one in (path, *path.parents) if one.exists())


@contextmanager
def removed_if_it_cannot_start(folder: RunDir, before: frozenset[Path]) -> Iterator[None]:
    """If a mistake ends a new run before its first step is finished, remove its folder and those made for it.

    A run that was stopped, or lacked room, stays: it can go on.

    Args:
        before: what `there` found.
    """
    try:
        yield
    except (RecipeError, DataError, MissingError, EngineError):
        if not any(folder.root.glob("round_*/[!.]*")):
            _remove(folder.root, before)
        raise


def _remove(root: Path, before: frozenset[Path]) -> None:
    """Remove what is in the folder of a run, and what was not there before: the folder and those above it."""
    root = root.absolute()
    for path in [*root.iterdir()] if root in before else [root]:
        durable.remove(path)
    for above in root.parents:
        if above not in before and not any(above.iterdir()):
            above.rmdir()


def started(name: str, overrides: Sequence[str], folder: Path, log: Log) -> Stored:
    """A run in a folder that is thrown away: of it there is only the start model, built or from the cache as in any.

    Raises:
        UserError: the recipe cannot be used, or its model cannot be built.
    """
    _, settings = compose.load(name, overrides)
    run = RunDir.create(folder)
    write_text(run.root / "recipe.yaml", compose.runnable(settings))
    write_json(run.root / "environment.json", {"settings": settings})
    stored = Stored(run)
    steps.threads(stored.recipe)
    start_model.build(stored, run.begin(0, "model"), MetricLog(log))
    run.commit(0, "model", {})
    return stored


def absolute(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with absolute paths of local data and models, so that a run can be resumed from any folder."""
    made = deepcopy(settings)
    for option, path in provenance.local(settings).items():
        slot, method, name = option.split(".")
        made[slot][method][name] = str(Path(path).expanduser().resolve())
    return made


def dated(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with today's date where a model asks for the day on which the run begins, for resumes too."""
    made = deepcopy(settings)
    for options in made["model"].values():
        if options.get("date", "") is None:
            options["date"] = date.today().isoformat()
    return made


def accept(folder: RunDir) -> list[str]:
    """Accept an edited recipe or other versions; `resume --accept-changes` does this first.

    Options of the slots in `ACCEPTED` may change; they apply from the first round that has not begun. recipe.yaml is
    restored, environment.json records the change. Returns the accepted changes.

    Raises:
        RecipeError: a change affects finished measurements or the exams.
    """
    with folder.lock():
        then = began(folder)
        path = folder.root / "recipe.yaml"
        composed = as_begun(compose.load(path)[1], then["settings"], yaml_file.read(path))
        edited = changed_values(then["settings"], composed)
        for place, old, new in edited:
            if not acceptable(place, new, then["settings"]):
                raise RecipeError(
                    f"{place} was {old!r}, is {new!r}: this cannot change in a run; only options of "
                    f"{', '.join(ACCEPTED)} can. Restore {path}, or start a new run"
                )
        begun = [int(found.parent.name.removeprefix("round_")) for found in folder.root.glob("round_*/[!.]*")]
        first = max(begun, default=0) + 1
        accepted = list(then.get("accepted", ()))
        if edited:
            accepted.append({"round": first, "overrides": {place: new for place, _, new in edited}})
        found = machine_now(then["settings"])
        grave, slight = provenance.differences(then, found)
        now = {**then, **found, "accepted": accepted, "changes": [*then.get("changes", ()), *grave, *slight]}
        write_json(folder.root / "environment.json", signed(now))
        write_text(path, compose.runnable(then["settings"]))
        said = [f"from round {first} on: {place} is {new!r}, was {old!r}" for place, old, new in edited]
        return said + grave


def machine_now(settings: dict[str, Any]) -> dict[str, Any]:
    """Current versions and accelerator, in the form of environment.json."""
    return {**provenance.environment(settings), "accelerator": provenance.accelerator()}


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.name}-{number}")
        number += 1
