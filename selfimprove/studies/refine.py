"""Compare refinements of one model at equal tokens: `selfimprove refine`.

Only selection problems are read. Each problem is sampled once, and methods that only vote, weigh or stop are scored on
these samples (`inference/arena.py`). All others answer with the model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from selfimprove import registry
from selfimprove.costs import NOTHING, Cost, Given
from selfimprove.errors import DataError, EngineError, MissingError, RecipeError, UserError
from selfimprove.inference.arena import Outcome, play
from selfimprove.inference.pool import Beyond, Pool
from selfimprove.interfaces import Budget, Log, Refinement, Sampling
from selfimprove.measures import statistics
from selfimprove.measures.equal_tokens import Findings, Row, worth
from selfimprove.recipe import compose
from selfimprove.recipe.schema import Recipe
from selfimprove.studies.answering import SAMPLES, Model
from selfimprove.studies.chains import Chain, chains
from selfimprove.studies.stored_samples import Origin, keep, load
from selfimprove.studies.subject import subject_of

VOTE = Chain("votes", ("self_consistency",), {})
"""The fixed vote, which every method is compared with."""
CURVE = (1, 2, 4, 8, 16, 32, 64)
"""Samples of the votes that are shown beside the methods."""
ANY = Given(selection=1000, attempt=Cost(completions=1, tokens=1), problems=lambda n: 1000 if n is None else n)
"""What `fit` might find, to see whether it takes anything."""
Begin = Callable[[str], None]
"""Told what is worked on."""


def refine(
    target: str,
    overrides: Sequence[str],
    methods: Sequence[str] | None,
    tokens: Sequence[int],
    problems: int,
    out: Path | None,
    seed: int | None,
    log: Log,
    begin: Begin,
) -> Findings:
    """Measure refinements on selection problems.

    Args:
        target: see `subject_of`.
        overrides: changes to the recipe; `refinement.METHOD.OPTION=VALUE` is for the methods that are compared.
        methods: see `chains`; None takes every method that learns nothing at a cost and fits engine and task.
        tokens: budgets for an answer; without any, methods take what they take.
        problems: most selection problems.
        out: a folder for the samples; None keeps none.
        seed: decides problems and draws; None takes the recipe's.

    Raises:
        UserError: the target, a method's name or a budget cannot be used, or no method can be run.
    """
    given = [one for one in overrides if one.startswith("refinement.")]
    rest = [one for one in overrides if not one.startswith("refinement")]
    if len(given) + len(rest) < len(overrides):
        raise RecipeError("name what is compared with --methods, not with refinement=; a chain is written as a+b")
    compared = chains(methods) if methods is not None else None
    if problems < 2:
        raise RecipeError(f"--problems is {problems}; an interval needs at least 2 problems, better 200")
    with tempfile.TemporaryDirectory(prefix="selfimprove-") as scratch:
        begin("the model")
        subject = subject_of(target, rest, Path(scratch), log)
        with Model.open(subject, rest, problems, seed, Path(scratch), log) as model:
            pool = Pool(model.blind, model.seed)
            origin, own = Origin(target, model.task_name, model.seed, {}), subject.recipe
            bench = Bench(pool=pool, origin=origin, given=given, begin=begin, model=model, recipe=own, rest=rest)
            bench.check(tokens)
            if compared is None:
                compared = [*chains(registry.names("refinement")), *bench.own()]
            try:
                rows, left_out = bench.rows(compared, tokens, named=methods is not None)
            finally:
                if out is not None:  # also if it is stopped: samples can be replayed
                    keep(out, pool, origin)
    return bench.findings(rows, left_out)


def replay(
    folder: Path, overrides: Sequence[str], methods: Sequence[str] | None, tokens: Sequence[int], begin: Begin
) -> Findings:
    """Score methods on the samples that an earlier comparison kept; no model is loaded.

    Raises:
        DataError: the folder has no samples, or they are damaged.
        RecipeError: a method's name or a budget cannot be used, or no method can be scored on samples.
    """
    pool, origin = load(folder)
    given = [one for one in overrides if one.startswith("refinement.")]
    if len(given) < len(overrides):
        raise RecipeError("--replay reads stored samples, so only options such as refinement.METHOD.OPTION=VALUE apply")
    bench = Bench(pool=pool, origin=origin, given=given, begin=begin)
    bench.check(tokens)
    compared = chains(registry.names("refinement") if methods is None else methods)
    return bench.findings(*bench.rows(compared, tokens, named=methods is not None))


@dataclass(kw_only=True)
class Bench:
    """Problems with stored samples, and a model for the methods that need it."""

    pool: Pool
    origin: Origin
    given: Sequence[str]
    """Options of refinements."""
    begin: Begin
    model: Model | None = None
    """None if there are only samples."""
    recipe: str = "quickstart"
    rest: Sequence[str] = ()
    """Changes to the recipe besides its refinement."""
    _votes: dict[int, list[Outcome]] = field(default_factory=dict)

    def check(self, budgets: Sequence[int]) -> None:
        """Draw the samples of the vote, unless a budget pays for no completion.

        Raises:
            RecipeError: it does not.
        """
        for budget in budgets:
            if budget < 1:
                raise RecipeError(f"--tokens takes whole numbers from 1 on, not {budget}")
        if self.model is not None:
            self.begin("a look at a few completions")
            _refuse(budgets, self.model.length(self._sampling()))
            self.begin(f"{SAMPLES} samples of each of {len(self.pool.prompts)} problems")
        self.votes(1)
        _refuse(budgets, self.one)

    # ---- the fixed vote ---------------------------------------------------------------------------------------------
    def votes(self, samples: int) -> list[float]:
        """The expected mark of the fixed vote for each problem."""
        if samples not in self._votes:
            [method] = self.made(VOTE).refinement.values()
            chain = [replace(method, **{"samples": samples})]
            self._votes[samples] = self._played(chain, [{}], Budget())
        return [one.mark for one in self._votes[samples]]

    @cached_property
    def greedy(self) -> list[float] | None:
        """The marks of greedy answers; None if they are not among stored samples."""
        once = self.made(Chain("greedy", ("greedy",), {}))
        try:
            return [one.mark for one in self._played([*once.refinement.values()], [{}], Budget())]
        except Beyond:
            return None

    @property
    def one(self) -> float:
        """Mean tokens of a sample of the vote."""
        groups = self.pool.find(self._sampling())
        return sum(sample.tokens for group in groups for sample in group) / sum(map(len, groups))

    def _per_token(self) -> float:
        """Seconds that a token of such a sample took."""
        groups = self.pool.find(self._sampling())
        [sampling] = [key for key, value in self.pool.samples.items() if value is groups]
        return self.origin.seconds[sampling] / max(1.0, self.one)

    def _sampling(self) -> Sampling:
        """How the vote draws."""
        [method] = self.made(VOTE).refinement.values()
        try:
            play(Pool(self.pool.prompts[:1]), [method], [{}])
        except Beyond as beyond:
            if beyond.sampling is not None:
                return beyond.sampling
        raise RecipeError("self_consistency draws no samples, so nothing can be compared with it")

    # ---- the methods ------------------------------------------------------------------------------------------------
    def made(self, chain: Chain) -> Recipe:
        """The recipe that answers with a chain."""
        return compose.load(self.recipe, [*self.rest, *chain.overrides(self.given)])[0]

    def own(self) -> list[Chain]:
        """The recipe's own refinements, if they are several."""
        names = tuple(compose.load(self.recipe, self.rest)[0].refinement)
        return [Chain("+".join(names), names, {})] if len(names) > 1 else []

    def rows(self, compared: Sequence[Chain], budgets: Sequence[int], named: bool) -> tuple[list[Row], dict[str, str]]:
        """A row for each method and budget, and why some have none.

        Args:
            named: whether a person chose the methods; else those that learn at a cost are left out.

        Raises:
            UserError: none can be run.
        """
        rows, left_out, errors = list[Row](), dict[str, str](), list[UserError]()
        for number, chain in enumerate(compared, 1):
            self.begin(f"{chain.name} ({number} of {len(compared)})")
            try:
                recipe = self.made(chain)
                if not named and any(one.fit_cost(ANY) != NOTHING for one in recipe.refinement.values()):
                    raise RecipeError("it learns before it answers, at a cost: name it in --methods")
                for budget in budgets or [None]:
                    rows.append(self._row(chain.name, recipe, budget))
            except (RecipeError, EngineError, MissingError, DataError) as error:  # such as a prompt beyond the context
                errors.append(error)
                left_out[chain.name] = str(error)
        if not rows and errors:
            raise errors[0]
        return rows, left_out

    def _row(self, name: str, recipe: Recipe, budget: int | None) -> Row:
        methods = list(recipe.refinement.values())
        allowed = recipe.budget if budget is None else replace(recipe.budget, tokens=budget)
        learned = [dict[str, Any]() for _ in methods]
        if self.model is not None:
            learned = self.model.fitted(recipe, name)
        try:
            outcomes = self._replayed(methods, learned, allowed)
            tokens = sum(one.tokens for one in outcomes) / len(outcomes)
            seconds, calls, replayed = self._per_token() * tokens, 0.0, True
        except Beyond as beyond:
            if self.model is None:
                raise RecipeError(f"it needs the model: it asks for {beyond.what}") from beyond
            outcomes, calls, seconds = self.model.answered(recipe, allowed, learned)
            replayed = False
        marks, *others = zip(*map(astuple, outcomes), strict=True)
        tokens, completions, cut = (sum(column) / len(marks) for column in others)
        return Row(
            name=name,
            budget=budget,
            accuracy=statistics.proportion(sum(marks), len(marks)),
            tokens=tokens,
            completions=completions,
            calls=calls,
            seconds=seconds,
            cut=cut,
            replayed=replayed,
            worth=worth(marks, tokens, one=self.one, plain=self.votes(1), votes=self.votes, most=self._most()),
            over_greedy=None if self.greedy is None else statistics.difference(marks, self.greedy),
        )

    def _replayed(
        self, methods: Sequence[Refinement], learned: Sequence[Mapping[str, Any]], budget: Budget
    ) -> list[Outcome]:
        """What a chain answers from samples.

        Raises:
            Beyond: it asks for more than samples have.
        """
        if self.model is None and any(one.needs().statistics for one in methods):
            raise Beyond("statistics of tokens")  # what it learned for the weights is not known here
        if any(one.joint for one in methods):
            raise Beyond("all problems at once")
        return self._played(methods, learned, budget)

    def _played(
        self, methods: Sequence[Refinement], learned: Sequence[Mapping[str, Any]], budget: Budget
    ) -> list[Outcome]:
        """The same; samples that are not there yet are drawn."""
        while True:
            try:
                return play(self.pool, methods, learned, budget)
            except Beyond as beyond:
                if self.model is None or beyond.sampling is None or beyond.sampling.shape is not None:
                    raise
                groups, self.origin.seconds[beyond.sampling] = self.model.sampled(beyond.sampling)
                self.pool.add(beyond.sampling, groups)

    def _most(self) -> int:
        return min(len(group) for group in self.pool.find(self._sampling()))

    def findings(self, rows: list[Row], left_out: dict[str, str]) -> Findings:
        """All that was measured."""
        n = len(self.pool.prompts)
        curve = [(k, statistics.proportion(sum(self.votes(k)), n)) for k in CURVE if k <= self._most()]
        return Findings(
            target=self.origin.target,
            task=self.origin.task,
            problems=n,
            seed=self.origin.seed,
            rows=rows,
            left_out=left_out,
            one=self.one,
            plain=curve[0][1],
            curve=curve,
        )


def _refuse(budgets: Sequence[int], one: float) -> None:
    if budgets and min(budgets) < one:
        raise RecipeError(
            f"--tokens {min(budgets)} is below one completion: those of this model take {one:.1f} tokens on average"
        )
