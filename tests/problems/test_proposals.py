"""The problem in a proposal: what stands before it is not part of it, and a reply without one is no proposal."""

from __future__ import annotations

import pytest

from selfimprove.problems.proposals import proposal

ASKED = "A train leaves at 9:00 and arrives at 11:30. How long does it take?"


@pytest.mark.parametrize(
    "text",
    [
        "Sure, here is",
        "Sure!",
        "Certainly! Here is a new problem:",
        "Of course. Here's one:\n\n---",
        "Okay",
        "**Problem:**",
        "Here is a problem like the examples above",
        "I'm sorry, but I cannot do that.",
        "As an AI, I do not write problems.",
        " \n",
        "...",
    ],
)
def test_a_reply_without_a_problem(text: str) -> None:
    assert proposal(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "Sure, here is a new problem: {}",
        "Certainly! Here\u2019s a similar question:\n\n{}",
        "Of course.\n**Problem:** {}",
        "### New problem\n{}\n",
        "Here is one:\n{}",
        "Question: {}",
    ],
)
def test_what_stands_before_the_problem_falls_off(text: str) -> None:
    assert proposal(text.format(ASKED)) == ASKED


@pytest.mark.parametrize(
    "text",
    [
        "Sort.",
        "Here is a list: 3, 1, 2. Sort it.",
        "Okay Corral is in which state?",
        "One half of 8 is what?",
        "2+2=?",
        "Great-aunt Ada is 80. How old was she in 1990?",
    ],
)
def test_a_problem_that_only_looks_like_it_stays_whole(text: str) -> None:
    assert proposal(text) == text
