"""The checks of instructions: for each one, texts that follow it and texts that do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.problems.instructions import CHECKS, NEEDS, objection

CASES = [
    ("keywords:existence", {"keywords": ["Nile", "c++"]}, ["the NILE and C++"], ["the Nile", "c+ Nile"]),
    ("keywords:frequency", {"keyword": "a", "relation": "at least", "frequency": 3}, ["aAa", "banana"], ["aa"]),
    ("keywords:frequency", {"keyword": "a", "relation": "less than", "frequency": 3}, ["aa", ""], ["aaa"]),
    ("keywords:forbidden_words", {"forbidden_words": ["cat", "dog"]}, ["concatenate", ""], ["A Cat.", "dog"]),
    ("keywords:letter_frequency", {"letter": "E", "let_relation": "at least", "let_frequency": 2}, ["Ee"], ["e"]),
    ("keywords:letter_frequency", {"letter": "!", "let_relation": "less than", "let_frequency": 1}, ["a"], ["a!"]),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, ["a\n***\nb", "***\na\n***\nb\n***"], ["a", "a***b***c", "a******b"]),
    ("length_constraints:number_words", {"relation": "less than", "num_words": 3}, ["one two", ""], ["it's two"]),
    ("length_constraints:number_words", {"relation": "at least", "num_words": 3}, ["it's two"], ["well-known"]),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "President"},
        ["a\n\nPresident's", 'a b\n\n"president, c'],
        ["president", "a\n\nb", "a\n\nthe president", "president\n\na", "a\n\npresident\n\nb"],
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, ["[a] and [b c]"], ["[a]", "[a"]),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, ["x\nP.S. y", "p. s. y"], ["PS y", "x"]),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, ["x\nP.P.S. y", "p. p.s"], ["P.S. y"]),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, ["* a\n- b", "x\n  * a\n\t* b"], ["* a", "* a\n* b\n* c", "**a**\n* b"]),
    ("detectable_format:constrained_response", {}, ["My answer is yes."], ["yes", "My answer is"]),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, ["*a* *b*", "*a* and **b**"], ["*a*", "* *", "none"]),
    ("detectable_format:multiple_sections", {"section_spliter": "Section", "num_sections": 2}, ["Section 1\na\nSection 2\nb"], ["Section 1", "Section one Section two"]),
    ("detectable_format:json_format", {}, ['{"a": 1}', '```json\n{"a": [1]}\n```', "```\n3\n```"], ["{'a': 1}", "a: 1", "[" * 100_000]),
    ("detectable_format:title", {}, ["<<a title>>\ntext"], ["<a>", "<< >>", "<<a\nb>>"]),
    ("combination:two_responses", {}, ["a\n******\nb"], ["a", "a******a", "a******b******c", "a***b"]),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi"}, ["say hi Hi!"], ["Hi! say hi"]),
    ("startend:end_checker", {"end_phrase": "Any questions?"}, ["a. any questions?", '"Any questions?"'], ["Any questions? No."]),
    ("startend:quotation", {}, ['"a"', ' "a b" '], ['"', "a", '"a']),
    ("change_case:english_capital", {}, ["ABC 1"], ["ABc", "1"]),
    ("change_case:english_lowercase", {}, ["abc 1"], ["abC", "1"]),
    ("punctuation:no_comma", {}, ["a; b"], ["a, b"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "values", "followed", "broken"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_an_instruction_is_followed_or_not(name, values, followed, broken):
    assert objection(name, values) == ""
    assert [CHECKS[name](text, values) for text in followed] == [True] * len(followed)
    assert [CHECKS[name](text, values) for text in broken] == [False] * len(broken)


def test_every_instruction_has_a_case():
    assert {name for name, *_ in CASES} == set(CHECKS) and set(NEEDS) <= set(CHECKS)
    assert len(CHECKS) == 22


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("language:response_language", {"language": "fr"}, "no check exists for 'language:response_language'"),
        ("keywords:existence", {}, "without a usable keywords"),
        ("keywords:existence", {"keywords": "cat"}, "without a usable keywords"),
        ("keywords:existence", {"keywords": ["cat", ""]}, "without a usable keywords"),
        (
            "keywords:frequency",
            {"keyword": "a", "relation": "at least", "frequency": "3"},
            "without a usable frequency",
        ),
        ("keywords:frequency", {"keyword": "a", "relation": "at least", "frequency": float("nan")}, "usable frequency"),
        ("length_constraints:number_words", {"num_words": 3}, "without a usable relation"),
    ],
)
def test_an_instruction_that_cannot_be_checked_says_why(name, values, words):
    assert words in objection(name, values)


@given(text=st.text('a*-,.<>[]"# \n\tP.S1', max_size=60))
def test_no_text_breaks_a_check(text):
    for name, values, *_ in CASES:
        assert CHECKS[name](text, values) in (True, False)
