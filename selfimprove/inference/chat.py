"""Convert messages to token ids and back with the tokenizer's chat template."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from selfimprove.errors import DataError, RecipeError
from selfimprove.inference import opened, tokenizers
from selfimprove.inference.drawn import beginning
from selfimprove.inference.foreign import Cover, tokens_of
from selfimprove.inference.thinking import OWN, begins_after, spelled, told
from selfimprove.records import Message
from selfimprove.safety.chat_templates import has_template
from selfimprove.safety.model_files import check_use
from selfimprove.text import plain

_SAID = "ANSWER"
"""Placeholder text to find out how a chat template ends a turn and which roles it supports."""


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer of a model folder that has a chat template; None if there is none."""
    if not has_template(folder):
        return None
    check_use(folder)
    try:
        return tokenizers.read(str(folder))
    except Exception as error:  # a damaged folder makes transformers raise many types
        raise DataError(f"{folder} cannot be loaded: {(str(error) or repr(error)).splitlines()[0]}") from error


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Token ids of a prompt, ready for the model to continue.

    Uses the tokenizer's chat template if there is one, otherwise plain text, see `plain`. If the template does not
    support a system message, it goes before the user's first message. A last message of the assistant is a prefilled
    completion, which the model continues.
    """
    return prompts_ids(tokenizer, [messages])[0]


def prompts_ids(tokenizer: Any, prompts: Sequence[Sequence[Message]]) -> list[list[int]]:
    """`prompt_ids` of many prompts in one call, which is several times faster."""
    prefills = prefilled_ids(tokenizer, prompts)
    asked = [messages[:-1] if _is_prefilled(messages) else messages for messages in prompts]
    if not tokenizer.chat_template and prompts:
        rows = tokens_of(tokenizer, [plain(messages) for messages in asked], special=True)
    else:
        system = any(message["role"] == "system" for messages in asked for message in messages)
        fold = system and not _takes_system(tokenizer)
        rows = [_templated(tokenizer, messages, fold) for messages in asked]
    return [[*ids, *more] for ids, more in zip(rows, prefills, strict=True)]


def prefilled_ids(tokenizer: Any, prompts: Sequence[Sequence[Message]]) -> list[list[int]]:
    """The tokens of the prefilled completion at the end of each prompt, as they would have been drawn; [] without one.

    `ids` are its tokens. With `cut_from`, the tokens of a completion that begins with its text, those of its text are
    taken, unless it ends within a token. A thought without content is still open.
    """
    made, texts = list[list[int]](), dict[int, Message]()
    for place, messages in enumerate(prompts):
        said: Message = messages[-1] if _is_prefilled(messages) else {"role": "", "content": ""}
        known = said.get("ids") or []
        if "cut_from" in said and not known:
            known = beginning(tokenizer, said["cut_from"], said["content"])
        made.append([*known])
        if (said["content"] or said.get("thinking")) and not known:
            texts[place] = said
    begins = [begins_after(tokenizer, ())] * len(texts)
    for place, ids in zip(texts, spelled(tokenizer, [*texts.values()], begins), strict=True):
        made[place] = [*ids]
    return made


def _is_prefilled(messages: Sequence[Message]) -> bool:
    """Whether a prompt ends with a prefilled completion."""
    return bool(messages) and messages[-1]["role"] == "assistant"


def _takes_system(tokenizer: Any) -> bool:
    """Whether the chat template supports a system message: Gemma's refuses it, others ignore it."""
    from jinja2 import TemplateError

    talk = [{"role": "system", "content": _SAID}, {"role": "user", "content": "?"}]
    try:
        return _SAID in tokenizer.apply_chat_template(talk, tokenize=False)
    except TemplateError:
        return False


def _folded(messages: Sequence[Message]) -> list[Message]:
    """The same messages with the system message before the user's first one, separated by a blank line."""
    said = [message["content"] for message in messages if message["role"] == "system"]
    talk = [message for message in messages if message["role"] != "system"]
    if talk and talk[0]["role"] == "user":
        said.append(talk.pop(0)["content"])
    return [{"role": "user", "content": "\n\n".join(said)}, *talk]


def _templated(tokenizer: Any, messages: Sequence[Message], fold: bool) -> list[int]:
    """A prompt from the chat template, without the prefilled completion; an open message ends it.

    The template itself would trim the prefilled text, which removes the line break after a step, or insert an empty
    thought before it.

    Args:
        fold: put the system message before the user's first one.

    Raises:
        DataError: the template refuses the messages.
    """
    from jinja2 import TemplateError

    is_open, cover = opened.is_open(messages), Cover(tokenizer)
    messages = _folded(messages) if fold else messages
    if is_open:
        return opened.ids_up_to(tokenizer, messages, partial(_rendered, tokenizer))
    talk = [told(tokenizer, message, cover) for message in messages]
    try:
        if cover.used:
            return cover.ids(tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True))
        return tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_dict=False)
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise DataError(f"the model's chat template refuses messages of the roles {roles}: {error}") from error


