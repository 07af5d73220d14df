"""scripts/gpu_check.py: what it counts as arithmetic, and how its table tells what is missing, late or broken."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_check", ROOT / "scripts" / "gpu_check.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_check"] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_shape_has_as_many_weights_as_it_says(script: ModuleType) -> None:
    """By hand: 28 layers of 1024 x (6144 + 9216), and an output matrix of 151,936 x 1024."""
    assert script._multiplied(script.QWEN3_06B) == 28 * 1024 * 15_360 + 151_936 * 1024 == 595_984_384


@pytest.mark.parametrize(("name", "peak"), [("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA L40S", 362), ("NVIDIA A10G", 125)])
def test_the_peak_is_that_of_the_device(script: ModuleType, name: str, peak: int) -> None:
    assert next(value for part, value in script.PEAKS.items() if part in name) == peak * 1e12


@pytest.fixture
def table(script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`table([check], "--minutes", "1")`: the exit code, and found and note by what was checked."""

    def run(checks: list[Any], *words: str) -> tuple[int, dict[str, tuple[str, str]]]:
        out = tmp_path / "table.json"
        monkeypatch.setattr(script, "CHECKS", checks)
        monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--json", str(out), *words])
        monkeypatch.setenv("SELFIMPROVE_CACHE", str(tmp_path))
        code = script.main()
        rows = json.loads(out.read_text()) if out.exists() else []
        return code, {row["what"]: (row["found"], row["note"]) for row in rows}

    return run


def good(sizes: Any, folder: Path) -> Iterator[tuple[str, str, str]]:
    assert folder.is_dir() and sizes.smoke
    yield "speed", "7 tokens/s", "small"


def bad(sizes: Any, folder: Path) -> Iterator[tuple[str, str, str]]:
    yield "first", "1", ""
    raise MemoryError("out of\nmemory")


def test_a_check_that_fails_says_so_and_the_others_go_on(table: Any) -> None:
    code, rows = table([bad, good], "--cpu-smoke")
    assert code == 1
    assert rows["first"] == ("1", "") and rows["bad"] == ("FAILED", "MemoryError: out of memory")
    assert rows["speed"] == ("7 tokens/s", "small") and "small sizes" in rows["device"][1]


def test_what_has_not_begun_in_time_is_left_out(table: Any) -> None:
    code, rows = table([good], "--cpu-smoke", "--minutes", "0")
    assert (code, rows["good"]) == (0, ("left out", "0 minutes were over"))


def test_without_a_gpu_it_says_what_to_do(
    table: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert table([good]) == (69, {})
    assert "--cpu-smoke" in capsys.readouterr().out


@pytest.mark.slow
def test_the_engines_and_the_training_are_measured_on_small_sizes(script: ModuleType, tmp_path: Path) -> None:
    sizes = script.Sizes(True, script.SMALL, 4, 2, 8, rows=2, length=32, steps=6)
    rows = {what: found for what, found, _ in [*script.engines(sizes, tmp_path), *script.trained(sizes, tmp_path)]}
    gap = float(rows["transformers log-probabilities"].split()[0])
    assert gap < 1e-3 and {"transformers engine", "bare generate", "SFT"} <= set(rows)
