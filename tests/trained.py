"""What was drawn and what was trained, token by token, for every way from completions to trainers.

Load this file by its path: the tests are no package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partialmethod
from typing import Any
from unittest import mock

from selfimprove.inference import decoding
from selfimprove.interfaces import Context, Optimization, Sampling
from selfimprove.methods.acquisition.tree_search import TreeSearch
from selfimprove.methods.optimization.dpo import Dpo
from selfimprove.methods.optimization.grpo import Grpo
from selfimprove.methods.optimization.kto import Kto
from selfimprove.methods.optimization.pag import Pag
from selfimprove.methods.optimization.ppo import Ppo
from selfimprove.methods.optimization.rloo import Rloo
from selfimprove.methods.optimization.score import Score
from selfimprove.methods.optimization.sft import Sft
from selfimprove.methods.optimization.simpo import Simpo
from selfimprove.methods.optimization.trr_plus_plus import TrrPlusPlus
from selfimprove.methods.optimization.weighted_sft import WeightedSft
from selfimprove.methods.reward.math_shepherd import MathShepherd
from selfimprove.records import Checkpoint, Preference, Prompt, Rollout, dumps, loads

Line = tuple[int, ...]
LENGTH = 8
"""Tokens of a completion at most."""


@dataclass
class Lines:
    """Prompts with their completions in tokens: those that a model drew, and those that one was trained on."""

    drawn: set[Line] = field(default_factory=set)
    trained: list[Line] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """Trained lines that were drawn so."""
        return sum(line in self.drawn for line in self.trained)


class _Enough(Exception):
    """A batch was read, and need not be learned."""


@contextmanager
def watched(start: Checkpoint) -> Iterator[Lines]:
    """Every line that is drawn with the decoder or with TRL, and every one that a model of this kind reads to learn."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from trl.trainer.grpo_trainer import GRPOTrainer
    from trl.trainer.rloo_trainer import RLOOTrainer

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(start.path))
    lines, body = Lines(), type(model.base_model)
    forward, decode = body.forward, decoding.decode_rows

    def read(self: Any, *given: Any, **named: Any) -> Any:
        ids = named.get("input_ids", given[0] if given else None)
        mask = named.get("attention_mask", given[1] if len(given) > 1 else None)
        if torch.is_grad_enabled() and ids is not None:
            real = torch.ones_like(ids) if mask is None else mask
            lines.trained.extend(tuple(row[own > 0].tolist()) for row, own in zip(ids, real, strict=True))
            raise _Enough
        return forward(self, *given, **named)

    def drawn(model: Any, tokenizer: Any, rows: Any, *more: Any, **named: Any) -> Any:
        made = decode(model, tokenizer, rows, *more, **named)
        for row, one in zip(rows, made, strict=True):
            lines.drawn.add((*row.prompt, *one.tokens, *([] if one.end is None else [one.end])))
        return made

    def generated(self: Any, of: Any, prompt_ids: Any, *more: Any, **named: Any) -> Any:
        asked, made = [tuple(one) for one in prompt_ids], of(self, prompt_ids, *more, **named)
        ids = made if isinstance(made, list) else made[0]
        lines.drawn.update((*prompt, *own) for prompt, own in zip(asked, ids, strict=True))
        return made

    places = ["inference.decoding", "methods.engine.transformers", "training.drawing"]
    patches = [mock.patch(f"selfimprove.{place}.decode_rows", drawn) for place in places]
    patches.append(mock.patch.object(body, "forward", read))
    for trainer in (GRPOTrainer, RLOOTrainer):
        of = trainer._generate_single_turn
        patches.append(mock.patch.object(trainer, "_generate_single_turn", partialmethod(generated, of)))
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        yield lines


def trained(way: str, context: Context, problems: Sequence[Prompt]) -> Lines:
    """A way from problems to the first batch that a trainer reads, with the weights of `context.policy`.

    Records are written and read between drawing and training, as between two steps of a run.
    """
    with watched(context.policy.checkpoint) as lines, suppress(_Enough):
        method, prepare = WAYS[way]
        method.optimize(prepare(context, problems), context)
    return lines


def _read(records: Sequence[Any]) -> list[Any]:
    return [loads(dumps(one)) for one in records]


def _solutions(context: Context, problems: Sequence[Prompt]) -> list[Rollout]:
    """Four completions of each problem; every other one is rewarded, and all have some weight."""
    groups = context.policy.sample(problems, 4, Sampling(max_completion_length=LENGTH))
    several = [one for group in groups for one in group]
    return _read([replace(one, reward=float(i % 2), weight=1 + i % 3) for i, one in enumerate(several)])


def _pairs(context: Context, problems: Sequence[Prompt]) -> list[Preference]:
    drawn = _solutions(context, problems)
    return _read(
        [
            Preference.of(one, other)
            for one, other in zip(drawn[::2], drawn[1::2], strict=False)
            if one.prompt == other.prompt
        ]
    )


def _found(context: Context, problems: Sequence[Prompt]) -> list[Rollout]:
    """The solutions of tree searches."""
    search = TreeSearch(separator=STEP, iterations=3, samples=3)
    return _read(search.acquire(problems, context))


def _valued(context: Context, problems: Sequence[Prompt]) -> list[Rollout]:
    """Completions weighted by what their steps are worth."""
    drawn = _solutions(context, problems)
    groups = [drawn[start : start + 4] for start in range(0, len(drawn), 4)]
    rewards = MathShepherd(separator=STEP, samples=2).rate(groups, context)
    values = [reward for group in rewards for reward in group]
    return _read([replace(one, weight=1.0 + (value or 0.0)) for one, value in zip(drawn, values, strict=True)])


def _problems(context: Context, problems: Sequence[Prompt]) -> Sequence[Prompt]:
    return problems


STEP = "e"
"""What ends a step of random text: a frequent letter."""
ONE = {"max_steps": 1, "per_device_train_batch_size": 8}
DRAWS = {**ONE, "num_generations": 4, "max_completion_length": LENGTH}
WAYS: dict[str, tuple[Optimization, Callable[[Context, Sequence[Prompt]], Sequence[Any]]]] = {
    "sft": (Sft(**ONE), _solutions),
    "weighted_sft": (WeightedSft(**ONE), _solutions),
    "dpo": (Dpo(**ONE), _pairs),
    "kto": (Kto(**ONE), _solutions),
    "simpo": (Simpo(**ONE), _pairs),
    "trr_plus_plus": (TrrPlusPlus(**ONE), _solutions),
    "tree_search": (Sft(**ONE), _found),
    "math_shepherd": (WeightedSft(**ONE), _valued),
    "grpo": (Grpo(**DRAWS), _problems),
    "rloo": (Rloo(**DRAWS), _problems),
    "ppo": (Ppo(**DRAWS), _problems),
    "score": (Score(**DRAWS), _problems),
    "pag": (Pag(**DRAWS), _problems),
}
"""Every way from what is drawn to a trainer, by the method that it is named after."""