def _rendered(tokenizer: Any, messages: Sequence[Message], cover: Cover) -> str:
    """A prompt from the chat template as text."""
    talk = [told(tokenizer, message, cover) for message in messages]
    return tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)


def closing(tokenizer: Any) -> tuple[int | None, str]:
    """What the template puts right behind a user's message, see `opened.closing`."""
    return opened.closing(tokenizer, partial(_rendered, tokenizer))


def shown(messages: Sequence[Message]) -> list[Message]:
    """The messages as an endpoint gets them: without the keys that say how they were drawn.

    Raises:
        RecipeError: the last one is to stay open, and an endpoint closes every message.
    """
    if opened.is_open(messages):
        raise RecipeError("an endpoint closes every message, so none can be left open: use engine=transformers or vllm")
    return [cast(Message, {key: one for key, one in message.items() if key not in OWN}) for message in messages]


def completion_ids(tokenizer: Any, completion: Sequence[Message], ended: bool | str = True) -> list[int]:
    """Token ids of a completion as they were drawn, with the end token; without a template.

    A message without `ids` is tokenized.
    """
    return completions_ids(tokenizer, [completion], [ended])[0]


def completions_ids(
    tokenizer: Any,
    completions: Sequence[Sequence[Message]],
    ended: Sequence[bool | str],
    begins: Sequence[str] | None = None,
) -> list[list[int]]:
    """`completion_ids` of many completions in one call.

    Args:
        ended: `Rollout.ended` of each.
        begins: where each begins, see `thinking.begins_after`; None: after a prompt without a prefilled completion.
    """
    if not completions:
        return []
    begins = begins or [begins_after(tokenizer, ())] * len(completions)
    parts = [_parts(completion) for completion in completions]
    texts, places = list[Message](), list[str]()
    for own, place in zip(parts, begins, strict=True):
        for number, part in enumerate(own):
            if isinstance(part, dict):
                texts.append(cast(Message, part))
                places.append(begins_after(tokenizer, own[number - 1]) if number else place)
    rows = iter(spelled(tokenizer, texts, places))
    ids = [[token for part in own for token in (next(rows) if isinstance(part, dict) else part)] for own in parts]
    last = {end: _last(tokenizer, end) for end in set(ended)}
    return [[*own, *last[end]] for own, end in zip(ids, ended, strict=True)]


def _parts(completion: Sequence[Message]) -> list[Any]:
    """The tokens of messages that have them, and one message for those between them that have none."""
    parts = list[Any]()
    for known, run in groupby(completion, lambda message: "ids" in message):
        several = [*run]
        parts += (
            [one.get("ids", ()) for one in several]
            if known
            else [{**several[0], "content": "".join(one["content"] for one in several)}]
        )
    return parts


def _last(tokenizer: Any, ended: bool | str) -> list[int]:
    """The end token of a completion that ended in this way."""
    if isinstance(ended, str):
        drawn = tokenizer.convert_tokens_to_ids(ended)
        if drawn not in (None, tokenizer.unk_token_id):  # else it is a token of another model
            return [drawn]
    return [end_of(tokenizer)] if ended else []


def end_of(tokenizer: Any) -> int:
    """The token that ends a turn: the one after the assistant's text in the chat template, else the tokenizer's own.

    The two differ in many chat models: Gemma's turns end with `<end_of_turn>`, its tokenizer names `<eos>`.
    """
    if not tokenizer.chat_template:
        return tokenizer.eos_token_id
    from jinja2 import TemplateError

    talk = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _SAID}]
    try:
        _, found, after = tokenizer.apply_chat_template(talk, tokenize=False).rpartition(_SAID)
    except TemplateError:  # the template refuses these messages
        return tokenizer.eos_token_id
    ids = tokenizer(after.lstrip(), add_special_tokens=False)["input_ids"] if found else []
    return ids[0] if ids and ids[0] in tokenizer.added_tokens_decoder else tokenizer.eos_token_id


def ending(tokenizer: Any, usual: int, last: int | None) -> dict[str, str]:
    """The `info` of a drawn completion: why it ended.

    Args:
        usual: the result of `end_of`.
        last: its end token; another one than usual is recorded, so that training uses the drawn token. None means that
            the completion was truncated.
    """
    if last is None:
        return {"finish_reason": "length"}
    return {"finish_reason": "stop"} | ({} if last == usual else {"stop_token": tokenizer.convert_ids_to_tokens(last)})
