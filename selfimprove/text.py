"""Text as the model writes it: prefilled completions, steps, n-grams. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from selfimprove.records import Message, Prompt

_GRADE = re.compile(
    r"\bscore(?: of| is)?(?: ?\([^)\n]*\))?\W{1,9}?(?<![-\u2212.\d])(\d+)(?!\d|[.,]\d| ?[-\u2013] ?\d)(?: ?/ ?(\d+))?",
    re.IGNORECASE,
)
_FIELD = re.compile(r"\{(problem|\d+)\}")
_BOLD = re.compile(r"\*{1,2}(\d+)(?: ?/ ?(\d+))?\.?\*{1,2}\.?")


def plain(messages: Sequence[Message]) -> str:
    """A prompt for a model without a chat template: the contents with a blank line between them.

    A prefilled completion follows without one, and the model continues from there.
    """
    said = [message["content"] for message in messages]
    prefill = said.pop() if messages and messages[-1]["role"] == "assistant" else ""
    return "\n\n".join(said) + prefill


def prefilled(prompt: Prompt, beginning: str, said: Message | None = None) -> Prompt:
    """A prompt with the beginning of its completion: the model continues from there.

    Args:
        said: the drawn message that begins so; the model continues from its tokens, where it has any.
    """
    if not beginning:
        return prompt
    message: Message = {"role": "assistant", "content": beginning}
    if said and "ids" in said:
        message["cut_from"] = said["ids"]
    return replace(prompt, prompt=[*prompt.prompt, message], parents=(prompt.id,))


def joined(beginning: str, end: Message) -> Message:
    """A prefilled beginning and what was drawn after it, as one message with the tokens of both."""
    if not beginning:
        return end
    message: Message = {"role": "assistant", "content": beginning + end["content"]}
    if "ids" in end:
        message["ids"] = [*end.get("prefill", ()), *end["ids"]]
    return message


def steps_of(text: str, separator: str) -> list[str]:
    """The steps of a solution, each with the separator at its end; joined they are the text."""
    parts = text.split(separator)
    return [part for part in (*(one + separator for one in parts[:-1]), parts[-1]) if part]


def quoted(messages: Sequence[Message]) -> str:
    """The text of a problem to quote to a model, without the system message; a conversation keeps its roles."""
    said = [message for message in messages if message["role"] != "system"]
    if len(said) == 1:
        return said[0]["content"]
    return "\n".join(f"{message['role']}: {message['content']}" for message in said)


def filled(text: str, *parts: str, problem: str) -> str:
    """A text with `{problem}` and the parts `{0}`, `{1}` filled in, once; all other braces stay.

    Raises:
        IndexError: it has a number without a part.
    """
    return _FIELD.sub(lambda field: problem if field[1] == "problem" else parts[int(field[1])], text)


def listed(text: str, n: int) -> str:
    """A text for `filled` in which `{answers}` stands for n numbered parts."""
    return text.replace("{answers}", "\n\n".join(f"Answer {place + 1}:\n{{{place}}}" for place in range(n)))


def own_system(messages: Sequence[Message], usual: Sequence[Message]) -> list[Message]:
    """The system message of a problem, if it is not the one that its task puts before every problem.

    Args:
        usual: the prompt of any problem of the task, such as `roles.solve("")`.
    """
    return [] if messages[0]["role"] != "system" or messages[0] in usual else [messages[0]]


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """The word n-grams of a text; of a text without spaces, its character n-grams."""
    words = text.split()
    units = words if len(words) > 1 else list(text)
    return [tuple(units[i : i + n]) for i in range(len(units) - n + 1)]


def grade(text: str, lowest: int, highest: int) -> int | None:
    """The grade in a reply: that of its last `Score: n`, else a last line `**n**`; None if there is none in the range.

    `Score: 4.` and `Score: **4/5**` are read; of `4.5`, `12`, or `4/10` where 5 is the most, nothing is.
    """
    found = [*_GRADE.finditer(text)] or [*filter(None, [_BOLD.fullmatch((text.split("\n") or [""])[-1].strip())])]
    known = [int(one[1]) for one in found if one[2] in (None, str(highest))]
    return known[-1] if known and lowest <= known[-1] <= highest else None


def beside(module: str, name: str) -> str:
    """The text of a file beside a module, such as a long prompt, without the blank lines around it."""
    from importlib.resources import files

    return (files(module.rpartition(".")[0]) / name).read_text(encoding="utf-8").strip()
