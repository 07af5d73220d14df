"""Optimizations in turn: what each is given, what is left on disk, and what merging does to the weights."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from selfimprove import training
from selfimprove.errors import DataError, EngineError, RecipeError
from selfimprove.interfaces import Context, Optimization
from selfimprove.methods.optimization.dpo import Dpo
from selfimprove.methods.optimization.ema import Ema
from selfimprove.methods.optimization.grpo import Grpo
from selfimprove.methods.optimization.merge import Merge
from selfimprove.methods.optimization.sft import Sft
from selfimprove.recipe.compose import load
from selfimprove.records import Checkpoint, Rollout
from selfimprove.trials.rehearsal import TOKENIZER


def tensors(checkpoint: Checkpoint) -> dict[str, Any]:
    return dict(training.load(checkpoint)[0].state_dict())


def bits(checkpoint: Checkpoint) -> bytes:
    return (Path(checkpoint.path) / "model.safetensors").read_bytes()


@dataclass
class Notes(Optimization):
    """Writes a number one higher than the one that it is given."""

    consumes: ClassVar[Any] = Rollout

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        folder = context.folder / "model"
        folder.mkdir()
        before = int((Path(records[0].path) / "n").read_text()) if isinstance(records[0], Checkpoint) else len(records)
        (folder / "n").write_text(str(before + 1))
        return Checkpoint(path=str(folder))


def test_each_works_on_what_the_one_before_made_and_only_the_last_is_kept(make_context: Callable) -> None:
    given = make_context()
    made = training.in_turn({"a": Notes(), "b": Notes(), "c": Notes()}, ["r", "s"], given)
    assert made.path == str(given.folder / "model") and (given.folder / "model" / "n").read_text() == "5"
    assert [path.name for path in given.folder.iterdir()] == ["model"]


@pytest.mark.runs
@pytest.mark.parametrize(
    "method",
    [
        Dpo(max_steps=1, per_device_train_batch_size=2),
        Grpo(max_steps=1, per_device_train_batch_size=2, num_generations=2, max_completion_length=4, beta=0.1),
    ],
    ids=lambda method: type(method).__name__,
)
def test_a_training_leaves_no_weights_in_memory(
    method: Optimization, make_context: Callable, start: Checkpoint, couples: list, tmp_path: Path
) -> None:
    import torch

    def numbers() -> int:
        return sum(one.numel() for one in gc.get_objects() if type(one) in (torch.Tensor, torch.nn.Parameter))

    given = make_context()
    given = replace(given, policy=replace(given.policy, checkpoint=start), start=start, folder=tmp_path)
    records = [pair.prompt for pair in couples] if isinstance(method, Grpo) else couples
    model = sum(weight.numel() for weight in training.load(start)[0].parameters())
    gc.collect()
    before = numbers()
    gc.disable()  # what Python finds by itself, it finds sooner or later
    try:
        training.in_turn({"method": method}, records, given)
        assert numbers() - before < model / 2
    finally:
        gc.enable()


@dataclass
class Large(Sft):
    """Fails as a training does that takes more memory than there is, or in another way."""

    error: Any = None

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        raise self.error


def test_a_gpu_that_is_too_small_is_one_line_with_what_takes_less(
    make_context: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    short = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")
    whole = Large(error=short, per_device_train_batch_size=1, gradient_accumulation_steps=3)
    rounded = Large(error=short, per_device_train_batch_size=1, lora=training.Lora(r=4, load_in_4bit=True))
    ways = "gradient_checkpointing=true, or lora.r=16"
    with pytest.raises(EngineError, match=f"optimization.sft ran out of GPU memory. Start .*{ways}.* lora.r") as caught:
        training.in_turn({"sft": whole}, [], make_context())
    assert "\n" not in str(caught.value) and caught.value.code == 69 and caught.value.__cause__ is short
    with pytest.raises(EngineError, match="needs less: gradient_checkpointing=true, or launcher=process, so"):
        training.in_turn({"sft": rounded}, [], make_context())
    with monkeypatch.context() as several, pytest.raises(EngineError, match="less: per_device_train_batch_size=4 with"):
        several.setenv("WORLD_SIZE", "2")
        training.in_turn({"sft": replace(whole, per_device_train_batch_size=8)}, [], make_context())
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("selfimprove.inference.memory.holders", lambda: "this process holds 70 GB")
    with pytest.raises(EngineError, match="second ran out of GPU memory: this process holds 70 GB. Start"):
        training.in_turn({"first": Notes(), "second": whole}, ["r"], make_context())
    with pytest.raises(RuntimeError, match="^a bug$"):
        training.in_turn({"sft": Large(error=RuntimeError("a bug"))}, [], make_context())


@dataclass
class Tight(Sft):
    """Has room for batches of so many rows."""

    room: int = 1
    error: Any = None

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        if self.per_device_train_batch_size > self.room:
            raise self.error
        return Checkpoint(path=f"{self.per_device_train_batch_size} x {self.gradient_accumulation_steps}")


@pytest.mark.parametrize(
    ("rows", "room", "made"), [(8, 8, "8 x 3"), (8, 4, "4 x 6"), (8, 1, "1 x 24"), (6, 2, "1 x 18"), (5, 4, "1 x 15")]
)
def test_where_memory_runs_out_training_begins_again_with_smaller_batches_and_equal_steps(
    rows: int, room: int, made: str, make_context: Callable, quiet_log: Any
) -> None:
    machine = RuntimeError("[enforce fail] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to ...")
    for error in (machine, MemoryError()):
        method = Tight(room=room, error=error, per_device_train_batch_size=rows, gradient_accumulation_steps=3)
        context = replace(make_context(), log=quiet_log)
        assert training.in_turn({"sft": method}, [], context).path == made
    sizes = [note.partition("batches of ")[2].partition(",")[0] for note in quiet_log.notes]
    assert sizes[-1:] == ([made.partition(" ")[0]] if room < rows else []) and len({*quiet_log.notes}) * 2 == len(sizes)


@pytest.fixture(scope="module")
def ends(small_llama: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Checkpoint]:
    """Two models of one kind whose embeddings and output layer are one matrix."""
    folder = tmp_path_factory.mktemp("ends")
    made = [small_llama.build(folder / str(seed), seed=seed, tie_word_embeddings=True) for seed in (0, 1)]
    return Checkpoint(path=str(made[0])), Checkpoint(path=str(made[1]))


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_merge_is_on_the_line_between_and_its_ends_are_exact(
    make_context: Callable, make_policy: Callable, ends: tuple, share: float
) -> None:
    start, trained = ends
    given = make_context(policy=make_policy(checkpoint=start), start=Checkpoint(path="nowhere"))
    made = Merge(share=share).optimize([trained], given)
    if share in (0, 1):
        assert bits(made) == bits(trained if share else start)
    old, new, got = tensors(start), tensors(trained), tensors(made)
    assert old.keys() == got.keys()
    for name, one in got.items():
        assert float((one - ((1 - share) * old[name] + share * new[name])).abs().max()) < 1e-6, name


def test_a_merge_may_go_toward_the_weights_of_round_0(make_context: Callable, ends: tuple) -> None:
    start, trained = ends
    made = Merge(share=0.0, toward="base").optimize([trained], make_context(start=start))
    assert bits(made) == bits(start)


def test_an_average_over_the_rounds(make_context: Callable, ends: tuple, tmp_path: Path) -> None:
    """With decay 1/4: 1/4 a + 3/4 b after round 1, then a quarter of that and 3/4 a: 13/16 a + 3/16 b."""
    one, other = ends
    rounds, before = [], None
    for number, trained in enumerate((other, one), 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        rounds.append(Ema(decay=0.25).optimize([trained], make_context(start=one, folder=folder, previous=before)))
        (folder / "checkpoint.json").write_text(json.dumps({"path": "model", "base": None, "adapter": False}))
        before = folder
    a, b = tensors(one), tensors(other)
    for made, share in ((rounds[0], 4 / 16), (rounds[1], 13 / 16)):
        got = tensors(made)
        assert max(float((got[name] - share * a[name] - (1 - share) * b[name]).abs().max()) for name in a) < 1e-6


def test_bfloat16_stays_bfloat16(make_context: Callable, make_policy: Callable, ends: tuple, tmp_path: Path) -> None:
    import torch
    from transformers import AutoConfig

    model, tokenizer = training.load(ends[1])
    coarse = training.save(model.to(torch.bfloat16), tokenizer, tmp_path / "coarse")
    given = make_context(policy=make_policy(checkpoint=coarse))
    assert AutoConfig.from_pretrained(Merge().optimize([coarse], given).path).dtype == torch.bfloat16


def test_models_of_different_kinds_are_not_merged(make_context: Callable, start: Checkpoint, ends: tuple) -> None:
    with pytest.raises(DataError, match="models of different kinds"):
        Merge(toward="base").optimize([start], make_context(start=ends[0]))


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(RecipeError, match="optimization.merge.toward takes base or last"):
        Merge(toward="start")


def test_a_recipe_names_the_chain_in_order(make_recipe: Callable) -> None:
    text = "defaults:\n  - optimization: [sft, merge]\noptimization: {sft: {lora: {r: 4}}, merge: {share: 0.3}}\n"
    recipe, settings = load(make_recipe(text))
    assert list(recipe.optimization) == ["sft", "merge"] and settings["optimization"]["merge"]["share"] == 0.3
    assert list(load(make_recipe(text), ["optimization=[sft,ema,merge]"])[0].optimization) == ["sft", "ema", "merge"]


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ("[merge]", "gives Rollout records, but optimization 'merge' takes a checkpoint"),
        ("[sft,dpo]", "optimization 'sft' gives a checkpoint, but optimization 'dpo' takes Preference records"),
        ("[]", "optimization names no method"),
    ],
)
def test_a_chain_that_does_not_fit_is_refused(chain: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load("quickstart", [f"optimization={chain}"])


@pytest.mark.runs
def test_a_run_with_a_chain_ends_with_the_merged_weights(make_run: Callable) -> None:
    """`practice` writes its skill as config.json; a test-only method after it halves what was gained."""
    from selfimprove import registry
    from selfimprove.loop.loop import Runner

    @registry.register("halve")
    @dataclass
    class Halve(Optimization):
        consumes: ClassVar[Any] = Checkpoint

        def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
            skills = [
                json.loads((Path(one.path) / "config.json").read_text())["skill"]
                for one in (context.policy.checkpoint, records[0])
            ]
            folder = context.folder / "model"
            folder.mkdir()
            (folder / "config.json").write_text(json.dumps({"skill": sum(skills) / 2}))
            (folder / "model.safetensors").write_bytes(b"no weights")
            (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))
            return replace(records[0], path=str(folder))

    folder, log = make_run("optimization=[practice,halve]", "optimization.practice.gain=0.4", name="chained")
    Runner(folder, log).run()
    step = folder.step(1, "optimization")
    assert json.loads((step / "model" / "config.json").read_text()) == {"skill": 0.5}
    assert not list(step.glob("*.before"))
