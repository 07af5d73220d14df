"""What is known of a run's champion, gathered for its card and its files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from selfimprove import foreign
from selfimprove.errors import DataError, RecipeError
from selfimprove.loop import provenance
from selfimprove.loop.history import Stored
from selfimprove.recipe import compose
from selfimprove.records import Checkpoint
from selfimprove.report.finished import summary_of
from selfimprove.safety.model_files import check_folder
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import damage, sha256

HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""The form of an id on the Hub."""
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}")
_CACHED = re.compile(r"models--([\w.-]+?)--([\w.-]+)")
WEIGHTS = ("*.safetensors", "*.bin")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The champion of a finished run."""

    name: str
    stored: Stored
    summary: Mapping[str, Any]
    weights: Checkpoint
    settings: Mapping[str, Any]
    """The recipe of the last round, without places of this machine."""
    learned: Mapping[str, dict[str, Any]]
    """What its refinements learned, by name."""
    hashes: Mapping[str, str]
    """The sha256 of each file of weights."""
    base: str | None
    """The id of the start on the Hub; None if it was built here or is not known."""
    license: str | None
    """Its licence: that of the start, unless somebody named another."""

    @property
    def sealed(self) -> Mapping[str, Any]:
        """The exam."""
        return self.summary["sealed"]

    @property
    def task(self) -> str:
        """The name of the task."""
        [name] = self.settings["task"]
        return name

    @property
    def certified(self) -> bool:
        """Whether the exam found a gain."""
        return not self.summary["verdict"].startswith("no significant gain")

    @property
    def datasets(self) -> list[str]:
        """The ids of its data on the Hub."""
        path = (self.settings["task"][self.task] or {}).get("path")
        return [path] if isinstance(path, str) and HUB.fullmatch(path) else []


def exported(folder: Path, name: str | None = None, base: str | None = None, license: str | None = None) -> Exported:
    """The champion of a finished run.

    Args:
        name: of the model; None takes that of the run's folder.
        base: the id of the start on the Hub; None takes what the recipe says.
        license: None takes that of the start, if its card names one.

    Raises:
        MissingError: it is not a finished run.
        DataError: its summary or its champion is damaged.
        RecipeError: the name cannot be one.
    """
    name = name or folder.resolve().name
    if not NAME.fullmatch(name):
        raise RecipeError(f"--name {name[:80]!r} cannot name a model: it takes letters, digits, '.', '_' and '-'")
    summary = summary_of(folder)
    stored = Stored(RunDir.open(folder))
    champion = summary["sealed"]["champion_round"]
    step = stored.folder.step(champion, "optimization" if champion else "model")
    if wrong := damage(step):
        raise DataError(f"{step} is damaged: {wrong}. Redo it: selfimprove resume {folder}")
    weights = stored.checkpoint(champion)
    for path in (weights.path, *weights.parts.values()):
        check_folder(Path(path))
    settings = stored.at(summary["rounds"])[1]
    files = [path for kind in WEIGHTS for path in sorted(Path(weights.path).glob(kind))]
    start = Path(stored.checkpoint(0).path)
    return Exported(
        name=name,
        stored=stored,
        summary=summary,
        weights=weights,
        settings=without_places(settings),
        learned=stored.learned(champion),
        hashes={path.name: sha256(path) for path in files},
        base=base or base_of(settings, start),
        license=license or license_of(start),
    )


def base_of(settings: Mapping[str, Any], start: Path) -> str | None:
    """The id of the start on the Hub, as the recipe or the folder of the Hub's cache names it."""
    path = (settings["model"].get("pretrained") or {}).get("path")
    if isinstance(path, str) and HUB.fullmatch(path) and not Path(path).exists():
        return path
    found = next((match for part in start.resolve().parts if (match := _CACHED.fullmatch(part))), None)
    return f"{found[1]}/{found[2]}" if found else None


def license_of(start: Path) -> str | None:
    """The licence that the card of the start names."""
    try:
        text = foreign.content(start / "README.md").decode(errors="replace")
    except (FileNotFoundError, DataError):
        return None
    head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    try:
        found = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError:
        return None
    said = found.get("license") if isinstance(found, dict) else None
    return said if isinstance(said, str) and re.fullmatch(r"[\w.+-]{1,60}", said) else None


def without_places(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which paths of this machine are names: a card is public."""
    places = provenance.local(settings)
    return {
        key: (
            {
                method: {
                    option: Path(str(value)).name if f"{key}.{method}.{option}" in places else value
                    for option, value in (options or {}).items()
                }
                for method, options in chosen.items()
            }
            if isinstance(chosen, Mapping)
            else chosen
        )
        for key, chosen in settings.items()
    }


def recipe_text(one: Exported) -> str:
    """The recipe as YAML that `selfimprove run` reads, except for data that is only on one machine."""
    return compose.runnable(dict(one.settings))
