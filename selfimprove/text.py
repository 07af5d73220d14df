"""Text as the model sees it: chat formatting, answer extraction, canonical keys, n-grams. Pure functions."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from selfimprove.records import Message, Prompt

SPLITS = {"train": 600, "selection": 700, "gate": 850, "audit": 900, "sealed": 1000}
"""The five disjoint populations of problems, each up to (not including) this bucket of 1000."""
_SPLIT, _ENDS = list(SPLITS), list(SPLITS.values())

_BOXED = re.compile(r"\\boxed\s*\{")
_BRACE = re.compile(r"[{}]")
_HASHES = re.compile(r"(?<!#)####(?!#)\s*+(.*\S)")
_ANSWER = re.compile(r"\banswer\b(?:\s+is\b)?+\s*+[:=]?+\s*+(.+?)(?:\.\s|\.?$)", re.IGNORECASE | re.MULTILINE)
_SAID = "ANSWER"
"""What is said where a chat template is asked how it ends a turn, and whether it knows a role."""
_CHOICE = re.compile(r"(?<=\()[A-J](?=\))|\b[A-HJ]\b|^\s*I\s*$")


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Token ids of a prompt, ready for the model to continue.

    The tokenizer's chat template is used where there is one; otherwise the prompt is plain text, see `plain`. Where it
    has no place for a system message, that stands before the user's first one. A last message of the assistant is the
    beginning of the completion, which the model goes on with.
    """
    return prompts_ids(tokenizer, [messages])[0]


def prompts_ids(tokenizer: Any, prompts: Sequence[Sequence[Message]]) -> list[list[int]]:
    """`prompt_ids` of many prompts in one call, which is several times faster."""
    if tokenizer.chat_template or not prompts:
        told = any(message["role"] == "system" for messages in prompts for message in messages)
        fold = told and not _takes_system(tokenizer)
        return [_templated(tokenizer, _folded(messages) if fold else messages) for messages in prompts]
    return tokenizer([plain(messages) for messages in prompts])["input_ids"]


def plain(messages: Sequence[Message]) -> str:
    """A prompt for a model without a chat template: the contents with a blank line between them.

    What the assistant has begun stands right behind, as the completion does.
    """
    said = [message["content"] for message in messages]
    begun = said.pop() if messages and messages[-1]["role"] == "assistant" else ""
    return "\n\n".join(said) + begun


def _takes_system(tokenizer: Any) -> bool:
    """Whether the chat template has a place for a system message: Gemma's refuses it, others leave it out."""
    from jinja2 import TemplateError

    talk = [{"role": "system", "content": _SAID}, {"role": "user", "content": "?"}]
    try:
        return _SAID in tokenizer.apply_chat_template(talk, tokenize=False)
    except TemplateError:
        return False


def _folded(messages: Sequence[Message]) -> list[Message]:
    """The same talk with what the system says at the head of the user's first message, a blank line between them."""
    said = [message["content"] for message in messages if message["role"] == "system"]
    talk = [message for message in messages if message["role"] != "system"]
    if talk and talk[0]["role"] == "user":
        said.append(talk.pop(0)["content"])
    return [{"role": "user", "content": "\n\n".join(said)}, *talk]


def _templated(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """A prompt by the chat template. What the assistant has begun stands behind it as it would have been drawn.

    A template would trim it, which takes the line break after a step away, or put an empty thought before it.
    """
    asked, begun = (messages[:-1], messages[-1:]) if messages[-1]["role"] == "assistant" else (messages, ())
    ids = tokenizer.apply_chat_template(list(asked), add_generation_prompt=True, return_dict=False)
    return [*ids, *completion_ids(tokenizer, begun, ended=False)] if begun else ids


def completion_ids(tokenizer: Any, completion: Sequence[Message], ended: bool | str = True) -> list[int]:
    """Token ids of a completion as the engine would have drawn them: no template around it, the end token last."""
    return completions_ids(tokenizer, [completion], [ended])[0]


def completions_ids(
    tokenizer: Any, completions: Sequence[Sequence[Message]], ended: Sequence[bool | str]
) -> list[list[int]]:
    """`completion_ids` of many completions in one call; ended: how each one ended, as `Rollout.ended` says it."""
    if not completions:
        return []
    texts = ["".join(message["content"] for message in completion) for completion in completions]
    rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
    last = {end: _last(tokenizer, end) for end in set(ended)}
    return [[*ids, *last[end]] for ids, end in zip(rows, ended, strict=True)]


def _last(tokenizer: Any, ended: bool | str) -> list[int]:
    """The end token of a completion that ended in this way."""
    if isinstance(ended, str):
        drawn = tokenizer.convert_tokens_to_ids(ended)
        if drawn not in (None, tokenizer.unk_token_id):  # else it is a token of another model
            return [drawn]
    return [end_of(tokenizer)] if ended else []


def end_of(tokenizer: Any) -> int:
    """The token that ends a turn: what the chat template puts after the assistant's text, else the tokenizer's own.

    The two differ in many chat models: Gemma's turns end with `<end_of_turn>`, its tokenizer names `<eos>`.
    """
    if not tokenizer.chat_template:
        return tokenizer.eos_token_id
    from jinja2 import TemplateError

    talk = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _SAID}]
    try:
        _, found, after = tokenizer.apply_chat_template(talk, tokenize=False).rpartition(_SAID)
    except TemplateError:  # it takes no such talk
        return tokenizer.eos_token_id
    ids = tokenizer(after.lstrip(), add_special_tokens=False)["input_ids"] if found else []
    return ids[0] if ids and ids[0] in tokenizer.added_tokens_decoder else tokenizer.eos_token_id


