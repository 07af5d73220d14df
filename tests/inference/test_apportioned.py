"""What each of several items takes of a reward that sees all of them in one call."""

from __future__ import annotations

from types import ModuleType

import pytest

from selfimprove.costs import NOTHING, Cost
from selfimprove.inference.apportioned import Heard
from selfimprove.interfaces import Ask, Sampling
from selfimprove.logs import Silent
from selfimprove.records import Checkpoint, Prompt

WEIGHTS = Checkpoint(path="weights")


def asked(text: str, n: int = 1, seed: int = 0) -> Ask:
    prompt = Prompt(prompt=[{"role": "user", "content": text}])
    return Ask(checkpoint=WEIGHTS, prompt=prompt, n=n, sampling=Sampling(), seed=seed)


def test_what_was_asked_before_is_answered_without_drawing(table_model: ModuleType) -> None:
    engine = table_model.TableModel(table={"x": {"a b": 1.0}, "y": {"c": 1.0}})
    heard = Heard(engine)
    first = heard.draw([asked("x", 2), asked("y"), asked("x", 2)], Silent())
    assert [[one.text for one in group] for group in first] == [["a b", "a b"], ["c"], ["a b", "a b"]]
    assert engine.drawn == 3  # the question that comes twice once
    heard.asked = {}
    assert heard.draw([asked("x", 2)], Silent()) == [first[0]]
    assert engine.drawn == 3
    # two completions of `a`, a blank, `b` and the end; what an item takes counts also where nothing was drawn for it
    assert list(heard.asked.values()) == [Cost(completions=2, tokens=8)]
    heard.draw([asked("x", 2, seed=1)], Silent())
    assert engine.drawn == 5


def test_scores_are_known_by_weights_completion_and_statistic(table_model: ModuleType) -> None:
    engine = table_model.TableModel(table={"x": {"a": 1.0}})
    heard = Heard(engine)
    [[one]] = heard.draw([asked("x")], Silent())
    rows = heard.logprobs_of(WEIGHTS, [one, one])
    assert rows[0] == rows[1] == pytest.approx([0.0, 0.0])
    assert len(engine.scored) == 1
    heard.asked = {}
    heard.logprobs_of(WEIGHTS, [one])
    heard.logprobs_of(WEIGHTS, [one], "entropy")
    assert len(engine.scored) == 2
    assert sum(heard.asked.values(), NOTHING) == Cost(scored=2)
