"""A checkpoint in transformers and its plain forward pass: the reference that every local engine is held to.

The transformers engine scores with it, and the vLLM engine checks its weights against it. Scores are per token and of
the model's own distribution: temperature 1, nothing cut off.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove import memory
from selfimprove.errors import DataError, EngineError, RecipeError
from selfimprove.records import Rollout
from selfimprove.text import completions_ids, end_of, prompts_ids

STATISTICS = ("logprob", "entropy", "self_certainty")
TEXTS = (
    *("3+5+8=3+5=8;8+8=6#6", "Question: what is 12 - 7? Answer: 5.", "abc abc abc abc", "1, 2, 3, 4, 5, 6, 7, 8"),
    *("The capital of France is Paris.", "def f(x):\n    return x + 1", "To be, or not to be.", "{'a': [1, 2]}"),
)
"""What another engine's weights are checked with, each with the next ones after it."""
LENGTH = 32
"""Tokens of it that are scored: 248 numbers in all, and short enough for any context."""
NUMBERS = 1 << 27
"""Logits held at once in scoring, which needs those of all positions: with large vocabularies few of them fit a GPU."""

Pair = tuple[list[int], list[int]]
"""Token ids of a prompt and of its completion."""


def load(path: str, device: str, dtype: str) -> tuple[Any, Any]:
    """Model and tokenizer of a folder or hub id, ready to run; a folder with a PEFT adapter comes on its base.

    Args:
        device: as torch names it, or `auto` for a GPU if there is one.
        dtype: as torch names it, or `auto` for what the weights were saved in.

    Raises:
        EngineError: the device or the number type cannot be used here, or the GPU has no room for the weights.
        DataError: the folder is damaged.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
        kind = dtype if dtype == "auto" else getattr(torch, dtype)
    except (RuntimeError, AssertionError, AttributeError) as error:
        raise EngineError(
            f"device {device!r} with dtype {dtype!r} cannot be used here: {str(error).splitlines()[0]}"
        ) from error
    local = Path(path).exists()
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=local)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=kind,
            output_loading_info=True,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=local,
        )
    except Exception as error:  # a damaged folder makes transformers and safetensors raise all kinds
        raise DataError(f"{path} cannot be loaded: {(str(error) or repr(error)).splitlines()[0]}") from error
    model, report = loaded
    if report["missing_keys"]:
        raise DataError(f"{path} lacks weights that its config.json asks for: {min(report['missing_keys'])}")
    if torch.device(device).type == "cuda":
        memory.ready(f"the model {path}", model.get_memory_footprint(), device)
    return model.eval().to(device), tokenizer


def context_of(model: Any) -> int:
    """Tokens that fit into the model's context; models without position limit have none."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or sys.maxsize


