"""The live line of a run: the stage in plain words, what is left of the step, and what is left of the run."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.text import Text

STAGES = {
    "model": "building the start model",
    "acquisition": "drawing samples",
    "selection": "selecting",
    "optimization": "training",
    "refinement": "fitting the refinement",
    "evaluation": "testing on new problems",
    "audit": "auditing",
    "gate": "deciding",
    "controller": "planning",
    "confirmation": "testing once more",
    "null": "training on shuffled rewards",
    "sealed": "sealed exam",
}
"""Stage -> what is being done, in plain words."""
LONGEST, SHORTEST = 24, 6
"""Columns of the bar itself."""


def words(number: int, stage: str) -> str:
    """`round 3 training`; the start model and the exam belong to no round."""
    name, _, role = stage.partition(".")
    said = STAGES.get(name, name) + (f" ({role})" if role else "")
    return said if name in ("model", "confirmation", "null", "sealed") else f"round {number} {said}"


@dataclass
class Work:
    """How far a step is."""

    label: str
    began: float
    done: int = 0
    total: int = 0
    unit: str = ""
    rate: float = 0.0
    """Units per second; 0 while it is not known."""

    def said(self) -> str:
        """`17/40 steps, 13/s, 2 s left`."""
        if not self.total:
            return ""
        count = f"{self.done}/{self.total} {self.unit}".rstrip()
        if not self.rate:
            return count
        speed = f"{self.rate:.0f}/s" if self.rate >= 10 else f"{self.rate:.2g}/s"
        return f"{count}, {speed}, {seconds((self.total - self.done) / self.rate)} left"


@dataclass
class Course:
    """How far a run is."""

    began: float
    rounds: int = 0
    """How many rounds it goes to; 0 while that is not known."""
    number: int = 0
    """The last finished round."""
    finished: float = 0.0
    """When that round ended."""
    took: list[float] = field(default_factory=list)
    """Seconds of each round that was finished meanwhile, without the start."""

    def said(self, now: float) -> str:
        """`run 34 s, 30 s to go and the exam`."""
        gone = f"run {seconds(now - self.began)}"
        left = self.rounds - self.number
        if not self.took or left <= 0:
            return gone
        mean = sum(self.took) / len(self.took)
        return f"{gone}, {seconds(max(mean * left - (now - self.finished), 0))} to go and the exam"


def line(work: Work, course: Course | None, now: float, columns: int) -> Text:
    """The live line, in at most so many columns: a shorter bar, or none, where there is little room."""
    share = work.done / work.total if work.total else 0.0
    left = work.label if work.total else f"{work.label} ... {seconds(now - work.began)}"
    right = "   ".join(part for part in (work.said(), course.said(now) if course else "") if part)
    room = min(LONGEST, columns - len(left) - len(right) - 4)
    if not work.total or room < SHORTEST:
        text = f"{left}   {right}" if right else left
        return Text(text if len(text) < columns else f"{left}  {work.said()}"[: columns - 1])
    full = round(share * room)
    return Text.assemble(f"{left}  ", ("━" * full, "cyan"), ("─" * (room - full), "dim"), f"  {right}")


def seconds(time: float) -> str:
    """`34 s`, `12 min`, `3 h 10 min`."""
    if time < 100:
        return f"{time:.0f} s"
    minutes = round(time / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
