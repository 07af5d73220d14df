"""Mark completions of your own, or those of a run, by a task's rule: `selfimprove mark`. No model, no data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from selfimprove import registry
from selfimprove.errors import DataError, MissingError, RecipeError, UserError
from selfimprove.interfaces import REQUIRED
from selfimprove.interfaces.task import problem_of
from selfimprove.loop.step_files import read_report
from selfimprove.problems import answers
from selfimprove.problems.jsonl_rows import lines, values_of
from selfimprove.recipe import compose
from selfimprove.recipe.layers import layers, merged
from selfimprove.recipe.overrides import written
from selfimprove.recipe.schema import DEFAULTS
from selfimprove.records import Cut, Prompt, Rollout, each_record
from selfimprove.registry import nearest
from selfimprove.store.run_folder import RunDir

Row = Mapping[str, Any]
ROWS = "rows.jsonl"
"""A file beside FILE in which code rows that carry only the `name` of a row are looked up."""
EXAMS = ("evaluation", "confirmation", "sealed")
"""Steps with the completions of an exam; those of an audit are read too."""
UNFIT = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What a rule raises that needs more of a row than it has, or something else."""
_CODE = "code"
_MODEL = ["model=pretrained", "model.pretrained.path=unread"]
"""A model that fits every task; none is loaded."""


@dataclass(frozen=True)
class Marked:
    """A completion and what the rule says of it."""

    place: str
    """The number of the line, or the step and the number of the completion in a run folder."""
    rule: str
    read: str | None
    """What was read as the answer; None if nothing was."""
    mark: float | None
    """None: the reference cannot be read."""
    right: float | None
    """The mark that is due, if the row says so; in a run folder the mark that the run gave."""
    reference: str | None
    why: str
    """What tells why it has this mark, in one line."""

    @property
    def outcome(self) -> str:
        """`right`, `false_accept` or `false_reject`. Without a mark that is due: `right` for the mark 1, else ""."""
        given = self.mark or 0.0
        if self.right is None:
            return "right" if given == 1.0 else ""
        if abs(given - self.right) < 1e-9:
            return "right"
        return "false_accept" if given > self.right else "false_reject"


@dataclass(frozen=True)
class _Rule:
    """A rule by name: the problem of a row, its mark, and what is read with the reason."""

    name: str
    problem: Callable[[Row], Prompt]
    mark: Callable[[Prompt, str], float | None]
    reading: Callable[[Prompt, str], tuple[str | None, str]]


def mark(path: Path, task: str | None, overrides: Sequence[str]) -> list[Marked]:
    """The marks of all completions of a file or a run folder.

    Args:
        task: the name of a task, or a recipe whose task to use; a row's own `rule` goes before it.
        overrides: options of the task. What it needs only to find its data may be left out.

    Raises:
        MissingError: there is no such file.
        DataError: a row cannot be read; the message names file and line.
        RecipeError: the task, a rule or an override is unknown.
    """
    if path.is_dir():
        rule = _rule_of(task or str(RunDir.open(path).root / "recipe.yaml"), overrides)
        work = [(place, rule, rollout.prompt, rollout.text, right) for place, rollout, right in _saved(path)]
        if not work:
            raise DataError(f"{path} has no completions yet: no round has been evaluated")
    else:
        work = list(_asked(path, _rule_of(task, overrides) if task else None))
    with ThreadPoolExecutor(os.cpu_count() or 2) as threads:
        return list(threads.map(lambda one: _marked(path, *one), work))


def counts(found: Sequence[Marked]) -> dict[str, int]:
    """How many completions are marked as they are due, falsely accepted or rejected, and how many answers unread."""
    outcomes = [one.outcome for one in found]
    told = {name: outcomes.count(name) for name in ("right", "false_accept", "false_reject")}
    return {**told, "unread": sum(one.read is None or one.mark is None for one in found)}


