"""What every method that writes problems keeps: no held-out problem, unique records, parents that exist, the same again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from selfimprove.inference.desk import Sessions
from selfimprove.interfaces import Acquisition
from selfimprove.methods.acquisition.attributed import Attributed
from selfimprove.methods.acquisition.cot_self_instruct import CotSelfInstruct
from selfimprove.methods.acquisition.evol_instruct import EvolInstruct
from selfimprove.methods.acquisition.ladder_variants import LadderVariants
from selfimprove.methods.acquisition.language_self_play import LanguageSelfPlay
from selfimprove.methods.acquisition.magpie import Magpie
from selfimprove.methods.acquisition.self_instruct import SelfInstruct
from selfimprove.methods.task.word_problems import WordProblems
from selfimprove.problems import stories
from selfimprove.problems.splits import split_of
from selfimprove.records import Rollout

TASK = WordProblems(min_length=1, max_length=3, asides=0)
METHODS: list[Acquisition] = [
    SelfInstruct(problems=40, seeds=False),
    SelfInstruct(problems=40, exemplars=4, similarity=1.0, seeds=False),
    EvolInstruct(depth=2, seeds=False),
    CotSelfInstruct(problems=40, samples=2, check="vote"),
    LadderVariants(variants=3, depth=2, roots=False),
    Attributed(problems=40, attributes={"level": ["2", "3"]}),
    LanguageSelfPlay(queries=40, answers_each=2, quality=0.0),
    Magpie(problems=40),
]


def says(text: str, ask: Any) -> str:
    """A story of any split, with a solution where one is asked for."""
    if text.startswith("S:") and len(text) > 2:
        return "so #4"
    if text == "S:":  # one request, so one story: it is not held out
        return TASK.problems("train", 1, 9)[0].prompt[0]["content"][2:]
    story = str(stories.told(next(stories.sums(2, Random(text + str(ask.seed)))), 0, Random(ask.seed)))
    return f"{story}####so #4" if text.startswith("Q:") else story


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_written_problems(method: Acquisition, make_story_context: Callable) -> None:
    seeds = TASK.problems("train", 12, 0)

    def made() -> tuple[Any, Any]:
        context = make_story_context(says, TASK)
        desk = Sessions(TASK, others={"start": context.policy}.__getitem__)
        context = replace(context, policy=replace(context.policy, desk=desk))
        return method.acquire([] if method.consumes is None else seeds, context), context.log.metrics

    records, metrics = made()
    assert records and (records, metrics) == made()
    problems = [one.prompt if isinstance(one, Rollout) else one for one in records]
    assert {split_of(one.key) for one in problems} == {"train"}
    known = {one.id for one in [*seeds, *problems]}
    if method.produces is not Rollout:
        assert len({one.id for one in records}) == len({one.key for one in records}) == len(records)
        assert all({*one.parents} <= known for one in records)
        assert all(one.answer is None or one.info["label"] == "own" for one in records)
    name = type(method).__module__.rpartition(".")[2]
    assert {"valid", "distinct", "variety", "drift", "tokens", "held_out"} <= {
        key.removeprefix(f"{name}/") for key in metrics
    }
