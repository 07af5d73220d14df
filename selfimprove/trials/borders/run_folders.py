"""Run folders from a stranger, who can sign what is in them: used, redone or refused by one line.

The files of a finished rehearsal are replaced by pipes, links, folders, holes and values of other types, whose
checksums and chains are made anew. Then a command reads the run. A file beside it must stay as it is.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from selfimprove.errors import UserError
from selfimprove.records import digest, read_records
from selfimprove.report import compare, damaged, finished, pace, printing, status, status_text
from selfimprove.report.page import page
from selfimprove.report.samples import listing
from selfimprove.report.samples.wanted import Wanted, find
from selfimprove.report.verify import verify
from selfimprove.store.ledger import START
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import MANIFEST, sha256, signed
from selfimprove.trials import fuzz
from selfimprove.trials.rehearsal import Rehearsal, rehearse

CODES = (2, 3, 4, 65, 66, 74, 75)
ODD: list[Any] = [
    *(None, True, -1, 0, 1, 7, 10**30, -(10**400), 0.5, 1e308, float("nan"), float("inf"), "", "x", "certify", "../.."),
    *("/etc/passwd", "a\x00b", "\ud800", "a" * 5000, [], [None], [[]], ["x"], [1, 2, 3], {}, {"a": 1}, {"": {}}),
]
"""What is put in the place of a value."""
PLACES = (
    *("LOCK", "quarantine", "champion", "tensorboard", ".summary.json.new", "ledger.jsonl", "metrics.jsonl"),
    *("progress.json", "round_\u00b2", "round_999999", "round_004/.evaluation.partial", "round_001/.x.journal"),
)
"""Names that a command may read or write to, besides the files that are there."""
_LOOKS = ("status", "samples", "page")
OWN = ("config.json", "tokenizer.json", "model.safetensors")
"""Files of the rehearsal's model, which only the rehearsal reads."""


def spoil(root: Path, victim: Path, draw: random.Random) -> str:
    """Change something in a run folder; says what."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    files = [path for path in files if path.name not in OWN]
    if not files:
        return "nothing is left"
    path = draw.choice(files)
    if draw.random() < 0.3:
        path = root / draw.choice(PLACES)
        with contextlib.suppress(OSError):
            path.parent.mkdir(exist_ok=True)
    elif draw.random() < 0.1:
        path = draw.choice([path.parent, *path.parent.parents][: len(path.relative_to(root).parts)])
        path = path if path != root else root / "quarantine"
    elif draw.random() < 0.75 and path.suffix in (".json", ".jsonl"):
        _retype(path, draw)
        _sign(root, path)
        return f"{path.relative_to(root)} has other values"
    way = draw.choice([*WAYS])
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if path.parent.is_dir():
        with contextlib.suppress(OSError):
            WAYS[way](path, victim)
    return f"{path.relative_to(root)}: {way}"


def _bind(path: Path, victim: Path) -> None:
    at = os.open(path.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{at}/{path.name}")
    finally:
        os.close(at)


def _hole(path: Path, victim: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


WAYS: dict[str, Callable[[Path, Path], object]] = {
    "pipe": lambda path, victim: os.mkfifo(path),
    "socket": _bind,
    "hole": _hole,
    "folder": lambda path, victim: path.mkdir(),
    "symlink": lambda path, victim: path.symlink_to(victim),
    "symlink to a folder": lambda path, victim: path.symlink_to(victim.parent),
    "symlink to itself": lambda path, victim: path.symlink_to(path.name),
    "symlink to a device": lambda path, victim: path.symlink_to("/dev/zero"),
    "hard link": lambda path, victim: path.hardlink_to(victim),
    "nothing": lambda path, victim: None,
    "deep": lambda path, victim: path.write_bytes(b'{"a":' * 20_000 + b"1" + b"}" * 20_000),
    "bytes": lambda path, victim: path.write_bytes(bytes(range(256)) * 40),
    "values": lambda path, victim: path.write_bytes(b"[" + b"{}," * 1_000_000 + b"{}]"),
}
"""What is put in the place of a file or a folder."""


def _retype(path: Path, draw: random.Random) -> None:
    """Put other values in a few places of a file of JSON."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    if not lines:
        return
    at = draw.randrange(len(lines))
    try:
        value = json.loads(lines[at])
    except (ValueError, RecursionError):  # it was spoiled before
        return
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        value = _changed(value, draw)
    lines[at] = json.dumps(value)
    _put(path, "\n".join(lines) + "\n")


def _put(path: Path, text: str) -> None:
    """Write a file anew: the one in its place may be a file of the rehearsal itself, see `_copied`."""
    path.unlink()
    path.write_text(text)


