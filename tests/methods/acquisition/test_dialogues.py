"""Conversations about documents: which replies are one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.methods.acquisition.dialogues import STYLES, Dialogues
from selfimprove.records import Document

TALK = "Ann: What is 3 + 5?\nBob: Count on from 5: 6, 7, 8.\nAnn: So it is 8.\nBob: Yes."


@pytest.mark.parametrize(
    ("reply", "taken"),
    [
        (TALK, True),
        (TALK.replace("Ann:", "**Ann**:").replace("Bob:", "**Bob**:"), True),
        (TALK.replace("Bob", "Ann"), False),  # one speaker
        (TALK.replace("\n", " "), False),  # one turn
        ("The sum of 3 and 5 is 8, and nobody says so.", False),
    ],
)
def test_a_conversation_has_turns_of_two_speakers(
    make_context: Callable, make_engine: Callable, reply: str, taken: bool
) -> None:
    given = make_context(make_engine({"D:3+5=8": {reply: 1.0}}, "?"))
    made: Any = Dialogues(words="D:{document}", keep=False).acquire([Document(text="3+5=8")], given)
    assert [one.text for one in made] == ([reply] if taken else [])
    assert given.log.metrics["dialogues/kept"] == float(taken)


def test_all_seven_styles_are_asked_for(make_context: Callable, make_engine: Callable) -> None:
    given = make_context(make_engine({}, TALK))
    made: Any = Dialogues().acquire([Document(text=f"text {n}") for n in range(7)], given)
    assert len(made) == 14 and {one.info["style"] for one in made[7:]} == {*STYLES}
