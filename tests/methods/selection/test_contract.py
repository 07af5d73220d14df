"""What every selection keeps to, whoever wrote it: a new file in selfimprove/methods/selection is held to this too."""

from __future__ import annotations

import copy
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from selfimprove import registry
from selfimprove.costs import Flow, Given
from selfimprove.errors import UserError
from selfimprove.interfaces import Context, Selection
from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.records import Checkpoint, Document, Preference, Prompt, Record, Rollout, dumps

registry.discover()
ALL = {
    entry.name: entry.method
    for entry in registry.METHODS.values()
    if entry.slot == "selection" and entry.method.__module__.startswith("selfimprove.")
}
each = pytest.mark.parametrize("name", sorted(ALL))
ORDER = {
    "dedup": "of equal rows the first stays",
    "minhash_dedup": "of near copies the first stays",
    "best_vs_worst": "of equal rewards the first is the best",
    "length_tier": "of equal rewards and lengths the first is taken",
    "vote_pairs": "of equal votes the first is taken",
    "correct_vs_wrong": "pairs are drawn",
    "random": "what is drawn depends on places",
    "dsir": "what is drawn depends on places",
    "threshold": "of a problem's rows the first stay",
    "top_k": "of equal rewards the first stay",
}
"""Selections whose ties, or whose draws, follow the order of the pool, each with what it does."""


@dataclass
class Told(Fake):
    """Each row has likelihoods of its own, by its text; a reply always says the same."""

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        return [
            [-(zlib.crc32(f"{statistic}{place}{one.text}".encode()) % 997) / 100 for place in range(2)]
            for one in rollouts
        ]


FEWER = {
    "deita": "a row that resembles a kept one goes",
    "ifd": "a row above 1 goes",
    "selectit": "a row without a grade goes",
    "superfiltering": "a row above 1 goes",
}
"""Selections that may keep fewer rows than their share, each with why."""


def pool_of(kind: Any, n: int, alike: bool = False) -> list[Any]:
    """n records of a kind with rewards from 0 to 1, of problems with four rows each; or n equal ones."""
    made = list[Any]()
    for problem, prompt in enumerate(ChainSums().problems("train", n, 3)):
        for sample in range(4):
            place = 0 if alike else 4 * problem + sample
            asked = ChainSums().problems("train", 1, 3)[0] if alike else prompt
            said = [{"role": "assistant", "content": f"{asked.key}={place % 7};{'1' * (place % 5)}#{place % 10}"}]
            if kind is Document:
                made.append(Document(text=f"a text about {said[0]['content']}"))
            elif kind is Prompt:
                made.append(asked)
            elif kind is Preference:
                made.append(Preference(prompt=asked, chosen=said, rejected=[{**said[0], "content": "?"}]))
            else:
                numbers = {"sum": -1.0 - place, "count": 2}
                made.append(Rollout(prompt=asked, completion=said, reward=place % 4 / 3, logprobs=numbers))
    return made[:n] if kind is not Prompt or alike else made[::4][:n]


def outcome(method: Selection, pool: Sequence[Record], context: Context) -> list[Record] | str:
    """What it keeps; or the line with which it refuses, such as for an engine without weights."""
    try:
        return list(method.select(pool, context.held(method)))
    except UserError as error:
        assert str(error) and "\n" not in str(error)
        return str(error)


@each
def test_a_selection_keeps_a_part_of_the_pool_and_leaves_the_pool_as_it_was(name: str, make_context: Callable) -> None:
    """The bound of `gives` holds, a share is exact, nothing comes twice, and the same pool gives the same result."""
    method = ALL[name]()
    pool = pool_of(method.consumes, 24)
    before, ids = [dumps(one) for one in pool], {one.id for one in pool}
    context = make_context(Told(default="#y"))
    found = outcome(method, pool, context)
    assert outcome(ALL[name](), copy.deepcopy(pool), make_context(Told(default="#y"))) == found
    assert [dumps(one) for one in pool] == before, "the pool was changed"
    if isinstance(found, str):
        return
    prompts = len({one.prompt.id for one in pool}) if method.consumes is Rollout else 24
    given = Given(flow=Flow(24, prompts, 4), problems=lambda n: n or 24, selection=256)
    assert len(found) <= method.gives(given).records
    assert all(isinstance(one, method.produces) for one in found)
    assert len({one.id for one in found}) == len(found), "a record comes twice"
    new = [one for one in found if one.id not in ids]
    assert all(set(one.parents) & ids for one in new), "a new record names no record of the pool"
    most = method.gives(given).records
    for option in {"share", "keep"} & {one.name for one in registry.options(ALL[name])}:
        if most == round(vars(method)[option] * 24) < 24:  # what it declares is exact
            assert len(found) == most or (name in FEWER and len(found) < most)


@each
def test_the_order_of_a_pool_decides_nothing(name: str, make_context: Callable) -> None:
    method = ALL[name]()
    pool = pool_of(method.consumes, 24)
    mixed = random.Random(4).sample(pool, len(pool))
    found = [outcome(ALL[name](), some, make_context(Told(default="#y"))) for some in (pool, mixed)]
    if name in ORDER:
        assert len(found[0]) == len(found[1])
        return
    first, second = (one if isinstance(one, str) else sorted(row.id for row in one) for one in found)
    assert first == second


@each
@pytest.mark.parametrize("size", [0, 1, 6])
def test_an_empty_pool_one_record_and_equal_records_are_no_trouble(
    name: str, size: int, make_context: Callable
) -> None:
    method = ALL[name]()
    found = outcome(method, pool_of(method.consumes, size, alike=True), make_context(Told(default="#y")))
    assert found == [] if size == 0 else isinstance(found, str) or len(found) <= size