def plain(found: Sequence[Marked]) -> dict[str, Any]:
    """The marks as JSON."""
    return {
        "rows": [{"read": one.read, "mark": one.mark, "right": one.right} for one in found],
        "counts": counts(found),
    }


def _marked(path: Path, place: str, rule: _Rule, problem: Prompt, text: str, right: float | None) -> Marked:
    try:
        read, why = rule.reading(problem, text)
        given = rule.mark(problem, text)
    except UserError:
        raise
    except UNFIT as error:
        raise DataError(
            f"{path}:{place}: {rule.name} cannot mark it ({type(error).__name__}: {error}); give it the columns 'key' "
            "and 'info' of its problem"
        ) from error
    if given is None:
        why = why or "the reference cannot be read"
    elif read is None:
        why = why or "no answer is stated"
    elif given < 1.0:
        why = why or "it differs from the reference"
    return Marked(place, rule.name, read, given, right, problem.answer, why)


# ---- rules -----------------------------------------------------------------------------------------------------------
def _text_rule(name: str) -> _Rule:
    """A rule that compares an answer with a reference, see `problems/answers.py`."""

    def given(problem: Prompt, text: str) -> float | None:
        return answers.mark(name, problem.answer, text)

    def reading(problem: Prompt, text: str) -> tuple[str | None, str]:
        return answers.read(name, text), ""

    return _Rule(name, problem_of, given, reading)


def _rule_of(task: str, overrides: Sequence[str]) -> _Rule:
    """The rule of a task, or of a recipe's task. Of a recipe nothing else is used."""
    if task in answers.VERIFIERS:
        raise RecipeError(f"{task!r} is a verifier; name it by --task jsonl task.jsonl.verifier={task}")
    own = list[str]()
    if task not in registry.names("task"):
        task, own = _of_recipe(task)
    task = next((one.removeprefix("task=") for one in overrides if one.startswith("task=")), task)
    method = registry.find("task", task).method
    given = {one.partition("=")[0] for one in overrides}
    said = {one.partition("=")[0] for one in own}
    needed = [f"task.{task}.{field.name}" for field in fields(method) if field.default == REQUIRED]
    unread = [f"{place}=unread" for place in needed if place not in given | said]
    own = [one for one in own if one.startswith(f"task.{task}.")]
    model = [] if any(one.startswith("model=") for one in overrides) else _MODEL
    recipe, settings = compose.load("quickstart", [f"task={task}", *model, *own, *overrides, *unread])
    rule = str(settings["task"][task].get("verifier", task))
    if rule in answers.RULES:
        return _text_rule(rule)
    made = recipe.the("task")
    return _Rule(task, made.problem_of, made.verify, made.reading)


def _of_recipe(name: str) -> tuple[str, list[str]]:
    """The task of a recipe, and its options as overrides."""
    try:
        path = compose.find(name)
    except MissingError as error:
        known = registry.names("task")
        raise RecipeError(f"--task {name}: no task has this name, and no recipe.{nearest(name, known)}") from error
    found = layers(path, compose.shipped())
    named = [item["task"] for layer in found for item in layer.methods if "task" in item]
    [task] = named[-1] if named and isinstance(named[-1], list) else named[-1:] or DEFAULTS["task"]
    options = (merged(found, tiny=False).get("task") or {}).get(task) or {}
    return task, [written(f"task.{task}.{option}", value) for option, value in options.items()]


def _by_name(name: str) -> _Rule:
    """The rule that a row names: a verifier, or a task with its default options."""
    if name in answers.RULES:
        return _text_rule(name)
    if name not in registry.names("task"):
        raise DataError(f"no rule {name!r}.{nearest(name, [*answers.RULES, *registry.names('task')])}")
    return _rule_of(name, [])


