"""What a published model draws: with its own greedy text, with the log-probability it had, and trained as it was drawn.

The ways that are marked slow run where MODELS is `all`; each of their trainers is also tried on a small Llama, in
tests/training/test_drawn_ids.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from selfimprove.inference.chat import prompts_ids
from selfimprove.inference.rows import rows_of
from selfimprove.interfaces import GREEDY, Context, Sampling
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.records import Checkpoint, dumps, loads

PROMPTS, SCORED, LENGTH = 50, 16, 8
FEW = ("tree_search", "grpo")
OTHERS = (
    *("sft", "weighted_sft", "dpo", "kto", "simpo", "trr_plus_plus", "math_shepherd"),
    *("rloo", "ppo", "score", "pag"),
)


@pytest.fixture(scope="module")
def engine() -> Transformers:
    """In float32, in which the numbers can be compared; it keeps the last two models."""
    return Transformers(device="cpu", dtype="float32", max_completion_length=LENGTH)


def test_its_greedy_text_is_its_own_and_what_it_draws_is_scored_as_drawn(
    published: Any, engine: Transformers, quiet_log: Any, figure: Callable[[str, Any], None]
) -> None:
    import torch

    start, problems = Checkpoint(path=str(published.folder)), ChainSums().problems("train", PROMPTS, 0)
    model, tokenizer = engine._load(start)
    greedy = [list(one.ids) for [one] in engine.sample(start, problems, 1, GREEDY, 0, quiet_log)]
    asked = prompts_ids(tokenizer, [one.prompt for one in problems])
    width, pad = max(map(len, asked)), tokenizer.pad_token_id or 0
    with torch.no_grad():
        made = model.generate(
            input_ids=torch.tensor([[pad] * (width - len(ids)) + ids for ids in asked]),
            attention_mask=torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in asked]),
            max_new_tokens=LENGTH,
            do_sample=False,
        )
    same = sum(own == line[: len(own)] for own, line in zip(greedy, made[:, width:].tolist(), strict=True))
    figure("greedy text as plain generate's", f"{same} of {PROMPTS}")

    drawn = [one for [one] in engine.sample(start, problems, 1, Sampling(), 0, quiet_log)]
    read: list[Any] = [loads(dumps(one)) for one in drawn]
    numbers = engine.logprobs_of(start, read[:SCORED])
    off = max(
        abs(sum(own) - one.logprobs["sum"]) / one.logprobs["count"]
        for own, one in zip(numbers, drawn[:SCORED], strict=True)
    )
    kept = [
        [*one.ids] == row.completion[: len(one.ids)] for one, [row] in zip(drawn, rows_of(tokenizer, read), strict=True)
    ]
    figure(
        "completions whose text gives other tokens", f"{sum('ids' in one.completion[0] for one in drawn)} of {PROMPTS}"
    )
    figure("rescored, nats a token off at most", f"{off:.1e}")
    assert same == PROMPTS and all(kept) and off < 1e-3
    assert [len(own) for own in numbers] == [one.logprobs["count"] for one in drawn[:SCORED]]


@pytest.mark.parametrize("way", [*FEW, *(pytest.param(way, marks=pytest.mark.slow) for way in OTHERS)])
def test_what_was_drawn_is_what_is_trained(
    way: str,
    published: Any,
    engine: Transformers,
    trained: ModuleType,
    make_context: Callable[..., Context],
    figure: Callable[[str, Any], None],
) -> None:
    assert {*FEW, *OTHERS} == set(trained.WAYS)
    start = Checkpoint(path=str(published.folder))
    given: Any = make_context(engine)
    given = replace(given, start=start, policy=replace(given.policy, checkpoint=start))
    lines = trained.trained(way, given, given.problems(3, 0))
    figure(f"trained as drawn, {way}", f"{lines.kept} of {len(lines.trained)}")
    assert lines.kept == len(lines.trained) >= 3  # a tree whose texts are all unfinished thoughts has one solution
