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
from selfimprove.problems import packed_rows
from selfimprove.problems.cells import messages_of, pick, places, reference_of, talk
from selfimprove.problems.csv_rows import csv_rows, json_rows
from selfimprove.problems.data_folder import check_file, check_folder, saved_files
from selfimprove.problems.jsonl_rows import lines
from selfimprove.problems.room import Room
from selfimprove.problems.rows import Counts, Reader, Row, gathered, told
from selfimprove.records import Message
from selfimprove.registry import nearest

KINDS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".arrow": "arrow"}
"""Suffix of a file -> the library's builder."""
TEXTS = ("json", "csv")
"""Builders whose files are read here, because the library guesses types; see `csv_rows`."""
TALKS = ("messages", "conversations")
PROMPTS = (*TALKS, "prompt", "instruction", "question", "problem")
"""Columns for the problem, the first one present is used: a conversation, a text, or alpaca's instruction."""
ANSWERS = ("answer", "completion", "output", "response", "solution")
"""Columns for the reference answer; the first one present is used."""
CONTEXTS = ("input", "context")
"""Columns with more text for an instruction."""


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


def read(source: Source, reader: Reader, **options: Any) -> tuple[list[Row], Counts]:
    """The problems of a data set, and the counts of its rows; the options are those of `gathered`.

    Raises:
        UserError: the data set is not available, or too many of its rows cannot be read.
    """
    rows, counts = gathered(enumerate(table(source)), reader, lambda row: f"{source}, row {row}", **options)
    if not rows:
        raise DataError(f"{source}: the data set has no rows" + "".join(f"; {said}" for said in told(counts)))
    return rows, counts


# ---- rows --------------------------------------------------------------------------------------------------------
def columns(prompt: str | None, answer: str | None, marked: bool = False) -> Reader:
    """A reader of a prompt and an answer column; None picks the usual columns, see PROMPTS and ANSWERS.

    Args:
        marked: the task marks completions by the answer, so a row without a column for one is an error.
    """

    def reader(values: dict[str, Any]) -> tuple[list[Message], str | None]:
        named = prompt or next((name for name in PROMPTS if name in values), None)
        if named is None:
            raise DataError(
                f"no column is called {', '.join(PROMPTS)}; set prompt_column to one of {', '.join(places(values))}"
            )
        asked: list[Message] = [
            {**message, "content": _joined(message["content"], values)} if named == "instruction" else message
            for message in messages_of(talk(pick(values, named)), named)
        ]
        if answer is None and asked[-1]["role"] == "assistant":
            if len(asked) < 2:
                raise DataError(f"{named!r} holds an answer but no question")
            return asked[:-1], asked[-1]["content"]
        replied = answer or next((name for name in ANSWERS if name in values and named not in TALKS), None)
        if marked and replied is None and named not in TALKS:
            others = ", ".join(name for name in places(values) if name != named)
            raise DataError(
                f"no column holds an answer: none is called {', '.join(ANSWERS)}. Set answer_column to one of {others}"
            )
        said = talk(pick(values, replied)) if replied else None
        if replied and isinstance(said, list) and said and isinstance(said[-1], Mapping):
            said = messages_of(said, replied)[-1]["content"]
        return asked, reference_of(said, replied) if replied else None

    return reader


def _joined(instruction: str, values: Mapping[str, Any]) -> str:
    """Alpaca's instruction with its input, if it has one."""
    context = next((values[name] for name in CONTEXTS if values.get(name)), None)
    return f"{instruction}\n\n{context}" if isinstance(context, str) and context.strip() else instruction


def is_id(path: str) -> bool:
    """Whether a path does not exist here and looks like a hub id."""
    named = re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", path) is not None
    return named and not Path(path).expanduser().exists() and Path(path).suffix not in KINDS


# ---- the library -------------------------------------------------------------------------------------------------
def table(source: Source) -> Iterable[dict[str, Any] | DataError]:
    """The rows of a data set; a row that cannot be read as one is given as an error.

    CSV and JSON are read here, as they stand; the library finds their files, and reads Parquet and Arrow.

    Raises:
        UserError: the data set does not exist, cannot be reached, or is not a table.
    """
    local = Path(source.path).expanduser()
    if not local.exists():
        if not is_id(source.path):
            raise MissingError(f"{source.option}.path: the file or folder {source.path!r} does not exist")
        return _explained(source, lambda: _prepared(source, source.path, source.config, revision=source.revision))
    if local.is_file():
        kind = KINDS.get(local.suffix.lower())
        if kind is None:
            raise DataError(f"{source.option}.path: {local} is not one of {', '.join(KINDS)}")
        check_file(local, f"{source.option}.path", kind)
        return _file_rows(source, local, local.name, kind, Room(str(local), local))
    if not local.is_dir():
        raise DataError(f"{source.option}.path: {local} is not a file or a folder")
    check_folder(local, f"{source.option}.path")
    with tempfile.TemporaryDirectory() as cache:  # a cached copy could be older than the file
        return _explained(source, lambda: _local(source, local, cache))


