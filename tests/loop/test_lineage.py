"""Who made a record: what the step writes on it, and what it leaves as the method said it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from selfimprove.interfaces import Acquisition, Context, Selection
from selfimprove.loop.lineage import acquired, selected, signed
from selfimprove.records import Document, Preference, Prompt, Record


def test_a_new_answer_comes_from_its_prompt_unless_its_method_says_otherwise(make_rollout: Callable) -> None:
    bare, told = make_rollout("a"), make_rollout("b", parents=("some", "others"))
    pair = Preference(prompt=bare.prompt, chosen=bare.completion, rejected=told.completion)
    made = signed([bare, told, pair], "tries", 3)
    assert [record.source for record in made] == ["tries@3"] * 3
    assert [record.parents for record in made] == [(bare.prompt.id,), ("some", "others"), (bare.prompt.id,)]


def test_problems_and_texts_come_from_nothing_and_what_was_passed_on_stays(make_rollout: Callable) -> None:
    old = make_rollout("a", source="before@2", parents=())
    made = signed([Document(text="t"), old.prompt, old], "tries", 3)
    assert [(record.source, record.parents) for record in made] == [("tries@3", ()), ("tries@3", ()), ("before@2", ())]
    assert made[2] is old


class _Ask(Acquisition):
    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        return [Prompt(prompt=[{"role": "user", "content": "q"}], key="k")]


class _Again(Acquisition):
    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        return [*records, *(replace(record, source="", parents=(record.id,)) for record in records)]


class _Mark(Selection):
    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        return [replace(records[0], info={"best": True}), replace(records[1], source="", info={})]


def test_each_method_of_a_chain_signs_what_it_made(make_context: Callable) -> None:
    context = make_context(round=4)
    asked, again = acquired({"ask": _Ask(), "again": _Again()}, context)
    assert (asked.source, again.source, again.parents) == ("ask@4", "again@4", (asked.id,))
    marked, new = selected({"mark": _Mark()}, [asked, again], replace(context, round=5))
    assert (marked.source, new.source) == ("ask@4", "mark@5")
