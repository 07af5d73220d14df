"""The tiny model: a folder that any program loads, the same bytes for a seed, and a bootstrap that knows when to stop."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove import registry
from selfimprove.errors import RecipeError
from selfimprove.loop import start_model
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.model.tiny import ALPHABET, Tiny, sorted_within
from selfimprove.methods.task.addition import Addition
from selfimprove.records import Rollout

SMALL: dict[str, Any] = {
    "num_hidden_layers": 1,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "max_steps": 20,
    "check_every": 10,
    "probes": 12,
    "batch_size": 4,
    "target_accuracy": 1.0,
}
TASK = Addition(max_length=4, taught_length=2)


@pytest.fixture
def build(tmp_path: Path, make_engine: Callable[..., Any], quiet_log: Any) -> Callable[..., Any]:
    """`build("one", seed=0, answers={}, target_accuracy=...)`: (folder, engine, log) of a small bootstrap."""

    def make(name: str, seed: int = 0, answers: dict[str, dict[str, float]] | None = None, **options: Any) -> Any:
        engine = make_engine(answers or {})
        made = Tiny(**{**SMALL, **options}).build(TASK, engine, tmp_path / name, seed, quiet_log)
        assert made.path == str(tmp_path / name) and made.base is None and not made.adapter
        return tmp_path / name, engine, quiet_log

    return make


def answers(seed: int) -> dict[str, dict[str, float]]:
    """The right answers of the probes."""
    probes = TASK.problems("selection", SMALL["probes"], seed)
    return {prompt.prompt[0]["content"]: {str(prompt.answer): 1.0} for prompt in probes}


# ---- the folder --------------------------------------------------------------------------------------------------
@pytest.mark.long
def test_the_folder_loads_with_transformers(build: Callable[..., Any]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, _, _ = build("model")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    assert tokenizer.decode(tokenizer(ALPHABET)["input_ids"]) == ALPHABET
    assert len(tokenizer(ALPHABET)["input_ids"]) == len(ALPHABET) == len(tokenizer) - 3
    ends = model.generation_config.eos_token_id  # a trainer may turn the number into a list
    assert ends in (tokenizer.eos_token_id, [tokenizer.eos_token_id]) and tokenizer.eos_token == "<eos>"
    prompt = tokenizer("S:213+598=", return_tensors="pt")
    out = model.generate(**prompt, max_new_tokens=3, do_sample=False)
    assert out.shape[1] <= prompt["input_ids"].shape[1] + 3
    assert not (folder / "scratch").exists()


@pytest.mark.runs
def test_the_seed_alone_decides_the_weights(build: Callable[..., Any]) -> None:
    one, same, other = (
        build(name, seed)[0] / "model.safetensors" for name, seed in (("one", 0), ("same", 0), ("other", 1))
    )
    assert one.read_bytes() == same.read_bytes() != other.read_bytes()


def test_the_bootstrap_changes_the_weights(build: Callable[..., Any], tmp_path: Path) -> None:
    trained = build("trained")[0] / "model.safetensors"
    Tiny(**SMALL)._untrained(tmp_path / "untrained", 0)
    assert trained.read_bytes() != (tmp_path / "untrained" / "model.safetensors").read_bytes()


# ---- the bootstrap -----------------------------------------------------------------------------------------------
def test_a_target_of_nothing_is_reached_at_the_first_check(build: Callable[..., Any]) -> None:
    _, engine, log = build("model", target_accuracy=0.0)
    assert log.metrics["train/steps"] == 10
    assert log.metrics["bootstrap/accuracy"] == 0.0
    assert len(engine.calls) == 1


@pytest.mark.runs
def test_right_answers_reach_the_target_and_wrong_ones_use_all_steps(build: Callable[..., Any]) -> None:
    _, engine, log = build("right", answers=answers(0))
    assert (log.metrics["train/steps"], log.metrics["bootstrap/accuracy"]) == (10, 1.0)
    _, engine, log = build("wrong")
    assert (log.metrics["train/steps"], log.metrics["bootstrap/accuracy"]) == (20, 0.0)
    assert len(engine.calls) == 2 and all(n == 1 and how.temperature == 0 for n, how, _ in engine.calls)


def test_the_engine_is_asked_about_blind_selection_problems(build: Callable[..., Any]) -> None:
    _, engine, _ = build("model", seed=3, target_accuracy=0.0)
    expected = [prompt.blind() for prompt in TASK.problems("selection", SMALL["probes"], 3)]
    assert engine.seen == expected and all(prompt.answer is None for prompt in engine.seen)


def test_a_role_that_the_task_lacks_is_refused(build: Callable[..., Any]) -> None:
    with pytest.raises(RecipeError, match=r"^task addition has no role 'judge'; it has solve, hint$"):
        build("model", roles=["solve", "judge"])


def test_few_examples_are_gone_through_again(build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    given = Addition.demonstrations
    monkeypatch.setattr(
        Addition, "demonstrations", lambda task, role, n, seed: drawn.append(n) or given(task, role, n, seed)
    )
    _, _, log = build("model", examples=12)
    assert (drawn, log.metrics["train/steps"]) == ([12], 20)


def test_a_role_that_is_named_twice_has_two_shares(build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, int]] = []
    given = Addition.demonstrations
    monkeypatch.setattr(
        Addition,
        "demonstrations",
        lambda task, role, n, seed: drawn.append((role, n)) or given(task, role, n, seed),
    )
    build("model", roles=["solve", "hint", "solve"], examples=12, max_steps=1)
    assert [one for one in drawn if one[1] > 1] == [("solve", 8), ("hint", 4)]


def test_batches_of_alike_lengths_hold_the_same_examples() -> None:
    lessons = TASK.demonstrations("solve", 50, 0)
    made = sorted_within(lessons, 24, 4, 0)
    assert sorted_within(lessons, 0, 4, 0) == lessons and made == sorted_within(lessons, 24, 4, 0) != lessons

    def lengths(some: list[Rollout]) -> list[int]:
        return [len(one.prompt.prompt[0]["content"]) + len(one.text) for one in some]

    for begin in (0, 24, 48):
        assert sorted(lengths(made[begin : begin + 24])) == sorted(lengths(lessons[begin : begin + 24]))
    assert all(lengths(made[at : at + 4]) == sorted(lengths(made[at : at + 4])) for at in range(0, 48, 4))


def test_the_rate_falls_to_a_hundredth_in_the_last_steps(tmp_path: Path) -> None:
    import torch
    from transformers import get_scheduler

    from selfimprove.training.options import Schedule
    from selfimprove.training.trl.trainer import arguments

    weights: Any = torch.nn.Linear(2, 2)
    weights.num_parameters, weights.dtype = lambda: 6, torch.float32
    made = arguments(tmp_path, Schedule(learning_rate=1.0, max_steps=20, warmup_steps=5, decay_steps=10), weights)
    optimizer = torch.optim.SGD(weights.parameters(), lr=1.0)
    plan: Any = get_scheduler(made["lr_scheduler_type"], optimizer, 5, 20, made["lr_scheduler_kwargs"])
    rates = []
    for _ in range(21):
        rates.append(round(plan.get_last_lr()[0], 3))
        optimizer.step()
        plan.step()
    assert rates[:6] == sorted(rates[:6]) and rates[0] == 0.01 and set(rates[5:11]) == {1.0}
    assert rates[20] == 0.01 and rates[10:] == sorted(rates[10:], reverse=True)
    assert "decay_steps" not in made and "decay_steps" not in arguments(tmp_path, Schedule(learning_rate=1.0), weights)


# ---- positions ---------------------------------------------------------------------------------------------------
def logits(folder: Path, positions: list[int]) -> Any:
    """The logits of the last token of a prompt whose tokens stand at these positions."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer("S:213+59=", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        return model(input_ids=ids, position_ids=torch.tensor([positions])).logits[0, -1]


