"""Is self-improvement possible here, and is it over? Measures of samples that the task has marked, and verdicts.

Pure functions. Sources: arXiv:2107.03374 (pass@k); arXiv:2412.02674 (generation-verification gap); arXiv:2412.01951
(sharpening and coverage); arXiv:2505.21444 and arXiv:2504.16084 (how majorities collapse); arXiv:2504.13837 (pass@k at
large k); arXiv:2507.00075 (dynamics).
"""

from __future__ import annotations

from selfimprove.measures.diagnosis.estimates import estimate
from selfimprove.measures.diagnosis.fit import Fit, dynamics
from selfimprove.measures.diagnosis.measures import (
    any_of,
    auroc,
    by_threshold,
    by_tuned_threshold,
    gap,
    labels,
    ladder,
    majority_of,
    measure,
    of_audit,
    self_scores,
    sharpening,
)
from selfimprove.measures.diagnosis.memorization import grew, memorization
from selfimprove.measures.diagnosis.samples import marked
from selfimprove.measures.diagnosis.types import Diagnosis, Estimate, Ladder, Sample
from selfimprove.measures.diagnosis.verdict import Change, Verdict, compare, summary, verdicts

__all__ = [
    "Change",
    "Diagnosis",
    "Estimate",
    "Fit",
    "Ladder",
    "Sample",
    "Verdict",
    "any_of",
    "auroc",
    "by_threshold",
    "by_tuned_threshold",
    "compare",
    "dynamics",
    "estimate",
    "gap",
    "grew",
    "labels",
    "ladder",
    "majority_of",
    "marked",
    "measure",
    "memorization",
    "of_audit",
    "self_scores",
    "sharpening",
    "summary",
    "verdicts",
]
