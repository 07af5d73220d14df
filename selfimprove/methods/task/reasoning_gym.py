"""Problems of the library reasoning-gym: about a hundred families of arithmetic, algorithms, logic and games.

Idea: a generator with a rule that marks answers never runs out of problems, so a gate never reuses one, and models
cannot have memorized them. The library is an extra: pip install 'selfimprove[reasoning_gym]'.
Survey: verifiable problems with difficulty levels, sections 2.4 and 6.
Paper: arXiv:2505.24760 (Reasoning Gym), Stojanovski et al., 2025.
Algorithm:
  1. A family has the levels of the library's curriculum: at level l every parameter is at its step l, or at its last
     step. A family without a curriculum has level 0 only.
  2. Draw from family and level with a seed derived from (seed, split, family, level). The key is the canonical text of
     the question; a draw is kept if the key falls into the split and is new.
  3. Leave out a draw that the library's rule cannot mark: its reference answer is not right, or NONSENSE is.
  4. Families take turns by weight, their levels in equal shares; a family without a new problem in CHUNK draws drops
     out.
  5. The final answer is the text in the last <answer> tag, else after \\boxed, #### or `answer is`, else the whole text
     if it is one line. The library's rule marks it in [0, 1]; if the rule raises an error, the mark is 0.
Differs: the paper draws with replacement, from the easiest step up to the current one, and has no splits. Two wordings
  of a problem count as two problems, because the library has no canonical form. Unreliable families are refused, see
  UNFIT.
"""

from __future__ import annotations

import heapq
import importlib
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.errors import EngineError, RecipeError
from selfimprove.interfaces import Roles, Task
from selfimprove.problems import splits
from selfimprove.problems.answers import final_answer, judgement
from selfimprove.problems.problem_set import worded
from selfimprove.problems.splits import folded, split_of
from selfimprove.records import Message, Prompt, digest
from selfimprove.registry import nearest, register

CHUNK = 500
"""Draws from one seed of the library; some families prepare all of them at once."""
UNSAFE = ("binary_matrix", "coin_flip", "countdown", "intermediate_integration", "n_queens", "puzzle24")
UNSAFE += ("polynomial_multiplication", "simple_integration", "spiral_matrix", "string_insertion")
"""Families whose rule runs a model's answer as Python code, or can hang on it."""
UNSEEDED = ("codeio", "isomorphic_strings", "list_functions", "ransom_note", "word_ladder")
"""Families that draw other problems in each process."""
NONSENSE = ("?", "nan", "None")
"""Answers that are never right; some rules compare so loosely that they accept them."""
_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


