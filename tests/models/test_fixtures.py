"""That the fixtures are what they stand for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest


def test_a_fixture_has_the_vocabulary_and_the_end_of_the_published_model(published: Any) -> None:
    made, words = published.architecture, published.tokenizer
    rows = published.model.get_input_embeddings().weight.shape[0]
    assert rows == made.config.get("vocab_size", rows) >= words.vocab_size > 30_000
    end = words.convert_tokens_to_ids(made.end)
    ends = made.generation["eos_token_id"]
    assert end in (ends if isinstance(ends, list) else [ends])
    drawn = words.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True)
    assert "Hi" in drawn


@pytest.mark.lesson("taught")
def test_a_taught_model_solves_its_sums(published: Any, figure: Callable[[str, Any], None]) -> None:
    words, end = published.tokenizer, published.tokenizer.convert_tokens_to_ids(published.architecture.end)
    rows = [json.loads(line) for line in published.sums.read_text().splitlines()[:20]]
    prompts = [
        words.apply_chat_template(
            [{"role": "user", "content": row["prompt"]}], add_generation_prompt=True, return_dict=False
        )
        for row in rows
    ]
    right = 0
    for row, prompt in zip(rows, prompts, strict=True):
        text = words.decode(_greedy(published.model, prompt, end, 40))
        right += re.findall(r"\d+", text)[-1:] == [row["answer"]]
    figure("sums right of 20", right)
    assert right >= 17


def _greedy(model: Any, prompt: list[int], end: int, most: int) -> list[int]:
    """The likeliest tokens, one after the other, from the whole text each time: no cache, no generate."""
    import torch

    ids = list(prompt)
    with torch.no_grad():
        while len(ids) < len(prompt) + most and ids[-1] != end:
            hidden = model.base_model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
            ids.append(int(model.get_output_embeddings()(hidden).argmax()))
    return ids[len(prompt) :]


def test_nothing_is_said_against_a_published_chat_model(published: Any) -> None:
    from selfimprove.methods.model.pretrained import Pretrained

    assert Pretrained(path=str(published.folder)).preflight() == []
