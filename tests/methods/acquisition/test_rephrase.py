"""Documents in other words: what is asked, which replies are taken, and what becomes of lineage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.inference.rewrites import bare
from selfimprove.methods.acquisition.rephrase import STYLES, Rephrase
from selfimprove.problems.splits import split_of
from selfimprove.records import Document

SAYS = {
    "Ann has 3 nuts and finds 5.": "Here is the text:\nThere are 3 nuts. Ann finds 5 more.",
    "Bob has 7 coins and loses 2.": "He had 7 coins. He lost 4 of them.",
    "Cid walks 12 miles today.": "12",
}


@pytest.fixture
def rewrite(make_context: Callable, make_engine: Callable) -> Callable[..., tuple[list[Any], Any]]:
    def run(**options: Any) -> tuple[list[Any], Any]:
        given = make_context(make_engine({f"W:{text}": {reply: 1.0} for text, reply in SAYS.items()}, "?"))
        documents = [Document(text=text, source="corpus@1") for text in SAYS]
        made: Any = Rephrase(words="W:{document}", **options).acquire(documents, given)
        return list(made), given

    return run


def test_rewrites_stand_beside_their_documents_and_those_out_of_bounds_are_dropped(rewrite: Callable) -> None:
    made, given = rewrite()
    assert [one.text for one in made[:3]] == [*SAYS]
    new = made[3:]
    assert [one.text for one in new] == ["There are 3 nuts. Ann finds 5 more.", "He had 7 coins. He lost 4 of them."]
    assert [one.parents for one in new] == [(made[0].id,), (made[1].id,)] and not any(one.source for one in new)
    assert given.log.metrics == {"rephrase/kept": pytest.approx(2 / 3), "rephrase/out_of_bounds": 1}
    assert [one.text for one in rewrite(keep=False)[0]] == [one.text for one in new]


def test_with_numbers_a_rewrite_that_changes_one_is_dropped(rewrite: Callable) -> None:
    made, given = rewrite(numbers=True)
    assert len(made) == 4 and made[3].text.startswith("There are 3")
    assert given.log.metrics["rephrase/out_of_bounds"] == 2


def test_every_style_comes_equally_often_and_is_told(make_context: Callable, make_engine: Callable) -> None:
    given = make_context(make_engine({}, "a rewrite of it"))
    documents = [Document(text=f"document {n} of them") for n in range(40)]
    made: Any = Rephrase(keep=False, bounds=[0, 9]).acquire(documents, given)
    assert Counter(one.info["style"] for one in made) == dict.fromkeys(STYLES, 10)
    asked = [prompt.prompt[-1]["content"] for prompt in given.policy.engine.seen]
    assert all(sum(how in text for text in asked) == 10 for how in STYLES.values())
    assert {split_of(prompt.key) for prompt in given.policy.engine.seen} == {"train"}


def test_a_long_document_is_cut_where_a_sentence_ends(make_context: Callable, make_engine: Callable) -> None:
    text = "First sentence is here. Second one follows. Third one is left out."
    given = make_context(
        make_engine({"First sentence is here. Second one follows.": {"both said again, shorter": 1.0}}, "?")
    )
    made: Any = Rephrase(words="{document}", longest=50).acquire([Document(text=text)], given)
    assert [one.text for one in made] == [text, "both said again, shorter"] and made[1].parents == (made[0].id,)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ("Sure! Here is a paraphrase:\n\nThe text.", "The text."),
        ("Here are the facts. They matter.", "Here are the facts. They matter."),
        ("  plain \n", "plain"),
    ],
)
def test_a_line_that_only_says_what_follows_goes(reply: str, text: str) -> None:
    assert bare(reply) == text


def test_what_is_no_style_or_has_no_place_for_the_document_is_refused() -> None:
    for options in ({"styles": ["poem"]}, {"styles": []}, {"words": "rewrite"}, {"bounds": [1.0]}):
        with pytest.raises(RecipeError):
            Rephrase(**options)  # pyright: ignore[reportArgumentType]
