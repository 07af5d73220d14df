"""Addition of two numbers of equal length, digits reversed: the bench task of easy-to-hard generalization.

Idea: the least significant digit comes first: the answer to `213+598=` is `7021`, so each digit of the sum depends on
two digits and a carry. A model trained on short sums can solve slightly longer ones, and so label its own next lesson.
Survey: verifiable problems with difficulty levels, sections 2.4 and 6.
Paper: arXiv:2502.01612 (Self-Improving Transformers), Lee et al., 2025: the reversed addition task.
Algorithm:
  1. A problem is two numbers with the same number of digits, its level. The key is the smaller plus the larger in usual
     notation, so a+b and b+a are one problem.
  2. The sha256 of the key decides the split, see `problems/splits.py`.
  3. Problems of a split are drawn level by level in a fixed random order without repetition.
  4. Both numbers are written in fields of `max_length` places, shifted right by the same 0 to `shift` places, and the
     prompt ends with as many empty places: `S:..213...+..598...=..`. The problem decides the shift.
  5. The answer consists of the digits of the sum only; it ends where the sum ends, or is padded to one length.
  6. A variant swaps the numbers or shifts them in their fields (same answer), or changes a digit in one of them.
Differs: the paper has no fields and no smaller `base`; its larger model learns in many more steps which digits belong
  together. `shift: null`, `base: 10` and `padded: true` write problems as in the paper, except that there the two
  numbers of a taught example differ in length. In fields, digits that belong together are equally far apart in every
  problem; the shift keeps the model from tying what it learns to fixed places. A small shift is learned sooner but
  generalizes less well to longer sums, mostly because answers then end too late.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from selfimprove.bounds import bounded
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Task
from selfimprove.problems import splits
from selfimprove.problems.splits import split_of
from selfimprove.records import Message, Prompt, Rollout
from selfimprove.registry import register


@register("addition", paper="2502.01612")
@dataclass
class Addition(Task):
    min_length: int = bounded(3, 1)
    """Digits of each number in the shortest held-out problems; with one or two digits there are too few problems."""
    max_length: int = bounded(8, 1)
    """Digits of each number in the longest problems."""
    level: int | None = bounded(None, 1)
    """Digits of this round's training problems; null mixes all lengths. A curriculum sets this option."""
    easier_share: float = bounded(0.0, 0, below=1)
    """Share of the training problems at a level with fewer digits, so that the model does not forget them."""
    taught_length: int = bounded(4, 1)
    """Digits of the longest problems in the worked examples of the bootstrap, which start at one digit."""
    shift: int | None = bounded(7, 0)
    """Largest shift of the numbers in their fields of max_length places, if there is room; null disables fields."""
    base: int = bounded(10, 2, 10)
    """Base of the number system (2 to 10); a smaller base has a smaller addition table, which is learned sooner."""
    padded: bool = False
    """Give every answer one digit more than the numbers, as in the paper: a 0 if the last place has no carry. Then the
    length of an answer does not depend on the digits."""

    def __post_init__(self) -> None:
        if self.min_length > self.max_length:
            raise RecipeError("task.addition needs min_length <= max_length")
        for name in ("level", "taught_length"):
            value = getattr(self, name)
            if value is not None and value > self.max_length:
                raise RecipeError(f"task.addition.{name} is {value}; it must be 1 to max_length ({self.max_length})")

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        splits.check(split)
        level = self.level if split == "train" else None
        lengths = [level] if level else range(self.min_length, self.max_length + 1)
        n = 1500 if n is None else n
        easier = round(n * self.easier_share) if level and level > 1 else 0
        below = self._in_turn(split, range(1, level or 1), seed, easier, part[0])
        return [*self._in_turn(split, lengths, seed, n - easier, part[0]), *below]

    def verify(self, prompt: Prompt, text: str) -> float | None:
        return None if prompt.answer is None else float(text == prompt.answer)

    def answer_of(self, text: str) -> str | None:
        return text if text.isascii() and text.isdigit() else None

    def roles(self) -> _Roles:
        return _Roles(0, 0) if self.shift is None else _Roles(self.max_length, self.shift)

    def variants(self, prompt: Prompt, kind: str, n: int, seed: int) -> list[Prompt]:
        numbers, same = [int(number, self.base) for number in prompt.key.split("+")], kind == "same"
        source, made = random.Random(f"{seed}:{kind}:{prompt.key}"), dict[str, Prompt]()
        for _ in takewhile(lambda _: len(made) < n, range(100 * n)):
            a, b = source.sample(numbers, 2)
            digits, place = self._digits(a), source.randrange(prompt.key.index("+"))
            if same:
                moved = self.roles().solve(f"{digits}+{self._digits(b)}", source.randint(0, self.shift or 0))
                variant = replace(self._prompt(a, b), prompt=moved)
            else:
                changed = f"{digits[:place]}{source.randrange(self.base)}{digits[place + 1 :]}"
                variant = self._prompt(int(changed, self.base), b)
            fits = len(variant.key) == len(prompt.key) and split_of(variant.key) == split_of(prompt.key)
            if fits and variant.prompt != prompt.prompt and same == (variant.key == prompt.key):
                made[variant.prompt[0]["content"] if same else variant.key] = variant
        return list(made.values())

    def demonstrations(self, role: str, n: int, seed: int) -> list[Rollout]:
        """n worked examples of a role for the bootstrap, from the training split, lengths in equal shares.

        Args:
            role: solve or hint.

        Raises:
            RecipeError: the role is not one of these.
        """
        if role not in ("solve", "hint"):
            raise RecipeError(f"task addition has no role {role!r}; it has solve, hint")
        source = random.Random(f"{seed}:{role}")
        examples: list[Rollout] = []
        while len(examples) < n:
            length = source.randint(1, self.taught_length)
            prompt = self._prompt(self._number(length, source), self._number(length, source))
            if split_of(prompt.key) == "train":
                answer = str(prompt.answer)
                messages = prompt.prompt if role == "solve" else self.roles().hint(prompt, answer)
                example = Prompt(prompt=messages, key=prompt.key)
                examples.append(Rollout(prompt=example, completion=[{"role": "assistant", "content": answer}]))
        return examples

    def _in_turn(self, split: str, lengths: Sequence[int], seed: int, n: int, part: int) -> list[Prompt]:
        """Part `part` of n problems of some lengths, one of each in turn; an exhausted length drops out."""
        streams = [self._stream(split, length, seed) for length in lengths]
        drawn: list[Prompt] = []
        while streams and len(drawn) < (part + 1) * n:
            streams = [stream for stream in streams if (problem := next(stream, None)) and not drawn.append(problem)]
        return drawn[part * n : (part + 1) * n]

    def _stream(self, split: str, length: int, seed: int) -> Iterator[Prompt]:
        """All problems of one length and split in a random order, without repetition."""
        source = random.Random(f"{seed}:{split}:{length}")
        numbers = self.base if length == 1 else (self.base - 1) * self.base ** (length - 1)
        seen: set[tuple[int, int]] = set()
        while len(seen) < numbers * (numbers + 1) // 2:
            a, b = self._number(length, source), self._number(length, source)
            if (pair := (min(a, b), max(a, b))) not in seen:
                seen.add(pair)
                if split_of((prompt := self._prompt(a, b)).key) == split:
                    yield prompt

    def _number(self, length: int, source: random.Random) -> int:
        """A random number with exactly `length` digits."""
        return source.randrange(self.base ** (length - 1) if length > 1 else 0, self.base**length)

    def _digits(self, number: int) -> str:
        """A number in the task's base, as it is usually written."""
        digits = ""
        while number or not digits:
            number, digit = divmod(number, self.base)
            digits = f"{digit}{digits}"
        return digits

    def _prompt(self, a: int, b: int) -> Prompt:
        first, second = self._digits(a), self._digits(b)
        return Prompt(
            prompt=self.roles().solve(f"{first}+{second}"),
            answer=self._digits(a + b)[::-1].ljust((len(first) + 1) * self.padded, "0"),
            key=f"{first}+{second}" if a <= b else f"{second}+{first}",
            info={"level": len(first)},
        )


