"""Several processes train one step; how one of them ends is how the step ends."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from selfimprove import registry
from selfimprove.errors import DeviceError, RecipeError, UserError
from selfimprove.loop.begin import create
from selfimprove.loop.loop import Runner
from selfimprove.methods.launcher.accelerate import Accelerate, _free_port
from selfimprove.recipe import checks, compose
from selfimprove.records import Prompt, Rollout, write_records
from selfimprove.store.run_folder import RunDir

SCALING = (Path(__file__).parents[3] / "docs" / "scaling.md").read_text(encoding="utf-8")
TRAIN = ["step", "run", "1", "optimization"]


def test_a_step_that_trains_has_the_variables_of_torchrun(never: Callable, python: Callable) -> None:
    notes = python("exit 0")
    Accelerate(processes=3).launch(never, TRAIN)
    words = "|-m|selfimprove|step|run|1|optimization"
    assert sorted(notes.read_text().splitlines()) == [f"{rank} {rank} 3 127.0.0.1{words}" for rank in range(3)]


@pytest.mark.parametrize("stage", ["acquisition", "evaluation", "sealed"])
def test_any_other_step_runs_once_and_alone(never: Callable, python: Callable, stage: str) -> None:
    notes = python("exit 0")
    Accelerate(processes=3).launch(never, ["step", "run", "1", stage])
    assert notes.read_text().strip() == f"|-m|selfimprove|step|run|1|{stage}"


def test_one_that_fails_ends_the_others_and_is_heard(
    never: Callable, python: Callable, capfd: pytest.CaptureFixture
) -> None:
    python('[ "$RANK" = 1 ] && echo "error: no such row" >&2 && exit 65\nexec sleep 60')
    began = time.monotonic()
    with pytest.raises(UserError, match="exit code 65") as error:
        Accelerate(processes=2).launch(never, TRAIN)
    assert time.monotonic() - began < 20 and error.value.code == 65
    assert capfd.readouterr().err == "error: no such row\n"


def test_what_the_others_say_is_not_shown_twice(
    never: Callable, python: Callable, capfd: pytest.CaptureFixture
) -> None:
    python("echo step $RANK; echo note $RANK >&2")
    Accelerate(processes=2).launch(never, TRAIN)
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("step 0\n", "note 0\n")


def test_a_stop_of_the_run_ends_all_of_them(
    never: Callable, python: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python(f"echo $$ >> {tmp_path}/pids\nexec sleep 60")
    plain = time.sleep

    def stopped(seconds: float) -> None:
        if (tmp_path / "pids").exists() and len((tmp_path / "pids").read_text().split()) == 2:
            monkeypatch.setattr(time, "sleep", plain)
            raise KeyboardInterrupt
        plain(seconds)

    monkeypatch.setattr(time, "sleep", stopped)
    with pytest.raises(KeyboardInterrupt):
        Accelerate(processes=2).launch(never, TRAIN)
    for pid in (tmp_path / "pids").read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_fewer_than_no_processes_are_refused() -> None:
    with pytest.raises(RecipeError, match="launcher.accelerate.processes is -1"):
        Accelerate(processes=-1)


def test_more_processes_than_gpus_are_refused(
    never: Callable, python: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = python("exit 0")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    for ask in (Accelerate(processes=3).preflight, lambda: Accelerate(processes=3).launch(never, TRAIN)):
        with pytest.raises(DeviceError, match=r"^launcher.accelerate.processes is 3, and this machine has 2 GPUs; set"):
            ask()
    assert not notes.exists()
    assert Accelerate(processes=2).preflight() == Accelerate().preflight() == []
    assert (Accelerate().together(), Accelerate(processes=1).together()) == (2, 1)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert Accelerate(processes=3).preflight() == [] and Accelerate().together() == 1


ALONE = (
    *("dnpo", "pag", "ppo", "reinforce_plus_plus", "role_advantage", "roles_grpo", "score", "self_distillation"),
    "trr_plus_plus",
)


@pytest.mark.long
@pytest.mark.parametrize("recipe", ["dnpo", "pag_rl", "score"])
def test_methods_that_train_in_one_process_are_refused_before_the_run(recipe: str) -> None:
    several = ["launcher=accelerate", "launcher.accelerate.processes=2"]
    composed, _ = compose.load(recipe, several)
    with pytest.raises(RecipeError, match=r"optimization\.\w+ trains in one process, and launcher.accelerate starts 2"):
        checks.preflight(composed)
    checks.preflight(compose.load(recipe, [several[0], "launcher.accelerate.processes=1"])[0])
    checks.preflight(compose.load("quickstart", several)[0])


def test_who_trains_in_one_process_is_known() -> None:
    registry.discover()
    own = [entry for entry in registry.METHODS.values() if entry.slot == "optimization"]
    assert {entry.name for entry in own if entry.method().needs().one_process} == set(ALONE)
    named = re.search(r"Those with their own training loop \((.*?)\)", SCALING)
    assert named and tuple(re.findall(r"`(\w+)`", named[1])) == ALONE
    looping = {entry.name for entry in own if re.search(r"\bLive\b|training\.reinforce\(", source(entry))}
    assert looping == set(ALONE) - {"dnpo"}, "its noise is trained beside the policy, in TRL's loop"


def source(entry: registry.Entry) -> str:
    return inspect.getsource(sys.modules[entry.method.__module__])


@pytest.mark.slow
def test_a_run_with_two_processes_finishes_and_a_lost_step_comes_back_to_the_byte(
    tmp_path: Path, small: list[str], quiet_log: Any
) -> None:
    plan = ["optimization.sft.max_steps=3", "optimization.sft.lr_scheduler_type=constant"]
    changes = [*small, *plan, "launcher=accelerate", "launcher.accelerate.processes=2"]
    root = create("quickstart", changes, tmp_path / "run").root
    summary = Runner(RunDir(root), quiet_log).run()
    assert summary["rounds"] == 1 and summary["sealed"]["n"] == 12 and summary["verdict"]
    step = root / "round_001" / "optimization"
    assert json.loads((step / "step.json").read_text())["metrics"]["train/steps"] == 3
    weights = (step / "model" / "model.safetensors").read_bytes()
    step.rename(tmp_path / "lost")
    assert Runner(RunDir.open(root), quiet_log).run()["verdict"] == summary["verdict"]
    assert (step / "model" / "model.safetensors").read_bytes() == weights
    assert not (root / "quarantine").exists(), "the steps after it still fit"


SCRIPT = """
import json, sys
from pathlib import Path
from selfimprove import training
from selfimprove.logs import Silent
from selfimprove.records import Checkpoint, Rollout, loads
start, data, out, size, weighted = sys.argv[1:]
rows = [loads(line) for line in Path(data).read_text().splitlines()]
plan = training.Schedule(learning_rate=1e-3, max_steps=2, per_device_train_batch_size=int(size),
                         lr_scheduler_type="constant", train_sampling_strategy="sequential")
