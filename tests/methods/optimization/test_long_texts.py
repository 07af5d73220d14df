"""Preference losses on texts of thousands of tokens at the published constants: finite, and never without a slope."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfimprove.interfaces import Optimization
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.optimization.dnpo import Dnpo
from selfimprove.methods.optimization.dpo import Dpo
from selfimprove.methods.optimization.kto import Kto
from selfimprove.methods.optimization.orpo import Orpo
from selfimprove.methods.optimization.rspo import Rspo
from selfimprove.methods.optimization.scpo import Scpo
from selfimprove.methods.optimization.simpo import Simpo
from selfimprove.methods.optimization.sppo import Sppo
from selfimprove.records import Checkpoint, Preference
from selfimprove.training import Pairs, Places, Tokens
from selfimprove.training.trl.kto import tell_flat

LONG = 4000
"""Tokens of a completion."""
METHODS = (
    Simpo(beta=2.0),
    Orpo(odds_weight=0.1),
    Scpo(beta=0.5),
    Sppo(beta=1e-3),
    Rspo(beta=1e-3, forward_kl=0.5, reverse_kl=0.5),
    Dnpo(beta=0.1),
    Dpo(beta=0.05, loss_type=["discopop"]),
)


@pytest.fixture
def loss_of(monkeypatch: pytest.MonkeyPatch, setting: Callable, couples: list) -> Callable[[Optimization], Callable]:
    """`loss_of(method)`: the loss that it hands to the trainer."""

    def find(method: Optimization) -> Callable:
        taken = list[Any]()
        monkeypatch.setattr("selfimprove.training.pairs", lambda job, rows, loss, **_: taken.append(loss))
        given = setting(type(method).__name__)
        won = [replace(pair, info={"p_chosen": 0.9, "p_rejected": 0.1}) for pair in couples]
        if isinstance(method, Dnpo):  # it reports its noise, which is not there without a training
            with pytest.raises(IndexError):
                method.optimize(won, given)
        else:
            method.optimize(won, given)
        return taken[0]

    return find


def long_pair(now: tuple[float, float], third: float) -> tuple[Pairs, Any]:
    """A pair whose tokens have -2 nats under the reference, others under the policy and under the third weights."""
    import torch

    logprobs = torch.tensor([[now[0]] * LONG, [now[1]] * LONG], requires_grad=True)
    before = torch.full((2, LONG), -2.0)
    (chosen, rejected), (first, other) = logprobs.sum(-1).chunk(2), before.sum(-1).chunk(2)
    places = Places(torch.ones(1, LONG, 2), torch.zeros(1, LONG, 8), torch.zeros(1, LONG).long(), torch.ones(1, LONG))
    tokens, each = torch.tensor([LONG]), torch.tensor([[0.9, 0.1]])
    known = torch.full((2, LONG), third)
    pair = Pairs(chosen, rejected, tokens, tokens, first, other, each, places, Tokens(logprobs, before, known))
    return pair, logprobs


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
@pytest.mark.parametrize(
    ("now", "third"),
    [
        ((-2.0, -2.0), -2.0),  # the first step: all weights are the same
        ((-2.5, -1.5), -1.9),  # 2000 nats the wrong way, and 400 nats from round 0
        ((-2.0, -2.0), -8.0),  # round 0 is far away, and finds each token unlikely
        ((-9.0, -9.0), -0.5),  # each token fell by seven nats; in all e^28000
    ],
)
def test_the_loss_and_its_slopes_are_numbers_and_the_chosen_text_is_pulled(
    loss_of: Callable, method: Optimization, now: tuple[float, float], third: float
) -> None:
    pair, logprobs = long_pair(now, third)
    loss = loss_of(method)(pair).mean()
    loss.backward()
    assert loss.isfinite() and logprobs.grad.isfinite().all()
    assert (logprobs.grad[0] != 0).all() and (logprobs.grad[1] != 0).all()


@pytest.mark.runs
@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_training_on_long_texts_by_trl(
    kind: str, couples: list, say: Callable, setting: Callable, llama_like: Callable, tmp_path: Path
) -> None:
    """Two steps on completions of 1500 tokens, of some -8000 nats each; what was chosen rises against the other."""
    start = Checkpoint(path=str(llama_like(tmp_path / "long", template=True, max_position_embeddings=2048)))
    texts = [" ".join(map(str, range(first, first + 300))) for first in (1000, 5000)]
    good, bad = (say(couples[0].prompt, text, reward=reward) for text, reward in zip(texts, (1.0, 0.0), strict=True))
    plan: dict[str, Any] = {"learning_rate": 1e-3, "max_steps": 2, "per_device_train_batch_size": 2, "beta": 0.1}
    given = setting()
    given = replace(given, start=start, policy=replace(given.policy, checkpoint=start))
    if kind == "dpo":
        trained = Dpo(**plan, loss_type=["sigmoid", "sft"]).optimize([Preference.of(good, bad)], given)
    else:
        trained = Kto(**plan).optimize([good, bad], given)
    before, after = (Transformers().logprobs_of(one, [good, bad]) for one in (start, trained))
    assert sum(before[0]) < -7000
    gains = [sum(new) - sum(old) for new, old in zip(after, before, strict=True)]
    assert gains[0] > gains[1] + 1


@pytest.mark.parametrize(("reward", "kl", "told"), [(-0.5, 3.0, False), (4.0, 0.0, False), (-30.0, 0.0, True)])
def test_kto_says_so_where_its_value_is_flat(reward: float, kl: float, told: bool, quiet_log: Any) -> None:
    """Its slope is beta s (1 - s): at 30 nats from z it is 1e-13 of what it was, and such texts teach nothing."""
    tell_flat({"rewards/chosen": reward, "kl": kl}, 0.1, quiet_log)
    assert bool(quiet_log.notes) is told
    assert not told or "kto" in quiet_log.notes[0]
