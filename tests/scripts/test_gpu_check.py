"""scripts/gpu_check.py: what it counts as arithmetic, and how its table tells what is missing, late or broken."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import sys
import textwrap
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from selfimprove.inference import agreement

ROOT = Path(__file__).resolve().parents[2]


def loaded(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return loaded("gpu_check", ROOT / "scripts" / "gpu_check.py")


def test_the_shape_has_as_many_weights_as_it_says(script: ModuleType) -> None:
    """By hand: 28 layers of 1024 x (6144 + 9216), and an output matrix of 151,936 x 1024."""
    assert script._multiplied(script.QWEN3_06B) == 28 * 1024 * 15_360 + 151_936 * 1024 == 595_984_384


@pytest.mark.parametrize(("name", "peak"), [("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA L40S", 362), ("NVIDIA A10G", 125)])
def test_the_peak_is_that_of_the_device(script: ModuleType, name: str, peak: int) -> None:
    assert next(value for part, value in script.PEAKS.items() if part in name) == peak * 1e12


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`table(code, "--minutes", "1")`: the exit code, and found and note by what was checked; `code` sets CHECKS."""

    def run(code: str, *words: str) -> tuple[int, dict[str, tuple[str, str]]]:
        lines = (ROOT / "scripts" / "gpu_check.py").read_text().splitlines()
        [place] = [i for i, line in enumerate(lines) if line.startswith("CHECKS = ")]
        lines[place] = textwrap.dedent(code)
        path, out = tmp_path / "own_checks.py", tmp_path / "table.json"
        path.write_text("\n".join(lines))
        monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--json", str(out), *words])
        monkeypatch.setenv("SELFIMPROVE_CACHE", str(tmp_path))
        code_of = loaded("own_checks", path).main()
        rows = json.loads(out.read_text()) if out.exists() else []
        return code_of, {row["what"]: (row["found"], row["note"]) for row in rows}

    return run


GOOD = """
def good(sizes, folder):
    assert folder.is_dir() and sizes.smoke
    yield "speed", "7 tokens/s", "small"
"""


def test_a_check_that_fails_says_so_and_the_others_go_on(table: Any) -> None:
    code, rows = table(
        f"""{GOOD}
def bad(sizes, folder):
    yield "first", "1", ""
    raise MemoryError("out of\\nmemory")
def dead(sizes, folder):
    yield "second", "2", ""
    print("a last word", flush=True)
    os._exit(3)
def grows(sizes, folder):
    yield "growth", "FAILED: +3 %", ""
CHECKS = (bad, dead, grows, good)""",
        "--cpu-smoke",
    )
    assert code == 1
    assert rows["first"] == ("1", "") and rows["bad"] == ("FAILED", "MemoryError: out of memory")
    assert rows["second"] == ("2", "") and rows["dead"] == ("FAILED", "its process ended with code 3: a last word")
    assert rows["growth"] == ("FAILED: +3 %", "") and rows["speed"] == ("7 tokens/s", "small")
    assert set(rows) == {"first", "bad", "second", "dead", "growth", "speed"}


@pytest.mark.runs
def test_a_check_is_ended_with_all_that_it_started_when_the_time_is_over(table: Any, tmp_path: Path) -> None:
    """The check waits for a child that never ends; what it found before is kept, and what comes later is left out."""
    code, rows = table(
        f"""{GOOD}
def slow(sizes, folder):
    yield "first", "1", ""
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    Path({str(tmp_path / "pid")!r}).write_text(str(child.pid))
    child.wait()
CHECKS = (slow, good)""",
        *("--cpu-smoke", "--minutes", "0.1"),
    )
    assert code == 0 and rows["first"] == ("1", "")
    assert rows["slow"] == ("not finished", "0.1 minutes were over")
    assert rows["good"] == ("left out", "0.1 minutes were over")
    with contextlib.suppress(ProcessLookupError):  # it is gone already
        ended = os.pidfd_open(int((tmp_path / "pid").read_text()))
        assert select.select([ended], [], [], 10)[0], "the child of the check goes on"
        os.close(ended)


def test_memory_that_grows_fails_its_row_where_it_is_judged(script: ModuleType) -> None:
    """After round one 1000 MiB, after round five 1010 or 1030: 1 % and 3 %. Round 0 and the model do not count."""

    def found(last: float, judged: bool) -> dict[str, str]:
        seen = [(0, "model", 10.0), (0, "controller", 5.0)]
        seen += [(i, stage, 1000.0) for i in range(1, 5) for stage in ("acquisition", "controller")]
        seen += [(5, "acquisition", 2000.0), (5, "controller", last)]
        return {what: found for what, found, _ in script.held(seen, "vllm", judged)}

    assert found(1010, True)["memory growth"] == "+1.0 % from round 1 to 5"
    assert found(1030, True)["memory growth"] == "FAILED: +3.0 % from round 1 to 5"
    assert found(1030, False)["memory growth"] == "+3.0 % from round 1 to 5"
    assert found(1030, True)["memory at acquisition"] == "1,000 -> 2,000 MiB"


def test_the_texts_that_engines_are_compared_with_are_no_unknown_words(script: ModuleType, tmp_path: Path) -> None:
    known = agreement.reference(str(script.build(tmp_path / "model", script.SMALL, 0)), "float32")
    tokens = {token for prompt, said in known.pairs for token in (*prompt, *said)}
    assert len(tokens) > 30 and known.tokenizer.pad_token_id not in tokens


def test_the_difference_to_transformers_is_that_of_the_engine(script: ModuleType, tmp_path: Path) -> None:
    """An engine that tells of vllm/difference is not asked to score its own samples."""
    sizes = script.Sizes(True, script.SMALL, 2, 2, 4, rows=2, length=32, steps=6)

    class Engine:
        def sample(self, checkpoint: Any, prompts: Any, n: int, how: Any, seed: int, log: Any) -> list[list[Any]]:
            log.metric("vllm/difference", 0.0125)
            return [[SimpleNamespace(logprobs={"count": 4, "sum": -1.0})] * n for _ in prompts]

    rows = {what: row for what, *row in script._engine("vllm", Engine(), tmp_path / "a", tmp_path / "b", sizes)}
    assert rows["vllm log-probabilities"][0] == "0.013 nats off"
    assert rows["vllm weight change"][1].startswith("untied embeddings")


def test_without_a_gpu_it_says_what_to_do(
    table: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert table(f"{GOOD}\nCHECKS = (good,)") == (69, {})
    assert "--cpu-smoke" in capsys.readouterr().out


@pytest.mark.slow
def test_the_engines_and_the_training_are_measured_on_small_sizes(script: ModuleType, tmp_path: Path) -> None:
    sizes = script.Sizes(True, script.SMALL, 4, 2, 8, rows=2, length=32, steps=6)
    checks = (script.device, script.own, script.fast, script.sleep, script.trained)
    rows: dict[str, str] = {}
    for check in checks:
        (tmp_path / check.__name__).mkdir()
        rows |= {what: found for what, found, _ in check(sizes, tmp_path / check.__name__)}
    gap = float(rows["transformers log-probabilities"].split()[0])
    assert gap < 1e-3 and {"transformers engine", "bare generate", "bare generate_batch", "SFT"} <= set(rows)
    if importlib.util.find_spec("vllm") is None:
        assert rows["vllm engine"] == rows["vllm sleep"] == "not installed"
