"""What is measured of a model that is loaded: agreement with plain transformers, batches, and the time of tokens."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from selfimprove.inference import memory
from selfimprove.inference.decoding import decode
from selfimprove.inference.weights import load
from selfimprove.interfaces import GREEDY, Sampling

PROMPTS = 16
LENGTH = 16
"""Tokens of a completion."""
TRAINED = 64
"""Tokens of the row that is trained on once."""
ASKED = (
    *("What is 12 - 7?", "Name three colours.", "Write one sentence about the sea.", "What is 3 + 5 + 8?"),
    *("Is 17 a prime number?", "Translate 'good morning' into French.", "Count from one to five."),
    *("Which is larger, 9.11 or 9.9?", "What does HTTP stand for?", "Give a synonym of 'quick'."),
    *("Sort these: 4, 1, 3.", "Who wrote Hamlet?", "def add(a, b):", "Spell 'necessary' backwards."),
    *("What is the capital of Peru, and how many people live there, roughly?", "Say yes."),
)


def asked(texts: Sequence[str]) -> list[str]:
    """The texts of the prompts: short ones of the user's data first."""
    own = [text for text in dict.fromkeys(texts) if 0 < len(text) <= 400]
    return [*own, *ASKED][:PROMPTS]


def agreement(folder: str, model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]]) -> dict[str, Any]:
    """How many of the prompts have equal greedy text: with plain `generate`, and alone and in a batch, by dtype.

    What differs in a batch is the order in which a matrix product adds up, which 16 bits show far more often.
    """
    batch = [tuple(prompt) for prompt in prompts]
    device = str(model.device)
    mine = _greedy(model, tokenizer, batch)
    alone = [_greedy(model, tokenizer, [prompt])[0] for prompt in batch]
    plain = [_plain(model, tokenizer, prompt) for prompt in batch]
    kinds = {_name(model): [_same(mine, alone), len(batch)]}
    for other in {"float32", "bfloat16"} - {_name(model)}:
        if memory.free().free > model.get_memory_footprint() * 4:
            second, _ = load(folder, device, other)
            together = _greedy(second, tokenizer, batch)
            apart = [_greedy(second, tokenizer, [prompt])[0] for prompt in batch]
            kinds[other] = [_same(together, apart), len(batch)]
    return {
        "greedy as plain transformers": [_same(alone, plain), len(batch)],
        "alone and in a batch": dict(sorted(kinds.items())),
    }


def _name(model: Any) -> str:
    return str(model.dtype).removeprefix("torch.")


def _same(one: Sequence[Any], other: Sequence[Any]) -> int:
    return sum(a == b for a, b in zip(one, other, strict=True))


def _greedy(model: Any, tokenizer: Any, prompts: list[tuple[int, ...]]) -> list[list[int]]:
    return [group[0].tokens for group in decode(model, tokenizer, prompts, 1, GREEDY, LENGTH, 0)]


def _plain(model: Any, tokenizer: Any, prompt: tuple[int, ...]) -> list[int]:
    """The greedy tokens of `generate`, without an end token."""
    import torch

    from selfimprove.inference.weights import ends_of

    ends = ends_of(model, tokenizer)
    given = torch.tensor([prompt], device=model.device)
    with torch.inference_mode():
        made = model.generate(
            given,
            attention_mask=torch.ones_like(given),
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            max_new_tokens=LENGTH,
            eos_token_id=ends or None,
            pad_token_id=ends[0] if ends else 0,
        )
    line = made[0, len(prompt) :].tolist()
    stop = next((place for place, token in enumerate(line) if token in ends), len(line))
    return line[:stop]


def speed(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], clock: Callable[[], float] = time.perf_counter
) -> dict[str, Any]:
    """Seconds for 1,000 tokens drawn and trained here, in small batches; a large batch draws them for less.

    Args:
        clock: tells the seconds; `time.process_time` those of the CPU, where other programs use the machine as well.
    """
    batch = [tuple(prompt) for prompt in prompts]
    decode(model, tokenizer, batch[:1], 1, Sampling(), 2, 0)
    began = clock()
    drawn = decode(model, tokenizer, batch, 2, Sampling(), LENGTH, 0)
    count = sum(draw.count for group in drawn for draw in group)
    found: dict[str, Any] = {"drawn, 32 rows": 1000 * (clock() - began) / max(1, count)}
    held = 3 * model.get_memory_footprint() * 4 / model.dtype.itemsize
    if held < memory.free().free:
        found["trained, one row"] = 1000 * _trained(model, batch, clock) / TRAINED
    return found | {"device": f"{model.device.type}, {os.environ.get('OMP_NUM_THREADS', 'all')} threads"}


def _trained(model: Any, prompts: Sequence[Sequence[int]], clock: Callable[[], float]) -> float:
    """Seconds of one forward and backward pass over a row."""
    import torch

    known = [token for prompt in prompts for token in prompt]
    row = (known * (TRAINED // len(known) + 1))[:TRAINED]
    tokens = torch.tensor([row], device=model.device)
    began = clock()
    with torch.enable_grad():
        model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
    taken = clock() - began
    model.zero_grad(set_to_none=True)
    return taken
