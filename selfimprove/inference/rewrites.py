"""Documents written anew by a model: what it is asked, and which replies are taken."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Sampling
from selfimprove.problems.splits import split_of
from selfimprove.records import Document, Prompt, Rollout

_LEAD = re.compile(
    r"(?:sure|certainly|of course|okay|ok|here(?:'s| is| are)|the following|below)\b[^\n]{0,200}[:!.]\s*\n+",
    re.IGNORECASE,
)
"""A line before the text that a chat model puts there, such as `Here is the paraphrase:`."""
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Bounds:
    """What a reply must keep to, to be taken for a document."""

    shortest: float
    """Least characters, as a share of the document's."""
    longest: float
    """Most characters, as a share of the document's."""
    numbers: bool = False
    """Whether it must have the numbers of the document, each as often or oftener, and no others."""

    def keeps(self, text: str, source: str) -> bool:
        """Whether a reply is taken."""
        if not text or not self.shortest * len(source) <= len(text) <= self.longest * len(source):
            return False
        return not self.numbers or numbers_of(text) == numbers_of(source)


def numbers_of(text: str) -> set[str]:
    """The different numbers in a text, as they are written."""
    return {number.strip(".,") for number in _NUMBER.findall(text)}


def bare(text: str) -> str:
    """A reply without the line that says what follows, and without space around it."""
    return _LEAD.sub("", text.strip(), count=1).strip() if _LEAD.match(text.strip()) else text.strip()


def check(words: str | None, option: str) -> None:
    """Whether a prompt has a place for the document.

    Raises:
        RecipeError: it has none.
    """
    if "{document}" not in (words or "{document}"):
        raise RecipeError(f"{option} needs words with {{document}}")


def asked(document: Document, words: str, **info: Any) -> Prompt:
    """The prompt that shows a document; its key is of the training split, because it is no problem."""
    text = words.replace("{document}", document.text)
    return Prompt(prompt=[{"role": "user", "content": text}], key=open_key(text), info=info, parents=(document.id,))


def open_key(text: str) -> str:
    """A key of the training split for a prompt that is not a problem, because records of other splits are dropped."""
    names = (f"document {i} {text}" for i in itertools.count())
    return next(name for name in names if split_of(name) == "train")


def styled(documents: Sequence[Document], styles: Sequence[str], seed: int) -> list[str]:
    """A style for each document: all equally often, in a random order."""
    made = [styles[place % len(styles)] for place in range(len(documents))]
    Random(seed).shuffle(made)
    return made


def written(
    documents: Sequence[Document],
    prompts: Sequence[Prompt],
    sampling: Sampling,
    bounds: Bounds,
    context: Context,
    name: str,
    form: Callable[[Document, Prompt, str], str | None] = lambda document, prompt, text: text,
) -> list[Document]:
    """What the model makes of each document, as new documents with the old one as their parent.

    Metrics: `NAME/kept`, the share of replies that is taken, and the reasons why others are not.

    Args:
        form: makes the text of the new document of the reply; None if it cannot.
    """
    made, reasons = list[Document](), Counter[str]()
    replies: list[Rollout] = [reply for [reply] in context.policy.sample(prompts, 1, sampling)]
    for document, prompt, reply in zip(documents, prompts, replies, strict=True):
        text = bare(reply.text)
        new = None if reply.truncated else form(document, prompt, text)
        if new is None:
            reasons["truncated" if reply.truncated else "unreadable"] += 1
        elif not bounds.keeps(text, document.text):
            reasons["out_of_bounds"] += 1
        else:
            made.append(Document(text=new, parents=(document.id,), info={**prompt.info, "role": "write"}))
    context.log.metric(f"{name}/kept", len(made) / max(1, len(documents)))
    for reason, count in reasons.items():
        context.log.metric(f"{name}/{reason}", count)
    return made
