"""A first look at the start model, before it is scored: what makes a run fail in silence is said in one line each.

A model that was built for the task is left out: its bootstrap has measured it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from selfimprove.errors import DataError, UserError
from selfimprove.inference import chat
from selfimprove.interfaces import Context, Log, Remote, Task
from selfimprove.logs import Silent
from selfimprove.loop import lineage
from selfimprove.loop.given import context_of, policy_of
from selfimprove.loop.history import Stored
from selfimprove.loop.step_files import read_checkpoint
from selfimprove.problems import splits
from selfimprove.problems.splits import SPLITS
from selfimprove.recipe.schema import Recipe
from selfimprove.records import Checkpoint, Prompt, Rollout

PROBLEMS, SAMPLES = 16, 4
"""If none of the first completions can be read: problems, and completions of each, before a run is stopped."""
GENERATED = 20
"""Problems of each split that are tried where a task makes as many as are asked for."""
LONGEST = 60
"""Characters of a text that are shown."""


def look(stored: Stored, folder: Path, log: Log) -> None:
    """Try the data against the chat template, then mark a handful of completions of the start model.

    Args:
        folder: that of the step which made the start model.

    Raises:
        DataError: the template refuses a row, or nothing could be learned from the model's completions.
    """
    recipe = stored.recipe
    if recipe.the("model").cached or isinstance(recipe.the("engine"), Remote):
        return
    checkpoint = read_checkpoint(folder)
    form = _template(stored, checkpoint)
    if recipe.preflight_samples:
        _completions(stored, checkpoint, form, log)


def _template(stored: Stored, checkpoint: Checkpoint) -> str:
    """The end of a prompt in the form of the chat template; "" without a template.

    Raises:
        DataError: the template refuses the messages of a row, which is named.
    """
    tokenizer = chat.tokenizer_of(Path(checkpoint.path))
    if tokenizer is None:
        return ""
    problems = _every(stored)
    firsts = {_roles(problem): problem for problem in reversed(problems)}
    for problem in sorted(firsts.values(), key=_row):
        try:
            chat.prompt_ids(tokenizer, problem.prompt)
        except DataError as error:
            count = sum(_roles(one) == _roles(problem) for one in problems)
            more = f" {count} rows have these roles." if count > 1 else ""
            raise DataError(f"{_place(stored, problem)}: {error}.{more} Correct them, or leave them out") from error
    return tokenizer.decode(chat.prompt_ids(tokenizer, problems[0].prompt)) if problems else ""


def _every(stored: Stored) -> list[Prompt]:
    """All problems of the data in its order, or some of a task that makes them."""
    task, [options] = stored.recipe.the("task"), stored.settings["task"].values()
    n = None if "path" in options else GENERATED
    with splits.lifted():
        found = [problem for split in SPLITS for problem in task.problems(split, n, 0)]
    return sorted(found, key=_row)


def _row(problem: Prompt) -> int:
    return int(problem.info.get("row", problem.info.get("line", 0)))


def _roles(problem: Prompt) -> tuple[str, ...]:
    return tuple(message["role"] for message in problem.prompt)


def _place(stored: Stored, problem: Prompt) -> str:
    [options] = stored.settings["task"].values()
    known = {"row", "line"} & problem.info.keys()
    return f"{options['path']}, row {_row(problem)}" if known else f"the problem {problem.key[:LONGEST]!r}"


def _completions(stored: Stored, checkpoint: Checkpoint, form: str, log: Log) -> None:
    """Say of a handful of completions which share was cut off or cannot be read, and in which form they come.

    Raises:
        DataError: none of many completions can be read, and the recipe would keep none of them.
    """
    recipe, seed = stored.recipe, stored.seed("first look")
    task, (engine, options) = recipe.the("task"), _engine(stored)
    policy = policy_of(recipe, checkpoint, seed, Silent()).plain()
    problems = task.problems("selection", recipe.preflight_samples, seed)
    drawn = [group[0] for group in policy.sample(problems)]
    if not drawn:
        return
    if form:
        log.note(
            f"by the chat template a prompt ends {_shown(form, end=True)}; a completion begins {_shown(drawn[0].text)}"
        )
    if cut := sum(one.truncated for one in drawn):
        limit = options.get("max_completion_length")
        log.note(
            f"{cut} of {len(drawn)} completions of the start model are cut off"
            + (f" at {limit} tokens; raise engine.{engine}.max_completion_length for longer ones" if limit else "")
        )
    if thoughts := [one.completion[-1] for one in drawn if one.completion[-1].get("thinking")]:
        silent = sum(not one["content"] for one in thoughts)
        log.note(
            f"{len(thoughts)} of {len(drawn)} completions of the start model think before they reply, and the reply is "
            "what is marked"
            + (f"; {silent} never end their thought: docs/engines.md says what helps" if silent else "")
        )
    unread = _unread(task, drawn)
    if unread:
        log.note(
            f"{len(unread)} of {len(drawn)} completions of the start model state no answer that the task's rule reads; "
            f"one ends {_shown(unread[0].text, end=True)}"
        )
    if len(unread) < len(drawn):
        return
    more = [one for group in policy.sample(task.problems("selection", PROBLEMS, seed), SAMPLES) for one in group]
    if len(_unread(task, more)) == len(more) and not _kept(recipe, checkpoint, more, seed):
        [name] = recipe.task
        raise DataError(
            f"nothing could be learned: of {len(more)} more completions of the start model none states an answer that "
            f"the rule reads, {sum(one.truncated for one in more)} are cut off, and the recipe would keep none. Say "
            f"how to end an answer (task.{name}.system_prompt), raise engine.{engine}.max_completion_length, or go on "
            "with preflight_samples=0; selfimprove mark shows what is read"
        )


def _engine(stored: Stored) -> tuple[str, dict[str, object]]:
    """The name and the options of the engine that runs the weights."""
    return next((name, values) for name, values in stored.settings["engine"].items() if not values.get("roles"))


def _unread(task: Task, drawn: Sequence[Rollout]) -> list[Rollout]:
    """The completions without an answer that can be read, of those that the task marks at all."""
    return [
        one
        for one in drawn
        if task.verify(one.prompt, one.text) is not None and task.reading(one.prompt, one.text)[0] is None
    ]


def _kept(recipe: Recipe, checkpoint: Checkpoint, drawn: Sequence[Rollout], seed: int) -> bool:
    """Whether the recipe would learn from any of these completions, as far as that can be told without a judge."""
    methods = [*recipe.reward.values(), *recipe.selection.values()]
    *_, acquired = recipe.acquisition.values()
    trained = next(iter(recipe.optimization.values()))
    if any(method.needs().roles for method in methods) or acquired.produces not in (Rollout, Prompt):
        return True
    with TemporaryDirectory(prefix="selfimprove-") as scratch:
        given = _context(recipe, checkpoint, seed, Path(scratch))
        try:
            rated = given.reward(drawn)
            if trained.consumes is Prompt:
                return len({one.reward for one in rated}) > 1
            return bool(lineage.selected(recipe.selection, rated, given))
        except UserError:  # a method that needs what comes later, such as an audit
            return True


def _context(recipe: Recipe, checkpoint: Checkpoint, seed: int, folder: Path) -> Context:
    return context_of(
        recipe,
        policy_of(recipe, checkpoint, seed, Silent()),
        checkpoint,
        number=1,
        rounds=recipe.rounds,
        seed=seed,
        train_seed=lambda number: number,
        selection_seed=seed,
        folder=folder,
        previous=None,
        log=Silent(),
    )


def _shown(text: str, end: bool = False) -> str:
    """A part of a text in quotes, with its line breaks as they are written."""
    return repr(text[-LONGEST:] if end else text[:LONGEST])
