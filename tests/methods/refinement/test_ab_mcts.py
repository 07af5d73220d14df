"""Where revising pays the tree grows deeper, where it harms it grows wider."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType

import pytest

from selfimprove.methods.refinement.ab_mcts import AbMcts
from selfimprove.records import Message

pytest.importorskip("treequest")


def teller(revised: str) -> Callable[[Sequence[Message]], Mapping[str, float]]:
    """A model whose first answers are always wrong, and whose revisions are `revised`; its judge is right."""

    def table(messages: Sequence[Message]) -> Mapping[str, float]:
        role, *rest = messages[-1]["content"].split("\n")
        if role == "judge":
            return {"#yes": 1.0} if rest[-1].endswith("#4") else {"#no": 1.0}
        return {revised: 1.0} if role == "refine" else {"first #1": 1.0}

    return table


def test_deeper_where_revising_pays_and_wider_where_it_does_not(table_model: ModuleType) -> None:
    shares = {}
    for revised in ("second #4", "worse #2"):
        engine = table_model.TableModel(table=teller(revised))
        made = table_model.answered(AbMcts(expansions=12), 3, engine)
        said = [ask for ask in engine.asked if not ask.prompt.prompt[-1]["content"].startswith("judge")]
        deeper = sum(ask.n for ask in said if ask.prompt.prompt[-1]["content"].startswith("refine"))
        shares[revised] = deeper / sum(ask.n for ask in said)
        assert all(one.info["spent"]["completions"] == 24 for one in made)
        if revised == "second #4":
            assert {one.text for one in made} == {"second #4"}, "the values of the first answers are 0"
    assert shares["second #4"] > shares["worse #2"] + 0.2, shares


def test_the_librarys_numbers_are_the_items_own(table_model: ModuleType) -> None:
    import numpy

    before = numpy.random.get_state()[1].tolist()
    method = AbMcts(expansions=5, batch=2, prior="beta", choose="best")
    alone = table_model.answered(method, 1, teller("second #4"))
    numpy.random.seed(1)
    assert table_model.answered(method, 3, teller("second #4"))[:1] == alone
    numpy.random.set_state(("MT19937", before, 624, 0, 0.0))
