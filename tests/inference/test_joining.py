"""Rows that join others get the completions that they get alone."""

from __future__ import annotations

import random
from typing import Any

import pytest

from selfimprove.errors import DataError
from selfimprove.inference import joining
from selfimprove.inference.decoding import Draw, Row, decode_rows
from selfimprove.inference.joining import Joining, may
from selfimprove.interfaces import GREEDY, Sampling


class Letters:
    """A tokenizer whose tokens are letters."""

    eos_token_id, chat_template, all_special_ids = 1, None, (0, 1)

    def decode(self, tokens: Any, **_: Any) -> str:
        return "".join(chr(97 + int(one)) for one in tokens)


TOKENIZER = Letters()
WAYS = [
    (GREEDY, 40),
    (Sampling(), 25),
    (Sampling(temperature=0.7, top_k=5), 60),
    (Sampling(temperature=1.5, top_p=0.9), 1),
    (Sampling(stop=("e", "no", "h")), 50),
]


def build() -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    config = LlamaConfig(vocab_size=16, eos_token_id=1, initializer_range=0.3, max_position_embeddings=96, **sizes)
    return LlamaForCausalLM(config).eval()


def rows(count: int, seed: int = 0) -> list[Row]:
    """Rows of prompts of 1 to 40 tokens; some prompts have two."""
    made, chance = list[Row](), random.Random(seed)
    while len(made) < count:
        prompt = tuple(chance.randrange(2, 16) for _ in range(chance.choice([1, 2, 5, 40])))
        sampling, limit = chance.choice(WAYS)
        made += [Row(prompt, sample, sampling, limit, 7) for sample in range(chance.choice([1, 1, 2]))]
    return made


def joined(model: Any, waves: list[list[Row]], apart: int, most: int) -> tuple[dict[int, Draw], list[int]]:
    """The completions of rows that come `apart` tokens after each other, and how many rows each step had."""
    found, widths, coming = dict[int, Draw](), list[int](), list(waves)
    batch = Joining(model, TOKENIZER, most, None, found.__setitem__)
    steps = 0
    while coming or batch.busy:
        if coming and steps % apart == 0:
            batch.add(coming.pop(0))
        assert batch.step()
        widths.append(len(batch._slots))
        steps += 1
    return found, widths


@pytest.mark.parametrize(("apart", "most"), [(1, 100), (3, 100), (7, 3), (200, 100)])
def test_a_row_that_joins_others_is_drawn_as_if_it_were_alone(
    monkeypatch: pytest.MonkeyPatch, apart: int, most: int
) -> None:
    monkeypatch.setattr(joining, "LOOSE", 8)  # so that places of the cache are cleared away
    model, wanted = build(), rows(32)
    alone = [decode_rows(model, TOKENIZER, [row])[0] for row in wanted]
    waves = [wanted[i : i + 3] for i in range(0, len(wanted), 3)]
    found, widths = joined(model, waves, apart, most)
    assert max(widths) <= most
    for number, one in enumerate(alone):
        other = found[number]
        assert (other.tokens, other.count, other.end, other.stop) == (one.tokens, one.count, one.end, one.stop)
        assert other.logprob == pytest.approx(one.logprob, abs=1e-3)
    assert any(one.stop for one in alone) and {one.end for one in alone} == {1, None}


def test_ended_rows_give_their_places_to_the_next_and_the_cache_stays_small() -> None:
    model = build()
    waves = [[Row((5, 9), sample, Sampling(), 20, 3)] for sample in range(60)]
    batch = Joining(model, TOKENIZER, 8, None, lambda number, draw: None)
    lengths = list[int]()
    for wave in waves:
        batch.add(wave)
        batch.step()
        assert len(batch._slots) <= 8
        lengths.append(batch._cache.length if batch._cache else 0)
    assert max(lengths) <= 2 * joining.LOOSE + 2


def test_the_tokens_of_a_row_are_heard_and_a_full_prompt_is_refused() -> None:
    heard, found, model = list[tuple[int, int]](), dict[int, Draw](), build()
    batch = Joining(model, TOKENIZER, 8, None, found.__setitem__)
    batch.add([Row((5, 9), 0, GREEDY, 6, 0, hear=(lambda place, token: heard.append((place, token)),))])
    while batch.busy:
        batch.step()
    assert heard == list(enumerate(found[0].tokens))
    with pytest.raises(DataError, match="fills the model's context"):
        batch.add([Row((5,) * 96, 0, GREEDY, 6, 0)])
    assert not may(Sampling(tops=2)) and not may(Sampling(pattern=("regex", "a"))) and may(Sampling(stop=("a",)))
