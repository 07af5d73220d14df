"""Drawn tokens as messages: a message keeps its tokens where its text, tokenized anew, would give others.

Training and scoring need the tokens that were drawn, and many are lost in text: `\\n`, `\\n` becomes `\\n\\n`,
SentencePiece gains or loses a blank, special tokens are left out.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from selfimprove.inference.foreign import tokens_of
from selfimprove.inference.thinking import begins_after, form_of, said, spelled
from selfimprove.records import Message

Prefill = tuple[str, list[int]]
"""Text and tokens of a prefilled beginning; ("", []) if there is none."""


def messages_of(
    tokenizer: Any, lines: Sequence[Sequence[int]], prefills: Sequence[Prefill] | None = None
) -> list[Message]:
    """The assistant's message of each line of drawn tokens, which has no end token.

    A message has `ids`, its tokens, only where its text is tokenized otherwise, see also `looks_up_characters`. After
    a prefilled beginning this must hold of both together as well; else `prefill` has the tokens of the beginning, so
    that the two can be joined.

    Args:
        prefills: the prefilled beginning of each.
    """
    if form_of(tokenizer):
        return _thought(tokenizer, lines, [ids for _, ids in prefills or [("", [])] * len(lines)])
    characters = looks_up_characters(tokenizer)
    if characters and not tokenizer.clean_up_tokenization_spaces:
        # The tokenizer itself: transformers' call looks at the type of each token first, most of its time.
        texts = tokenizer.backend_tokenizer.decode_batch([*lines], skip_special_tokens=True)
    else:
        texts = tokenizer.batch_decode(lines, skip_special_tokens=True)
    if characters:
        return [{"role": "assistant", "content": text} for text in texts]
    if prefills is None:
        pairs = zip(lines, encoded(tokenizer, texts), strict=True)
        return [_message(text, line, _same(line, ids)) for text, (line, ids) in zip(texts, pairs, strict=True)]
    both = [[*ids, *line] for (_, ids), line in zip(prefills, lines, strict=True)]
    wholes = tokenizer.batch_decode(both, skip_special_tokens=True)
    for place, ((head, _), whole) in enumerate(zip(prefills, wholes, strict=True)):
        if head and whole.startswith(head):  # SentencePiece leaves out a blank at the beginning of a text
            texts[place] = whole[len(head) :]
    again = encoded(tokenizer, texts)
    joined = encoded(tokenizer, [head + text for (head, _), text in zip(prefills, texts, strict=True)])
    made = list[Message]()
    for place, text in enumerate(texts):
        exact = _same(lines[place], again[place]) and _same(both[place], joined[place])
        message, head = _message(text, lines[place], exact), prefills[place][1]
        if head and not exact:
            message["prefill"] = [*head]
        made.append(message)
    return made


def _thought(tokenizer: Any, lines: Sequence[Sequence[int]], prefills: Sequence[list[int]]) -> list[Message]:
    """The messages of a model that tells thoughts from replies; after a prefilled beginning all keep their tokens."""
    places = [begins_after(tokenizer, ids) for ids in prefills]
    made = [said(tokenizer, line, place) for line, place in zip(lines, places, strict=True)]
    again = spelled(tokenizer, made, places)
    for message, line, ids, head in zip(made, lines, again, prefills, strict=True):
        if head or not _same(line, ids):
            message["ids"] = [*line]
        if head:
            message["prefill"] = [*head]
    return made


def _message(text: str, line: Sequence[int], exact: bool) -> Message:
    message: Message = {"role": "assistant", "content": text}
    if not exact:
        message["ids"] = [*line]
    return message


def _same(drawn: Sequence[int], again: Sequence[int]) -> bool:
    return len(drawn) == len(again) and [*drawn] == [*again]


def encoded(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of texts, without special ones around them; none of theirs is a control token."""
    return tokens_of(tokenizer, texts)


def looks_up_characters(tokenizer: Any) -> bool:
    """Whether a token is a character, as in the tiny model, so that the text gives the drawn tokens.

    What gets lost are `<pad>` and `<unk>`, drawn once in some thousand completions. They mean nothing, and runs keep
    the bytes that they had before messages kept their tokens.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or type(backend.model).__name__ != "WordLevel" or backend.pre_tokenizer is None:
        return False
    return backend.normalizer is None and json.loads(backend.pre_tokenizer.__getstate__()) == _EACH_CHARACTER


_EACH_CHARACTER = {"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": False}


def beginning(tokenizer: Any, ids: Sequence[int], text: str) -> list[int]:
    """The first of these tokens, those that spell a text, after what was thought; [] if it ends within a token."""
    form = form_of(tokenizer)

    def text_of(count: int) -> str:
        if form:
            return form.parts(tokenizer, ids[:count], form.opened).content
        return tokenizer.decode(ids[:count], skip_special_tokens=True)

    count = bisect_left(range(len(ids) + 1), len(text), key=lambda place: len(text_of(place)))
    return list(ids[:count]) if text_of(count) == text else []