weights = [0.5 + i for i in range(len(rows))] if weighted == "yes" else None
training.sft(training.Job(Checkpoint(path=start), Path(out), plan, Silent()), rows, weights=weights)
"""


@pytest.mark.slow
@pytest.mark.parametrize("weighted", ["no", "yes"])
def test_two_processes_with_half_the_batch_give_the_weights_of_one(
    tmp_path: Path, small_llama: ModuleType, weighted: str
) -> None:
    import torch
    from safetensors.torch import load_file

    start, data = small_llama.build(tmp_path / "start", template=True), tmp_path / "data.jsonl"
    prompts = [Prompt(prompt=[{"role": "user", "content": "what is " + "3 + " * n + "5?"}]) for n in range(8)]
    texts = ["Answer: 8." * (1 + n % 3) for n in range(8)]
    write_records(
        data,
        [
            Rollout(prompt=prompt, completion=[{"role": "assistant", "content": text}])
            for prompt, text in zip(prompts, texts, strict=True)
        ],
    )

    def trained(processes: int) -> dict[str, torch.Tensor]:
        out = tmp_path / f"out-{processes}"
        words = [sys.executable, "-c", SCRIPT, str(start), str(data), str(out), str(4 // processes), weighted]
        shared = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
        ranks = range(processes) if processes > 1 else ()
        own = [{"RANK": str(n), "LOCAL_RANK": str(n), "WORLD_SIZE": str(processes)} for n in ranks] or [{}]
        copies = [subprocess.Popen(words, env={**shared, **one}) for one in own]
        assert [copy.wait() for copy in copies] == [0] * processes
        return load_file(out / "model.safetensors")

    one, two, old = trained(1), trained(2), load_file(start / "model.safetensors")
    assert max(float((one[name] - two[name]).abs().max()) for name in old) < 1e-5
    assert max(float((one[name] - old[name]).abs().max()) for name in old) > 1e-3
