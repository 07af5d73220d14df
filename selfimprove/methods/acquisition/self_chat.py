"""The model writes a whole conversation about each problem, both sides of it; its own side is learned.

Idea: chat models learn from conversations, which are dear. A model that has seen many can write both sides of one, if
  it is given something to talk about.
Survey: interaction-based generation, section 2.4.3.
Paper: arXiv:2304.01196 (Baize), Xu et al., 2023.
Algorithm:
  1. For each problem draw one text in the role converse: a conversation about it, in which each turn begins on a new
     line with [Human] or [AI], the human first.
  2. Drop a text that was cut off, that has words before the first turn, an empty turn, two turns of one side in a row,
     fewer than `turns` or more than `most` answers, or the same turn twice: both sides go round in circles. A last turn
     of the human, which nobody answers, is cut off.
  3. Drop a conversation in which the human states a held-out problem.
  4. Return a conversation as a completion with several messages. The human's first turn is its prompt; training has its
     loss on the turns of the assistant alone.
Differs: the paper's seeds are questions of Quora, Stack Overflow and MedQuAD; the words are our own. Its second part,
  where a judge ranks four answers (self-distillation with feedback), is reward `judge` with selection `threshold`. Two
  models that talk in turn are left out. No answer is checked, and both sides share the model's errors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Acquisition, Context, Sampling, Session
from selfimprove.measures.synthesis import drift, variety
from selfimprove.needs import Needs
from selfimprove.problems.splits import split_of
from selfimprove.records import SOLVE, Message, Prompt, Record, Rollout, changed
from selfimprove.registry import register
from selfimprove.text import quoted

ROLE = "converse"
WORDS = (
    "Write a conversation between a human and an AI assistant about the subject below. The human asks first, and then "
    "goes on with questions about what was said; the assistant answers them rightly and to the point. Begin each turn "
    "on a new line with [Human] or [AI]. The human ends it when nothing is left to ask. Write only the "
    "conversation.\n\nSubject:\n{problem}"
)
_TURN = re.compile(r"^[ \t]*\[(Human|AI)\]:?", re.MULTILINE)


@register("self_chat", paper="2304.01196")
@dataclass
class SelfChat(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Rollout
    turns: int = bounded(2, 1)
    """Least answers of the assistant in a conversation."""
    most: int = bounded(10, 1)
    """Most answers."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature."""

    def __post_init__(self) -> None:
        if self.turns > self.most:
            raise RecipeError(f"acquisition.self_chat.turns is {self.turns}, above most={self.most}")

    def needs(self) -> Needs:
        return Needs(roles=(ROLE,))

    def cost(self, given: Given) -> Cost:
        return given.draw(given.flow.records)

    def gives(self, given: Given) -> Flow:
        return Flow(given.flow.records, given.flow.records)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        sampling = Sampling(temperature=self.temperature)

        async def talked(problem: Prompt, session: Session) -> Rollout:
            [reply] = await session.draw(session.words(ROLE, problem, otherwise=WORDS), 1, sampling, role=ROLE)
            return reply

        made, read, held_out, tokens = dict[str, Rollout](), 0, 0, 0.0
        for problem, reply in zip(records, context.run(talked, records), strict=True):
            tokens += (reply.logprobs or {}).get("count", 0)
            said = None if reply.truncated else self.conversation(reply.text)
            if said is None:
                continue
            read += 1
            if not _open(said, context):
                held_out += 1
                continue
            asked = changed(problem, prompt=said[:1], answer=None, info={}, parents=(problem.id,))
            one = Rollout(prompt=asked, completion=said[1:], role=SOLVE, parents=(problem.id,))
            made.setdefault(quoted(said), one)
        answers = sum(_answers(one.completion) for one in made.values())
        first = [quoted(one.prompt.prompt) for one in made.values()]
        numbers = {
            "valid": read / max(1, len(records)),
            "distinct": len(made) / max(1, read - held_out),
            "held_out": held_out,
            "turns": answers / max(1, len(made)),
            "variety": variety([*made]),
            "drift": drift([quoted(one.prompt) for one in records], first),
            "tokens": tokens / max(1, len(made)),
        }
        for name, number in numbers.items():
            context.log.metric(f"self_chat/{name}", number)
        return [*made.values()]

    def conversation(self, text: str) -> list[Message] | None:
        """The messages of a conversation, the human's first; None if the text is none."""
        starts = [*_TURN.finditer(text)]
        if not starts or text[: starts[0].start()].strip():
            return None
        ends = [*(one.start() for one in starts[1:]), len(text)]
        said: list[Message] = [
            {"role": "user" if one[1] == "Human" else "assistant", "content": text[one.end() : end].strip()}
            for one, end in zip(starts, ends, strict=True)
        ]
        if said[-1]["role"] == "user":
            said = said[:-1]
        alternates = all(one["role"] == ("assistant" if place % 2 else "user") for place, one in enumerate(said))
        words = [" ".join(one["content"].casefold().split()) for one in said]
        fits = self.turns <= _answers(said) <= self.most and all(words) and len({*words}) == len(words)
        return said if alternates and fits else None


def _answers(said: Sequence[Message]) -> int:
    return sum(one["role"] == "assistant" for one in said)


def _open(said: Sequence[Message], context: Context) -> bool:
    """Whether the human states no held-out problem."""
    stated = (context.roles.read_proposal(one["content"]) for one in said if one["role"] == "user")
    return all(one is None or split_of(one.key) == "train" for one in stated)
