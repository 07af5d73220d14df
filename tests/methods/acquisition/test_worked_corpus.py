"""Worked solutions as documents, of which a known share is spoiled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.acquisition.worked_corpus import WorkedCorpus


def test_sound_documents_are_right_and_each_kind_of_damage_is_what_it_says(make_context: Callable) -> None:
    given = make_context()
    shares = {"copies": 0.1, "wrong": 0.2, "shuffled": 0.1, "boilerplate": 0.1}
    made: Any = WorkedCorpus(documents=100, form="{problem}{solution}", **shares).acquire([], given)
    kinds = Counter(one.info.get("planted", "sound") for one in made)
    assert kinds == {"sound": 50, "copies": 10, "wrong": 20, "shuffled": 10, "boilerplate": 10}
    assert {name.partition("/")[2]: n for name, n in given.log.metrics.items()} == kinds
    problems = {p.id: p for p in given.problems(1600, 1)}
    for one in made:
        problem, kind = problems[one.parents[0]], one.info.get("planted", "")
        said = one.text.partition("=")[2]
        if kind in ("", "wrong"):
            assert one.text.startswith(problem.prompt[-1]["content"])
            assert (given.verify(problem, said) == 1.0) == (not kind)
    assert len({one.text for one in made if not one.info}) == 50
    assert len({one.text for one in made if one.info.get("planted") == "boilerplate"}) == 1


def test_shares_above_one_are_refused() -> None:
    with pytest.raises(RecipeError, match="more than 1"):
        WorkedCorpus(wrong=0.6, copies=0.5)
