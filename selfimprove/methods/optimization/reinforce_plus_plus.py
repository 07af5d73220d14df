"""REINFORCE with a KL penalty in the reward and advantages normalized over all tokens of a batch, without a critic.

Idea: a baseline from the few samples of one prompt is noisy and gives easy groups no signal; the mean and the standard
deviation of the whole batch hardly depend on one prompt.
Survey: reinforcement learning, section 4.3.
Paper: arXiv:2501.03262 (REINFORCE++), Hu et al., 2025.
Algorithm:
  1. Draw `num_generations` completions of each prompt with the weights in training; reward them in one call.
  2. A token's return is the completion's reward minus `beta` times the sum, from that token on, of its log-ratios to
     the reference.
  3. With `baseline: group`, first subtract the mean reward of the prompt's completions.
  4. The advantages are the returns, normalized to mean 0 and standard deviation 1 over all tokens of the batch.
  5. Clipped policy gradient, with equal weight for each token; a completion without a reward is ignored.
Differs: `baseline: group` is the paper's variant REINFORCE++-baseline, which moves the KL term into the loss; here it
  stays in the reward. beta 1e-4 and learning rate 5e-7 are from SeRL's code (arXiv:2505.20347), which uses this method.
  One device; the project's own decoder draws the completions whatever engine the recipe names, and a reward that asks
  the model uses the last checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.errors import RecipeError
from selfimprove.interfaces import PROMPTS, Context, Optimization
from selfimprove.records import Checkpoint, Prompt
from selfimprove.registry import register
from selfimprove.training import Draws, Live, Turn


@register("reinforce_plus_plus", paper="2501.03262")
@dataclass
class ReinforcePlusPlus(training.Clipped, Optimization):
    consumes: ClassVar[Any] = Prompt
    chooses: ClassVar[str] = PROMPTS
    beta: float = 1e-4
    """Weight of the log-ratio to the reference in the reward; 0 needs no reference."""
    baseline: str = "none"
    """What to subtract from the rewards before they are normalized: `none`, or the mean of the `group`."""
    learning_rate: float = bounded(5e-7, 0, 100)

    def __post_init__(self) -> None:
        super().__post_init__()
        training.one_of(self, baseline=("none", "group"))
        if self.baseline == "group" and self.num_generations < 2:
            raise RecipeError("optimization.reinforce_plus_plus: baseline group takes num_generations of 2 or more")

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        answers = training.answers(self, records, context)

        def play(live: Live) -> Iterator[Sequence[Turn]]:
            for turns in answers(live):
                yield self._centred(turns) if self.baseline == "group" else turns

        def advantages(draws: Draws) -> Any:
            return training.whiten(training.to_go(draws.rewards), draws.known)

        rows = len(records) * self.num_generations
        return training.reinforce(training.job_of(self, context), rows, self, play, advantages, penalty=self.beta)

    def _centred(self, turns: Sequence[Turn]) -> list[Turn]:
        """The rewards minus the mean of their group."""
        made = []
        for group in training.batches(turns, self.num_generations):
            known = [turn.reward for turn in group if turn.reward is not None]
            mean = sum(known) / max(1, len(known))
            made += [turn if turn.reward is None else replace(turn, reward=turn.reward - mean) for turn in group]
        return made
