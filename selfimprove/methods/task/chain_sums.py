"""Sums of digits modulo a number, worked out step by step: the bench task of the tiny model.

Idea: the answer to `3+5+8=` is `3+5=8;8+8=6#6`. A hidden share of the addition table (the gap) is never taught: worked
examples have random results there. So the model can learn such an entry only from its own samples, through a reward.
Survey: verifiable problems with difficulty levels, sections 2.4 and 6.
Paper: none; a bench of this project.
Algorithm:
  1. A problem is a list of digits; its level is their number. The key is the list: another order has other steps.
  2. The sha256 of the key decides the split, see `problems/splits.py`.
  3. Problems of a split are drawn level by level in a fixed random order without repetition.
  4. A variant has the digits in another order (same answer) or one other digit, with the same split and use of the gap.
Differs: nothing to compare with.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate, chain, islice, takewhile, zip_longest

from selfimprove.bounds import bounded
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Roles, Task
from selfimprove.problems import splits
from selfimprove.problems.splits import split_of
from selfimprove.records import Message, Prompt, Rollout
from selfimprove.registry import register

_ANSWER, _DIGITS = re.compile(r"#(\d)$"), "0123456789"


@register("chain_sums")
@dataclass
class ChainSums(Task):
    min_length: int = 4
    """Digits in the shortest problem."""
    max_length: int = 6
    """Digits in the longest problem."""
    taught_min_length: int = 2
    """Digits in the shortest worked example of the bootstrap; short examples make longer ones easier to learn."""
    level: int | None = None
    """Digits of this round's training problems; null mixes all lengths. A curriculum sets this option."""
    modulus: int = 10
    """Sums are taken modulo this number (2 to 10)."""
    gap_share: float = bounded(0.2, 0, 0.9)
    """Share of the addition table that worked examples never reveal."""
    gap_seed: int = 0
    """Seed that chooses the hidden entries."""
    judged_gap: bool = False
    """Teach the role judge hidden entries too, so that the model recognizes right steps that it cannot write."""

    def __post_init__(self) -> None:
        if not 2 <= self.modulus <= 10:
            raise RecipeError(f"task.chain_sums.modulus is {self.modulus}; it must be 2 to 10")
        if not 2 <= self.min_length <= self.max_length or not 2 <= self.taught_min_length <= self.max_length:
            raise RecipeError("task.chain_sums needs 2 <= min_length, taught_min_length <= max_length")
        if self.level is not None and self.level < 2:
            raise RecipeError(f"task.chain_sums.level is {self.level}; a problem has at least 2 digits")
        table = [(a, b) for a in range(self.modulus) for b in range(self.modulus)]
        random.Random(self.gap_seed).shuffle(table)
        self._gap = frozenset(table[: round(self.gap_share * len(table))])
        self._drawn: dict[tuple[str, int], tuple[list[list[int]], Iterator[list[int]]]] = {}

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        splits.check(split)
        n = 1500 if n is None else n
        drawn, rest = self._drawn.setdefault((split, seed), ([], self._order(split, seed)))
        drawn.extend(islice(rest, max(0, (part[0] + 1) * n - len(drawn))))
        return [self._prompt(digits) for digits in drawn[part[0] * n : (part[0] + 1) * n]]

    def verify(self, prompt: Prompt, text: str) -> float | None:
        return None if prompt.answer is None else float(self.answer_of(text) == prompt.answer)

    def answer_of(self, text: str) -> str | None:
        return next(iter(_ANSWER.findall(text)), None)

    def roles(self) -> Roles:
        return _Roles(self)

    def variants(self, prompt: Prompt, kind: str, n: int, seed: int) -> list[Prompt]:
        digits = [int(digit) for digit in prompt.key.split("+")]
        source, made = random.Random(f"{seed}:{kind}:{prompt.key}"), dict[str, Prompt]()
        for _ in takewhile(lambda _: len(made) < n, range(100 * n)):
            place, by = source.randrange(len(digits)), source.randrange(1, self.modulus)
            changed = [(digit + by * (i == place)) % self.modulus for i, digit in enumerate(digits)]
            other = source.sample(digits, len(digits)) if kind == "same" else changed
            variant = self._prompt(other)
            alike = split_of(variant.key) == split_of(prompt.key) and self._hidden(other) == self._hidden(digits)
            if other != digits and alike:
                made[variant.key] = replace(variant, key=prompt.key) if kind == "same" else variant
        return list(made.values())

    def probes(self) -> dict[str, Task]:
        longer = replace(self, level=None, min_length=self.max_length + 1, max_length=self.max_length + 2)
        return {"probe/taught": _Taught(**asdict(replace(self, level=None))), "ood/longer": longer}

    def demonstrations(self, role: str, n: int, seed: int) -> list[Rollout]:
        """n worked examples of a role for the bootstrap, from the training split; hidden entries stay hidden."""
        if role not in (names := "solve, hint, propose, judge, refine, document").split(", "):
            raise RecipeError(f"task chain_sums has no role {role!r}; it has {names}")
        source, examples = random.Random(f"{seed}:{role}"), list[Rollout]()
        teacher = replace(self, gap_share=0.0) if role == "judge" and self.judged_gap else self
        while len(examples) < n:
            grown = min(1.0, 3 * len(examples) / n)  # short problems first halve the training steps
            longest = self.taught_min_length + int(grown * (self.max_length - self.taught_min_length))
            length = longest if source.random() < 0.5 else source.randint(self.taught_min_length, longest)
            digits = [source.randrange(self.modulus) for _ in range(length)]
            if split_of("+".join(map(str, digits))) == "train":
                examples += filter(None, [teacher._demonstrate(role, digits, source)])
        return examples

    def _demonstrate(self, role: str, digits: list[int], source: random.Random) -> Rollout | None:
        """One example, or None if it would reveal a hidden entry."""
        roles, prompt = self.roles(), self._prompt(digits)
        solution, wrong = self._solution(digits, source) or "", ""
        if role in ("judge", "refine"):
            wrong = "" if self._hidden(digits) else self._solution(digits, source, source.random() < 0.5) or ""
            if not wrong:
                return None
        messages, text = {
            "solve": (prompt.prompt, solution),
            "hint": (roles.hint(prompt, solution[-1]), solution),
            "propose": (roles.propose(len(digits)), prompt.key),
            "document": ([{"role": "user", "content": f"P:{solution}|"}], prompt.key),
            "judge": (roles.judge(prompt, wrong), self._verdict(wrong)),
            "refine": (roles.refine(prompt, wrong), solution),
        }[role]
        asked = Prompt(prompt=messages, key=prompt.key)
        return Rollout(prompt=asked, completion=[{"role": "assistant", "content": text}])

    def _solution(self, digits: list[int], source: random.Random, slip: bool = False) -> str | None:
        """The worked solution; a step on a hidden entry gets a random result. `slip` inserts one wrong step."""
        total, steps, bad = digits[0], [], source.randrange(len(digits) - 1) if slip else -1
        for i, digit in enumerate(digits[1:]):
            if (hidden := (total, digit) in self._gap) and slip:
                return None  # after a slip the chain reached the gap: judging it would reveal the entry
            result = source.randrange(self.modulus) if hidden else (total + digit) % self.modulus
            result = (result + source.randrange(1, self.modulus)) % self.modulus if i == bad else result
            steps.append(f"{total}+{digit}={result}")
            total = result
        return f"{';'.join(steps)}#{total}"

    def _hidden(self, digits: list[int]) -> bool:
        """Whether the right solution uses a hidden entry."""
        totals = accumulate(digits, lambda total, digit: (total + digit) % self.modulus)
        return any(entry in self._gap for entry in zip(totals, digits[1:], strict=False))

    def _verdict(self, attempt: str) -> str:
        """For each step the claim, the right result and y or n, then the judgement of the whole: `5+7=2:2y;...#n`."""
        claims = [[*map(int, claim)] for claim in re.findall(r"(\d)\+(\d)=(\d)", attempt)]
        right = [(a + b) % self.modulus for a, b, _ in claims]
        checks = (f"{a}+{b}={c}:{r}{'y' if r == c else 'n'}" for (a, b, c), r in zip(claims, right, strict=True))
        return f"{';'.join(checks)}#{'y' if right == [c for *_, c in claims] else 'n'}"

    def _order(self, split: str, seed: int) -> Iterator[list[int]]:
        """The digits of all problems of a split: one of each length in turn; an exhausted length drops out."""
        lengths = [self.level] if split == "train" and self.level else range(self.min_length, self.max_length + 1)
        return filter(None, chain.from_iterable(zip_longest(*(self._stream(split, size, seed) for size in lengths))))

    def _stream(self, split: str, length: int, seed: int) -> Iterator[list[int]]:
        """The digits of all problems of one length and split in a random order, without repetition."""
        source, size, seen = random.Random(f"{seed}:{split}:{length}"), self.modulus**length, set[int]()
        bits, draw, places = size.bit_length(), source.getrandbits, [self.modulus**i for i in range(length)]
        while len(seen) < size:
            number = draw(bits)  # what `randrange` does, without its checks: most problems are in other splits
            if number < size and number not in seen:
                seen.add(number)
                digits = [number // place % self.modulus for place in places]
                if split_of("+".join([_DIGITS[digit] for digit in digits])) == split:
                    yield digits

    def _prompt(self, digits: list[int]) -> Prompt:
        key, answer = "+".join(map(str, digits)), str(sum(digits) % self.modulus)
        return Prompt(prompt=self.roles().solve(key), answer=answer, key=key, info={"level": len(digits)})


@dataclass
class _Taught(ChainSums):
    """Problems without hidden entries: the bootstrap taught them, and training may unlearn them."""

    def _stream(self, split: str, length: int, seed: int) -> Iterator[list[int]]:
        return (digits for digits in super()._stream(split, length, seed) if not self._hidden(digits))


@dataclass
class _Roles:
    """Prompts that begin with a one-letter marker, because the tiny model reads characters."""

    task: ChainSums

    def solve(self, problem: str) -> list[Message]:
        return [{"role": "user", "content": f"S:{problem}="}]

    def hint(self, prompt: Prompt, answer: str) -> list[Message]:
        return [{"role": "user", "content": f"H:{answer}|{prompt.key}="}]

    def propose(self, level: int | None) -> list[Message]:
        return [{"role": "user", "content": f"P:{level or ''}|"}]

    def judge(self, prompt: Prompt, attempt: str) -> list[Message]:
        return [{"role": "user", "content": f"J:{prompt.key}={attempt}|"}]

    def refine(self, prompt: Prompt, attempt: str) -> list[Message]:
        return [{"role": "user", "content": f"R:{prompt.key}={attempt}|"}]

    def words(self, role: str, prompt: Prompt, parts: Sequence[str]) -> list[Message] | None:
        return None

    def read_judgement(self, text: str) -> float | None:
        return {"#y": 1.0, "#n": 0.0}.get(text[-2:])

    def read_proposal(self, text: str) -> Prompt | None:
        digits = [int(digit) for digit in text.split("+")] if re.fullmatch(r"[0-9](\+[0-9])+", text) else []
        fits = 2 <= len(digits) <= self.task.max_length and max(digits) < self.task.modulus
        return self.task._prompt(digits) if fits else None

    def solution(self, prompt: Prompt) -> str | None:
        return self.task._solution([*map(int, prompt.key.split("+"))], random.Random(prompt.key))
