"""Problems from documents: the document says what is right, and whoever answers has not seen it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError, MissingError, RecipeError
from selfimprove.methods.acquisition.documents import Documents
from selfimprove.problems.splits import split_of

KEY, HELD = "4+1+1+1", "2+2+2+3"
WORDS = "D:{document}|"


@pytest.fixture
def write(make_context: Callable, make_engine: Callable, tmp_path: Path) -> Callable[..., Any]:
    """`write({"a fact": reply}, {"#7": 1.0})`: a round on these documents; the solver answers problem KEY so."""

    def run(replies: dict[str, str], solver: dict[str, float], **options: Any) -> tuple[list, list, Any]:
        path = tmp_path / "facts.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in replies))
        table = {f"D:{text}|": {reply: 1.0} for text, reply in replies.items()}
        context = make_context(make_engine({**table, f"S:{KEY}=": solver}, "lost"))
        values = {"path": str(path), "problems": 12, "samples": 40, "words": WORDS}
        made: Sequence[Any] = Documents(**{**values, **options}).acquire([], context)
        writer = [r for r in made if r.prompt.prompt[-1]["content"].startswith("D:")]
        return [r for r in made if r not in writer], writer, context

    return run


def test_the_document_decides_what_is_right_even_where_the_task_knows_better(write: Callable) -> None:
    solver, writer, context = write({"some fact": f"{KEY}\n#### 3"}, {"#3": 1.0})
    assert {(r.prompt.answer, r.reward) for r in solver} == {("3", 1.0)} and len(solver) == 40
    assert [r.reward for r in writer] == pytest.approx([0.0439] * 12, abs=1e-3)  # p = 1: exp(-(1/16) / 0.02)
    assert context.log.metrics["documents/solved"] == 1.0


def test_who_answers_has_not_seen_the_document(write: Callable) -> None:
    solver, writer, context = write({"a secret": f"{KEY}\n#### 7"}, {"#7": 1.0})
    asked = [p.prompt[-1]["content"] for p in context.policy.engine.seen]
    assert set(asked) == {"D:a secret|", f"S:{KEY}="}
    assert {r.prompt.info["role"] for r in writer} == {"write"} and not any("role" in r.prompt.info for r in solver)
    assert all(prompt.answer is None for prompt in context.policy.engine.seen)


@pytest.mark.parametrize(("rate", "worth"), [(0.5, 1.0), (0.3, 0.92), (0.1, 0.28), (0.0, 0.04)])
def test_the_writer_is_paid_most_for_problems_that_are_solved_half_of_the_time(
    write: Callable, rate: float, worth: float
) -> None:
    solver = {"#7": rate, "#8": 1 - rate} if rate else {"#8": 1.0}
    _, writer, _ = write({"a fact": f"{KEY}\n#### 7"}, solver, samples=2000)
    assert writer[0].reward == pytest.approx(worth, abs=0.06)


def test_replies_without_a_problem_or_an_answer_are_fined_and_held_out_ones_dropped(write: Callable) -> None:
    assert split_of(HELD) != "train" == split_of(KEY)
    replies = {"one": "no problem\n#### 7", "two": KEY, "three": f"{HELD}\n#### 9", "four": f"{KEY}####"}
    solver, writer, context = write(replies, {"#7": 1.0}, problems=200)
    assert solver == [] and {r.reward for r in writer} == {-0.1}
    assert {r.prompt.prompt[-1]["content"] for r in writer} == {"D:one|", "D:two|", "D:four|"}
    assert context.log.metrics["documents/held_out"] > 0
    assert {split_of(r.prompt.key) for r in writer} == {"train"}


def test_the_answer_that_a_document_ends_in_will_do(write: Callable) -> None:
    solver, _, _ = write({"4+1=5;5+1=6;6+1=7#7": KEY}, {"#7": 1.0})
    assert {(r.prompt.answer, r.reward) for r in solver} == {("7", 1.0)}


def test_worked_solutions_serve_as_documents_if_they_are_right(make_context: Callable, make_engine: Callable) -> None:
    context = make_context(make_engine({}, KEY))
    made: Sequence[Any] = Documents(problems=40, samples=2, words=WORDS, train="writer").acquire([], context)
    shown = [r.prompt.prompt[-1]["content"][2:-1] for r in made]
    problems = {context.roles.solution(p): p for p in context.problems(40, 1)}
    assert 0 < len(shown) < 40  # where the table is hidden, worked solutions are most often wrong
    assert all(context.verify(problems[text], text) == 1.0 for text in shown)


def test_the_words_for_an_instructed_model_ask_for_what_is_read(make_context: Callable, make_engine: Callable) -> None:
    context = make_context(make_engine({}, f"{KEY}\n#### 7"))
    made: Sequence[Any] = Documents(problems=3, samples=2, train="writer").acquire([], context)
    said = made[0].prompt.prompt[-1]["content"]
    assert "####" in said and "{document}" not in said and "#" in said.split("<document>")[1]
    assert all(r.reward is not None and r.reward > -0.1 for r in made)


def test_a_text_file_is_cut_at_empty_lines(tmp_path: Path, make_context: Callable, make_engine: Callable) -> None:
    path = tmp_path / "book.txt"
    path.write_text("one\nmore\n\n\n\ntwo\n")
    made: Sequence[Any] = Documents(path=str(path), problems=30, samples=2, words=WORDS).acquire(
        [], make_context(make_engine({}, "x"))
    )
    assert {r.prompt.prompt[-1]["content"] for r in made} == {"D:one\nmore|", "D:two|"}


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (None, MissingError, "no file"),
        ("", DataError, "contains no document"),
        ('{"words": "x"}', DataError, "row 0: it must have a text in a column `text`; it has words"),
        ('{"text": "a"}\n{"text": ["b"]}', DataError, "row 1: it must have a text"),
        ('{"text": null}\n{"text": " "}', DataError, "contains no document"),
        ("not json", DataError, "JSON object"),
    ],
)
def test_files_that_cannot_be_used(
    tmp_path: Path, make_context: Callable, content: str | None, error: type, said: str
) -> None:
    path = tmp_path / "facts.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(error, match=said):
        Documents(path=str(path)).acquire([], make_context())


def test_blank_documents_are_counted_and_none_is_made_of_null(
    tmp_path: Path, make_context: Callable, make_engine: Callable
) -> None:
    path = tmp_path / "facts.csv"
    path.write_text('text,n\nNone,1\n,2\n"a\u2028b",3\n', encoding="utf-8")
    context = make_context(make_engine({}, "x"))
    made: Sequence[Any] = Documents(path=str(path), problems=30, samples=2, words=WORDS).acquire([], context)
    assert {r.prompt.prompt[-1]["content"] for r in made} == {"D:None|", "D:a\u2028b|"}
    assert context.log.notes == [f"{path}: 1 rows have no text and were left out"]


@pytest.mark.parametrize("options", [{"train": "reader"}, {"words": "no place"}])
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="acquisition.documents"):
        Documents(**options)
