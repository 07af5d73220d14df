"""Small Python functions: predict the return value, find arguments for it, or write the function from examples.

Idea: a triple of program, input and output gives three kinds of problems, depending on the missing part, and running
the program marks any answer. So a model can write valid problems with correct marks without help.
Survey: verifiable problems, section 2.4; environment interaction, section 2.3.
Paper: arXiv:2505.03335 (Absolute Zero), Zhao et al., 2025: deduction, abduction and induction.
Algorithm:
  1. A problem is a function `f` and one or more inputs. It is valid if `f` returns a plain value for each of them, and
     the same value in a second run; programs run in a sandbox.
  2. The key is the program, normalized by `ast`, with its inputs. Its hash decides the split and the missing part.
  3. Deduction is right with the output of the first input, abduction with any arguments that give this output, and
     induction with any program that gives all outputs; every second one is shown. Induction needs four inputs.
  4. A proposal is a block of Python with `f` and a block with one input per line. Problems for gate and exam are rows
     of a data set with `code`, `input` and `output`; with one input they are deductions and abductions.
Differs: the paper asks for the three kinds in separate proposals, and for an induction lets the model write inputs to
  an earlier program; here the hash chooses the kind. It bans modules by name; here the sandbox blocks network and
  files, and the second run finds most nondeterminism. The proposer sees the paper's first triple, the identity, and no
  later ones. An exam's program with another input may be proposed and trained on.
"""

from __future__ import annotations

import ast
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.errors import DataError, RecipeError
from selfimprove.interfaces import Roles
from selfimprove.problems.cells import pick
from selfimprove.problems.hub_rows import read
from selfimprove.problems.problem_set import EnglishRoles, Loaded, ProblemSet, Published, source_of
from selfimprove.problems.program_text import last_block, program_of
from selfimprove.problems.rows import unread
from selfimprove.records import Message, Prompt
from selfimprove.registry import register
from selfimprove.safety.sandbox.grading import Checks
from selfimprove.safety.sandbox.jail_process import Limits, Program
from selfimprove.safety.sandbox.open import shared
from selfimprove.safety.sandbox.values import same, written
from selfimprove.text import beside

LONGEST, INPUTS, INDUCTION = 2000, 10, 4
"""Most characters of a program or a value, most inputs of a problem, and inputs that an induction needs."""
INPUT = "#< "
"""The comment before each input in a key; a program normalized by `ast` has no comments."""
ASKED = {
    "D": "```python\n{code}\n```\n\nWhat does `f({given})` return? Work it out step by step. End with the value alone, "
    "as Python writes it, in one ```python block.",
    "A": "```python\n{code}\n```\n\nFor which arguments does `f` return `{out}`? Any that do are right. End with a "
    "call, such as f(1, 'a'), in one ```python block.",
    "I": "Write a Python function `f` for which all of this holds, and which is right for further inputs:\n\n{pairs}\n"
    "\nEnd with the whole function in one ```python block.",
}
_PROPOSAL = re.compile(r"```(?:python|py)\n(.*?)```.*?```inputs?\n(.*?)```", re.DOTALL)


