"""The native policy-gradient loop: its formulas by hand, its gradients against exact ones, and what it draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove import training
from selfimprove.errors import DataError, RecipeError
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.optimization.ppo import Ppo
from selfimprove.records import Checkpoint, Prompt
from selfimprove.training.native.loop import Live
from selfimprove.training.native.policy_gradient import clipped, generalized_advantages, k3, lead, to_go, whiten

torch = pytest.importorskip("torch")


def numbers(rows: list[list[float]]) -> Any:
    return torch.tensor(rows, dtype=torch.float64)


def test_generalized_advantages_by_hand() -> None:
    """Values 0.5, 0.2, 0.4, a reward of 1 at the end: surprises -0.3, 0.2, 0.6; lam 0.5 adds half of the next one."""
    rewards, values, mask = (
        numbers([[0, 0, 1], [2, 0, 0]]),
        numbers([[0.5, 0.2, 0.4], [1, 0, 0]]),
        numbers([[1, 1, 1], [1, 0, 0]]),
    )
    half = generalized_advantages(rewards, values, mask, 0.5)
    assert half.tolist() == [pytest.approx([-0.3 + 0.25, 0.2 + 0.3, 0.6]), [1.0, 0.0, 0.0]]
    all_ = generalized_advantages(rewards, values, mask, 1.0)
    assert all_[0].tolist() == pytest.approx([0.5, 0.8, 0.6]), "lam 1: what came less what was expected"
    none = generalized_advantages(rewards, values, mask, 0.0)
    assert none[0].tolist() == pytest.approx([-0.3, 0.2, 0.6])


def test_rewards_to_go() -> None:
    assert to_go(numbers([[1, 2, 3], [-1, 0, 5]])).tolist() == [[6, 5, 3], [4, 5, 5]]


def test_rewards_to_go_are_summed_on_the_cpu_where_torch_repeats_them_to_the_bit() -> None:
    called = []

    class Calls(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            called.append(getattr(function, "__name__", ""))
            return function(*args, **(kwargs or {}))

    rewards = numbers([[1, 2, 3]])
    with Calls():
        to_go(rewards)
    assert called.index("cpu") < called.index("cumsum") < called.index("to")


@pytest.mark.parametrize(
    ("ratio", "advantage", "moves"),
    [(1.0, 1.0, True), (1.19, 1.0, True), (1.31, 1.0, False), (0.5, 1.0, True), (0.79, -1.0, False), (2.0, -1.0, True)],
)
def test_the_clip_ends_the_gradient_outside_where_it_would_gain(ratio: float, advantage: float, moves: bool) -> None:
    now = torch.tensor([ratio]).log().requires_grad_(True)
    clipped(now, torch.zeros(1), torch.tensor([advantage]), 0.2, 0.3).sum().backward()
    assert now.grad is not None
    assert now.grad.item() == pytest.approx(-ratio * advantage if moves else 0.0)


def test_the_gradient_is_that_of_finite_differences() -> None:
    now = torch.tensor([0.05, -0.1, 0.3, -0.5], dtype=torch.float64, requires_grad=True)
    old, gains = torch.zeros(4, dtype=torch.float64), torch.tensor([1.0, -2.0, 0.5, -1.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: clipped(x, old, gains, 0.2, 0.2) + 0.1 * k3(x, old - 0.2), (now,))


def test_the_expected_gradient_is_the_exact_policy_gradient() -> None:
    """A table of eight answers: over all pairs of draws, the loss with leave-one-out advantages has -grad E[r]."""
    logits = torch.linspace(-1, 1, 8, dtype=torch.float64).requires_grad_(True)
    reward = torch.tensor([0.0, 1, 0, 0.5, 0, 0, 1, 0], dtype=torch.float64)
    (exact,) = torch.autograd.grad((logits.softmax(-1) * reward).sum(), logits)
    logs, chance = logits.log_softmax(-1), logits.softmax(-1).detach()
    total: Any = 0.0
    for a in range(8):
        for b in range(8):
            gains = torch.tensor(lead([reward[a].item(), reward[b].item()], 2), dtype=torch.float64)
            now = logs[[a, b]]
            total = total + chance[a] * chance[b] * clipped(now, now.detach(), gains, 0.2, 0.2).mean()
    (found,) = torch.autograd.grad(total, logits)
    assert torch.allclose(found, -exact, atol=1e-12)


def test_leave_one_out_by_hand() -> None:
    assert lead([1.0, 0.0, 0.5, None, 2.0, None], 4) == [1 - 0.25, 0 - 0.75, 0.5 - 0.5, None, 0.0, None]


@given(st.lists(st.lists(st.floats(-5, 5), min_size=2, max_size=4), min_size=2, max_size=6), st.data())
def test_each_bucket_has_mean_0_and_deviation_1(rows: list[list[float]], data: Any) -> None:
    width = max(map(len, rows))
    values = numbers([row + [9.0] * (width - len(row)) for row in rows])
    mask = numbers([[1.0] * len(row) + [0.0] * (width - len(row)) for row in rows])
    buckets = data.draw(st.lists(st.sampled_from("ab"), min_size=len(rows), max_size=len(rows)))
    made = whiten(values, mask, buckets)
    assert not made[mask == 0].any()
    for name in set(buckets):
        own = mask.bool() & torch.tensor([[one == name] for one in buckets])
        before, after = values[own], made[own]
        assert after.mean().item() == pytest.approx(0, abs=1e-5)
        if before.max() - before.min() > 1e-3:
            assert after.std().item() == pytest.approx(1, abs=1e-3)
    assert whiten(values, mask, ["a"] * len(rows)).equal(whiten(values, mask))


def test_a_bucket_of_equal_values_becomes_0() -> None:
    assert not whiten(numbers([[0.1, 0.1], [0.1, 0.1]]), numbers([[1, 1], [1, 1]])).any()


@given(st.floats(-3, 0), st.floats(-3, 0))
def test_the_divergence_is_0_only_where_both_agree(a: float, b: float) -> None:
    found = k3(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)).item()
    assert found > -1e-12 and (found > 1e-12 or abs(a - b) < 1e-5)


# ---- the weights in training -------------------------------------------------------------------------------------
@pytest.fixture
def live(setting: Callable) -> Callable[..., Live]:
    """`live(seed=3)`: the small model in training, by the options of `ppo`."""

    def make(**changes: Any) -> Live:
        method = Ppo(max_completion_length=6, max_steps=2)
        return Live(training.job_of(method, setting(f"live{len(changes)}", **changes)), 1, method)

    return make


def test_log_probabilities_are_those_of_the_engine(live: Callable, questions: list[Prompt], small: Any) -> None:
    """Prompts and completions of different lengths: padded on the left and on the right, alone or in a batch."""
    made = live()
    turns = made.draw(questions)
    assert len({len(turn.prompt_ids) for turn in turns}) > 3
    with torch.no_grad():
        together, mask = made.logprobs(turns)
        alone = [made.logprobs([turn])[0][0] for turn in turns]
    assert mask.sum(-1).tolist() == [len(turn.ids) for turn in turns]
    wanted = Transformers().logprobs_of(small, [turn.rollout for turn in turns])
    for row, own, turn, numbers_ in zip(together, alone, turns, wanted, strict=True):
        assert own.tolist() == pytest.approx(row[: len(turn.ids)].tolist(), abs=1e-4)
        if len(numbers_) == len(turn.ids):  # random bytes do not always survive text
            assert row[: len(turn.ids)].tolist() == pytest.approx(numbers_, abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "dropout"),
    [("llama", {"attention_dropout": 0.5}), ("gpt2", dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.5))],
)
def test_dropout_is_off_also_where_gradients_are_checkpointed(
    setting: Callable, llama_like: Callable, tmp_path: Path, questions: list[Prompt], kind: str, dropout: dict
) -> None:
    """Ratios of probabilities under two different masks would not be 1 for equal weights."""
    start = Checkpoint(path=str(llama_like(tmp_path / kind, kind=kind, template=True, **dropout)))
    given = setting()
    given = replace(given, start=start, policy=replace(given.policy, checkpoint=start))
    method = Ppo(max_completion_length=6, max_steps=2)
    job = training.job_of(method, given)
    made = Live(replace(job, schedule=replace(job.schedule, gradient_checkpointing=True)), 1, method)
    turns = made.draw(questions[:4])
    assert made.model.training
    [first, second] = (made.logprobs(turns)[0] for _ in range(2))
    made.model.eval()
    assert first.equal(second) and torch.allclose(first, made.logprobs(turns)[0], atol=1e-5)
    assert {value for name, value in made.model.config.to_dict().items() if name in dropout} == {0.5}


def test_a_turn_ends_with_the_token_that_was_drawn(setting: Callable, questions: list[Prompt], two_ends: Any) -> None:
    given = setting()
    given = replace(given, start=two_ends, policy=replace(given.policy, checkpoint=two_ends))
    method = Ppo(max_completion_length=40, max_steps=2)
    made = Live(training.job_of(method, given), 1, method)
    turns = [turn for turn in made.draw(questions * 4) if not turn.rollout.truncated]
    ends = {turn.ids[-1]: turn.rollout.info.get("stop_token") for turn in turns}
    assert ends == {made.tokenizer.convert_tokens_to_ids("~"): None, made.tokenizer.eos_token_id: "<eos>"}
    again = made.turns([turn.rollout for turn in turns])
    assert [turn.ids[-1] for turn in again] == [turn.ids[-1] for turn in turns]


def test_equal_prompts_get_different_completions_and_a_seed_repeats_them(
    live: Callable, questions: list[Prompt]
) -> None:
    asked = [questions[0], questions[1], questions[0], questions[0]]
    one, two = live(), live(seed=8)
    first, again = one.draw(asked), one.draw(asked)
    assert [turn.rollout.prompt for turn in first] == asked
    assert len({tuple(turn.ids) for turn in first}) == 4
    assert [turn.ids for turn in first] != [turn.ids for turn in again]
    assert [turn.ids for turn in two.draw(asked)] != [turn.ids for turn in first]


def test_several_processes_are_refused(live: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would train weights of its own, and all would write to one place."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="optimization.ppo trains in one process"):
        live()


def test_passes_go_over_all_items_before_any_comes_again() -> None:
    stream = training.passes(range(5), 3, seed=1)
    drawn = [next(stream) for _ in range(5)]
    flat = [item for part in drawn for item in part]
    assert [sorted(flat[start : start + 5]) for start in (0, 5, 10)] == [[0, 1, 2, 3, 4]] * 3
    assert flat[:5] != flat[5:10]
    with pytest.raises(DataError):
        next(training.passes([], 3, seed=1))


def test_rows_that_make_no_whole_groups_are_refused() -> None:
    with pytest.raises(
        RecipeError, match=r"optimization\.ppo: 8 rows per step .* multiple of num_generations, which is 3"
    ):
        Ppo(num_generations=3)
