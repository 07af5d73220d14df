"""The ledger of a run: one line for every read of held-out problems and every share of alpha spent, in a hash chain.

Each line names the sha256 of the line before, so a line that is changed, removed or put in later breaks the chain.
A read is noted before the problems are scored. A step that is done again after a kill notes nothing new.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError
from selfimprove.records import Prompt, digest
from selfimprove.store import durable

START = "0" * 64


class Ledger:
    """`ledger.jsonl` of a run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, number: int, step: str, split: str, problems: Sequence[Prompt]) -> None:
        """Note that a step reads held-out problems."""
        keys = digest(sorted(problem.key for problem in problems))
        self._note({"round": number, "step": step, "split": split, "n": len(problems), "keys": keys})

    def adapted(self, number: int, step: str, split: str, problems: Sequence[Prompt]) -> None:
        """Note that weights were adapted to held-out questions, without their answers."""
        keys = digest(sorted(problem.key for problem in problems))
        self._note({"round": number, "step": step, "split": split, "adapted": len(problems), "keys": keys})

    def spend(self, number: int, step: str, alpha: float) -> None:
        """Note that a decision spent alpha."""
        self._note({"round": number, "step": step, "alpha": alpha})

    def answer(self, number: int, step: str, approved: bool) -> None:
        """Note what a person said to a proposal."""
        self._note({"round": number, "step": step, "approved": approved})

    def answers(self) -> dict[tuple[int, str], bool]:
        """What a person said to the proposal of each step that was answered."""
        found = (entry for entry in self.entries() if "approved" in entry)
        return {(entry["round"], entry["step"]): entry["approved"] for entry in found}

    def entries(self, mend: bool = True) -> list[dict[str, Any]]:
        """All lines, checked.

        Args:
            mend: whether a torn last line is cut off.

        Raises:
            DataError: the chain is broken.
        """
        if not self.path.exists():
            return []
        whole, _, torn = self.path.read_bytes().decode(errors="replace").rpartition("\n")
        found, before = list[dict[str, Any]](), START
        for place, line in enumerate(whole.splitlines(), 1):
            entry = _parsed(line)
            if entry.get("before") != before or entry.get("hash") != _hash(entry):
                raise DataError(
                    f"{self.path}, line {place}: the ledger was changed, so what was read of the held-out problems is "
                    "not known any more. Restore the file, or start a new run"
                )
            found.append(entry)
            before = entry["hash"]
        if torn and mend:  # a kill or a full disk cut the last line; what it announced did not begin
            durable.truncate(self.path, len((whole + "\n").encode()) if whole else 0)
        return found

    def check(self, steps: Sequence[tuple[int, str]], mend: bool = True) -> None:
        """Every finished step that reads held-out problems or spends alpha must stand in the ledger.

        Args:
            mend: whether a torn last line is cut off.

        Raises:
            DataError: the chain is broken, or a step is missing.
        """
        known = {(entry["round"], entry["step"]) for entry in self.entries(mend)}
        for number, step in steps:
            if (number, step) not in known:
                raise DataError(
                    f"{self.path} does not mention the {step} of round {number}: lines were removed. "
                    "Restore the file, or start a new run"
                )

    def _note(self, content: dict[str, Any]) -> None:
        entries = self.entries()
        if any(entry == {**entry, **content} and len(entry) == len(content) + 2 for entry in entries):
            return
        entry = {**content, "before": entries[-1]["hash"] if entries else START}
        durable.append(self.path, (json.dumps({**entry, "hash": _hash(entry)}) + "\n").encode())


def _parsed(line: str) -> dict[str, Any]:
    """A line as it was written, or nothing where it is none."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}


def _hash(entry: dict[str, Any]) -> str:
    return digest({name: value for name, value in entry.items() if name != "hash"})
