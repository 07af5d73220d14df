"""A user's message that stays open, with the published templates: where the prompt ends, and what closes the text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selfimprove.inference.chat import closing, prompt_ids
from selfimprove.inference.opened import said_by


def test_the_prompt_ends_in_the_user_s_turn(published: Any, figure: Callable) -> None:
    tokenizer, text = published.tokenizer, "Name three rivers of"
    closed = prompt_ids(tokenizer, [{"role": "user", "content": f"{text} France."}])
    left = prompt_ids(tokenizer, [{"role": "user", "content": text, "open": True}])
    assert closed[: len(left)] == left and tokenizer.decode(left).endswith(text)
    empty = prompt_ids(tokenizer, [{"role": "user", "content": "", "open": True}])
    assert 0 < len(empty) < len(left) and left[: len(empty) - 1] == empty[:-1]
    token, mark = closing(tokenizer)
    assert token is not None or mark
    figure("closes a user's message with", repr(tokenizer.decode([token]) if token is not None else mark))


def test_the_text_is_cut_where_the_template_closes_it(published: Any) -> None:
    tokenizer, text = published.tokenizer, "Name three rivers of France."
    open_, whole = (
        prompt_ids(tokenizer, [{"role": "user", "content": content, **more}])
        for content, more in (("", {"open": True}), (text, {}))
    )
    drawn = [*whole[len(open_) :], *tokenizer("The Loire.", add_special_tokens=False)["input_ids"]]
    said = said_by(tokenizer, drawn, closing(tokenizer))
    assert said["content"].strip() == text
