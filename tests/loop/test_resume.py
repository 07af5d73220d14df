"""A killed run loses nothing: after SIGKILL at any step, `resume` ends with the bytes of the run that was not killed."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

from selfimprove.errors import BusyError, DataError, MissingError, RecipeError, StorageError
from selfimprove.logs import Silent
from selfimprove.loop.begin import create
from selfimprove.loop.loop import Runner
from selfimprove.loop.stopping import Stopped, Stopping
from selfimprove.store.run_folder import RunDir

pytestmark = pytest.mark.faults

SMALL = [
    "rounds=1",
    "gate_problems=12",
    "sealed_problems=12",
    "probe_problems=4",
    "audit_problems=4",
    "audit_samples=2",
    "reward=random",
    "acquisition.seed_prompts.problems=12",
    "acquisition.rejection_sampling.samples=2",
    "acquisition.rejection_sampling.max_completion_length=12",
    "engine.transformers.max_completion_length=12",
    "optimization.sft.max_steps=2",
    "optimization.sft.per_device_train_batch_size=4",
    "model.tiny.max_steps=2",
    "model.tiny.check_every=2",
    "model.tiny.probes=8",
]


def rotating(*values):
    """Cases of which CI takes a fourth: the sweep of the rehearsal has the same moments, without a model."""
    return [pytest.param(*value, marks=pytest.mark.share(number)) for number, value in enumerate(values)]


class Quiet(Silent):
    """Shows nothing; `on` may kill the process at the n-th call of a kind."""

    def __init__(self, kind: str = "", call: int = -1) -> None:
        self.kind, self.left = kind, call

    def _hit(self, kind: str) -> None:
        if kind == self.kind:
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1

    def step(self, number, stage):
        self._hit("step")

    def progress(self, done, total, unit=""):
        self._hit("progress")

    def round(self, line):
        self._hit("round")


class DiesBeforeCommit(RunDir):
    """Kills the process when everything of the n-th step is written but not yet committed."""

    left = 0

    def commit(self, number, stage, notes, seconds=0.0, curve=()):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return super().commit(number, stage, notes, seconds, curve)


def contents(root: Path) -> dict[str, str]:
    """The sha256 of every file but those that hold times: timing.json, summary.json, and what is not of the run."""
    names = (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())
    skip = {"timing.json", "summary.json", "LOCK"}
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in names
        if path.name not in skip and "tensorboard" not in path.parts
    }


def in_child(work) -> int:
    """Run in a forked process, so that torch is imported once; returns the signal or minus the exit code."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A finished run, and the model cache that it filled."""
    cache = tmp_path_factory.mktemp("cache")
    os.environ["SELFIMPROVE_CACHE"] = str(cache)
    root = create("quickstart", SMALL, tmp_path_factory.mktemp("runs") / "whole").root
    Runner(RunDir(root), Quiet()).run()
    yield root
    del os.environ["SELFIMPROVE_CACHE"]


def test_the_same_recipe_seed_and_machine_give_the_same_bytes(undisturbed, tmp_path):
    again = create("quickstart", SMALL, tmp_path / "again").root
    Runner(RunDir(again), Quiet()).run()
    assert contents(again) == contents(undisturbed)


