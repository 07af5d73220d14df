"""A whole run of three rounds without a model, to test what a run folder survives.

A checkpoint is one number, the probability of a right answer. The engine answers with that probability, and training
raises it. Everything else is the code of an ordinary run.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from selfimprove import registry
from selfimprove.interfaces import Ask, Context, Engine, Log, Optimization
from selfimprove.logs import Silent
from selfimprove.loop.begin import create
from selfimprove.loop.loop import Runner
from selfimprove.methods.engine.fake import Fake
from selfimprove.recipe import compose
from selfimprove.recipe.compose import Load
from selfimprove.recipe.schema import Recipe, Settings
from selfimprove.records import Checkpoint, Prompt, Record, Rollout, digest
from selfimprove.registry import Entry
from selfimprove.store import failpoints
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import TIMES

RECIPE = """\
defaults: [{model: pretrained}, {engine: rehearsal}, {optimization: rehearsal}]
rounds: 3
gate_problems: 30
sealed_problems: 10
probe_problems: 0
audit_problems: 2
audit_samples: 1
control_problems: 2
control_samples: 2
null_round: true
acquisition: {seed_prompts: {problems: 10}, rejection_sampling: {samples: 2}}
model: {pretrained: {path: START}}
"""
NOT_COMPARED = ("LOCK", TIMES, "report.html")
"""Files that differ between equal runs: the holder of the lock, the seconds of a step, and the page that shows them."""
PUT_ASIDE = ("quarantine", "tensorboard")
"""Folders beside the run's own."""


@dataclass
class Student(Engine):
    """Answers correctly with the probability in the checkpoint, greedily too, to give both kinds of answers."""

    can: ClassVar[frozenset[str]] = Fake.can - {"embed"}

    def table(self, prompt: Prompt, checkpoint: Checkpoint) -> dict[str, float]:
        """What may be said after a prompt, with its chances."""
        right, skill = sum(int(digit) for digit in prompt.key.split("+")) % 10, skill_of(checkpoint)
        return {f"#{right}": skill, f"#{(right + 1) % 10}": 1 - skill}

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        answers = {ask.prompt.prompt[-1]["content"]: self.table(ask.prompt, ask.checkpoint) for ask in asks}
        warm = [replace(ask, sampling=replace(ask.sampling, temperature=1.0)) for ask in asks]
        return Fake(answers).draw(warm, log)

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        return [[-1.0] for _ in rollouts]


@dataclass
class _Practice(Optimization):
    """Raises the probability of a right answer each round."""

    consumes: ClassVar[Any] = Rollout

    def optimize(self, records: Sequence[Record], context: Context) -> Checkpoint:
        skill = skill_of(context.policy.checkpoint) + 0.25
        return _weights(context.folder / "model", min(1.0, skill), context.seed)


def skill_of(checkpoint: Checkpoint) -> float:
    """The chance of a right answer that a checkpoint holds."""
    return json.loads((Path(checkpoint.path) / "config.json").read_text())["skill"]


def _weights(folder: Path, skill: float, seed: int = 0) -> Checkpoint:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"skill": skill}))
    data = random.Random(seed).randbytes(4096)
    head = json.dumps({"weight": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}).encode()
    (folder / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + data)
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    return Checkpoint(path=str(folder))


@dataclass
class Rehearsal:
    """A folder with the recipe of the rehearsal, and an undisturbed run of it."""

    scratch: Path
    whole: Path
    """The undisturbed run."""
    image: dict[str, str]
    """Its files, see `contents`."""
    operations: list[str]
    """The names of its durable operations."""
    steps: list[str]
    """The kind of step that each of them belongs to, `step_of`."""
    seconds: float
    load: Load
    """What composes its recipe."""

    def begin(self, root: Path) -> RunDir:
        """A new run that has not started."""
        return create(str(self.scratch / "rehearsal.yaml"), [], root, load=self.load)

    def runner(self, folder: RunDir) -> Runner:
        """The runner for a run of this rehearsal."""
        return Runner(folder, Silent(), self.load)


