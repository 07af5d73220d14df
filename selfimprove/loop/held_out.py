"""What is left out of training: records of held-out problems, and texts that quote them.

A record whose problem's key is in a held-out split is always dropped. A record that has twelve words in a row of a
held-out problem, wherever they come from, is counted always, and dropped if the task says so: see
`Task.overlap_left_out`. Records of every kind are compared, documents too.
"""

from __future__ import annotations

from collections.abc import Sequence

from selfimprove.interfaces import Context
from selfimprove.loop.history import Stored
from selfimprove.problems import overlap, splits
from selfimprove.records import Document, Prompt, Record


def without(records: Sequence[Record], stored: Stored, given: Context) -> tuple[list[Record], dict[str, int]]:
    """The records that may be trained on, and how many were dropped or overlap: `held_out_dropped`, `overlap`."""
    clean = [record for record in records if _trainable(record)]
    dropped = len(records) - len(clean)
    if dropped:
        given.log.note(f"{dropped} records of held-out problems were dropped")
    counts = {"held_out_dropped": dropped}
    texts = [overlap.text_of(record) for record in clean]
    if not any(overlap.may_share(text) for text in texts):
        return clean, counts
    held_out = _held_out(stored)
    near = [held_out.shares(text) for text in texts]
    if not any(near):
        return clean, counts
    found, [name], task = sum(near), stored.recipe.task, stored.recipe.the("task")
    counts["overlap"] = found
    said = f"{found} records share twelve words in a row with a held-out problem"
    if not task.overlap_left_out():
        if given.round == 1:
            given.log.note(f"{said}; they were kept")
        return clean, counts
    given.log.note(f"{said} and were dropped (task.{name}.overlap=keep keeps them)")
    counts["overlap_dropped"] = found
    return [record for record, drop in zip(clean, near, strict=True) if not drop], counts


def _trainable(record: Record) -> bool:
    """Whether a record is a document, or its problem's key is in the training split."""
    if isinstance(record, Document):
        return True
    prompt = record if isinstance(record, Prompt) else record.prompt
    return splits.split_of(prompt.key) == "train"


def _held_out(stored: Stored) -> overlap.HeldOut:
    """The wording of the held-out problems; of a task that makes as many as it is asked for, of some of them."""
    if stored.held_out is None:
        task = stored.recipe.the("task")
        with splits.lifted():
            problems = [problem for split in splits.HELD_OUT for problem in task.problems(split, None, 0)]
        stored.held_out = overlap.HeldOut(problems, task.problems("train", None, 0))
    return stored.held_out
