"""Questions with answers behind the documents that answer them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.methods.acquisition.instruction_pretraining import InstructionPretraining, pairs_of
from selfimprove.records import Document

ONE = "Question: What is 3 + 5?\nAnswer: 8"


@pytest.mark.parametrize(
    ("reply", "pairs"),
    [
        (ONE, [("What is 3 + 5?", "8")]),
        (f"**Question:** A?\n**Answer:** It is\nb.\n\n{ONE}\n{ONE}", [("A?", "It is\nb."), ("What is 3 + 5?", "8")]),
        ("1. Question: A?\n   Answer: b", [("A?", "b")]),
        ("Question: A?", []),
        ("Answer: b", []),
        ("nothing", []),
    ],
)
def test_what_a_reply_holds(reply: str, pairs: list[tuple[str, str]]) -> None:
    assert pairs_of(reply) == pairs


def test_pairs_follow_their_text_and_several_texts_one_another(make_context: Callable, make_engine: Callable) -> None:
    documents = [Document(text=text) for text in ("one", "two", "three")]
    engine = make_engine({"Q:one": {ONE: 1.0}, "Q:two": {f"{ONE}\nQuestion: C?\nAnswer: d": 1.0}}, "no")
    given = make_context(engine)
    made: Any = InstructionPretraining(words="Q:{document}", pairs=1).acquire(documents, given)
    assert [one.text for one in made] == ["three", f"one\n\n{ONE}", f"two\n\n{ONE}"]
    assert given.log.metrics["instruction_pretraining/unreadable"] == 1
    assert given.log.metrics["instruction_pretraining/pairs"] == 1
    made = InstructionPretraining(words="Q:{document}", shots=2, keep=False).acquire(documents, given)
    assert [one.text.count("Question:") for one in made] == [3]
    assert made[0].parents == (documents[0].id, documents[1].id)
