"""Small programs on lists of digits: predict the output, find an input, or write the program.

Idea: a triple of program, input and output gives three kinds of problems, depending on the missing part, and running
the program marks any answer. So a model can write valid problems with correct marks without help.
Survey: verifiable problems with difficulty levels, sections 2.4 and 6.
Paper: arXiv:2505.03335 (Absolute Zero), Zhao et al., 2025: deduction, abduction and induction.
Algorithm:
  1. A program is a sequence of operations (see `problems/list_language.py`); its level is their number. A program that
     produces more than LIMIT values, or no digits, is invalid.
  2. The key is program and input. Its hash decides the split (see `problems/splits.py`) and the missing part, so each
     triple appears once. Problems of a split are drawn level by level in a random order without repetition.
  3. Deduction `D:r+3|314|` is right with the output. Abduction `A:r+3|746|` is right with any input that has this
     output. Induction `I:314=746,52=58|` is right with any program that gives these outputs, also for hidden inputs.
  4. The answer is the text after the last `#`, else the whole text. A counterfactual variant has another input.
Differs: the paper's programs are Python functions in a sandbox, and an induction has ten inputs, half of them hidden.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Roles, Task
from selfimprove.problems import splits
from selfimprove.problems.list_language import LIMIT, OPERATIONS, operations, run
from selfimprove.problems.splits import split_of
from selfimprove.records import Message, Prompt, Rollout
from selfimprove.registry import register

SHOWN, HIDDEN = 3, 2
"""Shown inputs of an induction, and hidden inputs that a program is tested on."""


@register("list_programs", paper="2505.03335")
@dataclass
class ListPrograms(Task):
    min_length: int = 1
    """Operations of the shortest program."""
    max_length: int = 3
    """Operations of the longest program."""
    level: int | None = None
    """Operations of this round's training problems; null mixes all. A curriculum sets this option."""
    forms: str = "DAI"
    """Kinds of problems: D deduction, A abduction, I induction."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_length <= self.max_length <= 8 or not 1 <= (self.level or 1) <= 8:
            raise RecipeError("task.list_programs needs 1 <= min_length <= max_length <= 8, and a level of 1 to 8")
        if not self.forms or set(self.forms) - set("DAI"):
            raise RecipeError(f"task.list_programs.forms is {self.forms!r}; it takes letters of DAI")

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        splits.check(split)
        lengths = [self.level] if split == "train" and self.level else range(self.min_length, self.max_length + 1)
        n, streams, drawn = 1500 if n is None else n, [self._stream(split, i, seed) for i in lengths], list[Prompt]()
        while len(drawn) < (part[0] + 1) * n:  # one of each length in turn
            drawn.extend(next(stream) for stream in streams)
        return drawn[part[0] * n : (part[0] + 1) * n]

    def verify(self, prompt: Prompt, text: str) -> float | None:
        known = prompt.answer is not None and self._right(prompt.key, prompt.answer)  # else that of another problem
        return float(self._right(prompt.key, text)) if known else None

    def _right(self, key: str, text: str) -> bool:
        (program, given), answer, form = key.split("|"), self.answer_of(text) or "", self._form(key)
        if form == "I":
            return all(run(answer, one) == run(program, one) for one in _inputs(key, SHOWN + HIDDEN))
        return (answer if form == "D" else run(program, answer)) == run(program, given)

    def answer_of(self, text: str) -> str | None:
        answer = text.rpartition("#")[2].strip()
        return answer if len(answer) <= LIMIT and re.fullmatch(r"[0-9]+|([rstudeoa]|[+*][1-9])+", answer) else None

    def roles(self) -> Roles:
        return _Roles(self)

    def probes(self) -> dict[str, Task]:
        more = min(8, self.max_length + 1)
        return {"ood/longer": replace(self, level=None, min_length=more, max_length=more)}

    def variants(self, prompt: Prompt, kind: str, n: int, seed: int) -> list[Prompt]:
        if kind == "same":  # one triple has one wording
            return []
        program, source = prompt.key.split("|")[0], random.Random(f"{seed}:{prompt.key}")
        made = {(p := self._prompt(f"{program}|{_digits(source)}")).key: p for _ in range(50 * n)}
        alike = [p for p in made.values() if p.answer and split_of(p.key) == split_of(prompt.key)]
        old = self._prompt(prompt.key)
        return [p for p in alike if p.info["form"] == old.info["form"] and not self.verify(p, str(old.answer))][:n]

    def demonstrations(self, role: str, n: int, seed: int) -> list[Rollout]:
        """n worked examples of a role for the bootstrap, from the training split."""
        if role not in ("solve", "hint", "propose", "judge", "refine", "test"):
            known = "solve, hint, propose, judge, refine, test"
            raise RecipeError(f"task list_programs has no role {role!r}; it has {known}")
        if role == "test" and "I" not in self.forms:
            raise RecipeError("task list_programs has tests for inductions only: add I to forms")
        source, roles, examples = random.Random(f"{seed}:{role}"), self.roles(), list[Rollout]()
        while len(examples) < n:
            length = source.randint(1, self.max_length)
            keys = [_key(source, length) for _ in "ab"]
            if split_of(keys[0]) != "train" or self._form(keys[0]) != self._form(keys[1]):
                continue
            prompt, other = map(self._prompt, keys)
            if not prompt.answer or not other.answer:
                continue
            tests = _tests(prompt.key) if role == "test" and prompt.info["form"] == "I" else []
            if role == "test" and not tests:
                continue
            given, solution = prompt.prompt[-1]["content"], str(roles.solution(prompt))
            attempt = solution if source.random() < 0.5 else str(roles.solution(other))
            verdict = "#y" if role == "judge" and self.verify(prompt, attempt) else "#n"
            messages, text = {
                "solve": (prompt.prompt, solution),
                "hint": (roles.hint(prompt, prompt.answer), solution),
                "propose": (roles.propose(length), prompt.key),
                "judge": (roles.judge(prompt, attempt), verdict),
                "refine": (roles.refine(prompt, attempt), solution),
                "test": (roles.solve(f"T:{given}"), tests[len(examples) % len(tests)] if tests else ""),
            }[role]
            shown = Prompt(prompt=messages, key=prompt.key)
            examples.append(Rollout(prompt=shown, completion=[{"role": "assistant", "content": text}]))
        return examples

    def _stream(self, split: str, length: int, seed: int) -> Iterator[Prompt]:
        """Problems of one length and split, without repetition; in practice there is no end to them."""
        source, seen = random.Random(f"{seed}:{split}:{length}"), set[str]()
        while key := _key(source, length):
            if key not in seen and split_of(key) == split and (prompt := self._prompt(key)).answer is not None:
                seen.add(key)
                yield prompt

    def _form(self, key: str) -> str:
        return self.forms[int(hashlib.sha256(f"form {key}".encode()).hexdigest(), 16) % len(self.forms)]

    def _prompt(self, key: str) -> Prompt:
        """The problem of a key; without an answer if the program is invalid."""
        (program, given), form = key.split("|"), self._form(key)
        out = run(program, given)
        answer = {"D": out, "A": given, "I": program}[form] if out else None
        problem = {"D": f"D:{program}|{given}|", "A": f"A:{program}|{out}|"}.get(form)
        if problem is None:
            pairs = ",".join(f"{one}={run(program, one) or ''}" for one in _inputs(key, SHOWN))
            problem = f"I:{pairs}|"
        notes = {"level": len(operations(program)), "form": form}
        return Prompt(prompt=_Roles(self).solve(problem), answer=answer, key=key, info=notes)


def _digits(source: random.Random) -> str:
    return "".join(str(source.randrange(10)) for _ in range(source.randint(3, 5)))


def _key(source: random.Random, length: int) -> str:
    kinds = [[*OPERATIONS], [f"{sign}{number}" for sign in "+*" for number in range(1, 10)]]
    program = "".join(source.choice(source.choice(kinds)) for _ in range(length))
    return f"{program}|{_digits(source)}"


def _inputs(key: str, n: int) -> list[str]:
    """The inputs of an induction, starting with the key's own."""
    source = random.Random(key)
    return [key.split("|")[1], *(_digits(source) for _ in range(n - 1))]


