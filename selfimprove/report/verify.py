"""Verify a run folder: every step, its fingerprint, the ledger, and the files derived from them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from selfimprove import foreign
from selfimprove.errors import DataError, MissingError, UserError
from selfimprove.loop import provenance, stages
from selfimprove.loop.history import Stored
from selfimprove.recipe import compose
from selfimprove.store.pruning import pruned
from selfimprove.store.run_folder import RunDir, alike
from selfimprove.store.seal import damage, is_signed

BY_ITSELF = "its message says what to do"
LINKED, OTHER = "a symlink is in its place", "made with other options"
"""Why resume refuses a step instead of making it again."""


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    what: str
    fine: bool | None
    """None: not checked."""
    said: str
    way: str = ""
    """How to repair it, where `resume` does not."""


def verify(root: Path, load: compose.Load = compose.load) -> list[Finding]:
    """Check everything in a run folder; writes nothing.

    Raises:
        MissingError: the folder is not a run folder.
    """
    try:
        stored = Stored(RunDir.open(root), load)
    except MissingError:
        raise
    except UserError as error:
        return [Finding("recipe and environment", False, str(error), BY_ITSELF)]
    found = [Finding("recipe and environment", True, f"as the run began; {len(stored.environment)} entries")]
    changed = provenance.changed_data(stored.environment.get("data", {}))
    data = ", ".join(stored.environment.get("data", {})) or "none on this machine"
    way = "restore it, or start a new run" if changed else ""
    found.append(Finding("data", not changed, "; ".join(changed) or data, way))
    found += _steps(stored)
    found.append(_ledger(stored))
    found += _derived(stored, all(finding.fine for finding in found))
    return found


def _steps(stored: Stored) -> Iterator[Finding]:
    """Check the steps in the order in which they ran, up to the first bad one, because later ones depend on it."""
    folder, fingerprint = stored.folder, stored.first()
    names = [path.name for path in _rounds(folder.root)]
    for number, name in enumerate(names):
        if name != f"round_{number:03d}":
            yield Finding(f"round_{number:03d}", False, f"missing, but there is {name}")
            return
        known = (*stored.steps(number), *stages.END)
        for path in sorted((folder.root / name).iterdir()):
            if path.name not in known and not path.name.startswith("."):
                yield Finding(f"{name}/{path.name}", False, "does not belong to the run", f"move {path} elsewhere")
        before = fingerprint
        for stage in known:
            if not folder.step(number, stage).exists():
                if stage not in stages.END and number < len(names) - 1:
                    yield Finding(f"{name}/{stage}", False, "missing, but later steps exist")
                    return
                continue
            made = stored.fingerprint(fingerprint if stage not in stages.END else before, number, stage)
            wrong = _wrong(stored, number, stage, made)
            gone = "" if wrong else _pruned(folder.step(number, stage))
            files = "" if wrong else f"{len(folder.manifest(number, stage)['files'])} files{gone}"
            yield Finding(f"{name}/{stage}", not wrong, wrong or files, _way(folder.step(number, stage), wrong))
            if wrong and stage not in stages.END:
                yield Finding("later steps", None, "not checked: resume repeats the damaged step first")
                return
            if stage not in stages.END:
                fingerprint = before = made


def _pruned(step: Path) -> str:
    """How many files of an intact step were removed on purpose; "" for none."""
    gone = [name for name in pruned(step) if not (step / name).exists()]
    return f", {len(gone)} of them pruned" if gone else ""


def _rounds(root: Path) -> list[Path]:
    """The folders of the rounds in their order; from 1000 on their names are longer."""
    return sorted(root.glob("round_*"), key=lambda path: (len(path.name), path.name))


def _wrong(stored: Stored, number: int, stage: str, fingerprint: str) -> str:
    folder = stored.folder.step(number, stage)
    if any(path.is_symlink() for path in (folder, folder.parent)):
        return LINKED
    wrong = damage(folder)
    if wrong:
        return wrong
    manifest = stored.folder.manifest(number, stage)
    if manifest.get("fingerprint") != fingerprint:
        return OTHER
    return "" if manifest.get("inputs") == stored.inputs(number, stage) else "made from other inputs"


def _way(step: Path, wrong: str) -> str:
    """How to repair a step that resume refuses; "" for one that it makes again."""
    ways = {LINKED: "put the folder in its place", OTHER: f"remove {step} to redo the run from there"}
    return ways.get(wrong, "")


def _ledger(stored: Stored) -> Finding:
    try:
        stored.ledger.check(stored.noted_steps(), repair=False)
        return Finding("ledger.jsonl", True, f"{len(stored.ledger.entries(repair=False))} lines in one chain")
    except DataError as error:
        return Finding("ledger.jsonl", False, str(error), BY_ITSELF)


def _derived(stored: Stored, fine: bool) -> Iterator[Finding]:
    """Check the files that resume can derive from the steps."""
    root = stored.folder.root
    if not fine:
        yield Finding("metrics.jsonl, summary.json, champion", None, "not checked: they are derived from the steps")
        return
    names = _rounds(root)
    finished = [number for number in range(len(names)) if _whole(stored, number)]
    lines = [json.dumps(stored.line(number)) + "\n" for number in finished]
    ended = bool(names) and (names[-1] / "sealed").exists()
    metrics, summary = root / "metrics.jsonl", root / "summary.json"
    written, odd = _text(metrics)
    same = written == "".join(lines)
    if odd:
        yield Finding("metrics.jsonl", False, f"{odd}; resume writes it again")
    elif ended:
        yield Finding(
            "metrics.jsonl", same, f"{len(lines)} rounds" if same else "differs from the steps; resume writes it again"
        )
    else:
        yield Finding(
            "metrics.jsonl", True, f"{written.count(chr(10))} of {len(lines)} rounds; the run is not finished"
        )
    if ended or summary.exists():
        yield _summary(summary)
    if ended:
        made = stored.standing(len(finished)).champion
        wanted = Path(stored.checkpoint(made).path).resolve()
        link = root / "champion"
        there = os.path.realpath(link) == str(wanted)  # of a link to itself too, which `resolve` refuses
        copy = link.is_dir() and not link.is_symlink() and alike(link, wanted)
        said = f"made in round {made}" + (", copied without its link" if copy else "")
        told = said if there or copy else f"should point to {wanted}; resume writes it again"
        yield Finding("champion", there or copy, told)


def _text(path: Path) -> tuple[str, str]:
    """What is in a file, and what is odd about it, in words; "" for both if there is none."""
    if path.is_symlink():
        return "", "a symlink is in its place"
    try:
        return foreign.content(path).decode(errors="replace"), ""
    except FileNotFoundError:
        return "", ""
    except DataError:
        return "", "it is no file of the run"


def _whole(stored: Stored, number: int) -> bool:
    return all(stored.folder.step(number, stage).exists() for stage in stored.steps(number))


def _summary(path: Path) -> Finding:
    wrong = ""
    try:
        if path.is_symlink():
            wrong = "a symlink is in its place"
        elif not is_signed(foreign.json_in(path)):
            wrong = "damaged"
    except FileNotFoundError:
        wrong = "missing"
    except (DataError, AttributeError, TypeError):
        wrong = "damaged"
    return Finding("summary.json", not wrong, f"{wrong}; resume writes it again" if wrong else "as it was written")
