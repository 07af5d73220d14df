"""Reach a target with given numbers: a search task with many right answers, which arithmetic can check.

Idea: an answer to `3,5,8=16` is `3+5=8;8+8=16#(3+5)+8`. Checking an answer is arithmetic, finding one is a search that
a small model can only guess, so it can learn from its own samples. The rule can also mark problems that a model wrote.
Survey: verifiable problems with difficulty levels, sections 2.4 and 6.
Paper: arXiv:2404.03683 (Stream of Search), Gandhi et al., 2024: the countdown task with worked searches.
Algorithm:
  1. A problem is a list of numbers (its level is their count) and a target that they reach. The key has them sorted.
  2. The sha256 of the key decides the split, see `problems/splits.py`.
  3. Problems of a split are drawn level by level: all lists in a fixed random order, then again, each with a new
     target.
  4. An answer is right if it uses every number once, no others, only + - * /, and its exact value is the target. The
     answer is the text after the last `#`, else the whole text. It is parsed as a syntax tree and never executed.
  5. A variant has the numbers in another order (same answer) or another target (counterfactual).
Differs: smaller numbers and targets than the paper's, three or four of them. The worked examples show one way to the
  target, not the search for it, with positive whole numbers at every step; answers may use other values.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Roles, Task
from selfimprove.problems import splits
from selfimprove.problems.expressions import evaluate, reached, work
from selfimprove.problems.splits import split_of
from selfimprove.records import Message, Prompt, Rollout
from selfimprove.registry import register


@register("countdown", paper="2404.03683")
@dataclass
class Countdown(Task):
    min_length: int = 3
    """Numbers in the smallest problem."""
    max_length: int = 4
    """Numbers in the largest problem."""
    level: int | None = None
    """Numbers of this round's training problems; null mixes all. A curriculum sets this option."""
    max_number: int = 15
    """Largest given number; the smallest is 1."""
    max_target: int = 50
    """Largest target; the smallest is 1."""

    def __post_init__(self) -> None:
        if not 2 <= self.min_length <= self.max_length <= 6:
            raise RecipeError("task.countdown needs 2 <= min_length <= max_length <= 6")
        if self.level is not None and not 2 <= self.level <= 6:
            raise RecipeError(f"task.countdown.level is {self.level}; it must be 2 to 6")
        if self.max_number < 2 or self.max_target < 2:
            raise RecipeError("task.countdown needs max_number and max_target of at least 2")

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        splits.check(split)
        lengths = [self.level] if split == "train" and self.level else range(self.min_length, self.max_length + 1)
        n = 1500 if n is None else n
        streams, drawn = [self._stream(split, length, seed) for length in lengths], list[Prompt]()
        while streams and len(drawn) < (part[0] + 1) * n:  # one of each length in turn; an exhausted length drops out
            streams = [stream for stream in streams if (problem := next(stream, None)) and not drawn.append(problem)]
        return drawn[part[0] * n : (part[0] + 1) * n]

    def verify(self, prompt: Prompt, text: str) -> float | None:
        if prompt.answer is None or not self._right(prompt.key, prompt.answer):  # none, or of another problem
            return None
        return float(self._right(prompt.key, text))

    def answer_of(self, text: str) -> str | None:
        answer = text.rpartition("#")[2].replace(" ", "")
        return answer if evaluate(answer)[0] is not None else None

    def roles(self) -> Roles:
        return _Roles(self)

    def probes(self) -> dict[str, Task]:
        more = min(6, self.max_length + 1)
        return {"ood/longer": replace(self, level=None, min_length=more, max_length=more)}

    def variants(self, prompt: Prompt, kind: str, n: int, seed: int) -> list[Prompt]:
        (numbers, target), source = _read(prompt.key), random.Random(f"{seed}:{kind}:{prompt.key}")
        if kind == "same":
            orders = {tuple(source.sample(numbers, len(numbers))): None for _ in range(20 * n)}
            words = [self.roles().solve(_key(order, target)) for order in orders]
            return [replace(self._prompt(numbers, target), prompt=w) for w in words if w != prompt.prompt][:n]
        others = [t for t in self._targets(tuple(numbers)) if t != target]
        made = (self._prompt(numbers, t) for t in source.sample(others, len(others)))
        return [variant for variant in made if split_of(variant.key) == split_of(prompt.key)][:n]

    def demonstrations(self, role: str, n: int, seed: int) -> list[Rollout]:
        """n worked examples of a role for the bootstrap, from the training split."""
        if role not in ("solve", "hint", "propose", "judge", "refine"):
            raise RecipeError(f"task countdown has no role {role!r}; it has solve, hint, propose, judge, refine")
        source, roles, examples = random.Random(f"{seed}:{role}"), self.roles(), list[Rollout]()
        while len(examples) < n:
            length = source.randint(2, self.max_length)  # problems of two numbers teach the sums
            numbers = sorted(source.randint(1, self.max_number) for _ in range(length))
            targets = self._targets(tuple(numbers))
            target, other = (source.choice(targets) for _ in "ab") if targets else (0, 0)
            if not targets or split_of(_key(numbers, target)) != "train":
                continue
            prompt = self._prompt(numbers, target)
            attempt = work(reached(tuple(numbers))[target if source.random() < 0.5 else other])
            right = "y" if self.verify(prompt, attempt) else "n"
            messages, text = {
                "solve": (prompt.prompt, roles.solution(prompt)),
                "hint": (roles.hint(prompt, str(prompt.answer)), roles.solution(prompt)),
                "propose": (roles.propose(length), prompt.key),
                "judge": (roles.judge(prompt, attempt), f"{target},{evaluate(attempt.rpartition('#')[2])[0]}#{right}"),
                "refine": (roles.refine(prompt, attempt), roles.solution(prompt)),
            }[role]
            shown = Prompt(prompt=messages, key=prompt.key)
            examples.append(Rollout(prompt=shown, completion=[{"role": "assistant", "content": str(text)}]))
        return examples

    def _right(self, key: str, text: str) -> bool:
        answer, (numbers, target) = self.answer_of(text), _read(key)
        value, used = evaluate(answer) if answer else (None, [])
        return value == target and sorted(used) == sorted(numbers)

    def _targets(self, numbers: tuple[int, ...]) -> list[int]:
        return sorted(target for target in reached(tuple(sorted(numbers))) if target <= self.max_target)

    def _stream(self, split: str, length: int, seed: int) -> Iterator[Prompt]:
        """All problems of one length and split in a random order, without repetition."""
        source = random.Random(f"{seed}:{split}:{length}")
        lists = list(combinations_with_replacement(range(1, self.max_number + 1), length))
        source.shuffle(lists)
        rest: dict[tuple[int, ...], list[int]] = {}
        while lists:
            for numbers in lists:
                if numbers not in rest:
                    here = [t for t in self._targets(numbers) if split_of(_key(numbers, t)) == split]
                    rest[numbers] = source.sample(here, len(here))
                if rest[numbers]:
                    yield self._prompt(list(numbers), rest[numbers].pop())
            lists = [numbers for numbers in lists if rest[numbers]]

    def _prompt(self, numbers: list[int], target: int) -> Prompt:
        key = _key(sorted(numbers), target)
        shown = random.Random(key).sample(sorted(numbers), len(numbers))
        answer = work(reached(tuple(sorted(numbers)))[target]).rpartition("#")[2]
        messages = self.roles().solve(_key(shown, target))
        return Prompt(prompt=messages, answer=answer, key=key, info={"level": len(numbers)})


