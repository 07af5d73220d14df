"""A model that answers selection problems with any refinement, and samples them for the replay arena."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from selfimprove import training
from selfimprove.episodes import Question
from selfimprove.errors import DataError, RecipeError
from selfimprove.inference.arena import Outcome
from selfimprove.inference.desk import Sessions
from selfimprove.inference.pool import Sample
from selfimprove.interfaces import Budget, Context, Log, Policy, Remote, Sampling, Task
from selfimprove.loop import steps
from selfimprove.loop.given import context_of, policy_of, rating_of
from selfimprove.recipe import compose
from selfimprove.recipe.checks import check_needs
from selfimprove.recipe.schema import Recipe
from selfimprove.records import Prompt, Rollout
from selfimprove.studies.subject import Subject

SAMPLES = 64
"""Stored samples of each problem."""
PROBE = 16
"""Problems on which the length of a completion is looked at before anything else is drawn."""


@dataclass(kw_only=True)
class Model:
    """The weights of a subject with their engine, and the problems that they answer."""

    subject: Subject
    base: Recipe
    """The recipe around the weights; its engine runs them for all methods."""
    asked: list[Prompt]
    seed: int
    scratch: Path
    log: Log
    _fitted: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def open(
        cls, subject: Subject, changes: Sequence[str], problems: int, seed: int | None, scratch: Path, log: Log
    ) -> Iterator[Model]:
        """The model of a subject; its engine is closed afterwards.

        Raises:
            DataError: there are fewer than two problems that can be marked.
            RecipeError: the task talks.
        """
        base, _ = compose.load(subject.recipe, [*changes, "refinement=greedy"])
        steps.threads(base)
        task, number = base.the("task"), base.seed if seed is None else seed
        asked = [one for one in task.problems("selection", problems, number) if task.verify(one, "") is not None]
        if len(asked) < 2:
            raise DataError(
                f"the task has {len(asked)} selection problems that can be marked, and an interval needs at least 2; "
                "a finite task needs a few hundred problems in all"
            )
        if not isinstance(task.open(asked[0]), Question):
            raise RecipeError("refine compares answers to plain problems, and this task talks: set its turns to 1")
        try:
            yield cls(subject=subject, base=base, asked=asked, seed=number, scratch=scratch, log=log)
        finally:
            base.the("engine").close()

    @property
    def task(self) -> Task:
        return self.base.the("task")

    @property
    def task_name(self) -> str:
        """The name of the task."""
        [name] = self.base.task
        return name

    @property
    def blind(self) -> list[Prompt]:
        """The problems without their reference answers."""
        return [one.blind() for one in self.asked]

    # ---- samples ----------------------------------------------------------------------------------------------------
    def length(self, sampling: Sampling) -> float:
        """Mean tokens of a completion, from a few."""
        few = self._policy(self.base, Budget()).sample(self.asked[:PROBE], 1, sampling)
        return sum(_tokens(one) for [one] in few) / len(few)

    def sampled(self, sampling: Sampling) -> tuple[list[list[Sample]], float]:
        """Marked samples of each problem, and the seconds that one took; one of each if they are greedy."""
        began, n = time.monotonic(), SAMPLES if sampling.temperature else 1
        drawn = self._policy(self.base, Budget()).sample(self.blind, n, sampling)
        seconds = (time.monotonic() - began) / (n * len(drawn))
        groups = [
            [Sample(one, self.task.answer_of(one.text), self.task.verify(known, one.text) or 0.0) for one in group]
            for known, group in zip(self.asked, drawn, strict=True)
        ]
        return groups, seconds

    # ---- answers ----------------------------------------------------------------------------------------------------
    def fitted(self, recipe: Recipe, name: str) -> list[dict[str, Any]]:
        """What the refinements learn for these weights, from other selection problems; of a run, from what they know.

        Raises:
            EngineError: the engine or a package lacks what they need.
        """
        if name not in self._fitted:
            recipe = replace(recipe, engine=self.base.engine)
            check_needs(recipe)
            states = [self.subject.learned.get(name, {}) for name in recipe.refinement]
            for place, method in enumerate(recipe.refinement.values()):
                policy = replace(self._policy(recipe, Budget()), states=tuple(states))
                given = self._context(recipe, policy)
                now = replace(given, policy=policy.held(method), state=states[place], place=place)
                states[place] = method.fit(now)
            self._fitted[name] = states
        return self._fitted[name]

    def answered(
        self, recipe: Recipe, budget: Budget, learned: Sequence[Mapping[str, Any]]
    ) -> tuple[list[Outcome], float, float]:
        """What a chain makes of the problems; mean calls of tools and mean seconds for an answer."""
        recipe = replace(recipe, engine=self.base.engine)
        policy = replace(self._policy(recipe, budget), states=tuple(dict(one) for one in learned))
        began = time.monotonic()
        played = policy.answer(self.asked)
        seconds, spent = time.monotonic() - began, [one.info.get("spent", {}) for one in played]
        outcomes = [
            Outcome(
                one.reward or 0.0,
                cost.get("tokens", 0) if cost else _tokens(one),
                cost.get("completions", 0) if cost else 1,
                cost.get("cut", 0),
            )
            for one, cost in zip(played, spent, strict=True)
        ]
        return outcomes, sum(cost.get("calls", 0) for cost in spent) / len(played), seconds / len(played)

    def _policy(self, recipe: Recipe, budget: Budget) -> Policy:
        own = isinstance(self.base.the("engine"), Remote)

        def other(name: str) -> Policy:
            return replace(policy.plain(), checkpoint=self.subject.others[name])

        def rated(name: str, groups: Sequence[Sequence[Rollout]], judge: Policy) -> list[list[float | None]]:
            reward = recipe.reward[name]
            return reward.rate(groups, replace(self._context(recipe, judge.held(reward)), log=judge.log))

        policy = policy_of(
            recipe,
            self.subject.checkpoint,
            self.seed,
            self.log,
            self.subject.learned,
            engine=self.base.the("engine"),
            helpers=self.base.helpers,
            copies=None if own else training.Copies(self.scratch / "copies", self.log),
            desk=Sessions(self.task, rated, budget, other, rating=partial(rating_of, recipe)),
        )
        return policy

    def _context(self, recipe: Recipe, policy: Policy) -> Context:
        """The context of a `fit` or a reward; its selection problems are others than those that are answered."""
        given = context_of(
            recipe,
            policy,
            self.subject.others["start"],
            number=0,
            rounds=recipe.rounds,
            seed=self.seed,
            train_seed=lambda number: self.seed + number,
            selection_seed=self.seed + 1,
            folder=self.scratch,
            previous=None,
            log=self.log,
        )
        keys = {one.key for one in self.asked}

        def selection(n: int) -> list[Prompt]:
            return [one for one in given.selection(n + len(keys)) if one.key not in keys][:n]

        return replace(given, selection=selection)


def _tokens(rollout: Rollout) -> int:
    return int((rollout.logprobs or {}).get("count", 0))
