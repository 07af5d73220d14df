"""Shared helpers, as fixtures: records, a policy and a context with an engine that needs no model, small recipes, a run.

Nothing here imports torch. `classroom` is a table of answers that makes the fake engine solve, judge, refine and
propose with known probabilities; `make_run` is the whole loop in well under a second.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import signal
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings

from selfimprove import registry
from selfimprove.inference.desk import Sessions
from selfimprove.interfaces import Ask, Context, Engine, Log, Optimization, Policy, Refinement, Sampling
from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.model.tiny import Tiny
from selfimprove.methods.refinement.greedy import Greedy
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.methods.task.jsonl import JsonlTask
from selfimprove.recipe import compose as recipe
from selfimprove.records import Checkpoint, Metric, Prompt, Record, Report, Rollout
from selfimprove.trials.rehearsal import TOKENIZER

# Every run draws the same examples; a slow machine is no failure; the factories below keep no state between examples.
settings.register_profile(
    "suite",
    derandomize=True,
    deadline=None,
    max_examples=60,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("suite")

# A shell that starts pytest in the background has it ignore these, and all processes that a test starts as well.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, handler)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What tests have counted and noted with `record_property`."""
    noted = [note for report in terminalreporter.stats.get("passed", ()) for note in report.user_properties]
    if noted:
        terminalreporter.section("counted")
    for what, count in sorted(noted):
        terminalreporter.line(f"{what}: {count}")


SECRET = "sk-secret-of-the-environment"


