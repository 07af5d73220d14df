"""IFEval: instructions about the form of a text, such as a number of words, which a program can check.

Idea: a program can check exactly whether such an instruction was followed, without a judge.
Survey: static curation, section 2.2; verifiable rewards, section 4.3.2.
Paper: arXiv:2311.07911 (Instruction-Following Evaluation for Large Language Models), Zhou et al., 2023.
Algorithm:
  1. Load the table with `datasets`: prompt, instruction_id_list and kwargs, the values of each instruction.
  2. Leave out and count prompts with an instruction that has no check; see `problems/instructions.py`.
  3. A completion is right if it follows all instructions of its prompt: the paper's strict accuracy by prompt. A blank
     one follows none, as in the paper's code; thoughts are left out first.
Differs: 22 of the 25 kinds of instruction; the three that need a language detector or a sentence splitter are left out,
  and the two about capital letters do not check that the text is English. Words are matched literally, where the
  paper's code uses them as regular expressions. The paper only evaluates; here prompts of the train split are trained
  on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from selfimprove.errors import DataError
from selfimprove.interfaces import Roles
from selfimprove.problems.cells import messages_of, pick
from selfimprove.problems.instructions import follows, objection
from selfimprove.problems.problem_set import EnglishRoles, Loaded, ProblemSet, Published, published, source_of
from selfimprove.records import Message, Prompt
from selfimprove.registry import register


@register("ifeval", paper="2311.07911")
@dataclass
class Ifeval(Published):
    path: str = "google/IFEval"
    """Hub id, or a local file or folder with the columns prompt, instruction_id_list and kwargs."""
    split: str = "train"
    """Split to load; the published data has 541 prompts in this one split."""

    def __post_init__(self) -> None:
        self.counts: dict[str, int] = {}
        """Rows read, and rows left out for an instruction without a check; available once the data is read."""
        self._set = ProblemSet(self._load, "task.ifeval", self.conflicts, self.overlap)

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        return self._set.problems(split, n, seed, part)

    def preflight(self) -> list[str]:
        return self._set.preflight(self.path)

    def notes(self) -> list[str]:
        return self._set.notes()

    def verify(self, prompt: Prompt, text: str) -> float | None:
        asked = prompt.info.get("instructions")
        return float(follows(asked, text)) if asked else None

    def answer_of(self, text: str) -> str | None:
        return None

    def problem_of(self, row: Mapping[str, Any]) -> Prompt:
        asked = row.get("instructions")
        if asked is None:
            asked = json.loads(_row({"prompt": "-", **row})[1] or "[]")
        try:
            wrong = next((why for name, values in asked if (why := objection(name, dict(values)))), "")
        except (TypeError, ValueError) as error:
            raise DataError("'instructions' must be a list of [name, values]") from error
        if wrong or not asked:
            raise DataError(wrong or "'instructions' is empty")
        return Prompt(prompt=[{"role": "user", "content": str(row.get("prompt", ""))}], info={"instructions": asked})

    def reading(self, prompt: Prompt, text: str) -> tuple[str | None, str]:
        """How many instructions were followed, and which were not."""
        asked = prompt.info["instructions"]
        failed = [name for name, values in asked if not follows([(name, values)], text)]
        told = f"{len(asked) - len(failed)} of {len(asked)} instructions followed"
        return told if text.strip() else None, f"not followed: {', '.join(failed)}" if failed else ""

    def roles(self) -> Roles:
        return EnglishRoles(self.system_prompt, lambda: self.problems("train", 3, 0))

    def _load(self) -> Loaded:
        loaded = published(self, _row)
        problems = loaded.problems
        asked = [json.loads(problem.answer or "[]") for problem in problems]
        kept = [
            replace(problem, answer=None, info={**problem.info, "instructions": instructions})
            for problem, instructions in zip(problems, asked, strict=True)
            if instructions and not any(objection(name, values) for name, values in instructions)
        ]
        self.counts = {"rows": len(problems), "left_out": len(problems) - len(kept)}
        if not kept:
            [name, values] = next((pair for pairs in asked for pair in pairs), ["", {}])
            why = objection(name, values) or "none has an instruction"
            raise DataError(f"{source_of(self)}: no prompt can be checked: {why}")
        loaded.counts["unchecked"] = self.counts["left_out"]
        return replace(loaded, problems=kept)


def _row(values: dict[str, Any]) -> tuple[list[Message], str | None]:
    """The prompt, with its instructions as text in place of an answer."""
    names, given = pick(values, "instruction_id_list"), pick(values, "kwargs")
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError as error:
            raise DataError(f"'kwargs' is not JSON: {given[:80]!r}") from error
    fits = isinstance(names, list) and isinstance(given, list) and len(names) == len(given)
    if not fits or not all(one is None or isinstance(one, dict) for one in given):
        raise DataError("'instruction_id_list' and 'kwargs' must be lists of equal length, of names and of values")
    known = [
        [str(name), {key: v for key, v in (one or {}).items() if v is not None}]
        for name, one in zip(names, given, strict=True)
    ]
    return messages_of(pick(values, "prompt"), "prompt"), json.dumps(known)
