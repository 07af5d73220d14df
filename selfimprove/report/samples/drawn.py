"""The samples that a round drew, by problem: what each was rewarded, and whether it was kept for training.

Equal completions of a problem are folded into one with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

from selfimprove.records import Document, Preference, Prompt, Record, Rollout, each_record
from selfimprove.report.samples.spoken import said
from selfimprove.store.run_folder import RunDir

Rule = Callable[[Rollout], bool | None]
"""Whether the task's own rule calls a rollout right; None if it cannot tell."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Equal completions of one problem."""

    rollout: Rollout
    """The first of them."""
    text: str
    times: int
    use: str
    """`kept`; of a pair `chosen`, `rejected` or `chosen and rejected`; "" if it was dropped."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A problem with all that was drawn for it in a round."""

    problem: Prompt
    answers: list[Answer]
    """The kept ones first, then by how often they were said."""

    @property
    def kept(self) -> bool:
        """Whether anything of it was trained on."""
        return any(answer.use for answer in self.answers)


def steps_of(run: RunDir, number: int, stage: str) -> list[str]:
    """The finished steps of a stage in a round; with several legs there are several."""
    return sorted(step for step in run.finished(number) if step.partition(".")[0] == stage)


def drawn(run: RunDir, number: int) -> Iterator[Drawn]:
    """The problems of a round whose selection is finished, in the order of the file.

    Raises:
        DataError: a file is damaged.
    """
    for step in steps_of(run, number, "selection"):
        _, dot, leg = step.partition(".")
        uses = _uses(each_record(run.step(number, step) / "output.jsonl"))
        source = run.step(number, f"acquisition{dot}{leg}") / "output.jsonl"
        rollouts = (one for one in each_record(source) if isinstance(one, Rollout))
        for _, group in groupby(rollouts, key=lambda one: (one.prompt.key, one.prompt.id)):
            yield folded(list(group), uses)


def others(run: RunDir, number: int) -> str:
    """What a round acquired if it has no completions, in words; "" if it has some or nothing is known."""
    kinds = dict[type, str](
        {Prompt: "problems only; training draws its own samples", Document: "texts without problems"}
    )
    for step in steps_of(run, number, "acquisition"):
        first = next(each_record(run.step(number, step) / "output.jsonl"), None)
        if first is not None and type(first) in kinds:
            return kinds[type(first)]
    return ""


def _uses(records: Iterator[Record]) -> dict[tuple[str, str], str]:
    """(key of the problem, completion) -> what it was used as."""
    uses = dict[tuple[str, str], str]()
    for record in records:
        if isinstance(record, Rollout):
            uses[record.prompt.key, said(record.completion)] = "kept"
        elif isinstance(record, Preference):
            for side, messages in (("chosen", record.chosen), ("rejected", record.rejected)):
                place = record.prompt.key, said(messages)
                uses[place] = "chosen and rejected" if uses.get(place, side) != side else side
    return uses


def folded(group: list[Rollout], uses: dict[tuple[str, str], str]) -> Drawn:
    """The completions of one problem, equal ones as one.

    Args:
        uses: (key of the problem, completion) -> what it was used as.
    """
    equal = dict[tuple[str, float | None], list[Rollout]]()
    for rollout in group:
        equal.setdefault((said(rollout.completion), rollout.reward), []).append(rollout)
    answers = [
        Answer(rollout=same[0], text=text, times=len(same), use=uses.get((same[0].prompt.key, text), ""))
        for (text, _), same in equal.items()
    ]
    answers.sort(key=lambda answer: (not answer.use, -answer.times))
    return Drawn(problem=group[0].prompt, answers=answers)