class QuietLog:
    """Shows nothing and keeps everything that it is told."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.notes: list[str] = []
        self.marks: list[tuple[int, int, str]] = []
        self.steps: list[tuple[int, str]] = []
        self.rounds: list[dict[str, Any]] = []
        self.confirmations: list[dict[str, Any]] = []
        self.goals: list[int] = []

    def progress(self, done: int, total: int, unit: str = "") -> None:
        self.marks.append((done, total, unit))

    def metric(self, name: str, value: float) -> None:
        self.metrics[name] = value

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, number: int, stage: str) -> None:
        self.steps.append((number, stage))

    def goal(self, rounds: int) -> None:
        self.goals.append(rounds)

    def round(self, line: dict[str, Any]) -> None:
        self.rounds.append(line)

    def confirmation(self, line: dict[str, Any]) -> None:
        self.confirmations.append(line)


@dataclass
class Watched(Fake):
    """The fake engine, which also remembers what it was asked."""

    seen: list[Prompt] = field(default_factory=list)
    calls: list[tuple[int, Sampling, int]] = field(default_factory=list)

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        self.seen.extend(ask.prompt for ask in asks)
        self.calls.extend(dict.fromkeys((ask.n, ask.sampling, ask.seed) for ask in asks))
        return super().draw(asks, log)


@dataclass
class Given(Engine):
    """An engine that hands out groups of rollouts that a test has prepared, one for each prompt in order."""

    groups: list[list[Rollout]] = field(default_factory=list)
    says: Callable[[Ask], str] | None = None
    """What it says to a request instead."""

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        if self.says is not None:
            return [[said(ask.prompt, self.says(ask)) for _ in range(ask.n)] for ask in asks]
        return [group[: ask.n] for ask, group in zip(asks, self.groups, strict=False)]

    def logprobs_of(self, checkpoint: Checkpoint, rollouts: Sequence[Rollout]) -> list[list[float]]:
        return [[(rollout.logprobs or {}).get("sum", 0.0)] for rollout in rollouts]


def said(prompt: Prompt, text: str) -> Rollout:
    completion = [{"role": "assistant", "content": text}]
    return Rollout(prompt=prompt, completion=completion, logprobs={"sum": -1.0, "count": 1})


def work(digits: Sequence[int], slip: int | None = None) -> str:
    """The worked solution of a sum modulo 10; from step `slip` on it is off by one."""
    total, steps = digits[0], []
    for place, digit in enumerate(digits[1:]):
        result = (total + digit + (place == slip)) % 10
        steps.append(f"{total}+{digit}={result}")
        total = result
    return f"{';'.join(steps)}#{total}"


def solution_of(prompt: Prompt, right: float) -> dict[str, float]:
    """What is said to a problem of the sums task that is solved rightly with probability `right`."""
    digits = [int(digit) for digit in prompt.key.split("+")]
    return {work(digits): right, work(digits, slip=0): 1 - right}


def table_of(prompts: Sequence[Prompt], right: float = 0.6) -> dict[str, dict[str, float]]:
    """The same for every role of the sums task: solve, hint, judge, refine and propose."""
    roles = ChainSums().roles()
    answers = {prompt.prompt[-1]["content"]: solution_of(prompt, right) for prompt in prompts}
    for prompt in prompts:
        digits = [int(digit) for digit in prompt.key.split("+")]
        good, bad = work(digits), work(digits, slip=0)
        answers[roles.hint(prompt, str(prompt.answer))[-1]["content"]] = {good: right, bad: 1 - right}
        for attempt, verdict, other in ((good, "#y", "#n"), (bad, "#n", "#y")):
            answers[roles.judge(prompt, attempt)[-1]["content"]] = {verdict: right, other: 1 - right}
            answers[roles.refine(prompt, attempt)[-1]["content"]] = {good: right, bad: 1 - right}
        for level in (None, len(digits)):
            answers.setdefault(roles.propose(level)[-1]["content"], {})[prompt.key] = 1.0
    return answers


def _beside(name: str) -> ModuleType:
    """A module in tests/, by its path: no test is on the path of imports."""
    place = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert place and place.loader
    module = importlib.util.module_from_spec(place)
    sys.modules[name] = module  # its dataclasses look there for what their annotations name
    place.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def small_llama() -> ModuleType:
    """The module tests/small_llama.py, which builds small models."""
    return _beside("small_llama")


@pytest.fixture(scope="session")
def thinkers_module() -> ModuleType:
    """The module tests/thinkers.py: tokenizers of models that think."""
    return _beside("thinkers")


@pytest.fixture(scope="session")
def thinker(
    small_llama: ModuleType, thinkers_module: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Checkpoint]:
    """`thinker("opened")`: a checkpoint with random weights that writes its thoughts in that form."""

    def make(name: str, **options: Any) -> Checkpoint:
        words = thinkers_module.thinker(small_llama, name)
        return Checkpoint(path=str(small_llama.build(tmp_path_factory.mktemp(name), words=words, **options)))

    return make


@pytest.fixture(scope="session")
def trained() -> ModuleType:
    """The module tests/trained.py, which compares what was drawn with what is trained."""
    return _beside("trained")


@pytest.fixture(scope="session")
def table_model() -> ModuleType:
    """The module tests/table_model.py: a model that is a table, a quiz, and chains that answer it."""
    return _beside("table_model")


@pytest.fixture(scope="session")
def two_ends(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A tiny model that often ends, like Gemma: by its template with `~`, by its tokenizer with `<eos>`."""
    import torch

    from selfimprove import training
    from selfimprove.methods.model.tiny import Tiny

    folder = tmp_path_factory.mktemp("two_ends")
    model, words = training.load(Tiny()._untrained(folder / "plain", seed=1))
    words.add_special_tokens({"additional_special_tokens": ["~"]})
    words.chat_template = (
        "{% for m in messages %}{{ '<' + m.role + '> ' + m.content }}"
        "{% if m.role == 'assistant' %} ~{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    ends = [words.eos_token_id, words.convert_tokens_to_ids("~")]
    model.generation_config.eos_token_id = ends
    with torch.no_grad():
        model.lm_head.weight[ends] *= 3
    return training.save(model, words, folder / "ends")


@pytest.fixture
def worked() -> Callable[..., str]:
    """`worked(digits, slip)`: the worked solution of a sum, with a mistake in step `slip` if one is wanted."""
    return work


@pytest.fixture
def quiet_log() -> QuietLog:
    """A log that shows nothing and keeps everything."""
    return QuietLog()


@pytest.fixture
def task() -> ChainSums:
    """The sums task with its default options."""
    return ChainSums()


@pytest.fixture
def classroom() -> Callable[..., dict[str, dict[str, float]]]:
    """`classroom(prompts, right)`: a table of answers for the fake engine, every role right with that probability."""
    return table_of


@pytest.fixture
def make_prompt() -> Callable[..., Prompt]:
    """`make_prompt("3+5+8")`: a problem of the sums task with its reference answer."""

    def make(key: str = "3+5+8", **changes: Any) -> Prompt:
        digits = [int(digit) for digit in key.split("+")]
        return ChainSums()._prompt(digits) if not changes else replace(ChainSums()._prompt(digits), **changes)

    return make


@pytest.fixture
def make_rollout(make_prompt: Callable[..., Prompt]) -> Callable[..., Rollout]:
    """`make_rollout(text, prompt, reward=1.0)`: one completion; the prompt is a key or a Prompt."""

    def make(text: str = "3+5=8;8+8=6#6", prompt: str | Prompt = "3+5+8", **changes: Any) -> Rollout:
        of = make_prompt(prompt) if isinstance(prompt, str) else prompt
        return Rollout(prompt=of, completion=[{"role": "assistant", "content": text}], **changes)

    return make


@pytest.fixture
def make_report() -> Callable[..., Report]:
    """`make_report([1, 0, 1])`: a report with these scores on problems p0, p1, p2."""

    def make(scores: Sequence[float] = (), rollouts: Sequence[Rollout] = ()) -> Report:
        share = sum(scores) / max(1, len(scores))
        metric = Metric(value=share, low=0.0, high=1.0, n=len(scores))
        return Report(
            metrics={"accuracy": metric},
            scores={f"p{i}": float(score) for i, score in enumerate(scores)},
            rollouts=tuple(rollouts),
        )

    return make


@pytest.fixture
def make_engine() -> Callable[..., Watched]:
    """`make_engine(answers, default)`: the fake engine, which remembers in `seen` and `calls` what it was asked."""
    return Watched


@pytest.fixture
def given_engine() -> Callable[..., Given]:
    """`given_engine(groups)`: an engine that hands out prepared groups of rollouts, whatever it is asked.

    `given_engine(says=...)` says to each request what that makes of it.
    """
    return Given


@pytest.fixture
def make_policy() -> Callable[..., Policy]:
    """`make_policy(engine, refinement, ...)`: a policy that needs no model, with a chain of refinements."""

    def make(engine: Engine | None = None, *chain: Refinement, **changes: Any) -> Policy:
        methods = chain or (Greedy(),)
        values: dict[str, Any] = {
            "checkpoint": Checkpoint(path="nowhere"),
            "engine": engine or Watched(),
            "chain": methods,
            "states": tuple({} for _ in methods),
            "desk": Sessions(ChainSums()),
            "answer_of": ChainSums().answer_of,
            "seed": 0,
            "log": QuietLog(),
        }
        return Policy(**{**values, **changes})

    return make


@pytest.fixture
def make_context(tmp_path: Path, make_policy: Callable[..., Policy]) -> Callable[..., Context]:
    """`make_context(engine=..., round=2)`: what a method is handed, of the sums task, with the verifier as reward."""

    def make(engine: Engine | None = None, **changes: Any) -> Context:
        task, log = ChainSums(), QuietLog()
        folder = tmp_path / "step"
        folder.mkdir(exist_ok=True)

        def reward(rollouts: Sequence[Rollout]) -> list[Rollout]:
            marks = [task.verify(rollout.prompt, rollout.text) for rollout in rollouts]
            return [replace(one, reward=mark, rated=True) for one, mark in zip(rollouts, marks, strict=True)]

        values: dict[str, Any] = {
            "round": 1,
            "rounds": 3,
            "seed": 7,
            "folder": folder,
            "previous": None,
            "policy": make_policy(engine, log=log),
            "start": Checkpoint(path="nowhere"),
            "problems": lambda n, number: task.problems("train", n, number),
            "selection": lambda n: task.problems("selection", n, 0),
            "variants": lambda problem, n: task.variants(problem, "same", n, 7),
            "world": task.open,
            "verify": task.verify,
            "answer_of": task.answer_of,
            "roles": task.roles(),
            "reward": reward,
            "log": log,
        }
        return Context(**{**values, **changes})

    return make


@pytest.fixture
def make_recipe(tmp_path: Path) -> Callable[[str], Path]:
    """`make_recipe(text)`: the path of a recipe file with this text."""

    def make(text: str | bytes, name: str = "mine") -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return make


def safetensors(tensors: dict[str, tuple[str, Sequence[int], bytes]]) -> bytes:
    """A safetensors file with these tensors, each as type, shape and bytes."""
    header, data = {}, b""
    for name, (kind, shape, values) in tensors.items():
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


WEIGHTS = {
    "model.embed_tokens.weight": ("F32", (8, 4), struct.pack("<32f", *[0.5] * 32)),
    "model.layers.0.self_attn.q_proj.weight": ("F32", (4, 4), struct.pack("<16f", *[0.5] * 16)),
}


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """`make_model(tensors={...}, files={name: text}, vocab_size=9)`: a folder that looks like a model.

    `tensors` are added to those that the config describes, None takes one away; the same goes for `files`.
    """

    def make(name: str = "model", tensors: Any = None, files: Any = None, **config: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        shape = {"model_type": "llama", "vocab_size": 8, "hidden_size": 4, "num_hidden_layers": 1, **config}
        weights = {key: value for key, value in {**WEIGHTS, **(tensors or {})}.items() if value}
        content: dict[str, Any] = {
            "config.json": json.dumps(shape),
            "model.safetensors": safetensors(weights),
            "tokenizer.json": json.dumps(TOKENIZER),
            **(files or {}),
        }
        for place, data in content.items():
            if data is not None:
                (folder / place).parent.mkdir(exist_ok=True)
                (folder / place).write_bytes(data if isinstance(data, bytes) else data.encode())
        return folder

    return make


@functools.cache
def _composed(name: str, *overrides: str) -> Any:
    return recipe.load(name, overrides)


@pytest.fixture
def composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands on `rest_em task=jsonl task.jsonl.path=PATH` compose it once, because that takes a third of a second.

    The tiny model is taken for one that suits any data, because these commands are about data.
    """
    compose, key = recipe.load, "task.jsonl.path="

    def load(name: Any, overrides: Sequence[str] = ()) -> Any:
        if name != "rest_em" or overrides[:1] != ["task=jsonl"] or len(overrides) != 2:
            return compose(name, overrides)
        with monkeypatch.context() as patch:
            patch.setattr(recipe, "load", compose)
            composed, settings = _composed(name, "task=jsonl", f"{key}x")
        return replace(composed, task={"jsonl": JsonlTask(path=overrides[1].removeprefix(key))}), settings

    monkeypatch.setattr(recipe, "load", load)
    monkeypatch.setattr(Tiny, "suits", lambda self, task: None)


@pytest.fixture
def load_once() -> recipe.Load:
    """`compose.load` that composes the same recipe with the same overrides once, because that takes a third of a second."""
    known: dict[Any, Any] = {}

    def load(name: Any, overrides: Sequence[str] = ()) -> Any:
        place = (Path(name).read_bytes(), tuple(overrides))
        if place not in known:
            known[place] = recipe.load(name, overrides)
        return known[place]

    return load


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """A secret in the environment, which must not turn up anywhere: read it as ${oc.env:SELFIMPROVE_TEST_SECRET}."""
    monkeypatch.setenv("SELFIMPROVE_TEST_SECRET", SECRET)
    return SECRET


@pytest.fixture
def smaller() -> Callable[..., list[str]]:
    """`smaller(settings, {"rounds": 1})`: the overrides that fit a recipe; a greedy single try stays one."""

    def fit(settings: dict[str, Any], table: dict[str, Any]) -> list[str]:
        fitting = []
        for key, value in table.items():
            *path, option = key.split(".")
            place = functools.reduce(lambda found, part: found.get(part, {}), path, settings)
            if option in place and not (option == "samples" and place[option] == 1):
                fitting.append(f"{key}={value}")
        return fitting

    return fit


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`make_run("rounds=2")`: a run folder that is ready to loop without torch, as (folder, log).

    The model is one number, the probability of a right answer: 0.3 at the start. The test-only method `practice` adds
    `gain` to it, the test-only engine `student` answers with it. Both are gone after the test.
    """
    from selfimprove.loop import begin
    from selfimprove.store.run_folder import RunDir
    from selfimprove.trials import rehearsal

    registry.discover()
    monkeypatch.setattr(registry, "METHODS", dict(registry.METHODS))

    @registry.register("student")
    @dataclass
    class Student(rehearsal.Student):
        def table(self, prompt: Prompt, checkpoint: Checkpoint) -> dict[str, float]:
            return solution_of(prompt, rehearsal.skill_of(checkpoint))

    @registry.register("practice")
    @dataclass
    class Practice(Optimization):
        consumes: ClassVar[Any] = Rollout
        gain: float = 0.2
        """What a round adds to the probability of a right answer."""

        def optimize(self, records: Sequence[Record], context: Context) -> Checkpoint:
            skill = rehearsal.skill_of(context.policy.checkpoint)
            return weights(context.folder / "model", min(1.0, skill + self.gain))

    def weights(folder: Path, skill: float) -> Checkpoint:
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"skill": skill}))
        (folder / "model.safetensors").write_bytes(bytes([2, 0, 0, 0, 0, 0, 0, 0]) + b"{}")  # no tensors
        (folder / "tokenizer.json").write_text(json.dumps(rehearsal.TOKENIZER))
        return Checkpoint(path=str(folder))

    def make(*overrides: str, start: float = 0.3, name: str = "run") -> tuple[RunDir, QuietLog]:
        base = tmp_path / f"start-{start}"
        if not base.exists():
            weights(base, start)
        small = tmp_path / "small.yaml"
        small.write_text(
            "defaults:\n"
            "  - model: pretrained\n"
            "  - engine: student\n"
            "  - optimization: practice\n"
            "rounds: 1\n"
            "gate_problems: 100\n"
            "sealed_problems: 100\n"
            "acquisition: {seed_prompts: {problems: 20}, rejection_sampling: {samples: 4}}\n"
            f"model: {{pretrained: {{path: {base}}}}}\n"
        )
        return begin.create(str(small), overrides, tmp_path / name), QuietLog()

    return make