def _local(source: Source, local: Path, cache: str) -> list[Any]:
    import datasets

    if (local / "state.json").exists() or (local / "dataset_dict.json").exists():
        splits, files = saved_files(local, source.split)
        if files is None:
            raise RecipeError(f"{source.option}: no split {source.split!r}.{nearest(source.split, splits)}")
        for file in files:
            check_file(file, f"{source.option}.path", "arrow")
        return packed_rows.rows(files, Room(str(local), *files))
    datasets.disable_progress_bars()
    try:
        return list(_prepared(source, str(local), source.config, local, cache_dir=cache))
    finally:
        datasets.enable_progress_bars()


def _prepared(source: Source, path: str, config: str | None, local: Path | None = None, **named: Any) -> Any:
    """The rows of a split, read here or prepared with one of the library's builders for tables.

    Args:
        local: the folder that the files must lie in.
    """
    import datasets

    builder = datasets.load_dataset_builder(path, config, **named)
    kind = type(builder).__module__.split(".")[-1]
    if kind not in {*KINDS.values(), "text"}:
        raise DataError(f"{source} holds {kind} files; a task needs a table: {', '.join(KINDS)}")
    if kind in TEXTS or local:
        return _of_files(source, builder, kind, local)
    builder.download_and_prepare()
    return builder.as_dataset(split=source.split)


def _of_files(source: Source, builder: Any, kind: str, local: Path | None) -> list[dict[str, Any] | DataError]:
    """The rows of the files that a builder has found, for the source's split in the library's syntax."""
    import datasets

    way = datasets.DownloadConfig(token=builder.token, storage_options=builder.storage_options)
    manager, files = datasets.DownloadManager(download_config=way), builder.config.data_files
    asked = {str(name): [str(one) for one in files[name]] for name in files}
    wanted = [name for name in asked if name in re.split(r"[+\[]", source.split)] or [*asked]  # only these are fetched
    rows: dict[str, list[dict[str, Any] | DataError]] = {name: [] for name in asked}
    room = Room(str(source))
    for name in wanted:
        fetched = asked[name] if local else manager.download_and_extract(asked[name])
        for given, place in zip(asked[name], fetched, strict=True):
            for file in [place] if local else manager.iter_files(place):
                if local:
                    _check_place(source, Path(file), local, kind)
                room.hold(Path(file))
                if room.full:
                    continue
                rows[name] += _file_rows(source, Path(file), given, kind, room, builder.config)
    taken = datasets.ReadInstruction.from_spec(source.split).to_absolute({name: len(rows[name]) for name in rows})
    return [row for part in taken for row in rows[part.splitname][part.from_ : part.to]]


def _check_place(source: Source, file: Path, local: Path, kind: str) -> None:
    """Refuse a file that the library has found outside the folder that was named, and one that is something else."""
    if not file.absolute().is_relative_to(local.absolute()) and not file.resolve().is_relative_to(local.resolve()):
        raise DataError(f"{source.option}.path: {file} is not in {local}; correct its card")
    check_file(file, f"{source.option}.path", kind)


def _file_rows(
    source: Source, file: Path, given: str, kind: str, room: Room, config: Any = None
) -> Iterable[dict[str, Any] | DataError]:
    """The rows of a file.

    Args:
        given: its name before it was fetched.
        config: what a data set's card says of its files.
    """
    if kind == "text":
        return [
            {"text": line.decode(errors="replace").strip("\r\n")}
            for _, line in lines(file, f"{source.option}.path", room)
        ]
    if kind not in TEXTS:
        return packed_rows.rows([file], room)
    suffixes = [suffix.lower() for suffix in Path(given).suffixes]
    if kind == "json":
        rows = json_rows(file, f"{source.option}.path", ".json" in suffixes, config.field if config else None, room)
        return _filled(list(rows))
    delimiter = config.sep if config else "\t" if ".tsv" in suffixes else ","
    return csv_rows(file, delimiter, config.names if config else None, room)


def _filled(rows: list[dict[str, Any] | DataError]) -> list[dict[str, Any] | DataError]:
    """The rows of a table, with null in the columns that only other rows have."""
    names = dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row)
    return [names | row if isinstance(row, dict) else row for row in rows]


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
