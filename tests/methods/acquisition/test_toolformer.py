"""Calls of a calculator in documents: kept where the result makes what follows likelier, by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Ask, Engine, Log
from selfimprove.measures.ridge import auroc
from selfimprove.methods.acquisition.toolformer import WEIGHTS, Toolformer, inserted
from selfimprove.records import Checkpoint, Document, Rollout


@dataclass
class Reader(Engine):
    """Each character after a place costs 2 nats, or 0.1 where a result before the text says it; a call begins at digits.

    A model that reads results: what stands behind `-> ` before the text is what it expects next.
    """

    can: ClassVar[frozenset[str]] = frozenset({"stop", "logprobs"})
    asks: list[str] = field(default_factory=list)

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        self.asks += [ask.prompt.prompt[-1]["content"] for ask in asks]
        says = ["3+5)", "1/0)", "no end"]
        return [
            [
                Rollout(prompt=ask.prompt, completion=[{"role": "assistant", "content": says[n % 3]}])
                for n in range(ask.n)
            ]
            for ask in asks
        ]

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        made = []
        for rollout in rollouts:
            assert rollout.truncated and not rollout.ended  # no end token is scored
            begun = rollout.prompt.prompt[-1]["content"]
            if rollout.text == "[Calculator(":
                made.append([-0.5 if begun.endswith("= ") else -9.0])
                continue
            expected = re.match(r"\[Calculator\([^)]*\) -> ([^\]]*)\]", begun)
            known = expected[1] if expected else ""
            made.append(
                [-0.1 if known[place : place + 1] == letter else -2.0 for place, letter in enumerate(rollout.text)]
            )
        return made


def test_the_weights_add_up_to_one_and_end_after_five_tokens() -> None:
    assert sum(WEIGHTS) == pytest.approx(1) and len(WEIGHTS) == 5
    assert list(WEIGHTS) == pytest.approx([1 / 3, 0.8 / 3, 0.6 / 3, 0.4 / 3, 0.2 / 3])


def test_the_gain_of_a_call_by_hand(make_context: Callable) -> None:
    given = make_context(Reader())
    documents = [
        Document(text="a sum: 17+25=42 is right"),
        Document(text="a sum: 17+25=99 is wrong"),
        Document(text="none"),
    ]
    method = Toolformer(propose="expressions", gain=1.0)
    made: Any = method.acquire(documents, given.held(method))
    # "42" is expected: (1/3 + .8/3) * 1.9 nats less than without the result
    assert [one.text for one in made] == ["a sum: 17+25=[Calculator(17+25) -> 42] 42 is right"]
    assert made[0].parents == (documents[0].id,) and made[0].info == {"role": "write", "calls": 1}
    assert given.log.metrics == {"toolformer/calls": 2, "toolformer/kept": 1, "toolformer/gain": pytest.approx(0.57)}
    assert method.acquire(documents, given) == made  # the weights have not changed, so neither has a gain
    kept: Any = Toolformer(propose="expressions", gain=1.2, keep=True).acquire(documents, given)
    assert kept == documents


def test_useful_calls_are_told_from_useless_ones(make_context: Callable) -> None:
    given, gains = make_context(Reader()), dict[bool, list[float]]()
    for useful in (True, False):
        for n in range(20):
            text = f"{n + 11}+{n + 30}={2 * n + 41 if useful else 77 - n} and so on"
            [calls] = given.run(Toolformer(propose="expressions")._called, [Document(text=text)])
            gains.setdefault(useful, []).append(calls[0][2])
    assert auroc(gains[False], gains[True]) >= 0.95


def test_calls_are_drawn_where_one_is_likely_to_begin(make_context: Callable) -> None:
    engine = Reader()
    given = make_context(engine)
    document = Document(text="there were 3 + 5 = 8 of them")
    method = Toolformer(words="annotate {document}")
    made: Any = method.acquire([document], given.held(method))
    assert engine.asks == ["there were 3 + 5 = [Calculator("]
    assert made == [] and given.log.metrics["toolformer/calls"] == 1  # 1/0 has no value, and one did not end
    made = Toolformer(words="annotate {document}", gain=0.6).acquire([document], given)
    assert [one.text for one in made] == ["there were 3 + 5 = [Calculator(3+5) -> 8] 8 of them"]


def test_several_calls_keep_their_places() -> None:
    one = inserted(Document(text="a b c"), [(2, "[x]", 1.0), (4, "[y]", 2.0)])
    assert one.text == "a [x] b [y] c" and inserted(one, []) is one


def test_wrong_options_are_refused() -> None:
    with pytest.raises(RecipeError, match="samples, expressions"):
        Toolformer(propose="all")
    with pytest.raises(RecipeError, match="{document}"):
        Toolformer(words="x")
