"""Chat or base model, and where its texts end: what is said before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError
from selfimprove.safety.model_files import check_folder
from selfimprove.safety.model_form import check_form

ENDS = "<|im_end|>"
CHAT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
WORDS = {"a": 0, "</s>": 1, "b": 7}
ADDED = [{"id": 5, "content": "<|im_start|>", "special": True}, {"id": 6, "content": ENDS, "special": True}]


def files(end: Any = ENDS, generation: Any = None, added: Any = ADDED, words: Any = WORDS) -> dict[str, str]:
    return {
        "tokenizer.json": json.dumps({"model": {"vocab": words}, "added_tokens": added}),
        "tokenizer_config.json": json.dumps({"eos_token": end}),
        "generation_config.json": json.dumps(generation or {}),
    }


@pytest.mark.parametrize(
    ("made", "template", "words"),
    [
        (files(), CHAT, []),
        (files({"content": ENDS}), CHAT, []),
        (files("</s>", {"eos_token_id": [1, 6]}), CHAT, []),
        (files("</s>"), "{{ messages }}{{ eos_token }}", []),
        (files("</s>", added=[]), "", []),
        (files(None, {"eos_token_id": 1}, added=[]), "", []),
        (files("</s>", {"eos_token_id": [[1], {"a": 1}, None]}, added=[]), "", []),  # of a stranger
        (files("</s>", words=[["a", -1.0], ["</s>", -2.0]], added=[]), "", []),
        (files(), "", ["<|im_start|>", "chat model whose template is missing", "model.pretrained.chat_template"]),
        (files("</s>"), CHAT, ["(</s>)", "base model", "eos_token_id in generation_config.json"]),
    ],
)
def test_what_is_said(made: dict, template: str, words: list[str], make_model: Callable[..., Path]) -> None:
    said = check_form(make_model(files=made), template)
    assert len(said) == (1 if words else 0)
    assert all(word in said[0] and "\n" not in said[0] for word in words)


def test_numbers_of_tokens_that_are_no_numbers_are_passed_over(make_model: Callable[..., Path]) -> None:
    odd = {"\u00b2": {"content": "x"}, "9" * 5000: {"content": "y"}, "7": {"content": ENDS}}
    said = {"eos_token": ENDS, "added_tokens_decoder": odd}
    folder = make_model(files=files(added=[]) | {"tokenizer_config.json": json.dumps(said)})
    assert check_form(folder, CHAT) == []


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (files(None), ["names no end token", "set eos_token in tokenizer_config.json"]),
        (files(None, {"eos_token_id": 90}), ["names no end token"]),
        (files("<|done|>"), ["'<|done|>', which the tokenizer does not have", "set eos_token"]),
    ],
)
def test_without_an_end_it_is_refused(made: dict, words: list[str], make_model: Callable[..., Path]) -> None:
    with pytest.raises(DataError) as caught:
        check_form(make_model(files=made), CHAT)
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value)


def test_a_tokenizer_that_is_far_smaller_than_the_model_is_another_models(small_llama: Any, tmp_path: Path) -> None:
    check_folder(small_llama.build(tmp_path / "padded", vocab_size=400))
    words = "has 300 tokens, the embedding of the model 500 rows; it belongs to another model"
    with pytest.raises(DataError, match=words):
        check_folder(small_llama.build(tmp_path / "other", vocab_size=500))


def test_a_width_that_is_not_the_embeddings_is_refused_before_anything_is_loaded(
    make_model: Callable[..., Path],
) -> None:
    folder = make_model(hidden_size=8)
    with pytest.raises(
        DataError, match=r"has a width of 8, the embedding has 4; they belong to different models: fetch"
    ):
        check_folder(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"word_embed_proj_dim": 4}))
    check_folder(folder)


def test_a_template_that_cannot_be_drawn_is_told_in_one_whole_line(make_model: Callable[..., Path]) -> None:
    text = "{% for one in messages %}{{ one.content }}"
    folder = make_model(files={"chat_template.jinja": text})
    with pytest.raises(DataError) as caught:
        check_folder(folder)
    assert "'endfor' or 'else'" in str(caught.value) and "fetch the published one" in str(caught.value)
    (folder / "chat_template.jinja").write_text("""{{ raise_exception('no\\nroles') }}""")
    with pytest.raises(DataError, match="cannot be rendered: no roles; refused"):
        check_folder(folder)
