"""Confidences count within a problem: from the plain vote to the surest, and no gain from those that know nothing."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.refinement.cisc import TEMPERATURES, Cisc
from selfimprove.methods.refinement.self_consistency import SelfConsistency

SAYS = {"#4": 0.35, "#5": 0.45, "#6": 0.2}


def asking(yes: float) -> Any:
    """A model that says so surely yes to a right answer, and no as surely to a wrong one."""

    def table(messages: Sequence[Any]) -> dict[str, float]:
        asked = messages[-1]["content"]
        if "Is the answer correct?" in asked or asked.startswith("judge"):
            sure = yes if "#4" in asked else 1 - yes
            head = "#" if asked.startswith("judge") else ""
            return {f"{head}yes": sure, f"{head}no": 1 - sure}
        return SAYS

    return table


def texts(made: Sequence[Any]) -> list[str]:
    return [one.text for one in made]


def test_the_softmax_temperature_leads_from_the_vote_to_the_surest(table_model: ModuleType) -> None:
    alike = table_model.answered(Cisc(samples=6, confidence="p_true", softmax_temperature=1e9), 30, asking(0.9))
    surest = table_model.answered(Cisc(samples=6, confidence="p_true", softmax_temperature=0.01), 30, asking(0.9))
    drawn = table_model.TableModel(table=asking(0.9))
    table_model.answered(SelfConsistency(samples=6), 30, drawn)
    groups = [texts(drawn.draw([ask], None)[0]) for ask in list(drawn.asked)]
    for group, one in zip(groups, texts(alike), strict=True):
        assert group.count(one) == max(map(group.count, group)), "a plurality; ties fall to the surer"
    assert [text == "#4" for text in texts(surest)] == ["#4" in group for group in groups]


@pytest.mark.parametrize(("confidence", "tokens"), [("p_true", 3), ("judge", 5)])
def test_what_the_confidence_costs(table_model: ModuleType, confidence: str, tokens: int) -> None:
    """`#4` has three tokens with its end, a judgement as many, and P(True) is one."""
    method = Cisc(samples=4, confidence=confidence)
    [made] = table_model.answered(method, 1, asking(1.0))
    assert made.info["spent"]["completions"] == 8
    assert made.info["spent"]["tokens"] == 4 * 3 + 4 * (1 if confidence == "p_true" else 3)


def test_a_judge_that_knows_nothing_gains_nothing(table_model: ModuleType) -> None:
    """Confidence is noise: over 150 problems the difference to the plain vote stays within three errors."""
    noise = random.Random(3)

    def table(messages: Sequence[Any]) -> dict[str, float]:
        if "Is the answer correct?" not in messages[-1]["content"]:
            return {"#4": 0.5, "#5": 0.5}
        yes = noise.random()
        return {"yes": yes, "no": 1 - yes}

    made = table_model.answered(Cisc(samples=5, confidence="p_true", softmax_temperature=0.2), 150, table)
    right = sum(one.reward for one in made) / 150
    assert abs(right - 0.5) < 3 * math.sqrt(0.25 / 150)


def test_the_temperature_is_chosen_on_selection_problems(table_model: ModuleType, tmp_path: Path) -> None:
    """The surer answer is right, and the vote is wrong: a small temperature is best. Its confidences order them."""
    for yes, wqd in ((0.9, 1.0), (0.1, 0.0), (0.5, 0.5)):
        method = Cisc(samples=7, confidence="p_true", tune=12)
        task, metrics = table_model.Quiz(), dict[str, float]()
        policy = table_model.policy_of(method, table_model.TableModel(table=asking(yes)), task)
        log = table_model.Silent()
        log.metric = metrics.__setitem__
        state = method.fit(table_model.context_of(policy.held(method), task, tmp_path, log=log))
        assert metrics["cisc/wqd"] == wqd
        assert state["softmax_temperature"] in TEMPERATURES
        assert (state["softmax_temperature"] < 1) == (yes > 0.5)
        [made] = table_model.answered(method, 1, asking(yes), states=[state])
        assert made.text
    with pytest.raises(RecipeError, match="Did you mean 'p_true'"):
        Cisc(confidence="p_tru")
