"""Transcripts in tokens: who said which of them, and what the model saw before each reply."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.inference.chat import completion_ids, prompt_ids
from selfimprove.inference.rows import Row, joined, rows_of, turns_of
from selfimprove.records import Message, Prompt, Rollout

CHATML = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}~{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TRIMS = CHATML.replace("m.content", "m.content | trim")
FORGETS = (
    "{% for m in messages %}<{{ m.role }}>"
    "{% if m.role == 'assistant' and not loop.last %}{{ m.content.split(';')[-1] }}{% else %}{{ m.content }}{% endif %}"
    "~{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
"""Like Qwen3 and DeepSeek: what the assistant thought in earlier turns is left out."""


def words(template: str | None) -> Any:
    from selfimprove.methods.model.tiny import _tokenizer

    made = _tokenizer()
    made.add_special_tokens({"additional_special_tokens": ["~"]})
    made.chat_template = template
    return made


def transcript(*said: tuple[str, str], **changes: Any) -> Rollout:
    """A rollout of the problem `3+5`, with these messages."""
    completion: list[Message] = [{"role": role, "content": text} for role, text in said]
    prompt = Prompt(prompt=[{"role": "user", "content": "3+5"}], key="3+5")
    return Rollout(prompt=prompt, completion=completion, **changes)


CALLS = (("assistant", "call 3+5"), ("tool", "8"), ("user", "so"), ("assistant", "#8"))


def shown(tokenizer: Any, row: Row) -> list[tuple[str, int]]:
    """The completion in runs of tokens that the assistant said, or did not say."""
    made, before = list[tuple[str, int]](), None
    for token, own in zip(row.completion, row.said, strict=True):
        text = tokenizer.convert_ids_to_tokens(token)
        made = [*made[:-1], (made[-1][0] + text, own)] if own == before else [*made, (text, own)]
        before = own
    return made


def test_by_a_template_that_shows_turns_as_they_were_said_a_transcript_is_one_row() -> None:
    tokenizer = words(CHATML)
    [[row]] = rows_of(tokenizer, [transcript(*CALLS)])
    assert tokenizer.decode(row.prompt) == "<user>3+5~<assistant>"
    assert shown(tokenizer, row) == [("call 3+5~", 1), ("<tool>8~<user>so~<assistant>", 0), ("#8~", 1)]
    assert row.labels == [-100] * len(row.prompt) + [
        one if own else -100 for one, own in zip(row.completion, row.said, strict=True)
    ]


@pytest.mark.parametrize("template", [None, FORGETS])
def test_where_the_model_saw_other_turns_than_it_drew_each_reply_is_a_row(template: str | None) -> None:
    """Without a template no end token stands between two turns; some templates leave the thoughts of earlier ones."""
    tokenizer = words(template)
    told = transcript(("assistant", "3+5=8;8"), *CALLS[1:])
    [[first, last]] = rows_of(tokenizer, [told])
    assert all(first.said) and all(last.said)
    asked = [told.prompt.prompt, [*told.prompt.prompt, *told.completion[:3]]]
    assert [first.prompt, last.prompt] == [prompt_ids(tokenizer, one) for one in asked]
    assert [first.completion, last.completion] == [completion_ids(tokenizer, told.completion[i:][:1]) for i in (0, 3)]
    [one] = joined(tokenizer, [told])
    end = tokenizer.convert_ids_to_tokens(first.completion[-1])
    between = "\n\n8\n\nso" if template is None else "<tool>8~<user>so~<assistant>"
    assert shown(tokenizer, one) == [(f"3+5=8;8{end}", 1), (between, 0), (f"#8{end}", 1)]


def test_a_reply_that_the_template_trims_is_a_row_of_its_own() -> None:
    tokenizer = words(TRIMS)
    assert [len(rows) for rows in rows_of(tokenizer, [transcript(*CALLS)])] == [1]
    assert [len(rows) for rows in rows_of(tokenizer, [transcript(("assistant", "8\n"), *CALLS[1:])])] == [2]


@pytest.mark.parametrize("template", [None, CHATML, TRIMS, FORGETS])
@settings(max_examples=20)
@given(text=st.text(alphabet="35+=; \n", max_size=8), cut=st.booleans())
def test_one_reply_is_the_row_that_the_engine_drew(template: str | None, text: str, cut: bool) -> None:
    tokenizer = words(template)
    alone = transcript(("assistant", text), info={"finish_reason": "length"} if cut else {})
    [[row]] = rows_of(tokenizer, [alone])
    assert row.prompt == prompt_ids(tokenizer, alone.prompt.prompt)
    assert row.completion == completion_ids(tokenizer, alone.completion, alone.ended)
    assert row.said == [1] * len(row.completion)
    assert turns_of(alone) == [alone]


@pytest.mark.parametrize("template", [None, CHATML, TRIMS, FORGETS])
@settings(max_examples=20)
@given(
    talk=st.lists(st.tuples(st.sampled_from(["assistant", "tool", "user"]), st.text("35+;", max_size=4)), max_size=7)
)
def test_what_is_learned_is_what_the_assistant_said(template: str | None, talk: list[tuple[str, str]]) -> None:
    tokenizer = words(template)
    [rows] = rows_of(tokenizer, [transcript(*talk)])
    learned = [one for row in rows for one, own in zip(row.completion, row.said, strict=True) if own]
    end = completion_ids(tokenizer, [])
    replies, before = list[str](), ""
    for role, text in talk:
        if role == "assistant":
            replies = [*replies[:-1], replies[-1] + text] if before == role else [*replies, text]
        before = role
    assert learned == [token for text in replies for token in [*tokenizer(text)["input_ids"], *end]]


def test_a_reply_that_ran_into_the_limit_has_no_end_token() -> None:
    tokenizer = words(CHATML)
    last = transcript(*CALLS, info={"finish_reason": "length"})
    [[row]] = rows_of(tokenizer, [last])
    assert shown(tokenizer, row) == [("call 3+5~", 1), ("<tool>8~<user>so~<assistant>", 0), ("#8", 1)]
    first = replace(last, completion=[{**last.completion[0], "ended": False}, *last.completion[1:]], info={})
    rows = rows_of(tokenizer, [first])[0]  # the template ended the turn in the prompt of the next one
    assert [shown(tokenizer, row) for row in rows] == [[("call 3+5", 1)], [("#8~", 1)]]
    assert [one.ended for one in turns_of(first)] == [False, True]
    assert "ended" not in str(tokenizer.decode(rows[1].prompt))


def test_the_turns_of_a_transcript_with_what_each_earned_from_then_on() -> None:
    told = transcript(*CALLS, ("tool", "over"), reward=1.0, logprobs={"sum": -2.0, "count": 9})
    first, last = turns_of(told, [-0.25, 1.25])
    assert (first.reward, last.reward) == (1.0, 1.25)
    assert (first.prompt.prompt, first.completion) == (told.prompt.prompt, told.completion[:1])
    assert (last.prompt.prompt, last.completion) == ([*told.prompt.prompt, *told.completion[:3]], told.completion[3:4])
    assert first.logprobs is None and first.prompt.key == "3+5"
    assert [one.reward for one in turns_of(told)] == [1.0, 1.0], "all was earned at the end"
    assert [one.ended for one in turns_of(replace(told, info={"finish_reason": "length"}))] == [True, False]
    with pytest.raises(ValueError, match="3 rewards for 2 replies"):
        turns_of(told, [0, 0, 1])