@register("reasoning_gym", paper="2505.24760")
@dataclass
class ReasoningGym(Task):
    families: list[str] = field(default_factory=lambda: ["chain_sum"])
    """Names of the library's data sets."""
    weights: list[float] = field(default_factory=list)
    """Relative shares of the families, in their order; if empty, equal shares."""
    config: dict[str, Any] = field(default_factory=dict)
    """By family, settings of the library that override those of the level: `{chain_sum: {max_terms: 3}}`."""
    min_level: int = bounded(1, 0)
    """Level of the easiest problems; level 0 is the library's easiest, which often has few problems."""
    max_level: int = bounded(3, 0)
    """Level of the hardest problems."""
    level: int | None = bounded(None, 0)
    """Level of this round's training problems; null mixes all levels. A curriculum sets this option."""
    system_prompt: str | None = "Think step by step. Then write the final answer alone between <answer> and </answer>."
    """A system message before each problem."""

    def __post_init__(self) -> None:
        if unfit := sorted({*UNSAFE, *UNSEEDED} & {*self.families}):
            why = "its rule runs answers as code" if unfit[0] in UNSAFE else "its problems do not follow from a seed"
            raise RecipeError(f"task.reasoning_gym.families: {unfit[0]!r} cannot be used: {why}")
        if self.weights and (len(self.weights) != len(self.families) or min(self.weights) <= 0):
            raise RecipeError("task.reasoning_gym.weights must have a number above 0 for each of the families")
        if self.min_level > self.max_level:
            raise RecipeError("task.reasoning_gym needs min_level <= max_level")
        self._rules: dict[tuple[str, int], Any] = {}

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        splits.check(split)
        n = 1500 if n is None else n
        turned = self.level if split == "train" else None
        levels = [*range(self.min_level, self.max_level + 1)] if turned is None else [turned]
        known, turns, library = set[str](), [], _library("factory")
        for family in (*self.config, *self.families):
            if family not in library.DATASETS:
                raise RecipeError(f"reasoning-gym has no family {family!r}.{nearest(family, sorted(library.DATASETS))}")
        for family, weight in zip(self.families, self.weights or [1.0] * len(self.families), strict=True):
            own = levels if family in library.CURRICULA else [0]
            for level in own:
                times = itertools.count(len(own) / weight, len(own) / weight)
                turns.append(zip(times, self._stream(family, level, split, seed, known), strict=False))
        drawn = heapq.merge(*turns, key=lambda turn: turn[0])
        return [problem for _, problem in itertools.islice(drawn, part[0] * n, (part[0] + 1) * n)]

    def verify(self, prompt: Prompt, text: str) -> float | None:
        if "metadata" not in prompt.info:
            return None  # not a problem of the library
        answer, place = self.answer_of(text), (prompt.info["family"], prompt.info["level"])
        if answer is None or len(answer) > 10_000:
            return 0.0
        if place not in self._rules:
            self._rules[place] = self._family(*place, seed=0)
        entry = {"question": _question(prompt), "answer": prompt.answer, "metadata": prompt.info["metadata"]}
        try:
            mark = float(self._rules[place].score_answer(answer, entry))
        except Exception:  # a form of answer that the rule does not expect
            return 0.0
        return min(1.0, mark) if mark > 0 else 0.0  # also where the mark is not a number

    def answer_of(self, text: str) -> str | None:
        if "<answer>" in text:
            return next((tagged.strip() or None for tagged in reversed(_TAG.findall(text))), None)
        return final_answer(text) or ("" if "\n" in text.strip() else text.strip()) or None

    def roles(self) -> Roles:
        return _Roles(self)

    def _stream(self, family: str, level: int, split: str, seed: int, known: set[str]) -> Iterator[Prompt]:
        """New problems of a family, a level and a split, until no more are found."""
        for chunk in itertools.count():
            source = self._family(family, level, int(digest([seed, split, family, level, chunk])[:7], 16))
            right = new = 0
            for problem in (self._draw(source, i, family, level) for i in range(CHUNK)):
                right += problem is not None
                if problem and problem.key not in known and split_of(problem.key) == split:
                    known.add(problem.key)
                    new += 1
                    yield problem
            if not right:
                raise RecipeError(f"task.reasoning_gym: {family!r} gives no usable problem at level {level}")
            if not new:
                return

    def _draw(self, source: Any, i: int, family: str, level: int) -> Prompt | None:
        """The i-th problem of a data set; None if it cannot be generated or marked."""
        try:
            entry = source[i]
            metadata = json.loads(json.dumps(entry["metadata"], default=str))  # as the rule will read it later
        except Exception:  # some generators give up on some seeds
            return None
        question, answer = entry["question"], entry["answer"]
        notes = {"family": family, "level": level, "metadata": metadata}
        problem = Prompt(prompt=self.roles().solve(question), answer=answer, key=folded(question), info=notes)
        right = answer is None or self.verify(problem, f"<answer>{answer}</answer>") == 1.0
        fooled = any(self.verify(problem, f"<answer>{text}</answer>") == 1.0 for text in NONSENSE)
        return problem if right and not fooled else None

    def _family(self, family: str, level: int, seed: int) -> Any:
        """The library's data set of a family at a level, with its rule."""
        factory, own = _library("factory"), {**self.config.get(family, {}), "seed": seed, "size": CHUNK}
        dataset, settings = factory.DATASETS[family]
        try:
            if family not in factory.CURRICULA:
                return dataset(settings(**own))
            curricula, dials = _library("coaching.base_curriculum"), factory.create_curriculum(family)
            dials.set_global_level(level)
            step = curricula.DefaultCurriculumContext(curricula.RangeAttributeMode.UPPER_BOUND)
            return dataset(replace(dials.generate_configuration(context=step), **own))
        except (AssertionError, TypeError, ValueError) as error:
            raise RecipeError(f"task.reasoning_gym: {family!r} cannot be made at level {level}: {error}") from error


def _library(module: str) -> Any:
    """A module of reasoning-gym, which takes seconds to load."""
    try:
        return importlib.import_module(f"reasoning_gym.{module}")
    except ImportError as error:
        raise EngineError(f"the task reasoning_gym: {error}; pip install 'selfimprove[reasoning_gym]'") from error


@dataclass
class _Roles:
    """Short English prompts, the same as those of the task jsonl."""

    task: ReasoningGym

    def solve(self, problem: str) -> list[Message]:
        asked: list[Message] = [{"role": "user", "content": problem}]
        return [{"role": "system", "content": self.task.system_prompt}, *asked] if self.task.system_prompt else asked

    def hint(self, prompt: Prompt, answer: str) -> list[Message]:
        return self.solve(_words("hint", prompt, answer=answer))

    def propose(self, level: int | None) -> list[Message]:
        examples = [f"<example>\n{_question(prompt)}\n</example>" for prompt in self.task.problems("train", 3, 0)]
        dial = "" if level is None else f" Make it of difficulty {level}, where 0 is the easiest."
        return [{"role": "user", "content": _words("propose", examples="\n\n".join(examples), level=dial)}]

    def judge(self, prompt: Prompt, attempt: str) -> list[Message]:
        return [{"role": "user", "content": _words("judge", prompt, attempt=attempt)}]

    def refine(self, prompt: Prompt, attempt: str) -> list[Message]:
        return self.solve(_words("refine", prompt, attempt=attempt))

    def words(self, role: str, prompt: Prompt, parts: Sequence[str]) -> list[Message] | None:
        return None

    def read_judgement(self, text: str) -> float | None:
        return judgement(text)

    def read_proposal(self, text: str) -> Prompt | None:
        problem = text.strip()
        return Prompt(prompt=self.solve(problem), key=folded(problem)) if problem else None

    def solution(self, prompt: Prompt) -> str | None:
        return None  # the library gives final answers only


def _question(prompt: Prompt) -> str:
    return prompt.prompt[-1]["content"]


def _words(role: str, prompt: Prompt | None = None, **parts: str) -> str:
    return worded(role, problem=_question(prompt) if prompt else "", **parts)
