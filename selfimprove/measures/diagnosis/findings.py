"""The findings of a diagnosis of one model or of a run."""

from __future__ import annotations

from dataclasses import dataclass

from selfimprove.measures.diagnosis.fit import Fit
from selfimprove.measures.diagnosis.types import Diagnosis
from selfimprove.measures.diagnosis.verdict import Change, Verdict


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The findings of a diagnosis; for a run, the verdicts are about its last model."""

    target: str
    task: str
    problems: int
    samples: int
    seed: int
    models: dict[str, Diagnosis]
    """`model`; for a run `start`, `round N` before the last change, and `round N` now."""
    verdicts: list[Verdict]
    change: Change | None
    """From the start to now."""
    fit: Fit | None
    """The dynamics of a run's candidates, from four rounds on."""

    @property
    def now(self) -> Diagnosis:
        """The model that the verdicts are about."""
        return list(self.models.values())[-1]
