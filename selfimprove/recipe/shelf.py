"""The shipped recipes at a glance: what each one is, its paper, and what it needs."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from selfimprove import registry
from selfimprove.interfaces import Judging
from selfimprove.recipe.places import shipped
from selfimprove.recipe.schema import DEFAULTS

PAPER = re.compile(r"arXiv:(\d{4}\.\d{5})")
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FIRST = "quickstart"
"""The recipe to begin with."""


@dataclass(frozen=True)
class Shipped:
    """One shipped recipe in a list."""

    name: str
    what: str
    paper: str
    """arXiv id, or ""."""
    needs: tuple[str, ...]
    """`answers` that a rule can check, a `judge` that passes its audit form, a `GPU`; nothing for the tiny model on
    the model's own votes."""


def files_in(folder: Path) -> list[Path]:
    """The recipe files in a folder, the quickstart first."""
    return sorted(folder.glob("*.yaml"), key=lambda path: (path.stem != FIRST, path.stem))


def shelf(word: str = "") -> list[Shipped]:
    """The shipped recipes whose name, head or methods have this word in them, in any case."""
    found = []
    for path in files_in(shipped()):
        text = path.read_text(encoding="utf-8")
        if word.casefold() in f"{path.stem} {text}".casefold():
            found.append(_read(path))
    return found


def header(path: Path) -> str:
    """The comment at the head of a recipe, as one paragraph."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return " ".join(line.removeprefix("#").strip() for line in lines)


def title(path: Path) -> tuple[str, str]:
    """The first sentence of a recipe's header without its paper, and the paper."""
    text = header(path)
    found = PAPER.search(text)
    sentence = re.split(r"(?<=[a-z0-9])(?<!\bDr)\. ", text, maxsplit=1)[0]
    return re.sub(r",? arXiv:[\d.]+", "", sentence).rstrip("."), found[1] if found else ""


def _read(path: Path) -> Shipped:
    methods = {**DEFAULTS, **_methods(path)}
    rewards = [registry.find("reward", name).method for name in _names(methods["reward"])]
    needs = ["answers"] if any(reward.reads_answers for reward in rewards) else []
    needs += ["judge"] if any(issubclass(reward, Judging) for reward in rewards) else []
    needs += ["GPU"] if "pretrained" in _names(methods["model"]) else []
    return Shipped(path.stem, *title(path), tuple(needs))


def _methods(path: Path) -> dict[str, Any]:
    """The methods that a shipped recipe names, by slot; read fast, for its text is our own."""
    methods: dict[str, Any] = {}
    text = path.read_text(encoding="utf-8")
    for item in yaml.load(text, LOADER).get("defaults", []):  # noqa: S506  (LOADER is a safe loader)
        base = shipped() / f"{item}.yaml"
        methods |= item if isinstance(item, dict) else _methods(base) if base.is_file() else {}
    return methods


def _names(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else list(given or [])
