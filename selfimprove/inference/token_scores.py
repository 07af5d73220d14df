"""Numbers for each token of a completion from the next-token distributions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from selfimprove.errors import DataError, RecipeError
from selfimprove.inference.rows import rows_of
from selfimprove.inference.weights import context_of
from selfimprove.records import Rollout

STATISTICS = ("logprob", "entropy", "self_certainty")
BEHIND = "behind"
"""A further number for `score`: by how many nats the token is less likely than the likeliest; 0 for a greedy one."""
TOKEN, LIKELIEST = "token", "likeliest"
"""Further numbers for `score`: those that the token and the likeliest one have in the vocabulary."""
UNPROMPTED = "unprompted"
"""A further number for `of_replies`: a token's log-probability where the reply alone follows the start token."""
NUMBERS = 1 << 27
"""Most logits in memory at once: numbers for tokens need all positions, and with large vocabularies few fit a GPU."""

Pair = tuple[list[int], list[int]]
"""Token ids of a prompt and of its completion."""


def of_replies(
    tokenizer: Any,
    rollouts: Sequence[Rollout],
    statistic: str,
    score_pairs: Callable[[list[Pair], str], Sequence[Sequence[float]]],
) -> list[list[float]]:
    """A number for each token that the assistant said, the end token included where a reply came to its end.

    Args:
        score_pairs: gives a number of a statistic for each token of each pair's completion.

    Raises:
        DataError: the statistic is `unprompted`, and the tokenizer has no start token.
    """
    told = rows_of(tokenizer, rollouts)
    pairs = [(row.prompt, row.completion) for rows in told for row in rows]
    if statistic == UNPROMPTED:
        start = tokenizer.bos_token_id
        if start is None:
            raise DataError(
                "the tokenizer has no start token, so its model has no likelihood of a text without a prompt"
            )
        pairs, statistic = [([start], completion) for _, completion in pairs], "logprob"
    numbers = iter(score_pairs(pairs, statistic))
    return [
        [number for row in rows for number, own in zip(next(numbers), row.said, strict=True) if own] for rows in told
    ]


def score(model: Any, pairs: Sequence[Pair], statistic: str, rows: int) -> list[list[float]]:
    """A number for each completion token, see `Engine.logprobs_of`.

    Args:
        rows: most completions in a batch.

    Raises:
        RecipeError: there is no such statistic.
        DataError: a prompt with its completion exceeds the model's context.
    """
    import torch

    if statistic == TOKEN:
        return [[float(token) for token in completion] for _, completion in pairs]
    if statistic not in (*STATISTICS, BEHIND, LIKELIEST):
        known = f"{', '.join(STATISTICS[:-1])} and {STATISTICS[-1]}"
        raise RecipeError(f"the engine has no statistic {statistic!r}; it has {known}")
    said = [i for i, (_, completion) in enumerate(pairs) if completion]  # an empty completion has no tokens
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
    """A number for each token except the first (rows, width - 1).

    Args:
        places: positions whose logits may be in memory at once. A longer row goes through the model in pieces with a
            key-value cache, if the model supports it.
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
    """A number for each position: for its token, or for the whole distribution."""
    import torch

    match statistic:
        case "entropy":
            return torch.special.entr(logprobs.exp()).sum(-1)  # 0 log 0 counts 0
        case "self_certainty":
            return -logprobs.mean(-1) - math.log(logprobs.shape[-1])
        case "behind":
            return logprobs.amax(-1) - logprobs.gather(-1, tokens[..., None])[..., 0]
        case "likeliest":
            return logprobs.argmax(-1).float()
        case _:
            return logprobs.gather(-1, tokens[..., None])[..., 0]
