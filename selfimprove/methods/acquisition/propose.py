"""The model writes problems and solves them; both roles learn from those that are neither easy nor impossible.

Idea: a model that writes its own problems never runs out of them. The rate at which it solves a problem measures its
value for the solver (train on problems solved sometimes) and for the proposer (write more of them).
Survey: interaction-based generation, section 2.4.3.
Paper: arXiv:2508.05004 (R-Zero), Huang et al., 2025, and arXiv:2505.03335 (Absolute Zero), Zhao et al., 2025; the other
  values come from arXiv:2510.24684 (SPICE), arXiv:2601.07055 (Dr. Zero) and arXiv:2510.23595 (MAE), Chen et al., 2025.
Algorithm:
  1. Draw proposals in the role `propose`. One that the task cannot read is invalid; one of a held-out problem is
     dropped, so that neither role is trained on it.
  2. Solve each new problem `samples` times. Its rate p is the share of samples with the most frequent answer (R-Zero)
     or their mean reward (Absolute Zero).
  3. Solver data: the samples of problems with low <= p <= high.
  4. Proposer data: the reward of a proposal is a function of p (see `measures/difficulty.py`) minus `repetition` times
     the share of the batch that states the same problem, at least 0; `invalid` for an invalid proposal. With `alike`
     nearly the same problems count as one: those that average linkage puts together at this BLEU (R-Zero).
  5. With `grade` (MAE) the model also grades each problem from 1 to 10, divided by 10; an unreadable grade is 0. The
     reward is (value + grade + 1) / 3 minus the repetition, and problems graded below `gate` do not train the solver.
Differs: both papers train with GRPO-like updates inside a step, here the records go to any optimization; roles_grpo
  draws them anew for its steps. One model plays both roles, as in Absolute Zero; with `parts: [propose]` in the
  recipe there are two, as in R-Zero. R-Zero's code trains the solver on 0.3 <= p <= 0.8, the defaults here, and uses
  min(p, 1 - p), half of the paper's value, less the share without a floor at 0, where the paper and we stop at 0. It
  draws 10 samples for that reward and 9 for the labels, and clusters the problems of a training step at BLEU 0.5, here
  those of a round. Absolute Zero's code gives -0.5 to proposals of value 0, shows earlier problems to the proposer, and
  trains the solver on all p (0 to 1).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import GREEDY, Acquisition, Context, Sampling
from selfimprove.measures.difficulty import VALUES
from selfimprove.measures.likeness import clusters
from selfimprove.measures.votes import agreement
from selfimprove.needs import Needs
from selfimprove.problems.splits import split_of
from selfimprove.records import Prompt, Record, Rollout
from selfimprove.registry import register
from selfimprove.text import beside, grade, quoted


@register("propose", paper="2508.05004")
@dataclass
class Propose(Acquisition):
    consumes: ClassVar[Any] = None
    produces: ClassVar[Any] = Rollout
    problems: int = 1000
    """Proposals per round; some are invalid, repeated or held out."""
    samples: int = bounded(9, 2)
    """Solutions drawn of each problem."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of both roles."""
    proposer_top_p: float = bounded(0.95, 0, 1)
    """Nucleus of the proposer's sampling."""
    levels: list[int] = field(default_factory=list)
    """Difficulties to request, in equal shares; if empty, the prompt names no difficulty."""
    answers: bool = False
    """Keep the answer that the task computes, for rewards that use it and for the label precision."""
    rate: str = "agreement"
    """Definition of p: `agreement` on the most frequent answer, or mean `reward`."""
    low: float = 0.3
    """Lowest p of a problem that the solver is trained on."""
    high: float = 0.8
    """Highest p of a problem that the solver is trained on."""
    train: str = "both"
    """Whose data to return: `solver`, `proposer` or `both`."""
    value: str = "rzero_unc"
    """The proposer's reward as a function of p: azr_learn, rzero_unc, spice_var, drzero_diff or mae."""
    invalid: float = -1.0
    """Reward of a proposal that states no problem."""
    repetition: float = 1.0
    """Weight of the penalty for the share of the batch that states the same problem."""
    alike: float | None = bounded(None, 0, 1)
    """BLEU from which proposals count as repetitions of each other (R-Zero: 0.5); null: only equal problems do."""
    grade: bool = False
    """Let the model grade each problem, and add the grade to the proposer's reward."""
    gate: float = 0.0
    """Lowest grade of a problem that the solver is trained on, if `grade` is set."""

    def __post_init__(self) -> None:
        for name, choices in (
            ("rate", ("agreement", "reward")),
            ("train", ("solver", "proposer", "both")),
            ("value", tuple(VALUES)),
        ):
            if getattr(self, name) not in choices:
                given = getattr(self, name)
                raise RecipeError(f"acquisition.propose.{name} is {given!r}; choose from {', '.join(choices)}")

    def needs(self) -> Needs:
        return Needs(roles=("propose",))

    def cost(self, given: Given) -> Cost:
        asked = len(self.levels) or 1
        proposals, n = asked * -(-self.problems // asked), self.problems
        solved = Flow(n * self.samples, n, self.samples)
        return given.draw(proposals + solved.records + n * self.grade) + given.rate(solved)

    def gives(self, given: Given) -> Flow:
        n, asked = self.problems, len(self.levels) or 1
        solved, proposed = self.train != "proposer", self.train != "solver"
        group = max(self.samples * solved, -(-n // asked) * proposed)
        return Flow(n * (self.samples * solved + proposed), n * solved + asked * proposed, group)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        proposals = [(reply, self._read(reply, context)) for reply in self._propose(context)]
        open_ = [(reply, problem) for reply, problem in proposals if not problem or split_of(problem.key) == "train"]
        stated = Counter(problem.key for _, problem in open_ if problem)
        problems = list({problem.key: problem for _, problem in open_ if problem}.values())
        repeated = stated if self.alike is None else _repeated(problems, stated, self.alike)
        sampling = Sampling(temperature=self.temperature)
        drawn = [rollout for group in context.policy.sample(problems, self.samples, sampling) for rollout in group]
        scored = context.reward(drawn)
        groups = [scored[i : i + self.samples] for i in range(0, len(scored), self.samples)]
        rates = {p.key: self._rate(group, context) for p, group in zip(problems, groups, strict=True)}
        grades = self._grades(problems, context) if self.grade else None
        banded = [g for g in groups if self._within(rates[g[0].prompt.key], g[0].prompt.key, grades)]
        valued = [
            replace(reply, reward=self._score(problem, rates, repeated, len(open_), grades), rated=True)
            for reply, problem in open_
        ]
        for name, number in (
            ("valid", sum(stated.values())),
            ("held_out", len(proposals) - len(open_)),
            ("distinct", len(problems)),
            ("in_band", len(banded)),
            ("value", sum(r.reward or 0.0 for r in valued) / max(1, len(valued))),
        ):
            context.log.metric(f"propose/{name}", number)
        solver = [rollout for group in banded for rollout in group] if self.train != "proposer" else []
        return [*solver, *(valued if self.train != "solver" else [])]

    def _propose(self, context: Context) -> list[Rollout]:
        """The proposals, as rollouts of the proposer's prompts."""
        levels: list[int | None] = [*self.levels] or [None]
        role = {"role": "propose"}
        prompts = [Prompt(prompt=context.roles.propose(level), key=_open_key(level), info=role) for level in levels]
        shares = [self.problems // len(levels) + (i < self.problems % len(levels)) for i in range(len(levels))]
        sampling = Sampling(temperature=self.temperature, top_p=self.proposer_top_p)
        groups = context.policy.sample(prompts, max(shares), sampling, role="propose")
        return [reply for group, share in zip(groups, shares, strict=True) for reply in group[:share]]

    def _read(self, reply: Rollout, context: Context) -> Prompt | None:
        """The problem that a proposal states, or None."""
        problem = None if reply.truncated else context.roles.read_proposal(reply.text)
        if problem is None:
            return None
        answer = problem.answer if self.answers else None
        return replace(problem, answer=answer, source=f"propose@{context.round}", parents=(reply.prompt.id,))

    def _rate(self, group: Sequence[Rollout], context: Context) -> float | None:
        """The rate p of a problem; None if its completions have no reward."""
        if self.rate == "reward":
            marks = [rollout.reward for rollout in group if rollout.reward is not None]
            return sum(marks) / len(marks) if marks else None
        return agreement([context.answer_of(rollout.text) for rollout in group])

    def _grades(self, problems: Sequence[Prompt], context: Context) -> dict[str, float]:
        """The model's grade of each problem, in [0, 1], by key."""
        words = beside(__name__, "propose_grade.txt")
        texts = [words.replace("{problem}", quoted(problem.prompt)) for problem in problems]
        asked = [Prompt(prompt=[{"role": "user", "content": text}]) for text in texts]
        said = [grade(reply.text, 1, 10) or 0 for [reply] in context.policy.sample(asked, 1, GREEDY)]
        grades = {problem.key: one / 10 for problem, one in zip(problems, said, strict=True)}
        context.log.metric("propose/grade", sum(grades.values()) / max(1, len(grades)))
        return grades

    def _within(self, p: float | None, key: str, grades: dict[str, float] | None) -> bool:
        graded = grades is None or grades[key] >= self.gate - 1e-9
        return graded and p is not None and self.low - 1e-9 <= p <= self.high + 1e-9

    def _score(
        self,
        problem: Prompt | None,
        rates: dict[str, float | None],
        repeated: Mapping[str, int],
        batch: int,
        grades: dict[str, float] | None,
    ) -> float | None:
        """The reward of a proposal; None if the rate of its problem is unknown."""
        if problem is None:
            return self.invalid
        p = rates[problem.key]
        if p is None:
            return None
        value = VALUES[self.value](p, self.samples)
        if grades is not None:
            value = (value + grades[problem.key] + 1.0) / 3
        return max(0.0, value - self.repetition * repeated[problem.key] / batch)


def _repeated(problems: Sequence[Prompt], stated: Counter[str], alike: float) -> dict[str, int]:
    """How many proposals state each problem or one like it, by key."""
    names = clusters([quoted(problem.prompt) for problem in problems], alike)
    sizes = Counter[int]()
    for problem, name in zip(problems, names, strict=True):
        sizes[name] += stated[problem.key]
    return {problem.key: sizes[name] for problem, name in zip(problems, names, strict=True)}


def _open_key(level: int | None) -> str:
    """A key of the training split for a prompt that is not a problem, because records of other splits are dropped."""
    names = (f"propose {level} {i}" for i in itertools.count())
    return next(name for name in names if split_of(name) == "train")
