"""The beam by hand: without a judge it is the ordinary beam, and with one the judge decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest

from selfimprove.methods.refinement.self_evaluation_beam import SelfEvaluationBeam
from selfimprove.records import Message

SAYS = {"a;c;#1": 0.2, "a;d;#2": 0.2, "b;c;#3": 0.33, "b;d;#4": 0.27}
"""The likeliest solution is the third, the likeliest first step is b."""


def table(messages: Sequence[Message], liked: str = "a;d") -> Mapping[str, float]:
    asked = messages[-1]["content"]
    if not asked.startswith("judge"):
        return SAYS
    return {"#yes": 1.0} if liked.startswith(asked.split("\n")[-1][:3]) else {"#no": 1.0}


@pytest.mark.parametrize("beams", [1, 2, 4])
def test_without_a_judge_and_without_chance_it_is_the_ordinary_beam(table_model: ModuleType, beams: int) -> None:
    """With all steps drawn, exhaustive search gives the likeliest solution: here each step's best is the whole's best."""
    method = SelfEvaluationBeam(beams=beams, samples=32, steps=3, separator=";", lam=1.0, tau=0.0, temperature=1.0)
    [made] = table_model.answered(method, 1, table)
    assert made.text == max(SAYS, key=lambda text: SAYS[text])
    assert made.logprobs["sum"] == pytest.approx(math.log(SAYS[made.text] / sum(SAYS.values())), abs=1e-3)


def test_the_judge_decides_as_far_as_its_weight_goes(table_model: ModuleType) -> None:
    options = {"beams": 2, "samples": 32, "steps": 3, "separator": ";", "tau": 0.0, "temperature": 1.0}
    for lam, text in ((0.0, "a;d;#2"), (0.5, "a;d;#2"), (0.95, "b;c;#3")):
        [made] = table_model.answered(SelfEvaluationBeam(lam=lam, **options), 1, table)
        assert made.text == text, lam


def test_a_judge_that_says_the_same_of_all_changes_nothing(table_model: ModuleType) -> None:
    options = {"beams": 2, "samples": 8, "steps": 3, "separator": ";", "temperature": 1.0, "tau": 0.0}
    alone = table_model.answered(SelfEvaluationBeam(lam=1.0, **options), 4, table)
    for said in ("#yes", "#no", "hm"):
        same = lambda messages, said=said: (  # noqa: E731
            {said: 1.0} if messages[-1]["content"].startswith("judge") else SAYS
        )
        judged = table_model.answered(SelfEvaluationBeam(lam=0.5, **options), 4, same)
        assert [one.text for one in judged] == [one.text for one in alone]


def test_steps_may_be_tokens_and_what_has_not_ended_is_finished(table_model: ModuleType) -> None:
    method = SelfEvaluationBeam(beams=1, samples=32, steps=1, step_tokens=2, lam=1.0, tau=0.0, temperature=1.0)
    [made] = table_model.answered(method, 1, lambda messages: {"a b c #1": 0.6, "d e f #2": 0.4})
    assert made.text == "a b c #1"
    assert made.info["spent"]["completions"] == 33


def test_steps_of_whole_attempts_by_another_method(table_model: ModuleType) -> None:
    """Behind another method the first steps are the beginnings of its answers."""
    from selfimprove.methods.refinement.greedy import Greedy

    method = SelfEvaluationBeam(beams=1, samples=4, steps=3, separator=";", lam=1.0, tau=0.0, temperature=1.0)
    engine = table_model.TableModel(table=table)
    [made] = table_model.answered((Greedy(), method), 1, engine)
    assert made.text.startswith("b;c") and made.text in SAYS
