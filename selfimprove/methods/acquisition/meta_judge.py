"""The model also judges its own judgements, so that it learns to judge as well as to solve.

Idea: a judge that never learns limits what it can teach. The model can compare two judgements as it compares two
  answers, and these comparisons rank them.
Survey: interaction-based generation, section 2.4.3; model judges, section 4.3.2.
Paper: arXiv:2407.19594 (Meta-Rewarding Language Models), Wu et al., 2024.
Algorithm:
  1. Draw `samples` judgements of each incoming attempt: the recipe's reward that judges says what is asked and how the
     replies are read, so that the judge learns the question that selects the data. Without one it is the role `judge`.
  2. For each problem take the attempt whose judgements have the highest variance, if it is above 0.
  3. Show every two different judgements of it in both orders and ask which is better: #1 or #2.
  4. Over the whole round, `first` and `second` count the wins of the judgement shown first and second. A win in first
     place counts second / (first + second), one in second place first / (first + second), which cancels a preference
     for a position.
  5. The reward of a judgement is its strength e in the logistic model p(i beats j) = 1 / (1 + exp(e_j - e_i)), by
     maximum likelihood with the penalty `ridge` * e^2 / 2, which keeps the strength of an unbeaten judgement finite.
  6. Return the attempts without a reward and, in rounds up to `until`, the judgements with their prompts.
Differs: the recipe's reward rewards the attempts; in the paper it is the mean of these judgements. The paper drops
  pairs whose winner is too long: add the selection length_tier, which does so for attempts and judgements. The prompt
  of the meta-judge is in a file beside this one; it needs an instruct model. The ridge is our choice.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import pvariance
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.interfaces import GREEDY, Acquisition, Context, Sampling
from selfimprove.records import Message, Prompt, Record, Rollout
from selfimprove.registry import register
from selfimprove.text import beside, own_system, quoted

Battle = tuple[int, int, bool]
"""The judgement that was shown first, the other one, and whether the first won."""


@register("meta_judge", paper="2407.19594")
@dataclass
class MetaJudge(Acquisition):
    consumes: ClassVar[Any] = Rollout
    produces: ClassVar[Any] = Rollout
    samples: int = bounded(11, 2)
    """Judgements of each attempt."""
    temperature: float = bounded(0.8, 0, 100)
    """Sampling temperature of the judgements; the meta-judge is greedy."""
    top_p: float = bounded(0.95, 0, 1)
    """Nucleus of the judgements' sampling."""
    until: int | None = 2
    """Last round whose judgements are trained on; null means every round."""
    ridge: float = bounded(0.01, above=0)
    """Penalty on large strengths."""

    def cost(self, given: Given) -> Cost:
        battles = given.flow.prompts * self.samples * (self.samples - 1)
        return given.draw(given.flow.records * self.samples + battles) if self._asks(given.round) else Cost()

    def gives(self, given: Given) -> Flow:
        came = given.flow
        if not self._asks(given.round):
            return came
        records = came.records + came.prompts * self.samples
        return Flow(records, 2 * came.prompts, max(came.group, self.samples))

    def _asks(self, number: int) -> bool:
        """Whether this round draws judgements."""
        return self.until is None or number <= self.until

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        if not self._asks(context.round):
            return list(records)
        attempts = {(r.prompt.id, r.text): r for r in records}
        asked = [
            replace(r.prompt, prompt=_question(r, context), answer=None, info=_noted(r, "judge"))
            for r in attempts.values()
        ]
        sampling = Sampling(temperature=self.temperature, top_p=self.top_p)
        judged = dict(zip(attempts, context.policy.sample(asked, self.samples, sampling), strict=True))
        hardest: dict[str, tuple[float, tuple[str, str]]] = {}
        for place, replies in judged.items():
            verdicts = [mark for reply in replies if (mark := _read(reply, context)) is not None]
            spread = pvariance(verdicts) if len(verdicts) > 1 else 0.0
            if spread > hardest.get(place[0], (0.0, place))[0]:
                hardest[place[0]] = (spread, place)
        fights = {
            place: list({r.text: r for r in judged[place] if _read(r, context) is not None}.values())
            for _, place in hardest.values()
        }
        battles = self._battles({place: (attempts[place], own) for place, own in fights.items()}, context)
        firsts = sum(won for own in battles.values() for _, _, won in own)
        total = sum(map(len, battles.values()))
        made = []
        for place, own in battles.items():
            if not own:
                continue
            strengths = elo(len(fights[place]), _weighted(own, firsts, total), self.ridge)
            one = attempts[place]
            made += [
                replace(reply, reward=e, parents=(one.prompt.id, one.id))
                for reply, e in zip(fights[place], strengths, strict=True)
            ]
        context.log.metric("meta_judge/judgements", len(made))
        context.log.metric("meta_judge/first_place_wins", firsts / total if total else 0.5)
        return [*records, *made]

    def _battles(
        self, fights: dict[tuple[str, str], tuple[Rollout, list[Rollout]]], context: Context
    ) -> dict[tuple[str, str], list[Battle]]:
        """The battles with their winners; a reply without a decision gives no battle."""
        words = beside(__name__, "meta_judge.txt")
        asked: list[tuple[tuple[str, str], int, int, Prompt]] = []
        for place, (attempt, own) in fights.items():
            problem = quoted(attempt.prompt.prompt)
            led = own_system(attempt.prompt.prompt, context.roles.solve(""))
            for i, j in itertools.permutations(range(len(own)), 2):
                said = words.format(problem=problem, attempt=attempt.text, first=own[i].text, second=own[j].text)
                question = Prompt(prompt=[*led, {"role": "user", "content": said}], key=attempt.prompt.key)
                asked.append((place, i, j, question))
        replies = context.policy.sample([question for *_, question in asked], 1, GREEDY) if asked else []
        battles: dict[tuple[str, str], list[Battle]] = {place: [] for place in fights}
        for (place, i, j, _), [reply] in zip(asked, replies, strict=True):
            last = (reply.text.strip().splitlines() or [""])[-1].strip(" \t*_`.")
            if last in ("#1", "#2"):
                battles[place].append((i, j, last == "#1"))
        return battles


