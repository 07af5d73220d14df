"""Which numbers on record count as a whole sweep of the store as it is now."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from selfimprove.store import failpoints
from selfimprove.trials import store_code

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "chaos_sweep.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chaos_sweep", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("change", "held"),
    [
        (lambda numbers: None, True),
        (lambda numbers: numbers.update(store="of other code"), False),
        (lambda numbers: numbers.update(every=4), False),
        (lambda numbers: numbers["faults"].pop(), False),
        (lambda numbers: numbers["broken"].append("kill at operation 7: x differ"), False),
    ],
)
def test_a_whole_sweep_without_a_fault_of_this_code(
    script: ModuleType, tmp_path: Path, change: Callable[[dict[str, Any]], Any], held: bool
) -> None:
    kinds = [{"kind": kind, "points": 511} for kind in failpoints.KINDS]
    numbers: dict[str, Any] = {"store": store_code.code(), "every": 1, "faults": kinds, "broken": []}
    change(numbers)
    (tmp_path / "faults.json").write_text(json.dumps(numbers))
    assert script.holds(tmp_path / "faults.json") is held


def test_nothing_on_record_is_no_sweep(script: ModuleType, tmp_path: Path) -> None:
    assert not script.holds(tmp_path / "faults.json")


def test_the_tables_of_a_sweep() -> None:
    spec = importlib.util.spec_from_file_location("faults_results_table", SCRIPT.with_name("results_table.py"))
    assert spec and spec.loader
    tables = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        spec.loader.exec_module(tables)
    finally:
        sys.path.remove(str(SCRIPT.parent))
    fault = {"kind": "kill", "points": 511, "resumed": 248, "wrong": [], "redone": 0}
    damages = {"bit flip: redone": 106, "bit flip: refused": 3, "deleted: rewritten": 2, "deleted: SILENT": 1}
    swept = {"operations": 511, "seconds": 420.0, "faults": [fault], "damages": damages, "seen": {"bit flip": 109}}
    blocks = tables.broken(swept)
    assert blocks["faults"].startswith("511 operations, 7 min with the damages below:\n\n| fault |")
    assert blocks["faults"].endswith("| SIGKILL | 511 | 248 | 0 | 0 |\n")
    assert (
        "| bit flip | 109 | 106 | 0 | 3 | 0 | 0 | 109 |\n| deleted | 3 | 0 | 2 | 0 | 0 | 1 | 0 |" in blocks["damages"]
    )
