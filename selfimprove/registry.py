"""The methods that a recipe can name. A method registers itself under the name of its file, so no list needs an edit.

A file is imported when its method is first used, so a command imports only the methods that it needs.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import importlib
import inspect
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from selfimprove import interfaces
from selfimprove.bounds import bounds_of
from selfimprove.errors import RecipeError

SLOTS: dict[str, type] = {
    name: getattr(interfaces, name.capitalize())
    for name in (
        *("task", "model", "engine", "acquisition", "reward", "selection"),
        *("sampler", "optimization", "refinement", "evaluation", "alarm", "gate", "controller", "launcher", "tracker"),
    )
}
"""Slot name -> abstract class, in the order of the lifecycle."""


@dataclass(frozen=True)
class Entry:
    """One registered method."""

    slot: str
    name: str
    method: type
    paper: str
    """arXiv id of the paper, or ""."""


Find = Callable[[str, str], Entry]
"""(slot, name) -> the method; raises RecipeError if there is none."""

MOVED = {
    "metric_log": "logs",
    "statistics": "measures.statistics",
    "judging": "measures.judge_reliability",
    "diagnostics": "measures.diagnosis",
    "answers": "problems.answers",
    "splits": "problems.splits",
    "problem_sets": "problems.problem_set",
    "hub_rows": "problems.hub_rows",
    "jsonl_rows": "problems.jsonl_rows",
    "code_rows": "problems.code_rows",
    "expressions": "problems.expressions",
    "instructions": "problems.instructions",
    "decoding": "inference.decoding",
    "endpoint": "inference.endpoint",
    "forward": "inference.weights",
    "sandbox": "safety.sandbox",
    "recipe": "recipe.compose",
    "cost": "recipe.cost",
    "training.weights": "training.model_io",
    "training.chain": "training.sequence",
    "training.peak": "training.best_weights",
    "text.final_answer": "problems.answers.final_answer",
    "text.choice": "problems.answers.choice",
    "text.canonical": "problems.splits.folded",
    "text.split_of": "problems.splits.split_of",
    "text.prompt_ids": "inference.chat.prompt_ids",
    "text.prompts_ids": "inference.chat.prompts_ids",
    "text.completion_ids": "inference.chat.completion_ids",
    "text.printable": "safety.redaction.printable",
}
"""Current places of public modules and functions of version 1; the methods of a slot are in `methods`."""
DECLARED = {"asks": "Needs(roles=...)", "alone": "Needs(one_process=True)"}
"""Class variables of version 1's methods -> their current form."""
METHODS: dict[tuple[str, str], Entry] = {}
Method = TypeVar("Method", bound=type)


def register(name: str, *, paper: str = "") -> Callable[[Method], Method]:
    """Make a dataclass usable in recipes as `slot: name`; the slot is the abstract class that it extends."""

    def add(method: Method) -> Method:
        slot = next((slot for slot, base in SLOTS.items() if issubclass(method, base)), None)
        if slot is None:
            raise TypeError(f"{method.__name__} extends no class of selfimprove.interfaces that has a slot")
        if slot == "refinement" and not inspect.iscoroutinefunction(method.answer):
            raise TypeError(
                f"refinement {name!r} has answer{inspect.signature(method.answer)}; write "
                "`async def answer(self, prompt, session)`, which answers one problem and awaits its session"
            )
        for old, new in DECLARED.items():
            if old not in option_names(method) and any(old in vars(kind) for kind in method.__mro__):
                raise TypeError(f"{slot} {name!r} sets {old}; declare it by `def needs(self)`, which returns {new}")
        if (slot, name) in METHODS or (
            name in files(slot) and method.__module__ != f"selfimprove.methods.{slot}.{name}"
        ):
            raise ValueError(f"{slot} {name!r} is registered twice")
        METHODS[slot, name] = Entry(slot, name, method, paper)
        return method

    return add


def name_of(method: Any) -> str:
    """A method's name in recipes, which is also that of its file."""
    return type(method).__module__.rpartition(".")[2]


@functools.cache
def files(slot: str) -> dict[str, Path]:
    """The method files of the package: name of the method -> file."""
    package = importlib.import_module(f"selfimprove.methods.{slot}")
    return {path.stem: path for path in Path(package.__path__[0]).glob("[!_]*.py")}


def discover() -> None:
    """Import every method file of the package, then the plugins."""
    for slot in SLOTS:
        for name in files(slot):
            importlib.import_module(f"selfimprove.methods.{slot}.{name}")
    load_plugins()


def load_plugins() -> None:
    """Import the plugins of the entry-point group `selfimprove`.

    Raises:
        RecipeError: a plugin cannot be imported.
    """
    for plugin in entry_points(group="selfimprove"):
        try:
            plugin.load()
        except Exception as error:
            said = f"{error}{_moved(error)}"
            raise RecipeError(f"the plugin {plugin.name!r} ({plugin.value}) cannot be loaded: {said}") from error


