"""Nearness by shared words, worked out by hand, and examples as turns of a talk."""

from __future__ import annotations

import math

from selfimprove.inference.examples import Nearest, row_of, shown
from selfimprove.inference.retrieval import Bm25
from selfimprove.records import Message, Prompt


def test_a_rare_word_outweighs_a_common_one() -> None:
    index = Bm25(["the cat", "the dog", "the cow"])
    assert index.nearest("the dog", 2) == [1, 0]
    assert index.nearest("nothing", 3) == [0, 1, 2]
    rare, common = (
        math.log1p(2.5 / 1.5),
        math.log1p(0.5 / 3.5),
    )  # all texts are of mean length, so a word counts 2.5 / 2.5
    assert math.isclose(index._value(1, ["dog", "the"]), rare + common)
    assert Bm25([]).nearest("the", 3) == []


def test_examples_are_turns_before_the_problem() -> None:
    system: Message = {"role": "system", "content": "count"}
    known = [
        {"key": f"k{i}", "prompt": [system, {"role": "user", "content": f"q {i}"}], "text": f"#{i}"} for i in (1, 2)
    ]
    asked = Prompt(prompt=[system, {"role": "user", "content": "q 3"}], key="k3")
    assert [one["content"] for one in shown(asked, known).prompt] == ["count", "q 1", "#1", "q 2", "#2", "q 3"]
    assert shown(asked, []) is asked
    row = row_of(known[1], known[:1])
    assert [one["content"] for one in row.prompt.prompt] == ["count", "q 1", "#1", "q 2"] and row.text == "#2"
    own = Prompt(prompt=[{"role": "user", "content": "q 1"}], key="k1")
    assert [one["key"] for one in Nearest(known).of(own, 2)] == ["k2"], "never the problem itself"
