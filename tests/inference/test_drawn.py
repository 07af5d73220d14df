"""Drawn tokens come back out of messages, whatever the tokenizer makes of their text."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from selfimprove.inference.chat import completion_ids, prompt_ids, shown
from selfimprove.inference.drawn import beginning, messages_of
from selfimprove.inference.rows import rows_of
from selfimprove.interfaces import Sampling
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.model.tiny import _tokenizer
from selfimprove.records import Checkpoint, Preference, Prompt, dumps, loads
from selfimprove.store.journal_lines import plain, rollout_of
from selfimprove.text import joined, prefilled, steps_of

ASKED = Prompt(prompt=[{"role": "user", "content": "3"}], key="3")


def sentencepiece() -> Any:
    """Llama 2's way: blanks are written ▁, a text begins with one, which decoding leaves out; two line ends merge."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "</s>", "<call>", "▁", "3", "5", "+", "\n", "\n\n", "▁3", "▁▁", "35"]
    merges = [("\n", "\n"), ("▁", "3"), ("▁", "▁"), ("3", "5")]
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    made = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    made.add_special_tokens(["<unk>", "</s>", "<call>"])
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="</s>", pad_token="</s>")


@pytest.fixture(scope="module")
def tokenizers(small_llama: ModuleType) -> dict[str, Any]:
    return {"bytes": small_llama.tokenizer(False), "pieces": sentencepiece(), "characters": _tokenizer()}


LINES = st.lists(st.lists(st.integers(0, 11), max_size=9), min_size=1, max_size=4)


@pytest.mark.parametrize("kind", ["bytes", "pieces"])
@given(lines=LINES)
@example(lines=[[7, 7, 4], [3, 3], [4, 2, 5], [4, 5], [11]])
def test_a_message_keeps_its_tokens_where_its_text_gives_others_and_only_there(
    tokenizers: dict[str, Any], kind: str, lines: list[list[int]]
) -> None:
    tokenizer = tokenizers[kind]
    lines = [[token * 7 % len(tokenizer) for token in line] for line in lines] if kind != "pieces" else lines
    for line, message in zip(lines, messages_of(tokenizer, lines), strict=True):
        again = tokenizer(message["content"], add_special_tokens=False)["input_ids"]
        assert message == {"role": "assistant", "content": tokenizer.decode(line, skip_special_tokens=True)} | (
            {} if again == line else {"ids": line}
        )
        assert completion_ids(tokenizer, json.loads(json.dumps([message])), ended=False) == line
        assert completion_ids(tokenizer, [message]) == [*line, tokenizer.eos_token_id]
        assert completion_ids(tokenizer, [message, message], ended=False) == line * 2 or "ids" not in message


def test_a_message_of_characters_is_as_it_was_before_messages_kept_tokens(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["characters"]
    assert messages_of(tokenizer, [tokenizer("3+5")["input_ids"], [0, *tokenizer("#8")["input_ids"]]]) == [
        {"role": "assistant", "content": "3+5"},
        {"role": "assistant", "content": "#8"},
    ]


@pytest.mark.parametrize("kind", ["bytes", "pieces"])
@given(head=st.lists(st.integers(0, 11), min_size=1, max_size=6), line=st.lists(st.integers(0, 11), max_size=6))
@example(head=[9, 7], line=[7, 9])  # a line end on both sides; a blank where they meet
def test_a_beginning_and_what_was_drawn_after_it_are_the_tokens_that_the_model_saw(
    tokenizers: dict[str, Any], kind: str, head: list[int], line: list[int]
) -> None:
    tokenizer = tokenizers[kind]
    if kind != "pieces":
        head, line = ([token * 7 % len(tokenizer) for token in one] for one in (head, line))
    [said] = messages_of(tokenizer, [head])
    assume(said["content"])
    asked = prefilled(ASKED, said["content"], said)
    begun = prompt_ids(tokenizer, asked.prompt)[len(prompt_ids(tokenizer, ASKED.prompt)) :]
    bare = beginning(tokenizer, head, said["content"])
    assert begun == (bare or completion_ids(tokenizer, asked.prompt[-1:], ended=False))
    [end] = messages_of(tokenizer, [line], [(said["content"], begun)])
    whole = joined(said["content"], end)
    assert completion_ids(tokenizer, [end], ended=False) == line
    assert completion_ids(tokenizer, [whole], ended=False) == [*begun, *line]
    assert shown([whole, end, asked.prompt[-1]]) == [
        {"role": "assistant", "content": one["content"]} for one in (whole, end, said)
    ]


def test_a_step_is_cut_out_of_the_drawn_tokens_where_it_ends_with_one(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["pieces"]
    [said] = messages_of(tokenizer, [[9, 6, 5, 7, 4, 5, 8, 4]])  # ` 3+5\n35\n\n3`, its 35 drawn as 3, 5
    assert said["content"] == "3+5\n35\n\n3" and "ids" in said
    steps = steps_of(said["content"], "\n")
    cut = [
        prompt_ids(tokenizer, prefilled(ASKED, "".join(steps[:count]), said).prompt)[1:]
        for count in range(1, len(steps) + 1)
    ]
    assert cut[0] == [9, 6, 5, 7]
    assert cut[1] == tokenizer("3+5\n35\n", add_special_tokens=False)["input_ids"] != [9, 6, 5, 7, 4, 5, 7]
    assert cut[2:] == [[9, 6, 5, 7, 4, 5, 8], [9, 6, 5, 7, 4, 5, 8, 4]]


def test_of_what_an_engine_draws_each_row_has_the_drawn_tokens_and_their_log_probability(
    small_llama: ModuleType, tmp_path: Any, quiet_log: Any
) -> None:
    folder = Checkpoint(path=str(small_llama.build(tmp_path / "llama", template=True)))
    engine, sampling = Transformers(device="cpu"), Sampling(max_completion_length=12)
    prompts = [ASKED, prefilled(ASKED, "the quick")]
    groups = engine.sample(folder, prompts, 16, sampling, 0, quiet_log)
    drawn = [one for group in groups for one in group]
    read = [loads(dumps(one)) for one in drawn]
    _, tokenizer = engine._load(folder)
    rows = [row for [row] in rows_of(tokenizer, read)]
    for one, row in zip(drawn, rows, strict=True):
        assert row.completion == [*one.ids, *([tokenizer.eos_token_id] if one.ended else [])]
    assert sum("ids" in one.completion[0] for one in drawn) > 20  # random bytes are seldom text
    scored = engine.logprobs_of(folder, read)
    for one, numbers in zip(drawn, scored, strict=True):
        assert len(numbers) == one.logprobs["count"]
        assert sum(numbers) == pytest.approx(one.logprobs["sum"], abs=1e-3)
    kept = [rollout_of(json.loads(json.dumps(line)), one.prompt) for one in drawn for [[line]] in [plain([[one]])]]
    assert [(one.completion, [*one.ids]) for one in kept] == [(one.completion, [*one.ids]) for one in drawn]
    pair = loads(dumps(Preference.of(drawn[0], drawn[1])))
    assert isinstance(pair, Preference)
    told = [row.completion for [row] in rows_of(tokenizer, pair.sides)]
    assert told == [row.completion for row in rows[:2]]
