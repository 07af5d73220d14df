"""The samples of a round's audit: held-out problems, so they can be seen only after the exam."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby

from selfimprove.errors import RecipeError
from selfimprove.records import Rollout, each_record
from selfimprove.report.samples.drawn import Drawn, folded
from selfimprove.store.run_folder import RunDir


def audited(run: RunDir, number: int) -> Iterator[Drawn]:
    """The audit problems of a round with the samples of the model that it made.

    Raises:
        RecipeError: the exam is not over.
        DataError: the file is damaged.
    """
    if not os.path.lexists(run.root / "summary.json"):
        raise RecipeError(
            f"audit problems are held out, so they are shown after the exam only. Finish the run: "
            f"selfimprove resume {run.root}"
        )
    if "audit" not in run.finished(number):
        return iter(())
    found = (one for one in each_record(run.step(number, "audit") / "audit.jsonl") if isinstance(one, Rollout))
    return (folded(list(group), {}) for _, group in groupby(found, key=lambda one: one.prompt.key))
