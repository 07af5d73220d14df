"""Which rows are one problem, which contradict each other, and how they are counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.problems.problem_set import same_under
from selfimprove.problems.rows import Counts, check_ways, gathered, told, unread
from selfimprove.problems.splits import split_of


def found(
    pairs: Sequence[tuple[Any, str | None]], **options: Any
) -> tuple[list[tuple[str, str | None]], dict[str, int]]:
    """The problems of (prompt, answer) pairs, and the counts that are not zero."""
    rows, counts = gathered(
        enumerate(pairs),
        lambda pair: ([{"role": "user", "content": pair[0]}], pair[1]),
        lambda row: f"file, row {row}",
        **options,
    )
    assert len({row.key for row in rows}) == len(rows)
    kept = [(row.messages[0]["content"], row.answer) for row in rows]
    return kept, {name: number for name, number in counts.items() if number and name != "rows"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Compute 2\u00b3.", "Compute 23."),
        ("Convert 5 MW.", "Convert 5 mW."),
        ("print('A' < 'a')", "print('a' < 'A')"),
        ("if x:\n    a()\n    b()", "if x:\n    a()\nb()"),
        ("a  b", "a b"),
        ("stra\u00dfe", "strasse"),
    ],
)
def test_problems_that_differ_in_little_stay_apart_and_share_a_split(one: str, other: str) -> None:
    kept, counts = found([(one, "1"), (other, "2")])
    assert (kept, counts) == ([(one, "1"), (other, "2")], {"alike": 2})
    rows, _ = gathered(enumerate([one, other]), lambda t: ([{"role": "user", "content": t}], "1"), str)
    assert split_of(rows[0].key) == split_of(rows[1].key) and rows[0].key != rows[1].key


def test_the_order_of_the_rows_changes_no_key() -> None:
    texts = ["5 MW", "5 mW", "5 Mw", "7 MW"]
    keys = [
        {row.messages[0]["content"]: row.key for row in gathered(enumerate(order), _asked, str)[0]}
        for order in (texts, texts[::-1])
    ]
    assert keys[0] == keys[1] and keys[0]["7 MW"] == "7 mw", "a problem without a twin has the plain key"


def _asked(text: str) -> tuple[list[dict[str, str]], str]:
    return [{"role": "user", "content": text}], "1"


def test_space_at_the_ends_of_lines_and_accents_in_two_characters_are_the_same_problem() -> None:
    kept, counts = found([("caf\u00e9 \nx", "1"), ("cafe\u0301\nx\n", "1")])
    assert (kept, counts) == ([("caf\u00e9 \nx", "1")], {"duplicates": 1})


AGAIN = [("q", "4"), ("r", "1"), ("q", "5"), ("q", "4.0"), ("s", "2")]


@pytest.mark.parametrize(
    ("options", "kept", "counts"),
    [
        ({}, [("r", "1"), ("s", "2")], {"conflicting": 2}),
        ({"same": same_under("gsm8k")}, [("r", "1"), ("s", "2")], {"conflicting": 1}),
        (
            {"same": same_under("gsm8k"), "conflicts": "keep"},
            [("q", "4"), ("r", "1"), ("q", "5"), ("s", "2")],
            {"conflicting": 1, "duplicates": 1},
        ),
        ({"same": unread}, [("q", "4"), ("r", "1"), ("s", "2")], {"duplicates": 2}),
    ],
)
def test_one_prompt_with_two_answers_is_left_out_or_kept_and_never_silently_the_first(
    options: dict[str, Any], kept: list[Any], counts: dict[str, int]
) -> None:
    assert found(AGAIN, **options) == (kept, counts)


def test_an_answer_goes_before_a_blank_one_and_blank_ones_are_counted() -> None:
    assert found([("q", None), ("q", "4"), ("r", " "), ("s", "")]) == (
        [("q", "4"), ("r", " "), ("s", "")],
        {"duplicates": 1, "blank": 2},
    )


def test_what_was_left_out_is_said_with_its_first_row() -> None:
    counts = Counts()
    for name, number, n in (("duplicates", 7, 1), ("conflicting", 9, 1), ("conflicting", 4, 1), ("blank", 0, 3)):
        counts.add(name, number, n)
    counts.add("cleaned", 1, 0)
    assert told(counts, option="task.x") == [
        "1 duplicates dropped: rows that repeat a problem with the same answer (first: row 7)",
        "2 rows with another answer to a problem than a row before; all rows of it were left out "
        "(task.x.conflicts=keep keeps them) (first: row 4)",
        "3 problems without an answer, which are never marked (first: row 0)",
    ]
    assert "were kept (first: line 4)" in told(counts, "keep", unit="line")[1]


def test_a_row_that_cannot_be_read_is_named_with_the_way_out() -> None:
    rows = [(0, ("q", "1")), (1, DataError("no JSON")), (2, ("\x00r\x00", "2"))]

    def reader(pair: Any) -> Any:
        return [{"role": "user", "content": pair[0]}], pair[1]

    with pytest.raises(DataError, match=r"^file:1: no JSON \(correct the row, or allow 1 with task.x.skip_bad=1\)$"):
        gathered(rows, reader, lambda row: f"file:{row}", skip_option="task.x.skip_bad")
    kept, counts = gathered(rows, reader, str, skip_bad=1)
    assert [row.messages[0]["content"] for row in kept] == ["q", "r"]
    assert (counts["rows"], counts["skipped"], counts["cleaned"]) == (3, 1, 1)


def test_an_unknown_way_is_refused() -> None:
    check_ways("task.x", conflicts="keep", overlap="leave_out")
    with pytest.raises(RecipeError, match=r"task\.x\.overlap is 'drop'; it must be leave_out or keep"):
        check_ways("task.x", overlap="drop")
