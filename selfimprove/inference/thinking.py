"""How a model writes its thoughts, found from its tokenizer and chat template; no weights are needed.

A completion is tokens. Its message has the reply as `content`, what the model thought as `thinking`, and what it asked
of tools as `calls`. Marks, votes and judges read the reply. `spelled` gives the tokens of such a message back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from selfimprove.inference.foreign import Cover, tokens_of
from selfimprove.inference.forms import THOUGHT, Code, Form, Parts, Tags
from selfimprove.inference.harmony import BODY, CHANNEL, END, START, Channels
from selfimprove.records import Message

TAGS = (
    ("<think>", "</think>", "\n", "\n\n"),
    ("[THINK]", "[/THINK]", "", ""),
    ("<|START_THINKING|>", "<|END_THINKING|>", "", ""),
    ("<seed:think>", "</seed:think>", "", ""),
    ("◁think▷", "◁/think▷", "", ""),
    ("<thinking>", "</thinking>", "\n", "\n\n"),
)
"""The marks around a thought, what stands inside of them beside it, and what follows the second."""
CODE = "<|python_tag|>"
ENDS = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "</s>")
"""Tokens that end a turn, besides the tokenizer's own end token."""
OWN = ("thinking", "calls", "ids", "ended", "prefill", "cut_from", "open")
"""The keys of a message that chat templates and endpoints do not know, see `Message`."""
KEYS = ("reasoning_content", "thinking", "reasoning")
"""The names that chat templates have for the thought of a message."""
_forms: WeakKeyDictionary[Any, tuple[Any, Form | None]] = WeakKeyDictionary()


def form_of(tokenizer: Any) -> Form | None:
    """The form of a tokenizer with its chat template, worked out once; None if the model has no thoughts."""
    known = _forms.get(tokenizer)
    if known is None or known[0] != tokenizer.chat_template:
        known = _forms[tokenizer] = tokenizer.chat_template, _found(tokenizer)
    return known[1]


def _found(tokenizer: Any) -> Form | None:
    if not tokenizer.chat_template:
        return None
    added = {token.content: i for i, token in tokenizer.added_tokens_decoder.items()}
    if all(mark in added for mark in (CHANNEL, BODY, START, END)):
        head = tokenizer(f"{CHANNEL}final", add_special_tokens=False)["input_ids"]
        return Channels(added[CHANNEL], added[BODY], added[START], added[END], tuple(head))
    template = str(tokenizer.chat_template)
    ends = frozenset(i for token, i in added.items() if i == tokenizer.eos_token_id or token in ENDS)
    for opens, closes, beside, after in TAGS:
        marks = (added[opens], added[closes]) if opens in added and closes in added else None
        if not marks and closes not in template:
            continue
        return Tags(opens, closes, beside, after, marks, ends, _opened(tokenizer, opens, closes))
    return Code(added[CODE]) if CODE in added else None


def _opened(tokenizer: Any, opens: str, closes: str) -> str:
    """Where the template's generation prompt leaves off."""
    from jinja2 import TemplateError

    try:
        shown = tokenizer.apply_chat_template(
            [{"role": "user", "content": "?"}], tokenize=False, add_generation_prompt=True
        )
    except TemplateError:
        return ""
    return THOUGHT if shown.rfind(opens) > shown.rfind(closes) else ""


def said(tokenizer: Any, tokens: Sequence[int], begins: str) -> Message:
    """The assistant's message of drawn tokens.

    Args:
        begins: where it begins, see `Form.place`.
    """
    form = form_of(tokenizer)
    parts = form.parts(tokenizer, tokens, begins) if form else Parts(tokenizer.decode(tokens, skip_special_tokens=True))
    message: Message = {"role": "assistant", "content": parts.content}
    if parts.thinking:
        message["thinking"] = parts.thinking
    if parts.calls:
        message["calls"] = parts.calls
    return message


def begins_after(tokenizer: Any, prompt: Sequence[int]) -> str:
    """Where a completion begins after the tokens of a prompt, or of a prefilled beginning; "" without thoughts."""
    form = form_of(tokenizer)
    return form.place(prompt, form.opened) if form else ""


def spelled(tokenizer: Any, messages: Sequence[Message], begins: Sequence[str]) -> list[list[int]]:
    """The tokens of the assistant's messages as the model would have drawn them, without end tokens.

    Args:
        begins: where each begins.
    """
    form = form_of(tokenizer)
    if form is None:
        return tokens_of(tokenizer, [message["content"] for message in messages])
    texts, forged = list[str](), dict[int, Cover]()
    for number, (message, place) in enumerate(zip(messages, begins, strict=True)):
        cover, parts = Cover(tokenizer), _parts(form, message)
        texts.append(form.written(cover.hide(parts.thinking), cover.hide(parts.content), place))
        if cover.used:
            forged[number] = cover
    made = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []  # one by one takes several times
    return [forged[number].ids(texts[number]) if number in forged else ids for number, ids in enumerate(made)]


def told(tokenizer: Any, message: Message, cover: Cover) -> dict[str, Any]:
    """A message as a chat template gets it, with hidden control strings.

    A thought of the assistant goes by the name that the template reads, which shows it or not; else it is left out.
    """
    form, known = form_of(tokenizer), {key: one for key, one in message.items() if key not in OWN}
    if form is None or message["role"] != "assistant":
        return known | {"content": cover.hide(message["content"])}
    parts, template = _parts(form, message), str(tokenizer.chat_template)
    known["content"] = cover.hide(parts.content)
    name = next((key for key in KEYS if key in template), None)
    return known | {name: cover.hide(parts.thinking)} if name and parts.thinking else known


def _parts(form: Form, message: Message) -> Parts:
    """The parts of a message; a text from elsewhere that begins with a thought is taken apart."""
    if "thinking" in message:
        return Parts(message["content"], message["thinking"])
    return form.read(message["content"]) or Parts(message["content"])
