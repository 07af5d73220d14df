"""The pool has what its metrics say, each fault is one, and the tally counts what is left by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.acquisition.planted import KINDS, Planted
from selfimprove.methods.selection.planted_tally import PlantedTally, found
from selfimprove.methods.task.chain_sums import ChainSums


@pytest.fixture
def context(make_context: Callable) -> object:
    task = ChainSums(gap_share=0.0)
    problems = {"problems": lambda n, number: task.problems("train", n, number)}
    return make_context(roles=task.roles(), verify=task.verify, **problems)


def test_each_fault_is_what_it_is_called(context: object) -> None:
    pool = Planted(problems=200).acquire([], context)
    marks = {
        kind: [context.verify(one.prompt, one.text) for one in pool if one.info["plant"] == kind]
        for kind in ("clean", *KINDS)
    }
    assert len(pool) == 200 == sum(map(len, marks.values())) and all(marks.values())
    assert set(marks["clean"]) == set(marks["copy"]) == {1.0} and set(marks["wrong"]) == {0.0}
    assert {one.text for one in pool if one.info["plant"] == "poisoned"} == {pool[0].text}
    assert len({one.id for one in pool}) == 200 and Planted(problems=200).acquire([], context) == pool
    copies = {(one.prompt.id, one.text) for one in pool if one.info["plant"] == "copy"}
    assert copies <= {(one.prompt.id, one.text) for one in pool if one.info["plant"] == "clean"}
    assert context.log.metrics["planted/wrong"] == len(marks["wrong"]) == pool[0].info["plants"]["wrong"]


def test_the_tally_by_hand(context: object) -> None:
    """Half of the wrong rows, all poisoned ones and ten clean ones go."""
    pool = Planted(problems=200).acquire([], context)
    counts = Counter(one.info["plant"] for one in pool)
    wrong = [one for one in pool if one.info["plant"] == "wrong"][: counts["wrong"] // 2]
    clean = [one for one in pool if one.info["plant"] == "clean"][:10]
    kept = [one for one in pool if one not in (*wrong, *clean) and one.info["plant"] != "poisoned"]
    told = found(kept)
    assert told["recall_wrong"] == len(wrong) / counts["wrong"] and told["recall_poisoned"] == 1.0
    assert told["recall_copy"] == 0.0 and told["kept_clean"] == 1 - 10 / counts["clean"]
    assert told["precision"] == (len(wrong) + counts["poisoned"]) / (len(wrong) + counts["poisoned"] + 10)
    assert PlantedTally().select(kept, context) == kept
    assert context.log.metrics["planted_tally/recall_poisoned"] == 1.0
    assert found([]) == {} and found(pool)["precision"] == 1.0


def test_shares_and_a_task_without_solutions(make_context: Callable) -> None:
    with pytest.raises(RecipeError, match=r"add up to 1\.25, at most 1"):
        Planted(wrong=0.95)
    context = make_context(problems=lambda n, number: [])
    assert Planted().acquire([], context) == [] and "fewer than two" in context.log.notes[0]
