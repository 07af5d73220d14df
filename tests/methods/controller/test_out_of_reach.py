"""No controller, whatever it has seen, changes how the loop is judged, how much of it is judged, or who controls it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove import registry
from selfimprove.interfaces import Controller
from selfimprove.recipe import compose
from selfimprove.records import Alert, Decision, Report
from selfimprove.rounds import Round, Stop

pytestmark = pytest.mark.runs

registry.discover()
OPTIONS = {
    "budget": {"hours": 3.0, "money": 5.0, "price_per_hour": 2.0, "tokens": 9000, "training_steps": 400},
    "curriculum": {"step": 2, "max_level": 9},
    "retry": {
        "max_retries": 4,
        "bounds": {"steps": 64.0, "learning_rate": 64.0, "data": 64.0, "temperature": 8.0, "beta": 8.0},
    },
}
"""Options that make a controller say as much as it can."""
CONTROLLERS = [
    entry.method(**options)
    for entry in registry.METHODS.values()
    if entry.slot == "controller" and entry.method.__module__.startswith("selfimprove.")
    for options in ({}, OPTIONS.get(entry.name, {}))
]
MAY_CHANGE = ("acquisition", "selection", "optimization")
BESIDES = (("task", "level"), ("refinement", "samples"))
"""Of a task its level may change, and of a refinement its samples: all policies of an exam answer by the same one."""


@cache
def settings_of(name: str) -> dict[str, Any]:
    task = {"easy_to_hard": "addition"}.get(name, "chain_sums")
    more = ["selection=[threshold,length_filter]"] if name == "quickstart" else []
    settings = compose.load(name, ["refinement=self_consistency", "refinement.self_consistency.samples=4", *more])[1]
    settings["task"][task]["level"] = 4
    return settings


scores = st.dictionaries(st.sampled_from([f"p{i}" for i in range(30)]), st.sampled_from([0.0, 0.5, 1.0]), max_size=30)
reports = scores.map(lambda marks: Report(metrics={}, scores=marks, parts={"probe/short": marks}))
alerts = st.lists(
    st.builds(
        Alert,
        alarm=st.sampled_from(
            [
                "length",
                "entropy",
                "diversity",
                "large_k",
                "forgetting",
                "reward_hacking",
                "majority_collapse",
                "contamination",
                "?",
            ]
        ),
        level=st.integers(1, 2),
        text=st.just("t"),
    ),
    max_size=3,
)
decisions = st.builds(
    Decision,
    verdict=st.sampled_from(["certify", "accept", "hold", "reject", "rollback"]),
    reason=st.just("r"),
    certified=st.booleans(),
    statistics=st.fixed_dictionaries(
        {}, optional={"fallen": st.lists(st.sampled_from(["probe/a", "ood/b", "pass@16", "x"]))}
    ),
)

lifts = st.fixed_dictionaries(
    {}, optional={"refined/lift_low": st.floats(-0.1, 0.3), "refined/retained": st.floats(-1, 2)}
)


@st.composite
def histories(draw: Callable) -> list[Round]:
    history = [Round(round=0, rounds=9, champion=draw(reports), seconds={"model": 60.0, "evaluation": 20.0})]
    for number in range(1, draw(st.integers(0, 6)) + 1):
        history.append(
            Round(
                round=number,
                rounds=9,
                champion=draw(reports),
                incumbent=draw(reports),
                candidate=draw(reports),
                alerts=draw(alerts),
                decision=draw(decisions),
                counts={"acquisition/tokens": draw(st.floats(0, 4000)), "optimization/steps": draw(st.floats(0, 200))},
                seconds={"acquisition": draw(st.floats(0, 4000)), "evaluation": draw(st.floats(0, 900))},
                reported=draw(lifts),
            )
        )
    return history


def test_every_controller_is_held_to_it() -> None:
    assert {type(method).__name__ for method in CONTROLLERS} >= {
        "Fixed",
        "Plateau",
        "Curriculum",
        "Budget",
        "Saturation",
        "Retry",
        "Climb",
    }


@pytest.mark.parametrize("method", CONTROLLERS, ids=lambda method: type(method).__name__.lower())
@given(histories(), st.sampled_from(["quickstart", "iterative_dpo", "easy_to_hard"]))
def test_what_judges_the_loop_is_out_of_reach(method: Controller, history: list[Round], name: str) -> None:
    settings = settings_of(name)
    kept, past = copy.deepcopy(settings), copy.deepcopy(history)
    said = method.next(history, settings)
    assert settings == kept and history == past, "a controller answers and changes nothing itself"
    assert method.next(history, settings) == said
    if isinstance(said, Stop):
        assert said.reason and "\n" not in said.reason
        return
    for key in said:
        slot, method_name, option = key.split(".")
        assert slot in MAY_CHANGE or (slot, option) in BESIDES, key
        assert option in settings[slot][method_name], "only options that the recipe has"
        assert not option.endswith(("_problems", "split")), key
