"""Layers of proposers and an aggregator: what it copies is what comes out, and one layer with a vote is a vote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.refinement.mixture_of_agents import MixtureOfAgents
from selfimprove.methods.refinement.self_consistency import SelfConsistency

SAYS = {"so #4": 0.5, "#5": 0.3, "#6": 0.2}


def shown(messages: Sequence[Any]) -> list[str]:
    return re.findall(r"Answer \d+:\n(.+)", messages[-1]["content"])


def copying(place: int) -> Any:
    """A model that repeats the answer at this place of those that it sees."""
    return lambda messages: {shown(messages)[place]: 1.0} if shown(messages) else SAYS


def test_one_layer_with_a_vote_is_self_consistency(table_model: ModuleType) -> None:
    method = MixtureOfAgents(proposers=["own"] * 5, layers=1, aggregate="vote")
    made, votes = (table_model.answered(one, 20, copying(0)) for one in (method, SelfConsistency(samples=5)))
    assert [one.text for one in made] == [one.text for one in votes]


@pytest.mark.parametrize(("layers", "place"), [(1, 0), (3, 0), (3, 2)])
def test_an_aggregator_that_copies_gives_a_proposers_answer(table_model: ModuleType, layers: int, place: int) -> None:
    engine = table_model.TableModel(table=copying(place))
    [made] = table_model.answered(MixtureOfAgents(proposers=["own"] * 3, layers=layers), 1, engine)
    [first] = engine.draw(engine.asked[:1], None)
    assert made.text == first[place].text
    assert made.info["spent"]["completions"] == 3 * layers + 1
    assert [len(shown(ask.prompt.prompt)) for ask in engine.asked[:-1]] == [0] + [3] * layers


def test_earlier_weights_propose(table_model: ModuleType) -> None:
    engine = table_model.TableModel(table=copying(1), tables={"champion": {"q0": {"#9": 1.0}}})
    method = MixtureOfAgents(proposers=["own@0", "champion"], layers=1)
    others = lambda name: replace_weights(table_model.policy_of((), engine), name)  # noqa: E731
    [made] = table_model.answered(method, 1, engine, others=others)
    assert made.text == "#9"
    assert method.needs().policies == ("champion",)
    assert [ask.checkpoint.path for ask in engine.asked] == ["weights", "champion", "weights"]
    assert [ask.sampling.temperature for ask in engine.asked] == [0.0, 0.7, 0.0]


def replace_weights(policy: Any, path: str) -> Any:
    return replace(policy, checkpoint=replace(policy.checkpoint, path=path))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"proposers": ["champio"]}, "Did you mean 'champion'"),
        ({"proposers": ["own@hot"]}, "temperature from 0 to 100"),
        ({"proposers": ["own@nan"]}, "temperature from 0 to 100"),
        ({"proposers": []}, "at least one"),
        ({"aggregate": "votes"}, "Did you mean 'vote'"),
    ],
)
def test_what_is_no_proposer_is_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        MixtureOfAgents(**options)
