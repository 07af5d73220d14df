"""Policy gradients on completions that the weights in training draw: advantages, clipped ratios, KL terms, a critic.

A method supplies the rewarded completions and the advantage of each token; `reinforce` does the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Log
from selfimprove.records import Checkpoint
from selfimprove.training.job import Job
from selfimprove.training.native.loop import Drawn, Live
from selfimprove.training.native.turns import Turn, batches
from selfimprove.training.options import online_cost


@dataclass
class Clipped(Drawn):
    """The options of every method with clipped policy-gradient steps."""

    epsilon: float = 0.2
    """How far the probability ratio may fall below 1; also how far above, if epsilon_high is null."""
    epsilon_high: float | None = None
    """How far the probability ratio may rise above 1."""
    num_iterations: int = bounded(1, 1)
    """Updates on the same completions."""

    def cost(self, given: Given) -> Cost:
        """The cost of steps, completions and rewards."""
        return online_cost(self, given, again=self.num_iterations)


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The turns of one draw, and tensors (turns, longest) with a number per token; 0 where not learned."""

    turns: Sequence[Turn]
    known: Any
    """1 for the learned tokens of turns with a reward."""
    old: Any
    """Log-probabilities under the weights that drew them."""
    reference: Any
    """The same under the reference; `old` without a reference."""
    rewards: Any
    """The turn's reward at its last learned token, minus the penalty on each token's log-ratio to the reference."""
    values: Any
    """The critic's value before each token; 0 without a critic."""

    @property
    def buckets(self) -> list[str]:
        """The kind of each turn."""
        return [turn.bucket for turn in self.turns]


Play = Callable[[Live], Iterator[Sequence[Turn]]]
"""An endless iterator of draws with rewards."""


# ---- formulas ----------------------------------------------------------------------------------------------------
def to_go(rewards: Any) -> Any:
    """The sum of a row's rewards from each token on."""
    sums = rewards.cpu().flip(-1).cumsum(-1).flip(-1)  # torch has no deterministic cumsum on a GPU
    return sums.to(rewards.device)


def whiten(values: Any, mask: Any, buckets: Sequence[str] | None = None) -> Any:
    """Values with mean 0 and standard deviation 1 over the tokens of the mask, per bucket of rows; 0 elsewhere.

    A bucket with equal values becomes 0.
    """
    import torch

    made, names = torch.zeros_like(values), list(buckets or [""] * len(values))
    for name in dict.fromkeys(names):
        rows = torch.tensor([[one == name] for one in names], device=mask.device)
        own = rows & (mask > 0)
        chosen = values[own]
        if len(chosen) > 1 and chosen.max() > chosen.min():
            made[own] = (chosen - chosen.mean()) / (chosen.std() + 1e-8)
    return made


def generalized_advantages(rewards: Any, values: Any, mask: Any, lam: float) -> Any:
    """Generalized advantage estimation (arXiv:1506.02438) along the tokens of the mask in each row, undiscounted.

    The value after a row's last token is 0. Tokens outside the mask are skipped.
    """
    import torch

    made, ahead, after = torch.zeros_like(rewards), torch.zeros_like(rewards[:, 0]), torch.zeros_like(rewards[:, 0])
    for place in reversed(range(rewards.shape[1])):
        own, surprise = mask[:, place] > 0, rewards[:, place] + after - values[:, place]
        ahead = torch.where(own, surprise + lam * ahead, ahead)
        after = torch.where(own, values[:, place], after)
        made[:, place] = ahead * own
    return made


def clipped(now: Any, old: Any, advantages: Any, low: float, high: float) -> Any:
    """The clipped loss of each token, with the ratio limited to [1 - low, 1 + high]."""
    import torch

    ratio = (now - old).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - low, 1 + high) * advantages)


def k3(now: Any, reference: Any) -> Any:
    """An estimate of KL(pi || reference) at each token drawn from pi; it is never negative."""
    gap = reference - now
    return gap.exp() - 1 - gap


# ---- the loop ----------------------------------------------------------------------------------------------------
class Critic:
    """A second model from the start's weights, whose head predicts the remaining reward."""

    def __init__(self, live: Live, learning_rate: float) -> None:
        import torch

        self.live, body = live, deepcopy(live.model.base_model)
        self.body, self.head = body, torch.nn.Linear(body.config.get_text_config().hidden_size, 1).to(live.device)
        for weight in self.head.parameters():
            torch.nn.init.zeros_(weight)  # the first prediction is 0
        live.add([*self.body.parameters(), *self.head.parameters()], learning_rate)

    def values(self, turns: Sequence[Turn]) -> Any:
        """The value before each learned token of the completions (turns, longest), 0 elsewhere."""
        given, ids, mask = self.live.inputs(turns)
        with self.live.mixed():
            seen = self.body(**given).last_hidden_state[:, -(ids.shape[1] + 1) : -1]
        return self.head(seen.float())[..., 0] * mask