def _copied(source: Path, target: Path) -> None:
    """A copy of a run, whose steps share their files with it: nothing that reads runs writes to those."""

    def copy(old: str, new: str) -> None:
        (os.link if Path(old).parent != source else shutil.copy2)(old, new, follow_symlinks=False)

    shutil.copytree(source, target, symlinks=True, copy_function=copy)


def _changed(value: Any, draw: random.Random) -> Any:
    """The value with another one at a place in it."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        name = draw.choice(sorted(value))
        if draw.random() < 0.15:
            return {key: inner for key, inner in value.items() if key != name}
        return {**value, name: _changed(value[name], draw)}
    if isinstance(value, list) and value and draw.random() < 0.8:
        at = draw.randrange(len(value))
        return [*value[:at], _changed(value[at], draw), *value[at + 1 :]]
    return draw.choice(ODD)


def _sign(root: Path, path: Path) -> None:
    """Make the checksums anew that cover a changed file, as far as what it holds can be signed."""
    step = path.parent
    with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError, RecursionError):
        if path.name == "ledger.jsonl":
            before, lines = START, []
            for line in path.read_text().splitlines():
                entry = {**json.loads(line), "before": before}
                entry["hash"] = before = digest({name: value for name, value in entry.items() if name != "hash"})
                lines.append(json.dumps(entry))
            _put(path, "\n".join(lines) + "\n")
        elif path.name in ("summary.json", "environment.json", MANIFEST):
            _put(path, json.dumps(signed(json.loads(path.read_text()))))
        elif (step / MANIFEST).is_file():
            manifest = json.loads((step / MANIFEST).read_text())
            name = str(path.relative_to(step))
            manifest["files"][name] = {"size": path.stat().st_size, "sha256": sha256(path)}
            _put(step / MANIFEST, json.dumps(signed(manifest)))


def _read(given: Rehearsal, root: Path, draw: random.Random) -> str:
    """Let a command read the run; says in a word how that ended."""
    match draw.choice([*_LOOKS, "verify", "verify", "report", "compare", "mark", "pace", "resume", "more"]):
        case "verify":
            return "verified" if all(finding.fine for finding in verify(root, given.load)) else "found by verify"
        case "report":
            summary = finished.summary_of(root)
            try:
                console = Console(file=io.StringIO())
                printing.table(console, summary, root, verbose=True)
                printing.end(console, summary, root)
            except damaged.ODD:  # the command says that it is damaged
                return "not reported"
            return "reported"
        case "status":
            place = [looked for looked in status.runs_in(root.parent) if looked == root]
            with damaged.told(root):
                return f"{len(status_text.page(status.status_of(root), 2e9))} lines of status for {len(place)}"[:5]
        case "samples":
            wanted = Wanted(source=draw.choice(["", "gained", "lost", "wrong", "right", "trained", "audit"]))
            with damaged.told(root):
                return f"{min(1, len([*listing.lines(find(root, wanted), None)]))} samples"
        case "page":
            page.write([root], root / page.FILE)
            return "a page"
        case "compare":
            compare.compare([given.whole, root])
            return "compared"
        case "mark":
            found = [read_records(path) for path in RunDir.open(root).root.glob("round_*/*/*.jsonl")]
            return f"{'some' if any(found) else 'no'} records read"
        case "pace":
            pace.taken(root)
            return "pace taken"
        case "resume":
            given.runner(RunDir.open(root)).run()
            return "resumed"
        case _:
            given.runner(RunDir.open(root)).run(add=1)
            return "went on"


@contextlib.contextmanager
def _open(scratch: Path) -> Iterator[fuzz.Try]:
    outside = scratch / "outside"
    outside.mkdir()
    victim = outside / "victim"
    with rehearse(scratch) as given:

        def attempt(draw: random.Random) -> str:
            victim.write_bytes(b"mine\n")
            root = scratch / "run"
            _copied(given.whole, root)
            try:
                done = [spoil(root, victim, draw) for _ in range(draw.choice([1, 1, 2]))]
                with fuzz.shown(done):
                    try:
                        ended = _read(given, root, draw)
                    except (UserError, OSError) as error:  # a file that goes while it is read is one line too
                        ended = fuzz.refused(error, CODES)
                    there = sorted(path.name for path in outside.iterdir())
                    assert there == ["victim"] and victim.read_bytes() == b"mine\n", f"outside: {there}"
            finally:
                shutil.rmtree(root)
            return ended

        before = _hashes(given.whole)
        yield attempt
        assert _hashes(given.whole) == before, "a command wrote to a file of a step"


def _hashes(root: Path) -> dict[str, str]:
    return {str(path): sha256(path) for path in root.rglob("*") if path.is_file() and not path.is_symlink()}


BORDER = fuzz.Border(
    promise="a run folder from a stranger is used, redone or refused, and leads nowhere else",
    open=_open,
    in_memory=True,
    in_ci=60,
)
