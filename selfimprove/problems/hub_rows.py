"""Reads the rows of a data set with the library `datasets`: tables from the hub, a folder or a file, never code.

Not a method: the tasks with a hub id use it. An error is one line that names the option to change.
"""

from __future__ import annotations

import errno
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError, EngineError, MissingError, RecipeError, StorageError, UserError
from selfimprove.problems.jsonl_rows import Row, messages_of, reference_of, row_of
from selfimprove.records import Message
from selfimprove.registry import nearest

KINDS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".arrow": "arrow"}
"""Suffix of a file -> the library's builder."""
TALKS = ("messages", "conversations")
PROMPTS = (*TALKS, "prompt", "instruction", "question", "problem")
"""Columns for the problem, the first one present is used: a conversation, a text, or alpaca's instruction."""
ANSWERS = ("answer", "completion", "output", "response", "solution")
"""Columns for the reference answer; the first one present is used."""
CONTEXTS = ("input", "context")
"""Columns with more text for an instruction."""
SPEAKERS = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "assistant", "model", "bot"), "assistant"),
    "system": "system",
}
"""Name of a speaker in sharegpt's `from` -> role."""


@dataclass(frozen=True)
class Source:
    """The location of a data set."""

    option: str
    """The task that names it, for messages: `task.gsm8k`."""
    path: str
    config: str | None
    split: str
    revision: str | None

    def __str__(self) -> str:
        """The name used in messages."""
        return f"{self.path}{f' ({self.config})' if self.config else ''}, split {self.split}"


Reader = Callable[[dict[str, Any]], tuple[list[Message], str | None]]
"""Turns a row into a prompt and its reference answer; raises DataError for a row that it cannot read."""


def read(source: Source, reader: Reader, skip_bad: int = 0) -> list[Row]:
    """The problems of a data set, without duplicates.

    Raises:
        UserError: the data set is not available, or more than `skip_bad` of its rows cannot be read.
    """
    found: dict[str, Row] = {}
    skipped = 0
    for number, values in enumerate(table(source)):
        try:
            row = row_of(number, *reader(values))
        except DataError as error:
            skipped += 1
            if skipped > skip_bad:
                raise DataError(f"{source}, row {number}: {error}") from error
            continue
        found.setdefault(row.key, row)
    if not found:
        raise DataError(f"{source}: the data set has no rows")
    return list(found.values())


# ---- rows --------------------------------------------------------------------------------------------------------
def columns(prompt: str | None, answer: str | None) -> Reader:
    """A reader of a prompt and an answer column; None picks the usual columns, see PROMPTS and ANSWERS."""

    def reader(values: dict[str, Any]) -> tuple[list[Message], str | None]:
        named = prompt or next((name for name in PROMPTS if name in values), None)
        if named is None:
            raise DataError(
                f"no column is called {', '.join(PROMPTS)}; set prompt_column to one of {', '.join(values)}"
            )
        asked = [
            {**message, "content": _joined(message["content"], values)} if named == "instruction" else message
            for message in messages_of(talk(pick(values, named)), named)
        ]
        if answer is None and asked[-1]["role"] == "assistant":
            if len(asked) < 2:
                raise DataError(f"{named!r} holds an answer but no question")
            return asked[:-1], asked[-1]["content"]
        replied = answer or next((name for name in ANSWERS if name in values and named not in TALKS), None)
        said = talk(pick(values, replied)) if replied else None
        if replied and isinstance(said, list) and said:
            said = messages_of(said, replied)[-1]["content"]
        return asked, reference_of(said, replied) if replied else None

    return reader


def pick(values: Mapping[str, Any], column: str) -> Any:
    """The value of a column.

    Raises:
        DataError: the column does not exist; the message has the nearest name and lists the columns.
    """
    if column not in values:
        raise DataError(f"no column {column!r}.{nearest(column, values)}")
    return values[column]


def talk(value: Any) -> Any:
    """A conversation in sharegpt's form, {from, value}, as {role, content}; any other value unchanged.

    Raises:
        DataError: a speaker is unknown.
    """
    turns = value if isinstance(value, list) else []
    if not turns or not all(isinstance(turn, dict) and {"from", "value"} <= {*turn} for turn in turns):
        return value
    for turn in turns:
        if turn["from"] not in SPEAKERS:
            raise DataError(f"unknown speaker {turn['from']!r}.{nearest(str(turn['from']), SPEAKERS)}")
    return [{"role": SPEAKERS[turn["from"]], "content": turn["value"]} for turn in turns]