# ---- rows ------------------------------------------------------------------------------------------------------------
def _asked(path: Path, given: _Rule | None) -> Iterator[tuple[str, _Rule, Prompt, str, float | None]]:
    """The completions of a file, each with its place, rule, problem, text and the mark that is due."""
    rows = [(number, _values(f"{path}:{number}", line)) for number, line in lines(path, "mark")]
    named, rules, seen = _named(path, [row for _, row in rows]), dict[str, _Rule](), False
    for number, row in rows:
        if "completion" not in row and "row" in row:
            continue  # it only gives its row a name
        seen = True
        try:
            if "row" not in row and row.get("name") in named:
                row = {**row, "row": named[row["name"]]}
            name = row.get("rule", _CODE if given is None and "row" in row else None)
            if name is not None:
                rule = rules[name] if name in rules else rules.setdefault(name, _by_name(str(name)))
            elif given is not None:
                rule = given
            else:
                raise DataError("nothing says by which rule to mark it: add --task, or a column 'rule'")
            yield str(number), rule, rule.problem(row), _text(row), _due(row)
        except DataError as error:
            raise DataError(f"{path}:{number}: {error}") from error
    if not seen:
        raise DataError(f"{path} has no completions")


def _values(place: str, line: bytes) -> dict[str, Any]:
    try:
        return values_of(line)
    except DataError as error:
        raise DataError(f"{place}: {error}") from error


def _named(path: Path, rows: Sequence[Row]) -> dict[Any, Any]:
    """The rows that a name stands for: those of the file itself, else those of `rows.jsonl` beside it."""
    beside = path.with_name(ROWS)
    own = {row["name"]: row["row"] for row in rows if "row" in row and isinstance(row.get("name"), str)}
    if not any("name" in row and "row" not in row for row in rows) or beside == path or not beside.is_file():
        return own
    others = [_values(f"{beside}:{number}", line) for number, line in lines(beside, "mark")]
    return {**{row.get("name"): row.get("row", row) for row in others}, **own}


def _text(row: Row) -> str:
    """The completion of a row: a text, or messages, of which the assistant's last one counts; cut off or not.

    Raises:
        DataError: it is neither.
    """
    if "completion" not in row:
        raise DataError(f"no column 'completion'.{nearest('completion', row)}")
    said = row["completion"]
    if not isinstance(said, str):
        said = [said] if isinstance(said, dict) else said
        fits = isinstance(said, list) and all(isinstance(message, dict) for message in said)
        replies = [one.get("content") for one in said if one.get("role") == "assistant"] if fits else []
        said = replies[-1] if replies else None
        if isinstance(said, list):  # content in parts
            said = "".join(str(part.get("text", "")) for part in said if isinstance(part, dict))
        if not isinstance(said, str):
            raise DataError("'completion' must be a text, or messages with one of the assistant")
    return Cut(said) if row.get("truncated") is True or row.get("finish_reason") == "length" else said


def _due(row: Row) -> float | None:
    right = row.get("right")
    if right is not None and not (isinstance(right, int | float) and 0 <= right <= 1):
        raise DataError(f"'right' must be a mark from 0 to 1, not {str(right)[:40]!r}")
    return None if right is None else float(right)


def _saved(path: Path) -> Iterator[tuple[str, Rollout, float | None]]:
    """The completions of a run's evaluations and audits, with their places and the marks that the run gave."""
    for folder in sorted(RunDir.open(path).root.glob("round_*/*")):
        if folder.name == "audit" and (samples := folder / "audit.jsonl").is_file():
            for number, one in enumerate(each_record(samples), 1):
                if isinstance(one, Rollout):
                    truth = one.info.get("truth")
                    right = truth if isinstance(truth, int | float) else None
                    yield f"{folder.parent.name}/audit:{number}", one, right
        elif folder.name in EXAMS:
            for file in sorted(folder.glob("*.jsonl")):
                report = read_report(folder, file.stem)
                marks = report.scores if report.measure == "accuracy" else {}
                for number, one in enumerate(each_record(file), 1):
                    if isinstance(one, Rollout):
                        yield f"{folder.parent.name}/{folder.name}/{file.stem}:{number}", one, marks.get(one.prompt.key)