def ending(tokenizer: Any, usual: int, last: int | None) -> dict[str, str]:
    """The info of a completion that was drawn: why it ended.

    Args:
        usual: what `end_of` says.
        last: its end token, which is named where it is another one: it is scored and trained on as it was drawn.
            None: it ran into the limit.
    """
    if last is None:
        return {"finish_reason": "length"}
    return {"finish_reason": "stop"} | ({} if last == usual else {"stop_token": tokenizer.convert_ids_to_tokens(last)})


def begun(prompt: Prompt, beginning: str) -> Prompt:
    """A prompt whose completion has begun already: the model goes on from there."""
    if not beginning:
        return prompt
    message = {"role": "assistant", "content": beginning}
    return replace(prompt, prompt=[*prompt.prompt, message], parents=(prompt.id,))


def steps_of(text: str, separator: str) -> list[str]:
    """The steps of a solution, each with the separator at its end; joined they are the text."""
    parts = text.split(separator)
    return [part for part in (*(one + separator for one in parts[:-1]), parts[-1]) if part]


def spoken(messages: Sequence[Message]) -> str:
    """The text of a problem as it is quoted to a model, without the system's message; a talk keeps its speakers."""
    said = [message for message in messages if message["role"] != "system"]
    if len(said) == 1:
        return said[0]["content"]
    return "\n".join(f"{message['role']}: {message['content']}" for message in said)


def plurality(answers: Iterable[str | None], min_agreement: float = 0.0) -> str | None:
    """The single most frequent answer; None where it is tied, or has less than this share of all, None included."""
    given = list(answers)
    ranked = Counter(answer for answer in given if answer is not None).most_common(2)
    tied = len(ranked) == 2 and ranked[0][1] == ranked[1][1]
    if not ranked or tied or ranked[0][1] < min_agreement * len(given) - 1e-9:
        return None
    return ranked[0][0]


def final_answer(text: str) -> str | None:
    """The final answer of a worked solution: the last \\boxed{}, else after ####, else after 'answer is'.

    None when the text has none of the three.
    """
    starts = {match.end() - 1 for match in _BOXED.finditer(text)}
    boxed, opened = (-1, ""), list[int]()
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened and (start := opened.pop()) in starts:
            boxed = max(boxed, (start, text[start + 1 : brace.start()]))
    if boxed[0] >= 0:
        return boxed[1].strip()
    for pattern in (_HASHES, _ANSWER):
        found = pattern.findall(text)
        if found:
            return found[-1].strip()
    return None


def choice(text: str) -> str | None:
    """The letter A to J of a multiple-choice answer: of the final answer if there is one, else the last in the text."""
    letters = _CHOICE.findall(final_answer(text) or text)
    return letters[-1] if letters else None


def verdict(text: str) -> float | None:
    """1 or 0 where the last line of a judgement is #y or #n, with nothing but emphasis beside it; else None."""
    lines = text.strip().splitlines()
    return {"#y": 1.0, "#n": 0.0}.get(lines[-1].strip(" \t*_`.").lower()) if lines else None


def canonical(text: str) -> str:
    """Unicode-normalised, lower case, white space folded: the key of a problem that has no better one."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@lru_cache(maxsize=1 << 17)
def split_of(key: str) -> str:
    """The split that a problem belongs to, whoever makes it: by the bucket sha256(key) modulo 1000.

    A problem can therefore not be in two splits, and one that a model proposes is recognised as held out.
    """
    bucket = int.from_bytes(hashlib.sha256(key.encode()).digest(), "big") % 1000
    return _SPLIT[bisect(_ENDS, bucket)]


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """The word n-grams of a text; of a text without spaces, its character n-grams."""
    words = text.split()
    units = words if len(words) > 1 else list(text)
    return [tuple(units[i : i + n]) for i in range(len(units) - n + 1)]


def printable(text: str) -> str:
    """Foreign text made safe for a terminal: control characters other than newline and tab are dropped."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c)[0] != "C")