class _Roles:
    """Prompts that begin with a one-letter marker, because the tiny model reads characters."""

    def __init__(self, field: int, shift: int) -> None:
        self.field, self.shift = field, shift

    def solve(self, problem: str, places: int | None = None) -> list[Message]:
        return _user(f"S:{self._written(problem, places)}")

    def hint(self, prompt: Prompt, answer: str) -> list[Message]:
        return _user(f"H:{answer}|{self._written(prompt.key)}")

    def propose(self, level: int | None) -> list[Message]:
        raise _missing("propose")

    def judge(self, prompt: Prompt, attempt: str) -> list[Message]:
        raise _missing("judge")

    def refine(self, prompt: Prompt, attempt: str) -> list[Message]:
        raise _missing("refine")

    def words(self, role: str, prompt: Prompt, parts: Sequence[str]) -> list[Message] | None:
        return None

    def read_judgement(self, text: str) -> float | None:
        raise _missing("judge")

    def read_proposal(self, text: str) -> Prompt | None:
        raise _missing("propose")

    def solution(self, prompt: Prompt) -> str | None:
        return prompt.answer

    def _written(self, problem: str, places: int | None = None) -> str:
        """`213+598=` with digits reversed, in fields; without a given shift the problem decides it."""
        numbers = [number[::-1] for number in problem.split("+")]
        free = max(0, min(self.shift, self.field - max(map(len, numbers))))
        drawn = int(hashlib.sha256(problem.encode()).hexdigest(), 16) % (free + 1)
        moved = "." * (drawn if places is None else min(places, free))
        return f"{'+'.join((moved + number).ljust(self.field, '.') for number in numbers)}={moved}"


def _missing(role: str) -> RecipeError:
    return RecipeError(f"task addition has no role {role!r}; it has solve, hint")


def _user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]
