"""The ledger of a run: a line for every read of held-out problems, every share of alpha spent and every change of plan.

Each line contains the sha256 of the previous line, so changing, removing or inserting a line breaks the chain. A read
is recorded before the problems are scored. A step that is repeated after a kill adds no line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError
from selfimprove.records import Prompt, digest
from selfimprove.store import durable

START = "0" * 64


class Ledger:
    """`ledger.jsonl` of a run folder.

    All lines are read and checked once, and again if something else changed the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._forget()

    def read(self, number: int, step: str, split: str, problems: Sequence[Prompt]) -> None:
        """Record that a step reads held-out problems."""
        keys = digest(sorted(problem.key for problem in problems))
        self._note({"round": number, "step": step, "split": split, "n": len(problems), "keys": keys})

    def adapted(self, number: int, step: str, split: str, problems: Sequence[Prompt]) -> None:
        """Record that weights were adapted to held-out questions, without their answers."""
        keys = digest(sorted(problem.key for problem in problems))
        self._note({"round": number, "step": step, "split": split, "adapted": len(problems), "keys": keys})

    def spend(self, number: int, step: str, alpha: float) -> None:
        """Record that a decision spent alpha."""
        self._note({"round": number, "step": step, "alpha": alpha})

    def plan(self, number: int, rounds: int, added: int | None) -> None:
        """Record that a person changed the number of rounds; it holds from round `number` on.

        Args:
            added: how many rounds were added, if that was said; None if the number of all was.
        """
        content = {"round": number, "step": "resume", "rounds": rounds, "change": len(self.plans()) + 1}
        self._note(content if added is None else {**content, "added": added})

    def plans(self) -> list[dict[str, Any]]:
        """The changes of the number of rounds, in order."""
        return [entry for entry in self.entries() if "rounds" in entry]

    def answer(self, number: int, step: str, approved: bool) -> None:
        """Record a person's answer to a proposal."""
        self._note({"round": number, "step": step, "approved": approved})

    def answers(self) -> dict[tuple[int, str], bool]:
        """The person's answer to the proposal of each answered step."""
        found = (entry for entry in self.entries() if "approved" in entry)
        return {(entry["round"], entry["step"]): entry["approved"] for entry in found}

    def entries(self, repair: bool = True) -> list[dict[str, Any]]:
        """All lines, checked.

        Args:
            repair: remove a truncated last line from the file.

        Raises:
            DataError: the chain is broken.
        """
        state = _state(self.path)
        if state is None:
            self._forget()
            return []
        if state != self._state:
            self._forget()
            self._read()
            self._state = state
        if self._torn and repair:  # truncated by a kill or a full disk; the read that it records did not begin
            durable.truncate(self.path, self._size)
            self._state, self._torn = _state(self.path), False
        return self._entries

    def _forget(self) -> None:
        """Forget all lines, to read the file again."""
        self._entries, self._noted = list[dict[str, Any]](), set[str]()
        self._state: tuple[int, int, int] | None = None
        self._size, self._torn = 0, False

    def _read(self) -> None:
        raw = foreign.content(self.path)
        if wrong := foreign.excess(raw):
            raise DataError(f"{self.path}: the ledger was changed: {wrong}. Restore the file, or start a new run")
        whole, end, torn = raw.rpartition(b"\n")
        for line in whole.decode(errors="replace").splitlines():
            entry = _parsed(line)
            before = self._entries[-1]["hash"] if self._entries else START
            if entry.get("before") != before or entry.get("hash") != _hash(entry) or not _fits(entry):
                place = len(self._entries) + 1
                self._forget()
                raise DataError(
                    f"{self.path}, line {place}: the ledger was changed, so its record of held-out reads is incomplete."
                    " Restore the file, or start a new run"
                )
            self._add(entry)
        self._size = len(whole + end)
        self._torn = bool(torn)

    def _add(self, entry: dict[str, Any]) -> None:
        self._entries.append(entry)
        self._noted.add(_content(entry))

    def check(self, steps: Sequence[tuple[int, str]], repair: bool = True) -> None:
        """Check that the ledger has every finished step that reads held-out problems or spends alpha.

        Args:
            repair: remove a truncated last line from the file.

        Raises:
            DataError: the chain is broken, or a step is missing.
        """
        known = {(entry["round"], entry["step"]) for entry in self.entries(repair)}
        for number, step in steps:
            if (number, step) not in known:
                raise DataError(
                    f"{self.path} has no line for step {step} of round {number}: lines were removed. "
                    "Restore the file, or start a new run"
                )

    def _note(self, content: dict[str, Any]) -> None:
        entries = self.entries()
        if _content(content) in self._noted:
            return
        entry = {**content, "before": entries[-1]["hash"] if entries else START}
        entry["hash"] = _hash(entry)
        line = (json.dumps(entry) + "\n").encode()
        durable.append(self.path, line)
        self._add(entry)
        self._size += len(line)
        self._state = _state(self.path)


def _state(path: Path) -> tuple[int, int, int] | None:
    """Metadata that changes with the content of a file; None if the file does not exist."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _content(entry: dict[str, Any]) -> str:
    """The content of a line, without its place in the chain."""
    return json.dumps({name: value for name, value in entry.items() if name not in ("before", "hash")}, sort_keys=True)


def _parsed(line: str) -> dict[str, Any]:
    """A line as a mapping; empty if it is not valid."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}


def _fits(entry: dict[str, Any]) -> bool:
    """Whether the parts of a line have the types that `Ledger` writes; others may have written it."""
    whole = all(type(entry[name]) is int for name in ("round", "rounds", "added", "n", "change") if name in entry)
    alpha = entry.get("alpha", 0.0)
    return whole and "round" in entry and type(entry.get("step")) is str and type(alpha) in (int, float)


def _hash(entry: dict[str, Any]) -> str:
    return digest({name: value for name, value in entry.items() if name != "hash"})
