"""A chat model that is given nothing but the beginning of a user's turn writes what users ask.

Idea: a model that was tuned on conversations has learned the user's side of them too. Before an empty user's turn it
  writes an instruction as it saw them: no seeds, no request to invent anything.
Survey: prompt-based generation, section 2.4.1.
Paper: arXiv:2406.08464 (Magpie), Xu et al., 2024.
Algorithm:
  1. Draw `problems` texts as the user: the prompt ends where the chat template lets the user's message begin, with
     `system` before it if there is one, and with what the task puts before a problem. A text ends where the template
     closes the user's message, or with `until`.
  2. Drop texts that were cut off, that state no problem or end with a colon, held-out problems, and problems whose key
     or wording is known.
  3. Return the problems. The rest of the recipe answers them, tags them and selects.
Differs: the tags of the paper's code (quality, difficulty, category, reward), its near-duplicates by embeddings and its
  choice of the longest responses are selections. Conversations of several turns are left out. It needs an engine that
  leaves a message open; a model without a chat template begins with what the task puts before a problem, which it must
  have learned too: `model.tiny.teach_prompts`. Where a template closes the user's message with a token of its own that
  is no end token, the text is cut there, and what the model drew behind it was drawn for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.inference.harvest import Harvest
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.needs import Needs
from selfimprove.problems.around import around
from selfimprove.records import Message, Prompt, Record, Rollout
from selfimprove.registry import register

ROLE = "user"
SEEDS = 200
"""Training problems from which the drift of the texts is measured; none of them is shown or returned."""


@register("magpie", paper="2406.08464")
@dataclass
class Magpie(Acquisition):
    consumes: ClassVar[Any] = None
    produces: ClassVar[Any] = Prompt
    problems: int = bounded(1000, 1)
    """Texts per round."""
    system: str | None = None
    """A system message before the user's turn, which says what kind of tasks users bring; null: that of the task."""
    until: str | None = None
    """What a problem ends with, such as a question mark; null: the end of the user's message."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of the texts."""
    top_p: float = bounded(1.0, 0, 1)
    """Nucleus of their sampling."""
    max_completion_length: int | None = bounded(None, 1)
    """Most tokens of a text; null uses the engine's limit."""
    similarity: float = bounded(1.0, 0, 1)
    """Highest ROUGE-L with an earlier text; 1 keeps every problem with a new key."""
    answers: bool = False
    """Keep the answer that the task computes, for the label precision and for rewards that use it."""

    def needs(self) -> Needs:
        return Needs(roles=(ROLE,), engine=("open", "stop"))

    def cost(self, given: Given) -> Cost:
        return given.draw(self.problems, self.max_completion_length)

    def gives(self, given: Given) -> Flow:
        return Flow(self.problems, self.problems)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        harvest = Harvest("magpie", [], context, self.similarity, seeds=context.problems(SEEDS, context.round))
        before, after = around(context.roles)
        led: list[Message] = [one for one in context.roles.solve("") if one["role"] == "system"]
        if self.system is not None:
            led = [{"role": "system", "content": self.system}]
        user: Message = {"role": "user", "content": before, "open": True}
        ends = tuple(one for one in (self.until, after) if one)
        sampling = Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            max_completion_length=self.max_completion_length,
            stop=ends,
        )
        asked = Prompt(prompt=[*led, user], key="magpie")
        [replies] = context.policy.sample([asked], self.problems, sampling, role=ROLE)
        harvest.paid(replies)
        for reply in replies:
            text = self._text(reply, after)
            problem = harvest.read(reply, text)
            if text is not None and not text.endswith(":"):
                harvest.take(problem, answers=self.answers)
        return harvest.report()

    def _text(self, reply: Rollout, after: str) -> str | None:
        """What the user says; None if it was cut off."""
        text = str(reply.text)
        if self.until and self.until in text:
            return text[: text.index(self.until) + len(self.until)].strip()
        if after and after in text:
            return text.partition(after)[0].strip()
        return None if reply.truncated else text.strip()