def test_without_positions_only_the_order_counts(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    Tiny(**SMALL, position="none")._untrained(folder, 0)
    plain = logits(folder, list(range(9)))
    for other in (list(range(40, 49)), list(range(0, 27, 3)), [5] * 9):  # shifted, stretched, all in one place
        assert (logits(folder, other) - plain).abs().max() < 1e-5


def test_with_rope_distances_count(tmp_path: Path) -> None:
    folder = tmp_path / "rope"
    Tiny(**SMALL, position="rope")._untrained(folder, 0)
    plain = logits(folder, list(range(9)))
    assert (logits(folder, list(range(40, 49))) - plain).abs().max() < 1e-4
    assert (logits(folder, list(range(0, 27, 3))) - plain).abs().max() > 1e-3


def test_an_unknown_position_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"^model\.tiny\.position is 'alibi'; it must be rope or none$"):
        Tiny(**SMALL, position="alibi").preflight()


# ---- the cache ---------------------------------------------------------------------------------------------------
OTHERS = ("countdown", "list_programs", "word_problems")


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    ["chain_sums", "addition", *(pytest.param(one, marks=pytest.mark.runs) for one in OTHERS)],
)
def test_all_code_that_a_bootstrap_runs_through_counts_for_the_cache(name: str, tmp_path: Path, quiet_log: Any) -> None:
    """A model comes from the cache while the code is the same: so nothing that decides it may be left out."""
    task, method = (
        registry.find("task", name).method(),
        Tiny(**{**SMALL, "max_steps": 2, "check_every": 2, "teach_prompts": True}),
    )
    ran: set[str] = set()

    def note(frame: Any, event: str, argument: Any) -> None:
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("selfimprove.") and frame.f_code.co_name != "<module>":
            ran.add(module)

    gc.collect()  # a generator that another test left behind is called once more when it is closed
    sys.setprofile(note)
    try:
        method.build(task, Transformers(max_completion_length=8), tmp_path / "model", 0, quiet_log)
    finally:
        sys.setprofile(None)
    counted = {type(task).__module__, type(method).__module__, Transformers.__module__, *start_model.WORKERS}
    assert ran - counted <= {"selfimprove.costs"}  # counts the work, does none
    assert {"selfimprove.training.trl.sft", "selfimprove.inference.decoding", "selfimprove.inference.weights"} <= ran