@dataclass
class _Seen:
    """The rewards of the turns, by draw and bucket."""

    means: dict[str, list[float]] = field(default_factory=dict)
    kls: dict[str, float] = field(default_factory=dict)
    completions: int = 0
    unscored: int = 0

    def add(self, draws: Draws, mask: Any) -> None:
        self.completions += len(draws.turns)
        self.unscored += sum(turn.rollout.reward is None for turn in draws.turns)
        ratios = None if draws.reference is draws.old else (draws.old - draws.reference).sum(-1) / mask.sum(-1)
        for name in dict.fromkeys(draws.buckets):
            own = [turn.rollout.reward for turn in draws.turns if turn.bucket == name]
            scores = [score for score in own if score is not None]
            if scores:
                self.means.setdefault(name, []).append(sum(scores) / len(scores))
            rows = [place for place, turn in enumerate(draws.turns) if turn.bucket == name]
            if ratios is not None:
                self.kls[name] = float(ratios[rows].mean())

    def report(self, log: Log) -> None:
        """The counts, and per bucket the mean reward of the first and of the last quarter of the draws."""
        for bucket, means in self.means.items():
            quarter, place = math.ceil(len(means) / 4), f"train/{bucket}/" if bucket else "train/"
            log.metric(f"{place}reward_first", sum(means[:quarter]) / quarter)
            log.metric(f"{place}reward_last", sum(means[-quarter:]) / quarter)
            if bucket in self.kls:
                log.metric(f"{place}kl", self.kls[bucket])
        log.metric("train/completions", self.completions)
        log.metric("train/unscored", self.unscored)


def lead(rewards: Sequence[float | None], each: int) -> list[float | None]:
    """Each reward minus the mean of the others in its group of `each`; 0 if there are no others."""
    made: list[float | None] = []
    for group in batches(rewards, each):
        known = [reward for reward in group if reward is not None]
        total, others = sum(known), max(1, len(known) - 1)
        made += [None if one is None else (one - (total - one) / others) * (len(known) > 1) for one in group]
    return made


def reinforce(
    job: Job,
    rows: int,
    method: Clipped,
    play: Play,
    advantages: Callable[[Draws], Any],
    *,
    beta: float = 0.0,
    penalty: float = 0.0,
    critic_learning_rate: float | None = None,
) -> Checkpoint:
    """Clipped policy gradient with equal weight for each token of a draw; saves to `job.folder`.

    Args:
        rows: rows in one pass over the data; they give the number of steps if max_steps is -1.
        method: its options define how completions are drawn and how ratios are clipped.
        advantages: draw -> a number for each token. Turns without a reward always get 0.
        beta: weight of the KL divergence from the reference in the loss; multiplied by each turn's `anchor`.
        penalty: weight of the log-ratio to the reference in the rewards.
        critic_learning_rate: None trains without a critic.

    Raises:
        DataError: no data, or the loss is not a number.
    """
    live = Live(job, rows, method, method.num_iterations)
    critic = None if critic_learning_rate is None else Critic(live, critic_learning_rate)
    anchor = live.beside(job.reference) if job.reference and (beta or penalty) else None
    high, seen = method.epsilon if method.epsilon_high is None else method.epsilon_high, _Seen()

    def losses(turns: Sequence[Turn], draws: Draws, gains: Any, mask: Any) -> Iterator[Any]:
        to_come, tokens = to_go(draws.rewards), mask.sum()
        for places in batches(range(len(turns)), live.batch):
            part = [turns[place] for place in places]
            now, real = live.logprobs(part)
            width = now.shape[1]
            loss = clipped(now, draws.old[places, :width], gains[places, :width], method.epsilon, high)
            if beta:
                factors = now.new_tensor([[beta * turn.anchor] for turn in part])
                loss = loss + factors * k3(now, draws.reference[places, :width])
            total = (loss * real).sum() / tokens
            if critic:
                gap = (critic.values(part) - to_come[places, :width]) * draws.known[places, :width]
                total = total + 0.5 * (gap**2).sum() / tokens
            yield total

    for turns in play(live):
        mask = live.frozen(turns, lambda part: live.inputs(part)[2])
        draws = _draws(live, turns, mask, anchor, critic, penalty)
        gains = advantages(draws) * draws.known
        seen.add(draws, mask)
        for _ in range(min(method.num_iterations, live.steps - live.done)):
            live.update(losses(turns, draws, gains, mask))
        if live.done >= live.steps:
            break
    seen.report(job.log)
    return live.save()


def _draws(live: Live, turns: Sequence[Turn], mask: Any, anchor: Any, critic: Critic | None, penalty: float) -> Draws:
    """The fixed quantities of the turns, computed before the update."""
    import torch

    if turns[0].old:
        old = torch.zeros_like(mask)
        for row, turn in enumerate(turns):
            old[row, : len(turn.old)] = torch.tensor(turn.old, device=mask.device)
    else:
        old = live.frozen(turns, lambda part: live.logprobs(part)[0])
    reference = old if anchor is None else live.frozen(turns, lambda part: live.logprobs(part, anchor)[0])
    rewards, ends = -penalty * (old - reference), (mask * torch.arange(1, mask.shape[1] + 1).to(mask)).argmax(-1)
    rewards[range(len(turns)), ends] += rewards.new_tensor([turn.reward or 0.0 for turn in turns])
    known = mask * mask.new_tensor([[float(turn.reward is not None)] for turn in turns])
    return Draws(
        turns=turns,
        known=known,
        old=old,
        reference=reference,
        rewards=rewards,
        values=torch.zeros_like(mask) if critic is None else live.frozen(turns, critic.values),
    )