def test_a_bootstrap_from_the_cache_equals_a_fresh_one(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setenv("SELFIMPROVE_CACHE", str(tmp_path / "empty"))
    fresh = create("quickstart", SMALL, tmp_path / "fresh").root
    Runner(RunDir(fresh), Quiet()).run()
    [shelf] = (tmp_path / "empty" / "models").iterdir()
    assert contents(fresh) == contents(undisturbed)
    (shelf / "model.safetensors").write_bytes(b"damaged")
    again = create("quickstart", SMALL, tmp_path / "again").root
    Runner(RunDir(again), Quiet()).run()
    assert contents(again) == contents(undisturbed), "a damaged model of the cache was used"


def test_a_cache_that_cannot_be_written_does_not_end_a_run(undisturbed, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SELFIMPROVE_CACHE", str(tmp_path / "file"))
    root = create("quickstart", SMALL, tmp_path / "run").root
    Runner(RunDir(root), Quiet()).run(0)
    expected, found = contents(undisturbed), contents(root)
    models = [name for name in found if name.startswith("round_000/model/")]
    assert models and all(found[name] == expected[name] for name in models)


@pytest.mark.parametrize("point", rotating(*((point,) for point in range(13))))
def test_killed_before_any_commit(undisturbed, tmp_path, point):
    root = create("quickstart", SMALL, tmp_path / "run").root
    folder = DiesBeforeCommit(root)
    folder.left = point
    assert in_child(lambda: Runner(folder, Quiet()).run()) == signal.SIGKILL
    assert not (root / "summary.json").exists()
    finished = {path: path.stat().st_mtime_ns for path in root.rglob("step.json") if ".partial" not in str(path)}
    assert len(finished) == point
    Runner(RunDir.open(root), Quiet()).run()
    assert contents(root) == contents(undisturbed)
    assert all(path.stat().st_mtime_ns == time for path, time in finished.items()), "a finished step was repeated"


@pytest.mark.parametrize(
    ("kind", "call"), rotating(("step", 0), ("progress", 2), ("progress", 5), ("step", 4), ("round", 1))
)
def test_killed_inside_a_stage(undisturbed, tmp_path, kind, call):
    root = create("quickstart", SMALL, tmp_path / "run").root
    assert in_child(lambda: Runner(RunDir(root), Quiet(kind, call)).run()) == signal.SIGKILL
    Runner(RunDir.open(root), Quiet()).run()
    assert contents(root) == contents(undisturbed)


class Signals(Quiet):
    """Sends this process a signal at a step of the training of round 1, as whoever takes the machine away would."""

    def __init__(self, at: int, number: int) -> None:
        super().__init__()
        self.at, self.number, self.training = at, number, False

    def step(self, number, stage):
        self.training = (number, stage) == (1, "optimization")

    def progress(self, done, total, unit=""):
        if self.training and unit == "steps" and done == self.at:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(
    ("changes", "number", "stops"),
    rotating(
        (["optimization.sft.max_steps=24"], signal.SIGTERM, (1, 12, 23)),
        (["optimization=dpo", "selection=best_vs_worst", "optimization.dpo.max_steps=12"], signal.SIGINT, (3,)),
        (["optimization=[sft,ema]", "optimization.sft.max_steps=12", "optimization.sft.lora.r=2"], signal.SIGHUP, (5,)),
    ),
    ids=["sft", "dpo", "sft with an adapter, and a moving average"],
)
def test_a_signal_in_training_costs_no_more_than_the_step(undisturbed, tmp_path, changes, number, stops):
    settings = [*(one for one in SMALL if "sft" not in one), "acquisition.seed_prompts.problems=40", *changes]
    whole, root = (create("quickstart", settings, tmp_path / name).root for name in ("whole", "cut"))
    Runner(RunDir(whole), Quiet()).run()

    def work(at):
        with Stopping(Signals(at, number)) as watcher:
            try:
                Runner(RunDir.open(root), watcher).run()
            except Stopped as stopped:
                os._exit(stopped.code)

    place = root / "round_001" / ".optimization.training"
    for at in stops:
        assert in_child(lambda at=at: work(at)) == -(130 if number == signal.SIGINT else 143)
        assert [path.name for path in place.iterdir()] == [f"00-{at + 1:08d}"], "the signal came in the step after"
    told = Quiet()
    told.notes = []
    told.note = told.notes.append
    Runner(RunDir.open(root), told).run()
    assert f"training continues after step {stops[-1] + 1} of" in " ".join(told.notes)
    assert contents(root) == contents(whole) and not place.exists()


@pytest.mark.parametrize("launcher", ["inline", "process"])
def test_sigterm_to_the_command_in_training_keeps_it_and_ends_the_run_soon(undisturbed, tmp_path, launcher):
    settings = [*SMALL, "optimization.sft.max_steps=3000", f"launcher={launcher}"]
    root, place = tmp_path / "run", tmp_path / "run" / "round_001"
    words = [sys.executable, "-m", "selfimprove", "run", "quickstart", *settings, "--out", str(root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as command:
        said = next(line for line in command.stdout if "training: " in line and "steps" in line)
        began = time.monotonic()
        command.send_signal(signal.SIGTERM)
        rest = next(line for line in command.stdout if "stopped; finished steps are kept" in line)
        seconds = time.monotonic() - began  # then only the interpreter is taken down
        rest += command.stdout.read()
        assert command.wait() == 143, said + rest
    longest = 3 if launcher == "inline" else 10  # there the step's interpreter is taken down as well
    assert seconds < longest and "Traceback" not in rest and "selfimprove resume" in rest
    [kept] = (place / ".optimization.training").iterdir()
    assert int(kept.name.split("-")[1]) >= int(said.split("training: ")[1].split("/")[0])
    assert not (place / "optimization").exists()


def test_a_run_can_be_moved(undisturbed, tmp_path):
    root = create("quickstart", SMALL, tmp_path / "here").root
    folder = DiesBeforeCommit(root)
    folder.left = 6
    in_child(lambda: Runner(folder, Quiet()).run())
    moved = Path(shutil.move(root, tmp_path / "there"))
    Runner(RunDir.open(moved), Quiet()).run()
    assert contents(moved) == contents(undisturbed)


def test_more_rounds_continue_a_finished_run(undisturbed, tmp_path):
    root = tmp_path / "longer"
    shutil.copytree(undisturbed, root, symlinks=True)
    before, ledger = contents(root), (root / "ledger.jsonl").read_bytes()
    summary = Runner(RunDir.open(root), Quiet()).run(2)
    after = contents(root)
    assert (root / "ledger.jsonl").read_bytes().startswith(ledger), "the ledger only grows"
    for grown in ("ledger.jsonl", "metrics.jsonl"):
        del before[grown]
    assert summary["rounds"] == 2 and summary["sealed"]["reads"] == 2
    assert "sealed problems read 2 times" in summary["verdict"]
    assert before.items() <= after.items(), "files of finished rounds changed"


def test_a_finished_run_is_left_alone(undisturbed):
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("step.json")}
    summary = Runner(RunDir.open(undisturbed), Quiet()).run()
    assert summary["rounds"] == 1
    assert before == {path: path.stat().st_mtime_ns for path in undisturbed.rglob("step.json")}


def test_a_damaged_step_is_redone_and_kept_in_quarantine(undisturbed, tmp_path):
    root = tmp_path / "damaged"
    shutil.copytree(undisturbed, root, symlinks=True)
    weights = root / "round_001/optimization/model/model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(bytes(data))
    Runner(RunDir.open(root), Quiet()).run()
    kept = [path.name for path in (root / "quarantine").iterdir()]
    shutil.rmtree(root / "quarantine")
    assert kept == ["000_round_001_optimization"]
    assert contents(root) == contents(undisturbed)


def test_a_changed_recipe_is_refused_by_naming_the_change(undisturbed, tmp_path):
    root = tmp_path / "changed"
    shutil.copytree(undisturbed, root, symlinks=True)
    recipe = root / "recipe.yaml"
    text = recipe.read_text()
    recipe.write_text(text.replace("max_steps: 2\n    num_train_epochs", "max_steps: 3\n    num_train_epochs"))
    with pytest.raises(RecipeError, match=r"optimization\.sft\.max_steps was 2, is 3"):
        Runner(RunDir.open(root), Quiet())


def test_two_processes_cannot_work_on_one_run(undisturbed):
    with RunDir(undisturbed).lock(), pytest.raises(BusyError, match=f"pid {os.getpid()}"):
        Runner(RunDir.open(undisturbed), Quiet()).run()


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(MissingError, match="not a run folder"):
        RunDir.open(tmp_path)


def test_an_occupied_folder_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StorageError, match="exists and is not empty"):
        create("quickstart", [], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_damaged_environment_file(undisturbed, tmp_path):
    root = tmp_path / "torn"
    shutil.copytree(undisturbed, root, symlinks=True)
    (root / "environment.json").write_text("{")
    with pytest.raises(DataError, match="environment.json is damaged"):
        Runner(RunDir.open(root), Quiet())


@pytest.mark.slow
@pytest.mark.parametrize("number", range(40))
def test_killed_again_and_again_at_random(undisturbed, tmp_path, number):
    """Up to three kills of one run, each at a random one of its shown moments, then a resume to the end."""
    chance = random.Random(number)
    root = create("quickstart", SMALL, tmp_path / "run").root
    for _ in range(3):
        moment = Quiet(chance.choice(["progress", "step"]), chance.randrange(8))
        if in_child(lambda moment=moment: Runner(RunDir.open(root), moment).run()) == 0:
            break
    Runner(RunDir.open(root), Quiet()).run()
    assert contents(root) == contents(undisturbed)
