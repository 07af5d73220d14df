"""Several agents answer a problem, see each other's answers and answer again; their final agreement is the label.

Idea: a vote counts answers as they are. A debate lets agents change them first, because right answers may persuade
better than wrong ones even if they are fewer. The turns that lead to the agreement are training data.
Survey: interaction-based generation, section 2.4.3.
Paper: arXiv:2501.05707 (Multiagent Finetuning), Subramaniam et al., 2025; arXiv:2505.15734 (Debate, Train, Evolve),
  Srivastava et al., 2025.
Algorithm:
  1. `agents` samples of each prompt are the first turn.
  2. In each further turn every agent sees the others' last answers, in the role `refine`, and answers again. The debate
     of a problem ends when all agents agree.
  3. The label is the most frequent answer of the last turn; a tie gives no label and no reward.
  4. The reward of a rollout is 1 if its answer is the label, else 0. Return the last turns, the first ones, or `both`:
     first turns train agents to propose answers, later ones to criticize.
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
    """Agents in each debate."""
    turns: int = bounded(3, 1)
    """Most turns of each agent; 1 is a plain vote."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of all turns."""
    show: str = "all"
    """What an agent sees of the others: `all` last answers, or one attempt with their `majority` answer."""
    keep: str = "last"
    """Turns to return: `last`, `first` or `both`."""
    attach: str = "problem"
    """Prompt of a stored later turn: `problem`, or `debate`, which shows the others' answers."""

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
            rated=True,  # a tie gives no reward, and the recipe's reward must not give one instead
            parents=(prompt.id,),
        )


def _agreed(group: Sequence[Rollout], context: Context) -> bool:
    """Whether all agents give the same answer."""
    answers = {context.answer_of(reply.text) for reply in group}
    return len(answers) == 1 and None not in answers


def _label(group: Sequence[Rollout], context: Context) -> str | None:
    """The most frequent answer; None if there is a tie or no answer."""
    return plurality(context.answer_of(reply.text) for reply in group)
