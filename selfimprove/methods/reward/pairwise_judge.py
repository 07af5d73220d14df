"""How often a completion is preferred to the other completions of its problem, by comparing each pair in both orders.

Idea: comparing two answers is easier than grading one; asking in both orders removes position bias.
Survey: model judges, section 4.3.2.
Paper: arXiv:2405.00675 (SPPO), Wu et al., 2024: the win rate against the policy's own samples, a sample itself counted
  at 1/2; both orders after arXiv:2306.05685 (LLM-as-a-Judge), Zheng et al., 2023.
Algorithm:
  1. Show every two different completions of a problem in both orders, `samples` times each. The reply ends in #1, #2 or
     #= (equal); other replies do not count. p_ij is how often i is preferred when shown first.
  2. The probability that i beats j is (p_ij + 1 - p_ji) / 2, or that of one order if the other has no readable reply.
  3. The reward of i is the mean over all j of its problem, with itself and equal texts at 1/2. Pairs without a readable
     reply are left out; a completion without a readable pair gets None.
  4. The judge must pass its audit form before it selects data, see `measures/judge_reliability.py`.
Differs: SPPO uses a trained preference model; here the policy, or the weights of round 0, answers a prompt (in a file
  beside this one). It needs an instruct model. The audit form is not in the papers.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Context, Judging, Roles, Sampling
from selfimprove.measures.judge_reliability import preferred
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside, own_system, quoted

Battle = tuple[str, str, str]
"""Id of the problem, the text shown first and the one shown second."""


@register("pairwise_judge", paper="2405.00675")
@dataclass
class PairwiseJudge(Judging):
    samples: int = bounded(1, 1)
    """Replies for each pair and order."""
    temperature: float = bounded(0.0, 0, 100)
    """Sampling temperature of the replies; 0 is greedy, where one sample is enough."""

    def needs(self) -> Needs:
        return Needs(roles=("judge",))

    def cost(self, given: Given) -> Cost:
        return given.draw(given.flow.records * (given.flow.group - 1) * self.samples)

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        texts = [list(dict.fromkeys(rollout.text for rollout in group)) for group in groups]
        battles: dict[Battle, Prompt] = {}
        for group, own in zip(groups, texts, strict=True):
            for first, second in itertools.permutations(own, 2):
                prompt = group[0].prompt
                battles[prompt.id, first, second] = _question(prompt, first, second, context.roles)
        policy = replace(context.policy, checkpoint=context.start) if self.frozen else context.policy
        sampling = Sampling(temperature=self.temperature)
        drawn = policy.sample(list(battles.values()), self.samples, sampling, role="judge") if battles else []
        won = {battle: _rate(replies) for battle, replies in zip(battles, drawn, strict=True)}
        scores = [[self._of(rollout, group, won) for rollout in group] for group in groups]
        unread = sum(rate is None for rate in won.values())
        context.log.metric("pairwise_judge/unread", unread / max(1, len(won)))
        return scores

    def _of(self, rollout: Rollout, group: Sequence[Rollout], won: dict[Battle, float | None]) -> float | None:
        place, rates, unread = rollout.prompt.id, list[float](), 0
        others = [other.text for other in group if other.text != rollout.text]
        for other in others:
            ahead, behind = won[place, rollout.text, other], won[place, other, rollout.text]
            sides = [*([] if ahead is None else [ahead]), *([] if behind is None else [1 - behind])]
            if sides:
                rates.append(sum(sides) / len(sides))
            else:
                unread += 1
        if others and unread == len(others):
            return None
        rates += [0.5] * (len(group) - len(others))
        return sum(rates) / len(rates)


def _question(prompt: Prompt, first: str, second: str, roles: Roles) -> Prompt:
    words = beside(__name__, "pairwise_judge.txt")
    said = words.format(problem=quoted(prompt.prompt), first=first, second=second)
    led = own_system(prompt.prompt, roles.solve(""))
    return Prompt(prompt=[*led, {"role": "user", "content": said}], key=prompt.key)


def _rate(replies: Sequence[Rollout]) -> float | None:
    """How often the attempt shown first is preferred; None if no reply is readable."""
    said = [word for reply in replies if (word := preferred(reply.text)) is not None]
    return sum(said) / len(said) if said else None
