"""The champion as a model folder that transformers loads, with its card and what was measured."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from selfimprove.errors import DataError, StorageError
from selfimprove.report.lm_eval import Layout
from selfimprove.safety.redaction import dumps, redact
from selfimprove.sharing.card import card
from selfimprove.sharing.exported import Exported
from selfimprove.sharing.harness import leaderboards, scores_of
from selfimprove.store.durable import storage
from selfimprove.store.seal import sha256

FACTS = "selfimprove.json"
"""What was measured, for programs: the exam, the recipe, and what the refinements learned."""


def write(one: Exported, out: Path, results: Path | None = None) -> list[str]:
    """Write the folder; it appears under its name only when it is complete. Returns the names of its files.

    Args:
        results: a results file of lm-eval that goes along.

    Raises:
        StorageError: the folder exists and is not empty, or the disk is full.
        DataError: `results` is not of lm-eval, or a copy differs from its source.
    """
    scores = scores_of(results) if results else []
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StorageError(f"{out} exists and is not empty; choose another --to")
    with storage():
        out.parent.mkdir(parents=True, exist_ok=True)
    with _beside(out) as fresh:
        _weights(Path(one.weights.path), fresh, one.hashes)
        for role, path in one.weights.parts.items():
            _weights(Path(path), fresh / "parts" / role)
        _text(fresh / "README.md", card(one, scores))
        _text(fresh / FACTS, dumps(facts(one), indent=1) + "\n")
        _text(fresh / "lm_eval" / "results_sealed.json", dumps(_exam(one), indent=1) + "\n")
        if results:
            _text(fresh / "lm_eval" / "results.json", results.read_text(encoding="utf-8"))
        for name, entries in leaderboards(scores, _date(results), _trained(one)).items():
            _text(fresh / ".eval_results" / name, yaml.safe_dump(entries, sort_keys=False))
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


def facts(one: Exported) -> dict[str, Any]:
    """The content of selfimprove.json."""
    known = ("recipe", "seed", "rounds", "verdict", "sealed", "loop")
    return {
        **{name: one.summary[name] for name in known if name in one.summary},
        "weights_sha256": dict(one.hashes),
        "base_model": one.base,
        "settings": dict(one.settings),
        "learned": dict(one.learned),
        "versions": one.stored.environment.get("versions", {}),
    }


def _exam(one: Exported) -> dict[str, Any]:
    """The sealed exam in lm-eval's layout; without the problems, which nobody should train on."""
    last = one.summary["rounds"]
    report = one.stored.report(last, "champion", "sealed")
    layout = Layout(one.name, dict(one.settings), [report], one.stored.recipe.the("task").answer_of)
    step = one.stored.folder.step(last, "sealed")
    made = layout.results(
        (step / "step.json").stat().st_mtime, one.stored.folder.seconds(last, "sealed"), len(report.scores)
    )
    made["configs"][layout.task]["test_split"] = "sealed"
    return made


def _trained(one: Exported) -> list[str]:
    """The data sets whose test questions were among the task's data."""
    options = one.settings["task"][one.task] or {}
    return one.datasets if "test" in str(options.get("split", "")) else []


def _date(results: Path | None) -> str:
    """The day of a measurement: that of its file."""
    seconds = results.stat().st_mtime if results else 0.0
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _weights(source: Path, target: Path, hashes: Any = None) -> None:
    """Copy a model folder, and compare the copies of the weights with the hashes.

    Raises:
        DataError: a copy differs.
    """
    with storage():
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.rglob("*")):
            if path.is_file() and path.name != "README.md":
                place = target / path.relative_to(source)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
    for name, wanted in (hashes or {}).items():
        if sha256(target / name) != wanted:
            raise DataError(f"the copy of {source / name} differs from it; the disk or the memory is failing")


def _text(path: Path, text: str) -> None:
    with storage():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(redact(text), encoding="utf-8")


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A fresh folder beside `out` that takes its place if all goes well, and is removed if not."""
    with storage():
        fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield fresh
        with storage():
            fresh.chmod(0o755)
            if out.is_dir():
                out.rmdir()
            fresh.rename(out)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
