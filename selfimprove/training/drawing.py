"""Completions drawn with weights in training, by the decoder that the engines use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from selfimprove.inference.decoding import Draw, Row, decode_rows
from selfimprove.interfaces import Sampling
from selfimprove.training.native.turns import batches


def draw_each(
    model: Any,
    tokenizer: Any,
    asked: Sequence[tuple[int, ...]],
    sampling: Sampling,
    rows: int,
    seed: int,
    mixed: Callable[[], AbstractContextManager[Any]],
    thinking_budget: int | None = None,
) -> list[Draw]:
    """One completion after each of these tokens, in their order; equal ones get different completions.

    Args:
        asked: token ids of each prompt.
        rows: of a batch in training; without gradients eight times as many fit.
        mixed: what the numbers are computed in, for example `torch.autocast`.
        thinking_budget: most tokens of a thought, see `Thoughts`.

    Raises:
        DataError: a prompt leaves no room in the model's context.
    """
    counts, drawn = Counter(asked), dict[tuple[int, ...], list[Draw]]()
    training, limit = model.training, sampling.max_completion_length or 512
    model.eval()
    for several in sorted(set(counts.values())):
        alike = sorted((one for one in counts if counts[one] == several), key=lambda one: (len(one), one))
        for part in batches(alike, max(1, 8 * rows // several)):
            with mixed():
                made = decode_rows(
                    model,
                    tokenizer,
                    [Row(one, sample, sampling, limit, seed) for one in part for sample in range(several)],
                    thinking_budget=thinking_budget,
                )
            drawn.update(zip(part, batches(made, several), strict=True))
    model.train(training)
    left = {one: iter(group) for one, group in drawn.items()}
    return [next(left[one]) for one in asked]
