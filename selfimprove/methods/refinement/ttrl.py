"""Before it answers a set of problems, the model learns from its own majority answers to them, on a copy.

Idea: the answer that most samples agree on is right more often than a sample, so it serves as a label that nobody gave.
Survey: test-time training, section 5.5.
Paper: arXiv:2504.16084 (TTRL), Zuo et al., 2025.
Algorithm:
  1. Draw `votes` completions of each problem of the set at `temperature`.
  2. The majority answer is its label. Leave problems out where the largest share of votes is below `least` or tied, and
     those where all agree, which teach nothing.
  3. Train a copy on the first `trained` completions. With `loss: grpo` one that has the label gets the reward 1 and any
     other 0; the rewards of a problem, standardized, are the advantages of a clipped policy gradient. With `loss: sft`
     the copy imitates those that have the label.
  4. Repeat from 1 with the copy, `rounds` times in all. Answer each problem with the last copy, which is then removed.
Differs: the paper's loss is `grpo`, with new completions for each step; here a round draws once, and its steps are
  clipped against the weights that drew. `sft` is the same with wrong completions left out. Where a wrong answer has the
  most votes, the copy learns to be surely wrong: more rounds make this worse. The verdict of a run says that its exam
  was adapted so.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.majority import advantages, attempted, label_of, taught
from selfimprove.interfaces import Policy, Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout, changed
from selfimprove.registry import nearest, register
from selfimprove.training import PolicyGradient, Schedule

LOSSES = ("sft", "grpo")


@register("ttrl", paper="2504.16084")
@dataclass
class Ttrl(Refinement):
    joint = True
    votes: int = bounded(64, 2)
    """Completions of each problem that vote."""
    trained: int = bounded(32, 1)
    """The first of them, which may be trained on."""
    rounds: int = bounded(1, 1, 3)
    """Times that the copy votes and learns."""
    least: float = bounded(0.2, 0, 1)
    """Smallest share of votes of an answer that counts as a label."""
    temperature: float = bounded(0.6, above=0, high=100)
    """Sampling temperature of the votes; answers are plain attempts."""
    loss: str = "sft"
    """How a copy learns: `sft` imitates what has the label, `grpo` also moves away from what has not."""
    learning_rate: float = bounded(1e-5, 0, 100)
    """Learning rate of the copy."""
    max_steps: int = bounded(30, 1)
    """Optimizer steps in each round."""
    per_device_train_batch_size: int = bounded(16, 1)
    """Rows per optimizer step."""

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise RecipeError(f"refinement.ttrl.loss cannot be {self.loss!r}.{nearest(self.loss, LOSSES)}")

    def needs(self) -> Needs:
        return Needs(engine=("copies",))

    def together_cost(self, given: Given) -> Cost:
        drawn = given.draw(given.flow.records * self.votes)
        return self.rounds * (drawn + Cost(copies=1, steps=self.max_steps))

    def together(self, prompts: Sequence[Prompt], session: Session) -> AbstractAsyncContextManager[Policy]:
        return taught(prompts, session, self.rounds, self._labelled, self._schedule)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await attempted(prompt, session)

    async def _labelled(self, prompt: Prompt, policy: Policy, session: Session) -> list[Rollout]:
        """The completions of a problem to train on; for `grpo` with their advantages as rewards."""
        drawn = await session.draw(prompt, self.votes, Sampling(temperature=self.temperature), of=policy)
        answers = [session.answer_of(one) for one in drawn]
        label = label_of(answers, self.least)
        if label is None:
            return []
        pairs = list(zip(drawn, answers, strict=True))[: self.trained]
        if self.loss == "sft":
            return [one for one, answer in pairs if answer == label and one.ended]
        gains = advantages([answer for _, answer in pairs], label)
        return [changed(one, reward=gain) for (one, _), gain in zip(pairs, gains, strict=True) if gain]

    def _schedule(self, number: int) -> Schedule:
        kind = PolicyGradient if self.loss == "grpo" else Schedule
        made = kind(
            learning_rate=self.learning_rate,
            max_steps=self.max_steps,
            per_device_train_batch_size=self.per_device_train_batch_size,
            seed=number,
        )
        return replace(made, temperature=self.temperature) if isinstance(made, PolicyGradient) else made
