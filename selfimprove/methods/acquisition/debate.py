"""Several answers to one problem see each other and are given again; what they end up agreeing on is the label.

Idea: a vote counts opinions as they are; a debate lets them change first, in the hope that right answers hold out
against wrong ones better than they outnumber them. The way to the agreement is then worth imitating.
Survey: interaction-based generation, section 2.4.3.
Paper: arXiv:2501.05707 (Multiagent Finetuning), Subramaniam et al., 2025; arXiv:2505.15734 (Debate, Train, Evolve),
  Srivastava et al., 2025.
Algorithm:
  1. `agents` samples of each prompt are the first turn.
  2. In each further turn every agent is shown what the others said last, in the role `refine`, and answers anew. A
     problem whose agents all agree is left alone from then on.
  3. The label is the most frequent answer of the last turn; without a single most frequent one, nothing is scored.
  4. A rollout scores 1 if it ends in the label, else 0. Given on are the last turns, the first ones, or `both`: first
     turns train those who propose answers, later ones those who criticize.
Differs: agents are samples of one model; the paper trains one model for each agent and role, which keeps them diverse.
  With `show: majority` an agent sees one attempt with the others' most frequent answer, where the papers show all of
  them or a summary. DTE anneals the temperature of small models; here it is constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.debate import debate
from selfimprove.interfaces import Acquisition, Context, Sampling, Session
from selfimprove.measures.votes import plurality
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import register


@register("debate", paper="2501.05707")
@dataclass
class Debate(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Rollout
    agents: int = bounded(3, 2)
    """Answers to each problem that take part."""
    turns: int = bounded(3, 1)
    """Times that an agent speaks at most; 1 is a plain vote."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of all turns."""
    show: str = "all"
    """What an agent sees of the others: `all` they said last, or one attempt with their `majority` answer."""
    keep: str = "last"
    """Turns that are given on: `last`, `first` or `both`."""
    attach: str = "problem"
    """Prompt that a later turn is stored with: `problem`, or `debate`, which shows what the others had said."""

    def __post_init__(self) -> None:
        for name, choices in (
            ("show", ("all", "majority")),
            ("keep", ("last", "first", "both")),
            ("attach", ("problem", "debate")),
        ):
            if getattr(self, name) not in choices:
                given = getattr(self, name)
                raise RecipeError(f"acquisition.debate.{name} is {given!r}; choose from {', '.join(choices)}")

    def cost(self, given: Given) -> Cost:
        return given.draw(given.flow.records * self.agents * self.turns)

    def gives(self, given: Given) -> Flow:
        came, turns = given.flow, 2 if self.keep == "both" and self.turns > 1 else 1
        records = came.records * self.agents * turns
        return Flow(records, came.prompts if self.attach == "problem" else records, came.group * self.agents * turns)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        async def argued(prompt: Prompt, session: Session) -> list[list[Rollout]]:
            sampling, majority = Sampling(temperature=self.temperature), self.show == "majority"
            return await debate(
                prompt, session, agents=self.agents, turns=self.turns, sampling=sampling, majority=majority
            )

        said = context.run(argued, records, alike=True)
        made: list[Record] = []
        labels = [_label(turns[-1], context) for turns in said]
        for prompt, label, turns in zip(records, labels, said, strict=True):
            later = turns[-1] if len(turns) > 1 else []
            kept = {"last": turns[-1], "first": turns[0], "both": [*turns[0], *later]}[self.keep]
            made.extend(self._scored(reply, prompt, label, context) for reply in kept)
        changed = sum(label != _label(turns[0], context) for label, turns in zip(labels, said, strict=True))
        context.log.metric("debate/agreed", sum(_agreed(turns[-1], context) for turns in said) / max(1, len(said)))
        context.log.metric("debate/label_changed", changed / max(1, len(said)))
        return made

    def _scored(self, reply: Rollout, prompt: Prompt, label: str | None, context: Context) -> Rollout:
        score = None if label is None else float(context.answer_of(reply.text) == label)
        moved = (
            reply.prompt != prompt and self.attach == "problem"
        )  # drawn under another prompt: no probability of this
        return replace(
            reply,
            prompt=prompt if moved else reply.prompt,
            logprobs=None if moved else reply.logprobs,
            reward=score,
            parents=(prompt.id,),
        )


def _agreed(group: Sequence[Rollout], context: Context) -> bool:
    """Whether all agents give the same answer."""
    answers = {context.answer_of(reply.text) for reply in group}
    return len(answers) == 1 and None not in answers


def _label(group: Sequence[Rollout], context: Context) -> str | None:
    """What most agents say; None where there is a tie or no answer."""
    return plurality(context.answer_of(reply.text) for reply in group)