@register("python_programs", paper="2505.03335")
@dataclass
class PythonPrograms(Published):
    path: str = "cruxeval-org/cruxeval"
    """Hub id, or a local file or folder: columns `code` (a function f), `input` (its arguments) and `output`."""
    split: str = "test"
    per_row: ClassVar[int] = 3
    forms: str = "DAI"
    """Kinds of problems: D deduction, A abduction, I induction."""
    cpu_seconds: int = bounded(2, 1)
    """CPU time of a program in seconds; the limit of wall time is twice as long."""
    memory_mb: int = bounded(512, 128)
    """Memory of a program in MB."""
    skip_bad: int = bounded(0, 0)
    """Rows that may be skipped because they cannot be read or run; one more is an error."""

    def __post_init__(self) -> None:
        if not self.forms or set(self.forms) - set("DAI"):
            raise RecipeError(f"task.python_programs.forms is {self.forms!r}; it takes letters of DAI")
        self._set = ProblemSet(self._load, "task.python_programs", self.conflicts, self.overlap)

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        return self._set.problems(split, n, seed, part)

    def preflight(self) -> list[str]:
        return self._set.preflight(self.path)

    def notes(self) -> list[str]:
        return self._set.notes()

    def verify(self, prompt: Prompt, text: str) -> float | None:
        known = prompt.answer is not None and self._right(prompt.key, prompt.answer)  # else that of another problem
        return float(self._right(prompt.key, text)) if known else None

    def answer_of(self, text: str) -> str | None:
        said = last_block(text)
        return said.strip() if said else None

    def roles(self) -> Roles:
        return _Roles(self.system_prompt, lambda: [], self)

    def _right(self, key: str, text: str) -> bool:
        (code, *inputs), form = key.split(f"\n{INPUT}"), self._form(key)
        said = ((program_of(text, Checks(function="f")) if form == "I" else self.answer_of(text)) or "")[:LONGEST]
        outputs = _outputs(code, tuple(inputs), self._limits())
        if outputs is None or not said:
            return False
        try:
            if form == "D":
                return same(outputs[0], ast.literal_eval(said))
            given = inputs if form == "I" else [_arguments(said)]
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return False
        gave = _run(said if form == "I" else code, given, self._limits())
        wanted = outputs if form == "I" else outputs[:1]
        return gave is not None and all(same(one, other) for one, other in zip(wanted, gave, strict=True))

    def _form(self, key: str) -> str:
        """The form of a problem; "" if it has too few inputs for every allowed form."""
        fit = [form for form in self.forms if form != "I" or key.count(f"\n{INPUT}") >= INDUCTION]
        return fit[int(hashlib.sha256(f"form {key}".encode()).hexdigest(), 16) % len(fit)] if fit else ""

    def _limits(self) -> Limits:
        return Limits(cpu_seconds=self.cpu_seconds, memory=self.memory_mb << 20)

    def _prompt(self, key: str) -> Prompt | None:
        """The problem of a key; None if it is invalid."""
        code, *inputs = key.split(f"\n{INPUT}")
        form, outputs = self._form(key), _outputs(code, tuple(inputs), self._limits())
        if not form or outputs is None:
            return None
        shown = "\n".join(f"f({one}) == {out!r}" for one, out in [*zip(inputs, outputs, strict=True)][::2])
        text = ASKED[form].format(code=code, given=inputs[0], out=repr(outputs[0]), pairs=shown)
        answer = {"D": repr(outputs[0]), "A": f"f({inputs[0]})", "I": f"```python\n{code}\n```"}[form]
        return Prompt(prompt=self.roles().solve(text), answer=answer, key=key, info={"form": form})

    def _load(self) -> Loaded:
        def row(values: dict[str, Any]) -> tuple[list[Message], str | None]:
            key = key_of(str(pick(values, "code")), [str(pick(values, "input"))])
            if key is None:
                raise DataError("code and input are not a function f and the arguments of a call")
            return [{"role": "user", "content": key}], str(pick(values, "output"))

        way = "task.python_programs.skip_bad"
        rows, counts = read(source_of(self), row, skip_bad=self.skip_bad, skip_option=way, same=unread)
        with ThreadPoolExecutor(shared(self._limits()).workers) as threads:
            made = list(threads.map(lambda one: self._prompt(one.messages[0]["content"]), rows))
        bad = [one.line for one, prompt in zip(rows, made, strict=True) if prompt is None]
        if len(bad) > self.skip_bad:
            raise DataError(
                f"{source_of(self)}, row {bad[0]}: the function returns no plain value, or another one each time. "
                f"Correct it, or allow more with task.python_programs.skip_bad={len(bad)}"
            )
        for line in bad:
            counts.add("skipped", line)
        return Loaded([prompt for prompt in made if prompt], counts)


def key_of(code: str, inputs: list[str]) -> str | None:
    """Program and inputs, each normalized by `ast`; None if they are invalid or too large."""
    try:
        program = ast.unparse(ast.parse(code))
        given = [", ".join(map(repr, _arguments(one))) for one in inputs]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    fits = 1 <= len(given) <= INPUTS and max(map(len, [program, *given])) <= LONGEST
    return f"\n{INPUT}".join([program, *given]) if fits and f"\n{INPUT}" not in program else None


def _arguments(text: str) -> list[Any]:
    """The plain arguments of a call of f, written as `f(1, 2)` or `1, 2`."""
    text = text.strip()
    call = ast.parse(text if re.match(r"f\s*\(", text) else f"f({text})", mode="eval").body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != "f" or call.keywords:
        raise ValueError("not a call of f with plain arguments")
    return [ast.literal_eval(argument) for argument in call.args]


@lru_cache(maxsize=1 << 14)
def _outputs(code: str, inputs: tuple[str, ...], limits: Limits) -> tuple[Any, ...] | None:
    """The value that the program returns for each input; None if it fails or a second run returns another value."""
    first = _run(code, inputs, limits)
    text = written(first) if first is not None else None
    again = _run(code, inputs, limits) if text is not None and len(text) <= INPUTS * LONGEST else None
    repeats = again is not None and all(same(one, other) for one, other in zip(first or (), again, strict=True))
    return first if repeats else None


def _run(code: str, inputs: Any, limits: Limits) -> tuple[Any, ...] | None:
    """The value that the program's f returns for each input; None if one of them fails."""
    given = [_arguments(one) if isinstance(one, str) else one for one in inputs]
    answers = shared(limits).run(Program(code, function="f", arguments=given)).answers
    good = len(answers) == len(given) and not any(answer.error for answer in answers)
    return tuple(answer.value for answer in answers) if good else None


@dataclass
class _Roles(EnglishRoles):
    """The prompts of the other tasks with data; a proposal is a program with inputs."""

    task: PythonPrograms

    def propose(self, level: int | None) -> list[Message]:
        """A request for a function with hard-to-predict outputs, and inputs for it."""
        text = beside(__name__, "python_programs_propose.txt")
        dial = "" if level is None else f" Make it of difficulty {level}, where 1 is the easiest and 10 the hardest."
        return [{"role": "user", "content": text.replace("{level}", dial)}]

    def read_proposal(self, text: str) -> Prompt | None:
        """The problem of the first program with a block of inputs, if it is valid."""
        found = _PROPOSAL.search(text)
        lines = [line for line in found[2].splitlines() if line.strip()] if found else []
        key = key_of(found[1], lines) if found else None
        return self.task._prompt(key) if key else None
