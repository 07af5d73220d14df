"""All points are written in one wave, in their order; without a skeleton the answer is an ordinary attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

from selfimprove.methods.refinement.skeleton_of_thought import SkeletonOfThought
from selfimprove.records import Message


def table(messages: Sequence[Message]) -> Mapping[str, float]:
    asked = messages[-1]["content"]
    if "Do not answer yet" in asked:
        return {"1. first\n2) second\nnothing\n3. third": 1.0} if asked.startswith("q0") else {"no list": 1.0}
    for number in "123":
        if f"Write out point {number} only" in asked:
            return {f"this is {number} #{number}": 1.0}
    return {"plain #4": 1.0}


def test_the_points_are_written_at_once(table_model: ModuleType) -> None:
    engine = table_model.TableModel(table=table)
    listed, plain = table_model.answered(SkeletonOfThought(), 2, engine)
    assert listed.text == "1. this is 1 #1\n2. this is 2 #2\n3. this is 3 #3"
    assert listed.info["spent"]["completions"] == 4 and plain.info["spent"]["completions"] == 2
    assert plain.text == "plain #4"
    assert engine.calls == 2, "the skeletons are one wave, the points and the plain attempt the other"
    [short] = table_model.answered(SkeletonOfThought(points=1), 1, table)
    assert short.text == "1. this is 1 #1"