def _key(numbers: list[int] | tuple[int, ...], target: int) -> str:
    return f"{','.join(map(str, numbers))}={target}"


def _read(key: str) -> tuple[list[int], int]:
    numbers, _, target = key.partition("=")
    return [int(number) for number in numbers.split(",")], int(target)


@dataclass
class _Roles:
    """Prompts that begin with a one-letter marker, because the tiny model reads characters."""

    task: Countdown

    def solve(self, problem: str) -> list[Message]:
        return _user(f"S:{problem}|")

    def hint(self, prompt: Prompt, answer: str) -> list[Message]:
        return _user(f"H:{answer}|{prompt.key}|")

    def propose(self, level: int | None) -> list[Message]:
        return _user(f"P:{level or ''}|")

    def judge(self, prompt: Prompt, attempt: str) -> list[Message]:
        return _user(f"J:{prompt.key}|{attempt}|")

    def refine(self, prompt: Prompt, attempt: str) -> list[Message]:
        return _user(f"R:{prompt.key}|{attempt}|")

    def words(self, role: str, prompt: Prompt, parts: Sequence[str]) -> list[Message] | None:
        return None

    def read_judgement(self, text: str) -> float | None:
        return {"#y": 1.0, "#n": 0.0}.get(text[-2:])

    def read_proposal(self, text: str) -> Prompt | None:
        if not re.fullmatch(r"[1-9][0-9]?(,[1-9][0-9]?)+=[1-9][0-9]{0,3}", text):
            return None
        numbers, target = _read(text)
        fits = len(numbers) <= self.task.max_length and max(numbers) <= self.task.max_number
        return self.task._prompt(numbers, target) if fits and target in self.task._targets(tuple(numbers)) else None

    def solution(self, prompt: Prompt) -> str | None:
        numbers, target = _read(prompt.key)
        return work(reached(tuple(sorted(numbers)))[target])


def _user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]