def _joined(instruction: str, values: Mapping[str, Any]) -> str:
    """Alpaca's instruction with its input, if it has one."""
    context = next((values[name] for name in CONTEXTS if values.get(name)), None)
    return f"{instruction}\n\n{context}" if isinstance(context, str) and context.strip() else instruction


def is_id(path: str) -> bool:
    """Whether a path does not exist here and looks like a hub id."""
    named = re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", path) is not None
    return named and not Path(path).expanduser().exists() and Path(path).suffix not in KINDS


# ---- the library -------------------------------------------------------------------------------------------------
def table(source: Source) -> Iterable[dict[str, Any]]:
    """The raw rows of a data set.

    Raises:
        UserError: the data set does not exist, cannot be reached, or is not a table.
    """
    local = Path(source.path).expanduser()
    if not local.exists():
        if not is_id(source.path):
            raise MissingError(f"{source.option}.path: the file or folder {source.path!r} does not exist")
        return _explained(source, lambda: _prepared(source, source.path, source.config, revision=source.revision))
    with tempfile.TemporaryDirectory() as cache:  # a cached copy could be older than the file
        return [*_explained(source, lambda: _local(source, local, cache))]


def _local(source: Source, local: Path, cache: str) -> list[dict[str, Any]]:
    import datasets

    datasets.disable_progress_bars()
    try:
        if local.is_file():
            kind = KINDS.get(local.suffix.lower())
            if kind is None:
                raise DataError(f"{source.option}.path: {local} is not one of {', '.join(KINDS)}")
            named = {"sep": "\t"} if local.suffix.lower() == ".tsv" else {}
            one = Source(source.option, source.path, None, "train", None)  # a file has no splits
            return list(_prepared(one, kind, None, data_files={"train": str(local)}, cache_dir=cache, **named))
        if (local / "state.json").exists() or (local / "dataset_dict.json").exists():
            saved: Any = datasets.load_from_disk(str(local))
            if isinstance(saved, datasets.DatasetDict):
                if source.split not in saved:
                    raise RecipeError(
                        f"{source.option}: no split {source.split!r}.{nearest(source.split, map(str, saved))}"
                    )
                saved = saved[source.split]
            return list(saved)
        return list(_prepared(source, str(local), source.config, cache_dir=cache))
    finally:
        datasets.enable_progress_bars()


def _prepared(source: Source, path: str, config: str | None, **named: Any) -> Any:
    """Download and prepare a data set with one of the library's builders for tables."""
    import datasets

    builder = datasets.load_dataset_builder(path, config, **named)
    kind = type(builder).__module__.split(".")[-1]
    if kind not in {*KINDS.values(), "text"}:
        raise DataError(f"{source} holds {kind} files; a task needs a table: {', '.join(KINDS)}")
    builder.download_and_prepare()
    return builder.as_dataset(split=source.split)


def _explained(source: Source, load: Callable[[], Any]) -> Any:
    """The result of `load`; an error of the library becomes one line that a user can act on."""
    try:
        return load()
    except UserError:
        raise
    except Exception as error:
        raise _error(source, error) from error


def _error(source: Source, error: Exception) -> UserError:
    from datasets.exceptions import DataFilesNotFoundError, DatasetNotFoundError
    from huggingface_hub.errors import HfHubHTTPError

    cause: BaseException = error
    while cause.__cause__ is not None:  # the library wraps the reason in general words
        cause = cause.__cause__
    said, reason = " ".join(str(error).split())[:300], " ".join(str(cause).split())[:300]
    if isinstance(error, DatasetNotFoundError):
        if "gated" in said or "authenticated" in said:
            return EngineError(
                f"{source.path} is gated: accept its terms on its page on the hub, then `hf auth login`; or give "
                f"{source.option}.path a local copy"
            )
        return MissingError(
            f"{source.option}.path: the hub has no data set {source.path!r}"
            f"{f' at revision {source.revision!r}' if source.revision else ''}, or it is private (`hf auth login`)"
        )
    if isinstance(error, DataFilesNotFoundError):
        return DataError(f"{source.option}.path: {source.path} holds no data files: {', '.join(KINDS)}")
    if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
        return StorageError(f"no space left to prepare {source.path}; set HF_HOME to a larger disk")
    if isinstance(error, ConnectionError | HfHubHTTPError) or type(error).__module__.startswith("httpx"):
        return EngineError(
            f"{source.path!r} is not a local file or folder and could not be fetched from the hub: {said}. "
            f"Give {source.option}.path a local copy to work offline"
        )
    if isinstance(error, ValueError) and re.search(r"split|[Cc]onfig", said):
        return RecipeError(f"{source.option}: {said}")
    return DataError(f"{source.path} cannot be read: {reason}")
