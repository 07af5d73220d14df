"""A text while its tokens come."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from selfimprove.serving import replies
from selfimprove.serving.replies import Growing


class Bytes:
    """A tokenizer whose tokens are the bytes of UTF-8."""


def said(tokenizer: Any, lines: Any) -> Any:
    return [{"role": "assistant", "content": bytes(line).decode(errors="replace")} for line in lines]


@given(st.text(max_size=12), st.lists(st.integers(1, 3), min_size=1))
def test_the_chunks_of_a_text_are_the_text(text: str, sizes: list[int]) -> None:
    replies.messages_of, before = said, replies.messages_of
    try:
        growing, given, tokens = Growing(Bytes()), "", list(enumerate(text.encode()))
        while tokens:
            size = sizes[len(tokens) % len(sizes)]
            given += growing.hear(tokens[:size])[0]
            assert text.startswith(given)  # half of a character waits
            assert growing.hear(tokens[:size]) == ("", "")  # a batch that began again
            tokens = tokens[size:]
        assert given + growing.rest(text, "")[0] == text
    finally:
        replies.messages_of = before


def test_a_stop_string_and_what_may_become_one_wait() -> None:
    replies.messages_of, before = said, replies.messages_of
    try:
        growing = Growing(Bytes(), ["END"])
        heard = [growing.hear([(place, token)])[0] for place, token in enumerate(b"aEbEND")]
        assert heard == ["a", "", "Eb", "", "", ""]
        assert growing.rest("aEb", "thought") == ("", "thought")
    finally:
        replies.messages_of = before
