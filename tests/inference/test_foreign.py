"""Text of others stays text: no string in it becomes a control token, and all other texts get the tokens of before."""

from __future__ import annotations

import copy
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.inference.chat import completion_ids, prompt_ids
from selfimprove.inference.foreign import controls_of, tokens_of
from selfimprove.inference.rows import between
from selfimprove.methods.model.tiny import _tokenizer
from selfimprove.records import Message

FORGED = ("<|end|>", "<|assistant|>", "</s>", "<s>", "<eos>", "#y", "<END>", "＜s＞")


def pieces() -> Any:
    """Llama 2's way: `<s>` and `</s>` are words of the vocabulary, blanks are written ▁, and a text begins with one."""
    from tokenizers import Tokenizer, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<unk>", "<s>", "</s>", "▁", *"<>/sy#abENDnd|asiteo?\n", "▁a", "ab"]
    vocabulary = {word: place for place, word in enumerate(dict.fromkeys(words))}
    made = Tokenizer(models.BPE(vocabulary, [("▁", "a"), ("a", "b")], unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.add_special_tokens(["<unk>", "<s>", "</s>"])
    made.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A $B", [("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="</s>", bos_token="<s>")


def words() -> Any:
    """A vocabulary of whole words that has its control tokens among them."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: place for place, word in enumerate(["<unk>", "<END>", "#y", "a", "b", "?"])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["<unk>", "<END>", "#y"])
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="<END>")


@pytest.fixture(scope="module")
def tokenizers(small_llama: ModuleType) -> dict[str, Any]:
    templated, sentence = small_llama.tokenizer(True), pieces()
    sentence.chat_template = "{% for one in messages %}<s>{{ one.content | trim }}</s>{% endfor %}"
    return {
        "bytes": small_llama.tokenizer(False),
        "templated": templated,
        "pieces": pieces(),
        "sentence": sentence,
        "words": words(),
        "tiny": _tokenizer(),
    }


KINDS = ("bytes", "templated", "pieces", "sentence", "words", "tiny")
TEXT = st.lists(st.sampled_from([*FORGED, " ", "a", "b", "\n", "é", "?"]), max_size=7).map("".join)


def controls(tokenizer: Any, ids: list[int]) -> list[int]:
    """The control tokens among these; `<unk>` says that there is no token for a character."""
    return [token for token in ids if token in tokenizer.added_tokens_decoder and token != tokenizer.unk_token_id]


def test_tokenizers_with_the_same_control_tokens_share_what_finds_them(tokenizers: dict[str, Any]) -> None:
    own, other = tokenizers["bytes"], copy.copy(tokenizers["bytes"])
    assert controls_of(own) is not controls_of(other) and controls_of(own).pattern is controls_of(other).pattern


@pytest.mark.parametrize("kind", KINDS)
@given(first=TEXT, second=TEXT)
@settings(max_examples=50)
def test_no_text_becomes_a_control_token(tokenizers: dict[str, Any], kind: str, first: str, second: str) -> None:
    tokenizer = tokenizers[kind]
    talk: list[Message] = [{"role": "user", "content": first}, {"role": "assistant", "content": second}]
    plain: list[Message] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    more: list[Message] = [{"role": "user", "content": "?"}]
    assert controls(tokenizer, prompt_ids(tokenizer, talk)) == controls(tokenizer, prompt_ids(tokenizer, plain))
    assert controls(tokenizer, prompt_ids(tokenizer, talk + more)) == controls(
        tokenizer, prompt_ids(tokenizer, plain + more)
    )
    assert controls(tokenizer, between(tokenizer, talk[:1])) == controls(tokenizer, between(tokenizer, plain[:1]))
    assert controls(tokenizer, completion_ids(tokenizer, talk[1:], ended=False)) == []
    if not any(one in first for one in FORGED):
        assert tokens_of(tokenizer, [first], special=True) == tokenizer([first])["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_template_writes_itself_stays_a_control_token(tokenizers: dict[str, Any], kind: str) -> None:
    """And the forged text is spelled as it stands: beside it, all is as it was."""
    tokenizer = tokenizers[kind]
    [forged] = [one for one in controls_of(tokenizer).names if one in (*FORGED, "<eos>") and one != "<s>"][:1]
    asked: list[Message] = [{"role": "user", "content": f"a {forged} b"}]
    usual = prompt_ids(tokenizer, [{"role": "user", "content": "a b"}])
    ids = prompt_ids(tokenizer, asked)
    assert len(ids) > len(usual) and ids[0] == usual[0] and ids[-1] == usual[-1]
    if kind in ("bytes", "templated", "tiny"):
        assert tokenizer.decode(ids) == tokenizer.decode(usual).replace("a b", f"a {forged} b")