def _question(attempt: Rollout, context: Context) -> list[Message]:
    """What is asked about an attempt."""
    if context.judge is None:
        return context.roles.judge(attempt.prompt, attempt.text)
    return context.judge.question(attempt, context.roles).prompt


def _read(reply: Rollout, context: Context) -> float | None:
    """The judgement in a reply, in [0, 1]; None if it is unreadable."""
    if context.judge is None:
        return context.roles.read_judgement(reply.text)
    return context.judge.read(reply.text, context.roles)


def _noted(about: Rollout, role: str) -> dict[str, Any]:
    """The `info` of a problem, with the role of a prompt made from it."""
    return {**about.prompt.info, "role": role}


def _weighted(battles: Sequence[Battle], firsts: int, total: int) -> list[tuple[int, int, float]]:
    """Winner, loser and weight of each battle."""
    return [(i, j, (total - firsts) / total) if won else (j, i, firsts / total) for i, j, won in battles]


def elo(n: int, battles: Sequence[tuple[int, int, float]], ridge: float) -> list[float]:
    """Strengths of n players by penalized maximum likelihood, from winners, losers and weights; their mean is 0."""
    import numpy as np
    from scipy.optimize import minimize
    from scipy.special import expit

    wins = np.zeros((n, n))
    for winner, loser, weight in battles:
        wins[winner, loser] += weight

    def loss(e: Any) -> tuple[float, Any]:
        gap = e[:, None] - e[None, :]
        pull = wins * expit(-gap)
        return float((wins * np.logaddexp(0, -gap)).sum() + ridge * (e @ e) / 2), pull.sum(0) - pull.sum(1) + ridge * e

    found = minimize(loss, np.zeros(n), jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 1e-14})
    return [float(e) for e in found.x]