TOKENIZER = {
    "version": "1.0",
    "added_tokens": [],
    "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 7}, "unk_token": "a"},
}
"""The smallest tokenizer that can be loaded."""
OWN = {"engine": Student, "optimization": _Practice}
"""The methods that only a rehearsal can name, by slot."""


def method(slot: str, name: str) -> Entry:
    """A method of the rehearsal, or one that every recipe can name."""
    if name == "rehearsal" and slot in OWN:
        return Entry(slot, name, OWN[slot], "")
    return registry.find(slot, name)


def composer() -> Load:
    """Composes recipes that name methods of the rehearsal, each recipe once only."""
    composed = dict[str, tuple[Recipe, Settings]]()

    def load(name: str | Path, overrides: Sequence[str]) -> tuple[Recipe, Settings]:
        key = digest([Path(name).read_text(errors="surrogateescape"), list(overrides)])
        if key not in composed:
            composed[key] = compose.load(name, overrides, method)
        return composed[key]

    return load


def write_recipe(scratch: Path) -> Path:
    """The recipe of the rehearsal, with the model that it starts from beside it."""
    _weights(scratch / "start", 0.2)
    recipe = scratch / "rehearsal.yaml"
    recipe.write_text(RECIPE.replace("START", str(scratch / "start")))
    return recipe


@contextlib.contextmanager
def rehearse(scratch: Path) -> Iterator[Rehearsal]:
    """The undisturbed run; while this is open, the garbage collector leaves alone what was there before."""
    write_recipe(scratch)
    made = Rehearsal(scratch, scratch / "whole", {}, [], [], 0.0, composer())
    with fault("*:-1:kill"):
        before = len(failpoints.state().seen)  # those of another rehearsal in this process
        began = time.monotonic()
        made.runner(made.begin(made.whole)).run()
        made.seconds = time.monotonic() - began
        made.operations = failpoints.state().seen[before:]
        made.steps = [step_of(path, made.whole) for path in failpoints.state().places[before:]]
    made.image = contents(made.whole)
    gc.collect()
    gc.freeze()  # what is imported stays; going through it in each collection was a third of a run's time
    try:
        yield made
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def fault(spec: str, root: Path | None = None) -> Iterator[None]:
    """Let a durable operation fail, see `failpoints`; `root` is the folder that a power cut is for."""
    os.environ[failpoints.SWITCH], os.environ[failpoints.ROOT] = spec, str(root)
    try:
        yield
    finally:
        del os.environ[failpoints.SWITCH], os.environ[failpoints.ROOT]


def step_of(path: Path, root: Path) -> str:
    """The kind of step that a path in a run folder belongs to; of what lies in no step, the file.

    `round_002/.gate.partial/metrics.json` and `round_001/gate` belong to `gate`, `.summary.json.new` to `summary.json`.
    """
    parts = path.relative_to(root).parts if path.is_relative_to(root) else ()
    first, *inside = parts or ("the folder itself",)
    if not first.startswith("round_"):
        return first.removeprefix(".").removesuffix(".new")
    return inside[0].strip(".").split(".")[0] if inside else "round"


def contents(root: Path) -> dict[str, str]:
    """Every file of a run with its content, every symlink with its target; without what equal runs differ in."""
    found = dict[str, str]()
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name.split("/")[0] in PUT_ASIDE or path.name in NOT_COMPARED:
            continue
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = path.read_bytes().hex()
            if name == "summary.json":
                with contextlib.suppress(ValueError):
                    found[name] = digest(_timeless(json.loads(path.read_bytes())))
    return found


def _timeless(value: Any) -> Any:
    """Without the seconds, and without the signature, which covers them."""
    if isinstance(value, dict):
        return {name: _timeless(part) for name, part in value.items() if name not in ("seconds", "sha256")}
    return [_timeless(part) for part in value] if isinstance(value, list) else value