def _moved(error: Exception) -> str:
    """'; ... is now in X' if a failed import names an old place; else ""."""
    if not isinstance(error, ImportError) or not (error.name or "").startswith("selfimprove."):
        return ""
    missing = re.match(r"cannot import name '(\w+)'", str(error))
    old = str(error.name).removeprefix("selfimprove.") + (f".{missing[1]}" if missing else "")
    parts = old.split(".")
    if parts[0] in SLOTS and not missing:
        return f"; selfimprove.{old} is now selfimprove.methods.{old}"
    known = next((head for n in range(len(parts), 0, -1) if (head := ".".join(parts[:n])) in MOVED), None)
    return f"; selfimprove.{known} is now selfimprove.{MOVED[known]}" if known else ""


def names(slot: str) -> list[str]:
    """The methods of a slot, plugins included, sorted."""
    load_plugins()
    return sorted({*files(slot), *(name for owner, name in METHODS if owner == slot)})


def find(slot: str, name: str) -> Entry:
    """The entry of a method; imports its file.

    Raises:
        RecipeError: no such slot or method; the message has the nearest name.
    """
    if slot not in SLOTS:
        raise RecipeError(f"no slot is called {slot!r}.{nearest(slot, SLOTS)}")
    if (slot, name) not in METHODS:
        if name in files(slot):
            importlib.import_module(f"selfimprove.methods.{slot}.{name}")
        elif name not in names(slot):
            raise RecipeError(f"no {slot} is called {name!r}.{nearest(name, names(slot))}")
    return METHODS[slot, name]


def nearest(name: str, choices: Iterable[str]) -> str:
    """`Did you mean X?` if one choice is close, and the list of all choices, as the end of a message."""
    options = list(choices)
    near = difflib.get_close_matches(name, options, 1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    return f"{guess} Choose from: {', '.join(options)}." if options else " There are none."


@dataclass(frozen=True)
class Option:
    """One option of a method: its name, its default as YAML, and its help, the string below the field."""

    name: str
    default: str
    help: str


def document(entry: Entry) -> str:
    """The docstring of a method's file."""
    return inspect.cleandoc(sys.modules[entry.method.__module__].__doc__ or "")


def summary(entry: Entry) -> str:
    """The first line of a method's docstring."""
    return _first_line(document(entry))


@dataclass(frozen=True)
class Line:
    """One method in a list."""

    name: str
    summary: str
    paper: str


def lines(slot: str) -> list[Line]:
    """The methods of a slot for a list, sorted; parsed from the files, because importing them takes far longer."""
    return [_read(name, files(slot)[name]) if name in files(slot) else _line(slot, name) for name in names(slot)]


def _read(name: str, file: Path) -> Line:
    body = ast.parse(file.read_text(encoding="utf-8"))
    classes = (node for node in body.body if isinstance(node, ast.ClassDef))
    calls = (call for node in classes for call in node.decorator_list if isinstance(call, ast.Call))
    papers = [ast.literal_eval(word.value) for call in calls for word in call.keywords if word.arg == "paper"]
    return Line(name, _first_line(ast.get_docstring(body) or ""), papers[0] if papers else "")


def _line(slot: str, name: str) -> Line:
    entry = find(slot, name)
    return Line(name, summary(entry), entry.paper)


def _first_line(text: str) -> str:
    return text.partition("\n")[0].rstrip(".")


def options(method: type) -> list[Option]:
    """The options of a method, base class included, in the order of the fields."""
    helps: dict[str, str] = {}
    for parent in reversed(method.__mro__):
        if dataclasses.is_dataclass(parent):
            helps |= _helps(parent)
    taken = {name: f" Takes {bounds}." for name, bounds in bounds_of(method).items()}
    return [
        Option(f.name, _default(f), helps.get(f.name, "") + taken.get(f.name, "")) for f in dataclasses.fields(method)
    ]


def option_names(method: type) -> list[str]:
    """The names of a method's options, without reading its source."""
    return [field.name for field in dataclasses.fields(method)]


def _helps(parent: type) -> dict[str, str]:
    """The string below each field of a class, by field."""
    body = _classes(inspect.getsourcefile(parent) or "")[parent.__qualname__].body
    found = {}
    for here, below in itertools.pairwise(body):
        if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name) and isinstance(below, ast.Expr):
            found[here.target.id] = str(ast.literal_eval(below.value))
    return found


@functools.cache
def _classes(file: str) -> dict[str, ast.ClassDef]:
    """The classes of a file by their qualified names; parsed once, because many methods share a base class."""

    def walk(body: Iterable[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.ClassDef]]:
        for node in body:
            if isinstance(node, ast.ClassDef):
                yield prefix + node.name, node
                yield from walk(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef):
                yield from walk(node.body, f"{prefix}{node.name}.<locals>.")

    return dict(walk(ast.parse(Path(file).read_text(encoding="utf-8")).body, ""))


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    if dataclasses.is_dataclass(value):
        return "{" + ", ".join(f"{part.name}: {_default(part)}" for part in dataclasses.fields(value)) + "}"
    if value == "???":
        return "required"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
