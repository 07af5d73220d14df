"""The marks of completions as published models write them: a table of rows, and what must hold for any text."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.problems import answers, numbers
from selfimprove.problems.arithmetic import arithmetic
from selfimprove.problems.instructions import follows
from selfimprove.problems.sentences import sentences
from selfimprove.problems.thoughts import said
from selfimprove.records import Cut

ROWS = [
    json.loads(line)
    for file in sorted(Path(__file__).parent.glob("marking*.jsonl"))
    for line in file.read_text(encoding="utf-8").splitlines()
]
"""Completions with the marks that are due, in our own words; the kinds follow public bug reports."""
ANY = sorted(answers.RULES)


@pytest.mark.parametrize("kind", sorted({row["kind"] for row in ROWS}))
def test_the_rows_have_the_marks_that_are_due(kind: str) -> None:
    rows = [row for row in ROWS if row["kind"] == kind]
    found = [answers.mark(row["rule"], row["reference"], row["completion"]) for row in rows]
    assert not [(row, mark) for row, mark in zip(rows, found, strict=True) if mark != row["right"]]
    assert len({row["right"] for row in rows}) == 2, "each kind has twins that guard against overshoot"


@pytest.mark.parametrize(
    ("rule", "reference", "text", "whole", "cut"),
    [
        ("gsm8k", "#### 7", "He has 3 bags, so he needs 7", 1, 0),
        ("gsm8k", "#### 7", "#### 7", 1, 0),
        ("gsm8k", "#### 7", "#### 7\nSo in all", 1, 1),
        ("gsm8k", "#### 7", "The answer is 7. I", 1, 1),
        ("gsm8k", "#### 7", "The answer is 7", 1, 0),
        ("math", "7", r"\boxed{7}", 1, 1),
        ("math", "7", r"\boxed{7", 1, 0),
        ("choice", "B", "It must be B", 1, 0),
        ("choice", "B", "<answer>B</answer>", 1, 1),
        ("choice", "B", "<answer>B", 1, 0),
        ("exact", "Rome", "Rome", 1, 0),
    ],
)
def test_a_completion_that_was_cut_off_has_only_finished_statements(rule, reference, text, whole, cut) -> None:
    assert answers.mark(rule, reference, text) == whole
    assert answers.mark(rule, reference, text, cut=True) == answers.mark(rule, reference, Cut(text)) == cut
    assert (
        (answers.read(rule, text, cut=True) is not None)
        == bool(cut)
        == (answers.answer_of(rule, Cut(text)) is not None)
    )


@pytest.mark.parametrize(
    ("rule", "texts", "form"),
    [
        ("gsm8k", ["#### 1,250.50", r"\boxed{\$1{,}250.5}", "It costs $1250.50.", "The answer is 2501/2"], "1250.5"),
        ("gsm8k", ["#### 1/3", r"\boxed{\frac{2}{6}}"], "1/3"),
        ("choice", ["B", "(b)", "The answer is B.", r"\boxed{\text{B}}", "Option B is correct."], "B"),
        ("exact", ["Rome", "**rome**", "The answer is Rome.", r"\boxed{\text{ROME}}"], "rome"),
        ("math", ["1/2", r"\boxed{0.5}", r"\boxed{50\%}", r"The answer is $\frac{1}{2}$."], "1/2"),
        ("math", [r"\boxed{2, 10}", r"\boxed{10} and \boxed{2}", r"\boxed{x=10 \text{ or } x=2}"], "{2, 10}"),
        ("math", [r"\boxed{x \ge 2}", r"\boxed{[2, \infty)}"], "[2, oo)"),
        ("math", [r"\boxed{(x+1)^2}", r"\boxed{x^2 + 2x + 1}", r"\boxed{y = 1+2x+x^2}"], "x**2 + 2*x + 1"),
        ("math", [r"\boxed{\frac{1}{\sqrt{2}}}", r"\boxed{\frac{\sqrt{2}}{2}}"], "sqrt(2)/2"),
        ("math", [r"\boxed{2x + y = 4}", r"\boxed{4x + 2y - 8 = 0}"], "x + y/2 - 2 = 0"),
        ("math", [r"\boxed{1011_2}", r"\boxed{1011_{2}}"], "1011_2"),
    ],
)
def test_equal_answers_are_one_vote(rule, texts, form) -> None:
    assert {answers.answer_of(rule, text) for text in texts} == {form}


@given(st.text("a1 .,$\\{}#*()<>/=&\n|-", max_size=80), st.sampled_from(ANY), st.booleans())
@settings(max_examples=150)
def test_no_text_breaks_a_rule(text, rule, cut) -> None:
    if answers.RULES[rule] == "math":
        rule = "gsm8k"  # the formulas of such texts take processes of their own, see test_math_worker
    found = answers.read(rule, text, cut)
    assert found is None or found.strip() == found != ""
    assert answers.mark(rule, "7", text, cut) in (0.0, 1.0, None)


JUNK = [
    "answer is ",
    "\\boxed{",
    "}{",
    "#### ",
    "$",
    "( ",
    "**",
    "the answer: 5 or 6. ",
    "is the answer ",
    "<think>",
    "1,",
    "9 ",
    "a.b ",
    "\\frac{",
    "not ",
    "\n",
    ". ",
    "; ",
    "1/",
    "Answer: ",
    "Dr. ",
]


@pytest.mark.parametrize("junk", JUNK)
def test_hundred_thousand_characters_of_junk_take_no_time(junk) -> None:
    text = (junk * 100_000)[:100_000]
    start = time.process_time()
    for rule in ("gsm8k", "exact", "choice", "math"):
        answers.mark(rule, "5", text)
    assert (
        time.process_time() - start < 1.0
    )  # four rules take 0.2 s; a pattern that goes back over the text takes minutes


@given(st.fractions())
def test_numbers_are_written_exactly(value) -> None:
    written = numbers.written(value)
    token = numbers.TOKEN.fullmatch(written)
    assert token and numbers.exact(token, percent=False) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("2+3*4", 14), ("-2^2", -4), ("(1/2)^3", "1/8"), ("5!/3!", 20), ("2^-1", "1/2"), ("1/0", None), ("2 3", None), ("9^9^9", None), ("", None), ("(" * 99, None)],
)  # fmt: skip
def test_arithmetic_is_exact_and_bounded(text, value) -> None:
    found = arithmetic(text)
    assert (None if found is None else str(found)) == (None if value is None else str(value))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("It is 3.5. Then 4.", ["It is 3.5.", "Then 4."]),
        ("See Dr. Lee. He knows.", ["See Dr. Lee.", "He knows."]),
        ("J. S. Bach wrote it. It is long.", ["J. S. Bach wrote it.", "It is long."]),
        ("The option is E. A gas expands.", ["The option is E.", "A gas expands."]),
        ("At 5 p.m. on Monday.\nNo.", ["At 5 p.m. on Monday.", "No."]),
        ("So $x = 0.5$. Done!", ["So $x = 0.5$.", "Done!"]),
    ],
)
def test_sentences_end_where_they_end(text, parts) -> None:
    assert sentences(text) == parts


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("<think>a</think>b", "b"),
        ("a</think>b", "b"),
        ("a<think>b", "a"),
        ("<think>a<think>b</think>c", "c"),
        ("a<thinking>b</thinking>c", "ac"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b", "b"),
        ("a<|im_end|>b", "a"),
        ("a < b and b > a", "a < b and b > a"),
    ],
)
def test_thoughts_are_not_said(text, spoken) -> None:
    assert said(text).strip() == spoken


def test_a_blank_response_follows_no_instruction_and_thoughts_are_no_part_of_one() -> None:
    no_comma = [["punctuation:no_comma", {}]]
    assert not follows(no_comma, "") and not follows(no_comma, " \n") and not follows(no_comma, "<think>a</think>")
    assert follows(no_comma, "<think>a, b</think>c") and not follows(no_comma, "a, b")
