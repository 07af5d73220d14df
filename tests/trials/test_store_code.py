"""What changes the number of the store's code, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfimprove.trials.store_code import STORE, code

BEFORE = '"""Keeps things."""\nx = 1\n\n\ndef f(a):\n    """Adds."""\n    return a + x\n'


@pytest.mark.parametrize(
    ("after", "same"),
    [
        (BEFORE, True),
        (BEFORE.replace("Adds.", "Adds one thing to another.").replace("x = 1", "x = 1  # one\n"), True),
        ("x = 1\ndef f(a): return (a + x)\n", True),
        (BEFORE.replace("x = 1", "x = 2"), False),
        (BEFORE.replace("a + x", "x + a"), False),
        (BEFORE.replace("return a + x", ""), False),
    ],
)
def test_statements_count_and_words_do_not(after: str, same: bool, tmp_path: Path) -> None:
    numbers = []
    for name, text in (("before", BEFORE), ("after", after)):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "one.py").write_text(text)
        numbers.append(code(tmp_path / name))
    assert (numbers[0] == numbers[1]) is same


def test_the_name_of_a_file_counts(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(BEFORE)
    before = code(tmp_path)
    (tmp_path / "one.py").rename(tmp_path / "two.py")
    assert code(tmp_path) != before


def test_it_is_the_store_that_is_read() -> None:
    assert (STORE / "durable.py").is_file() and code() == code(STORE)
