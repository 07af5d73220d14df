"""Reinforcement learning of one model as solver and as its own judge, which revises only what it judges wrong.

Idea: if the model's own judgement decides whether there is a second attempt, a revision has a reason and the judgement
can be rewarded for being true. Advantages are normalized per role, because the rewards of the roles differ in level.
Survey: reinforcement learning, section 4.3; self-correction, section 2.4.2.
Paper: arXiv:2506.10406 (PAG), Jiang et al., 2025.
Algorithm:
  1. Draw `num_generations` attempts at each problem with the weights in training; r1 is their reward.
  2. Draw a judgement of each in the role `judge`: reward 1 if it agrees with the attempt's reward, else 0. An
     unreadable judgement gets 0, and the attempt is not revised.
  3. Draw a revision in the role `refine` of each attempt judged wrong; its reward is r2 + bonus (r2 - r1).
  4. Each turn has its own reward and nothing from later turns (turn discount 0); a critic with `lam` gives the
     advantages of its tokens, which are normalized to mean 0 and standard deviation 1 per role: solver and judge.
  5. Clipped policy gradient, with equal weight for each token; no KL term.
Differs: the paper's conversation is one context; here each turn has the prompt of its role, and the reviser sees the
  attempt but not the judgement. Four attempts, bonus 1, clip 0.2 and 0.28, learning rates 1e-6 and 2e-6 and no KL term
  are from its code. The critic is new in each round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Prompt
from selfimprove.registry import register
from selfimprove.training import Draws, Live, Turn


@register("pag", paper="2506.10406")
@dataclass
class Pag(training.Clipped, Optimization):
    consumes: ClassVar[Any] = Prompt
    bonus: float = 1.0
    """Weight of the gain over the first attempt in the reward of a revision."""
    threshold: float = 0.5
    """An attempt with a reward above this is right."""
    lam: float = 1.0
    """GAE lambda: how far the critic's errors are credited to earlier tokens of the same turn."""
    critic_learning_rate: float = 2e-6
    """Peak learning rate of the critic."""
    num_generations: int = 4
    epsilon_high: float | None = 0.28

    def cost(self, given: Given) -> Cost:
        return training.online_cost(self, given, again=self.num_iterations, turns=3, marks=2)

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        def play(live: Live) -> Iterator[Sequence[Turn]]:
            for problems in live.copies(records, self.num_generations):
                yield self._conversation(problems, live, context)

        def advantages(draws: Draws) -> Any:
            gains = training.generalized_advantages(draws.rewards, draws.values, draws.known, self.lam)
            return training.whiten(gains, draws.known, draws.buckets)

        rows = len(records) * self.num_generations
        rate = self.critic_learning_rate
        return training.reinforce(
            training.job_of(self, context), rows, self, play, advantages, critic_learning_rate=rate
        )

    def _conversation(self, problems: Sequence[Prompt], live: Live, context: Context) -> list[Turn]:
        """Attempts, judgements of them and revisions of some of them, each with its reward."""
        attempts = training.rewarded(live.draw(problems), problems, context)
        texts = [turn.rollout.text for turn in attempts]
        both = list(zip(problems, texts, strict=True))
        asked = [replace(problem, prompt=context.roles.judge(problem, text), answer=None) for problem, text in both]
        judged = live.draw(asked)
        said = [context.roles.read_judgement(turn.rollout.text) for turn in judged]
        verdicts = [
            _earned(turn, self.true(word, one.reward), "judge")
            for turn, word, one in zip(judged, said, attempts, strict=True)
        ]
        doubted = [place for place, word in enumerate(said) if word is not None and word <= 0.5]
        shown = [replace(both[i][0], prompt=context.roles.refine(*both[i])) for i in doubted]
        redone = training.rewarded(live.draw(shown), [problems[i] for i in doubted], context)
        revisions = [
            replace(turn, reward=self.revised(attempts[i].reward, turn.reward), bucket="solver")
            for turn, i in zip(redone, doubted, strict=True)
        ]
        context.log.metric("pag/true_verdicts", sum(turn.reward or 0.0 for turn in verdicts) / len(verdicts))
        context.log.metric("pag/revised", len(doubted) / len(attempts))
        return [*(replace(turn, bucket="solver") for turn in attempts), *verdicts, *revisions]

    def true(self, word: float | None, reward: float | None) -> float | None:
        """The reward of a judgement: 1 if it agrees with the attempt's reward, else 0; None if that is unknown."""
        if reward is None:
            return None
        return float(word is not None and (word > 0.5) == (reward > self.threshold))

    def revised(self, before: float | None, after: float | None) -> float | None:
        """The reward of a revision."""
        return None if before is None or after is None else after + self.bonus * (after - before)


def _earned(turn: Turn, reward: float | None, bucket: str) -> Turn:
    return replace(turn, rollout=replace(turn.rollout, reward=reward), reward=reward, bucket=bucket)