def ends_of(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end a completion: of the generation config, which may name several, tokenizer and template."""
    ends = model.generation_config.eos_token_id
    return sorted({*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id, end_of(tokenizer)} - {None})


def pairs_of(tokenizer: Any, rollouts: Sequence[Rollout]) -> list[Pair]:
    """The token ids of each rollout; the end token stands after a completion that came to its end."""
    asked = prompts_ids(tokenizer, [rollout.prompt.prompt for rollout in rollouts])
    ended = [rollout.ended for rollout in rollouts]
    said = completions_ids(tokenizer, [rollout.completion for rollout in rollouts], ended)
    return list(zip(asked, said, strict=True))


def score(model: Any, pairs: Sequence[Pair], statistic: str, rows: int) -> list[list[float]]:
    """A number in nats for each completion token, see `Engine.score`.

    Args:
        rows: completions in a batch at most.

    Raises:
        RecipeError: there is no such statistic.
        DataError: a pair does not fit into the model's context.
    """
    import torch

    if statistic not in STATISTICS:
        known = f"{', '.join(STATISTICS[:-1])} and {STATISTICS[-1]}"
        raise RecipeError(f"the engine has no statistic {statistic!r}; it has {known}")
    said = [i for i, (_, completion) in enumerate(pairs) if completion]  # an unanswered prompt has nothing to score
    longest = max((len(pairs[i][0]) + len(pairs[i][1]) for i in said), default=0)
    if longest > context_of(model):
        raise DataError(
            f"a prompt and completion of {longest} tokens exceed the model's context of {context_of(model)}"
        )
    order = sorted(said, key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
    scores: list[list[float]] = [[] for _ in pairs]
    places = max(1, NUMBERS // model.config.get_text_config().vocab_size)
    size = max(1, min(rows, places // max(1, longest)))
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        width = max(len(pairs[i][0]) + len(pairs[i][1]) for i in batch)
        tokens = torch.zeros((len(batch), width), dtype=torch.long)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        for row, i in enumerate(batch):
            both = [*pairs[i][0], *pairs[i][1]]
            tokens[row, : len(both)] = torch.tensor(both)
            mask[row, : len(both)] = 1
        tokens, mask = tokens.to(model.device), mask.to(model.device)
        with torch.inference_mode():
            numbers = _numbers(model, tokens, mask, statistic, places).cpu()
        for row, i in enumerate(batch):
            first = len(pairs[i][0]) - 1
            scores[i] = numbers[row, first : first + len(pairs[i][1])].tolist()
    return scores


def _numbers(model: Any, tokens: Any, mask: Any, statistic: str, places: int) -> Any:
    """A number for each token but the first (rows, width - 1).

    Args:
        places: positions whose logits may be held at once. One row that has more goes through the model in pieces, each
            after the keys and values of those before it, where the model's cache is of that kind.
    """
    import torch
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    nexts, past, parts = tokens[:, 1:], None, []
    for start in range(0, nexts.shape[1], places) if tokens.numel() > places else ():
        piece = slice(start, start + places)
        result = model(input_ids=tokens[:, piece], past_key_values=past, use_cache=True)
        past: Any = getattr(result, "past_key_values", None)
        if any(type(one) not in (DynamicLayer, DynamicSlidingWindowLayer) for one in getattr(past, "layers", [None])):
            break
        logits = result.logits[:, : nexts[:, piece].shape[1]]
        parts.append(number(logits.float().log_softmax(-1), nexts[:, piece], statistic))
    if parts:
        return torch.cat(parts, -1)
    logits = model(input_ids=tokens, attention_mask=mask, use_cache=False).logits[:, :-1]
    return number(logits.float().log_softmax(-1), nexts, statistic)


def number(logprobs: Any, tokens: Any, statistic: str) -> Any:
    """A number for each position: of the token there, or of the whole distribution that it was drawn from."""
    import torch

    match statistic:
        case "entropy":
            return torch.special.entr(logprobs.exp()).sum(-1)  # 0 log 0 counts 0
        case "self_certainty":
            return -logprobs.mean(-1) - math.log(logprobs.shape[-1])
        case _:
            return logprobs.gather(-1, tokens[..., None])[..., 0]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What has to be known of a checkpoint to run it in another engine, and to see that it runs there."""

    tokenizer: Any
    ends: list[int]
    """The tokens that end a completion."""
    context: int
    """Tokens of a prompt with its completion at most."""
    pairs: list[Pair]
    expected: list[list[float]]
    """The fixed texts in tokens, and their log-probabilities."""

    def difference(self, found: Sequence[Sequence[float]]) -> float:
        """Mean absolute difference of the log-probabilities that another engine has found, in nats per token."""
        apart = [abs(a - b) for rows in zip(found, self.expected, strict=True) for a, b in zip(*rows, strict=True)]
        return sum(apart) / len(apart)

    def clearly(self, found: Sequence[Sequence[float]], other: Reference) -> bool:
        """Whether an engine's log-probabilities are of this checkpoint and not of the other one.

        Least squares of found = other + t (self - other): t is 1 for this one, 0 for the other, and what is left over
        is the engine's noise, which gives the error of t. Clear is a t of more than 1/2 by three such errors. Two
        checkpoints that say exactly the same need not be told apart.
        """
        if self.pairs != other.pairs:
            return False
        if self.expected == other.expected:
            return True
        mine, theirs, seen = ([x for row in rows for x in row] for rows in (self.expected, other.expected, found))
        step = [a - b for a, b in zip(mine, theirs, strict=True)]
        moved = [a - b for a, b in zip(seen, theirs, strict=True)]
        length = sum(d * d for d in step)
        t = sum(m * d for m, d in zip(moved, step, strict=True)) / length
        noise = sum((m - t * d) ** 2 for m, d in zip(moved, step, strict=True)) / (len(step) - 1)
        return t - 3 * math.sqrt(noise / length) > 0.5


def reference(path: str, dtype: str) -> Reference:
    """Load a checkpoint, score the fixed texts with it, and let it go."""
    model, tokenizer = load(path, "auto", dtype)
    turned = [" ".join((*TEXTS[i:], *TEXTS[:i])) for i in range(len(TEXTS))]  # each goes on into the next: more tokens
    lines = tokenizer(turned, add_special_tokens=False)["input_ids"]
    pairs = [(line[:1], line[1:LENGTH]) for line in lines]
    return Reference(
        tokenizer=tokenizer,
        ends=ends_of(model, tokenizer),
        context=context_of(model),
        pairs=pairs,
        expected=score(model, pairs, "logprob", len(pairs)),
    )