def _tests(key: str) -> list[str]:
    """`input=output` for all inputs of an induction that give an output."""
    program, inputs = key.split("|")[0], _inputs(key, SHOWN + HIDDEN)
    return [f"{one}={out}" for one in inputs if (out := run(program, one))]


@dataclass
class _Roles:
    """Prompts that begin with a one-letter marker, because the tiny model reads characters."""

    task: ListPrograms

    def solve(self, problem: str) -> list[Message]:
        return [{"role": "user", "content": problem}]

    def hint(self, prompt: Prompt, answer: str) -> list[Message]:
        return self.solve(f"H:{answer}|{prompt.prompt[-1]['content']}")

    def propose(self, level: int | None) -> list[Message]:
        return self.solve(f"P:{level or ''}|")

    def judge(self, prompt: Prompt, attempt: str) -> list[Message]:
        return self.solve(f"J:{prompt.prompt[-1]['content']}{attempt}|")

    def refine(self, prompt: Prompt, attempt: str) -> list[Message]:
        return self.solve(f"R:{prompt.prompt[-1]['content']}{attempt}|")

    def words(self, role: str, prompt: Prompt, parts: Sequence[str]) -> list[Message] | None:
        return None

    def read_judgement(self, text: str) -> float | None:
        return {"#y": 1.0, "#n": 0.0}.get(text[-2:])

    def read_proposal(self, text: str) -> Prompt | None:
        fits = re.fullmatch(r"[rstudeoa+*1-9]+\|[0-9]{1,5}", text) and len(operations(text.split("|")[0]))
        return self.task._prompt(text) if fits and fits <= self.task.max_length and run(*text.split("|")) else None

    def solution(self, prompt: Prompt) -> str | None:
        program, given = prompt.key.split("|")
        names = operations(program)
        trace = [f"{names[i]}={run(''.join(names[: i + 1]), given)}" for i in range(len(names))]
        return f"{given};{';'.join(trace)}#{self.task._prompt(prompt.key).answer}"
