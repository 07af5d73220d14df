"""One model as challenger and solver: the challenger earns what the solver loses, and both what a judge calls good.

Idea: queries on which the solver earns less than on others are where it can learn; a challenger that is paid for them
  finds more of them, without any data. Paid only for that, it ends in nonsense, which a reward for quality prevents.
Survey: interaction-based generation, section 2.4.3.
Paper: arXiv:2509.07414 (Language Self-Play), Kuba et al., 2025.
Algorithm:
  1. Draw `queries` queries in the role `propose`, and `answers_each` answers to each new one. R is the recipe's reward
     of an answer, V_i its mean over the answers to query i, V the mean of V_i over the queries.
  2. The reward of an answer is R, and that of its query V - V_i. The optimization takes the advantage of an answer
     within its query, R - V_i. An unreadable query gets `invalid`; a query of a held-out problem is dropped.
  3. With `quality` above 0 (LSP; 0 is LSP-Zero) the start model judges each answer in the role `judge`: that many times
     the judgement Q is added to the reward of the answer, and its mean to that of the query.
  4. Return both players' records, or those that `train` names.
Differs: the paper's judge adds up points of a rubric; here it is the task's own question to a judge. The KL terms to
  the reference, for both roles, are those of the optimization, such as `beta` of roles_grpo, which draws both players
  anew for its steps. Numbers of queries and answers are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.harvest import Harvest, open_key
from selfimprove.interfaces import GREEDY, Acquisition, Context, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.problems.splits import split_of
from selfimprove.records import Prompt, Record, Rollout, changed
from selfimprove.registry import register

SEEDS = 200
"""Training problems from which the drift of the queries is measured; none of them is trained on."""
PLAYERS = ("solver", "challenger", "both")


@register("language_self_play", paper="2509.07414")
@dataclass
class LanguageSelfPlay(Acquisition):
    consumes: ClassVar[Any] = None
    produces: ClassVar[Any] = Rollout
    queries: int = bounded(256, 2)
    """Queries per round; some state no problem, or one that another states too."""
    answers_each: int = bounded(8, 2)
    """Answers to each query."""
    levels: list[int] = field(default_factory=list)
    """Difficulties to request, in equal shares; if empty, the prompt names no difficulty."""
    quality: float = bounded(1.0, 0, 100)
    """Weight of the start model's judgement in both players' rewards; 0 is the zero-sum game."""
    invalid: float = -1.0
    """Reward of a query that states no problem."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of both players."""
    answers: bool = False
    """Keep the answer that the task computes, for the label precision and for rewards that use it."""
    train: str = "both"
    """Whose records to return: `solver`, `challenger` or `both`."""

    def __post_init__(self) -> None:
        if self.train not in PLAYERS:
            raise RecipeError(f"acquisition.language_self_play.train is {self.train!r}; it is {', '.join(PLAYERS)}")

    def needs(self) -> Needs:
        if not self.quality:
            return Needs(roles=("propose",))
        return Needs(roles=("propose", "judge"), policies=("start",))

    def cost(self, given: Given) -> Cost:
        asked = len(self.levels) or 1
        n = asked * -(-self.queries // asked)
        answered = Flow(self.queries * self.answers_each, self.queries, self.answers_each)
        return given.draw(n + answered.records * (1 + (self.quality > 0))) + given.rate(answered)

    def gives(self, given: Given) -> Flow:
        n, asked = self.queries, len(self.levels) or 1
        solved, posed = self.train != "challenger", self.train != "solver"
        group = max(self.answers_each * solved, -(-n // asked) * posed)
        return Flow(n * (self.answers_each * solved + posed), n * solved + asked * posed, group)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        harvest = Harvest("language_self_play", [], context, seeds=context.problems(SEEDS, context.round))
        said = [(reply, harvest.read(reply)) for reply in self._queries(context)]
        harvest.paid([reply for reply, _ in said])
        problems = [one for _, query in said if (one := harvest.take(query, answers=self.answers))]
        groups = context.policy.sample(problems, self.answers_each, Sampling(temperature=self.temperature))
        drawn = [answer for group in groups for answer in group]
        harvest.paid(drawn)
        rated = context.reward(drawn)
        good = self._quality(rated, context)
        by_key = dict[str, tuple[float, float] | None]()
        for place, problem in enumerate(problems):
            some = slice(place * self.answers_each, (place + 1) * self.answers_each)
            rewards = [one.reward for one in rated[some] if one.reward is not None]
            by_key[problem.key] = (fmean(rewards), fmean(good[some])) if rewards else None
        values = [one[0] for one in by_key.values() if one]
        middle = fmean(values) if values else 0.0
        posed = list[Rollout]()
        for reply, query in said:
            if query is None:
                posed.append(changed(reply, reward=self.invalid, rated=True))
            elif split_of(query.key) == "train":
                worth = by_key[query.key]
                reward = None if worth is None else middle - worth[0] + self.quality * worth[1]
                posed.append(changed(reply, reward=reward, rated=True))
        context.log.metric("language_self_play/value", middle)
        context.log.metric("language_self_play/quality", fmean(good) if good else 0.0)
        harvest.report()
        solved = [
            one if one.reward is None else changed(one, reward=one.reward + self.quality * quality)
            for one, quality in zip(rated, good, strict=True)
        ]
        return [*(solved if self.train != "challenger" else []), *(posed if self.train != "solver" else [])]

    def _queries(self, context: Context) -> list[Rollout]:
        """The challenger's replies."""
        levels: list[int | None] = [*self.levels] or [None]
        info = {"role": "propose"}
        asked = [
            Prompt(prompt=context.roles.propose(level), key=open_key(f"propose {level}"), info=info) for level in levels
        ]
        shares = [self.queries // len(levels) + (i < self.queries % len(levels)) for i in range(len(levels))]
        groups = context.policy.sample(asked, max(shares), Sampling(temperature=self.temperature), role="propose")
        return [reply for group, share in zip(groups, shares, strict=True) for reply in group[:share]]

    def _quality(self, answers: Sequence[Rollout], context: Context) -> list[float]:
        """The start model's judgement of each answer; an unreadable one is 0."""
        if not self.quality:
            return [0.0] * len(answers)

        async def judged(place: int, session: Session) -> float:
            one = answers[place]
            request = session.words("judge", one.prompt, one.text)
            [reply] = await session.draw(request, 1, GREEDY, role="judge", of=session.other("start"))
            return session.judgement(reply.text) or 0.0

        return context.run(judged, range(len(answers)))
