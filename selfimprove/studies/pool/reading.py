"""Read the rows of a pool in parts, in several processes, each part once.

A part is `ROWS` rows that are still in the pool. At most `AHEAD` parts are in work, so a kill loses at most a portion
of `ROWS * AHEAD` rows. What a part gives does not depend on how many processes there are.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path

from selfimprove.errors import DataError, DeviceError
from selfimprove.interfaces import Arrays, Portioned
from selfimprove.problems.overlap import taught
from selfimprove.problems.pool_lines import raw
from selfimprove.problems.pool_rows import Columns
from selfimprove.records import Record
from selfimprove.studies.pool.work_folder import WorkFolder, loaded, part_in

ROWS, AHEAD = 2500, 4
"""Rows of a part, and parts that are in work at a time."""
Lines = list[tuple[int, bytes]]
Work = Callable[[Columns, Lines], Arrays]


@dataclass
class Source:
    """A pool: its file, and which of its columns say what."""

    path: Path
    columns: Columns
    option: str = "--data"

    def lines(self, places: Sequence[int] | None = None) -> Iterator[tuple[int, bytes]]:
        """The rows with their numbers; only those at some places, which ascend."""
        if places is None:
            yield from enumerate(raw(self.path, self.option))
            return
        wanted = iter(places)
        place = next(wanted, None)
        for number, line in enumerate(raw(self.path, self.option)):
            if place is None:
                return
            if number == place:
                yield number, line
                place = next(wanted, None)

    def records(self, places: Sequence[int]) -> Iterator[Record]:
        """The records at some places, which ascend."""
        return (self.columns.record(line, number) for number, line in self.lines(places))


@dataclass
class Readers:
    """The processes that read; they start with the second part of a pool, and end with `close`."""

    processes: int
    rows: int = field(default=0, init=False)
    """Rows that they have read."""
    _pool: ProcessPoolExecutor | None = field(default=None, init=False)

    def read(
        self,
        source: Source,
        places: Sequence[int] | None,
        work: Work,
        folder: WorkFolder,
        step: Path,
        progress: Callable[[int], None],
    ) -> int:
        """Read the rows at some places, or all, and keep what each part gives in the folder of a step.

        Args:
            progress: told how many rows are read.

        Returns:
            The number of parts.

        Raises:
            DeviceError: a process ended, most likely for lack of memory.
        """
        have, waiting, rows = folder.parts(step), deque[tuple[int, int, Future[Arrays]]](), 0

        def take() -> None:
            nonlocal rows
            number, size, future = waiting.popleft()
            folder.keep(part_in(step, number), future.result())
            self.rows += size
            rows += size
            progress(rows)

        number, lines = -1, source.lines(places)
        try:
            for number, part in enumerate(iter(lambda: list(islice(lines, ROWS)), [])):
                if number in have:
                    rows += len(part)
                    progress(rows)
                    continue
                waiting.append((number, len(part), self._begun(number, len(part), work, source.columns, part)))
                if len(waiting) == AHEAD:
                    take()
            while waiting:
                take()
        except BrokenProcessPool as error:
            raise DeviceError(
                "a process that reads the pool has ended, most likely for lack of memory; type the command again to go "
                "on, with fewer: --processes 1"
            ) from error
        return number + 1

    def _begun(self, number: int, size: int, work: Work, columns: Columns, part: Lines) -> Future[Arrays]:
        if (self.processes > 1 and (number or self._pool) and size == ROWS) or self._pool:
            if self._pool is None:
                how = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(self.processes, how, _follow, (os.getpid(),))
            return self._pool.submit(work, columns, part)
        done = Future[Arrays]()
        done.set_result(work(columns, part))
        return done

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            with contextlib.suppress(Exception):
                self._pool.shutdown(wait=False, cancel_futures=True)


def look(columns: Columns, lines: Lines) -> Arrays:
    """What the first reading finds: whether each row can be read, why the first bad one cannot, lengths and levels."""
    import numpy as np

    fine, lengths, levels, said = list[bool](), list[int](), list[bytes](), list[str]()
    for number, line in lines:
        try:
            record = columns.record(line, number)
        except DataError as error:
            fine.append(False)
            lengths.append(-1)
            levels.append(b"")
            said = said or [f"row {number + 1}: {error}"]
            continue
        fine.append(True)
        lengths.append(len(taught(record).split()))
        levels.append(str(record.info.get("level", "")).encode()[:16])
    return {
        "fine": np.array(fine, dtype=bool),
        "lengths": np.array(lengths, dtype=np.int32),
        "levels": np.array(levels, dtype="S16"),
        "said": np.array(said, dtype=np.str_),
    }


@dataclass(frozen=True)
class Measure:
    """What a selection reads of a part."""

    method: Portioned
    known: Path
    """A file with what reading needs besides the records."""

    def __call__(self, columns: Columns, lines: Lines) -> Arrays:
        """What the selection reads of these rows."""
        return self.method.read([columns.record(line, number) for number, line in lines], _known(self.known))


def _follow(parent: int) -> None:
    """End this process when the one that started it is gone: it would wait for work for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@lru_cache(maxsize=1)
def _known(path: Path) -> Arrays:
    return loaded(path)
