"""A step is a task of a Ray cluster; how its command ends is how the step ends."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from selfimprove.errors import EngineError, RecipeError, UserError
from selfimprove.loop.begin import create
from selfimprove.loop.loop import Runner
from selfimprove.methods.launcher.ray import Ray
from selfimprove.store.run_folder import RunDir


class Cluster:
    """What the launcher uses of Ray, in this process; notes what it is asked."""

    def __init__(self) -> None:
        self.inits: list[dict[str, Any]] = []
        self.options: list[dict[str, Any]] = []
        self.words: list[list[str]] = []
        self.cancelled: list[Any] = []
        self.exceptions = SimpleNamespace(RayError=RuntimeError)
        self.outcome: Callable[[], Any] = lambda: (0, "", "")
        self.machines = [({"CPU": 4.0, "GPU": 8.0}, True)]

    def is_initialized(self) -> bool:
        return bool(self.inits)

    def init(self, **given: Any) -> None:
        self.inits.append(given)

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": alive, "Resources": resources} for resources, alive in self.machines]

    def remote(self, task: Callable) -> Any:
        def options(**given: Any) -> Any:
            self.options.append(given)
            return SimpleNamespace(remote=lambda words: self.words.append(words) or "task")

        return SimpleNamespace(options=options)

    def get(self, task: str) -> Any:
        return self.outcome()

    def cancel(self, task: str) -> None:
        self.cancelled.append(task)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setitem(sys.modules, "ray", made)
    return made


def test_a_step_asks_for_its_resources_with_the_absolute_place_of_the_run(
    never: Callable, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    launcher = Ray(address="auto", num_cpus=2, num_gpus=1, train_gpus=8)
    for stage in ("evaluation", "optimization"):
        launcher.launch(never, ["step", "run", "1", stage, "--fingerprint", "f"])
    assert [given["num_gpus"] for given in cluster.options] == [1, 8]
    assert all(given["num_cpus"] == 2 and given["max_retries"] == 0 for given in cluster.options)
    assert cluster.words[0] == ["step", str(tmp_path / "run"), "1", "evaluation", "--fingerprint", "f"]
    assert len(cluster.inits) == 1 and cluster.inits[0]["address"] == "auto"
    Ray(num_gpus=1).launch(never, ["step", "run", "1", "optimization"])
    assert cluster.options[-1]["num_gpus"] == 1


def test_a_step_that_no_machine_can_carry_out_is_refused(never: Callable, cluster: Cluster) -> None:
    """Two machines of one GPU have two, but a step runs on one; a machine that is gone has none."""
    cluster.machines = [({"CPU": 2.0}, True), ({"CPU": 8.0, "GPU": 1.0}, True), ({"CPU": 8.0, "GPU": 8.0}, False)]
    evaluate, train = (["step", "run", "1", stage] for stage in ("evaluation", "optimization"))
    Ray(num_cpus=8, num_gpus=1, train_gpus=2).launch(never, evaluate)
    for launcher, command in (
        (Ray(num_cpus=8, num_gpus=1, train_gpus=2), train),
        (Ray(num_gpus=2), evaluate),
        (Ray(num_cpus=9), evaluate),
    ):
        with pytest.raises(EngineError, match=r"it has: 2 CPUs with 0 GPUs and 8 CPUs with 1 GPUs\); lower num_cpus"):
            launcher.launch(never, command)
    assert len(cluster.words) == 1


def test_what_a_step_said_is_shown_and_its_code_is_that_of_the_error(
    never: Callable, cluster: Cluster, capsys: pytest.CaptureFixture
) -> None:
    cluster.outcome = lambda: (65, "round 1\n", "error: no such row\n")
    with pytest.raises(UserError, match="exit code 65") as error:
        Ray().launch(never, ["step", "run", "1", "gate"])
    assert error.value.code == 65
    assert tuple(capsys.readouterr()) == ("round 1\n", "error: no such row\n")


def test_a_cluster_that_fails_is_one_line(never: Callable, cluster: Cluster) -> None:
    def fails() -> Any:
        raise RuntimeError("a long story\nthe node died")

    cluster.outcome = fails
    with pytest.raises(EngineError, match="ray could not run the step 1 gate: the node died"):
        Ray().launch(never, ["step", "run", "1", "gate"])


def test_a_cluster_that_is_not_there_is_one_line(
    never: Callable, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(**_: Any) -> None:
        raise Exception("tried for a while\nthe node timed out")

    monkeypatch.setattr(cluster, "init", refuses)
    with pytest.raises(EngineError, match="no Ray cluster could be reached or started: the node timed out"):
        Ray().launch(never, ["step", "run", "1", "gate"])


def test_a_stop_of_the_run_takes_the_step_back(never: Callable, cluster: Cluster) -> None:
    def stops() -> Any:
        raise KeyboardInterrupt

    cluster.outcome = stops
    with pytest.raises(KeyboardInterrupt):
        Ray().launch(never, ["step", "run", "1", "gate"])
    assert cluster.cancelled == ["task"]


def test_without_the_package_the_message_says_what_to_install(never: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match=r"pip install 'selfimprove\[ray\]'"):
        Ray().launch(never, ["step", "run", "1", "gate"])


def test_less_than_no_gpu_is_refused() -> None:
    with pytest.raises(RecipeError):
        Ray(train_gpus=-1)


def contents(root: Path) -> dict[str, str]:
    """The sha256 of every weight, record and decision of a run."""
    files = (path for path in sorted(root.glob("round_*/*/**/*")) if path.suffix in (".safetensors", ".jsonl", ".json"))
    skip = {"step.json", "timing.json"}
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.name not in skip
    }


@pytest.mark.slow
def test_a_real_cluster_does_what_one_process_does(
    never: Callable, tmp_path: Path, small: list[str], quiet_log: Any
) -> None:
    ray = pytest.importorskip("ray")
    inline = create("quickstart", small, tmp_path / "inline").root
    verdict = Runner(RunDir(inline), quiet_log).run()["verdict"]
    root = create("quickstart", [*small, "launcher=ray"], tmp_path / "ray").root
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        assert Runner(RunDir(root), quiet_log).run()["verdict"] == verdict
        assert contents(root) == contents(inline)
        command = ["step", str(tmp_path / "nowhere"), "1", "gate", "--fingerprint", "f"]
        with pytest.raises(UserError, match="exit code 66"):
            Ray().launch(never, command)
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_a_step_that_is_lost_comes_back_to_the_byte(tmp_path: Path, small: list[str], quiet_log: Any) -> None:
    ray = pytest.importorskip("ray")
    root = create("quickstart", [*small, "launcher=ray"], tmp_path / "run").root
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        summary = Runner(RunDir(root), quiet_log).run()
        before = contents(root)
        (root / "round_001" / "optimization").rename(tmp_path / "lost")
        assert Runner(RunDir.open(root), quiet_log).run()["verdict"] == summary["verdict"]
        assert contents(root) == before and summary["sealed"]["n"] == 12
        assert not (root / "quarantine").exists(), "the steps after it still fit"
    finally:
        ray.shutdown()
