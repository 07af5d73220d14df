"""Conversations with oneself: which texts are one, what of them is learned, and held-out problems."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.inference.rows import rows_of
from selfimprove.methods.acquisition.self_chat import SelfChat
from selfimprove.methods.model.tiny import _tokenizer
from selfimprove.methods.task.word_problems import WordProblems
from selfimprove.problems import stories
from selfimprove.problems.splits import split_of
from selfimprove.records import Prompt

TASK = WordProblems(min_length=1, max_length=3, asides=0)
TALK = "[Human] What is 3+5?\n[AI] It is 8.\n[Human] And with 2 more?\n[AI] Then it is 10.\nNo more."
CHATML = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}~{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        (TALK, 2),
        (TALK + "\n[Human] Thanks.", 2),  # which nobody answers
        (TALK.replace("]", "]:"), 2),
        ("Here you are:\n" + TALK, None),
        (TALK.replace("[AI]", "[Human]", 1), None),  # two turns of one side
        (TALK.removeprefix("[Human] What is 3+5?\n"), None),  # the assistant begins
        (TALK.replace("And with 2 more?", ""), None),  # an empty turn
        (TALK.replace("And with 2 more?", "what is  3+5?"), None),  # in circles
        ("[Human] What is 3+5?\n[AI] It is 8.", None),  # too short
        ("\n".join(f"[Human] {n}?\n[AI] {n}." for n in range(4)), None),  # too long
        ("It is 8.", None),
        ("", None),
    ],
)
def test_a_conversation_alternates_is_long_enough_and_does_not_go_in_circles(text: str, answers: int | None) -> None:
    said = SelfChat(turns=2, most=3).conversation(text)
    assert (None if said is None else len(said) // 2) == answers
    if said is not None:
        assert [one["role"] for one in said] == ["user", "assistant"] * 2
        assert said[-1]["content"].startswith("Then it is 10.\nNo more.")


def test_the_human_asks_and_only_the_assistant_is_learned(make_story_context: Callable) -> None:
    context = make_story_context(lambda text, ask: TALK)
    seeds = TASK.problems("train", 3, 0)
    found: Any = SelfChat().acquire(seeds, context)
    [made] = found
    assert made.prompt.prompt == [{"role": "user", "content": "What is 3+5?"}] and made.prompt.answer is None
    assert made.parents == (seeds[0].id,) and split_of(made.prompt.key) == "train"
    seen = context.log.metrics
    assert seen["self_chat/valid"] == 1 and seen["self_chat/distinct"] == pytest.approx(1 / 3)
    assert seen["self_chat/turns"] == 2 and seen["self_chat/drift"] > 0.5

    tokenizer: Any = _tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["~"]})
    tokenizer.chat_template = CHATML
    [[row]] = rows_of(tokenizer, [made])
    learned = [token for token, own in zip(row.completion, row.said, strict=True) if own]
    told = [reply["content"] for reply in made.completion if reply["role"] == "assistant"]
    replies = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in told]
    end = tokenizer.convert_tokens_to_ids("~")
    assert learned == [token for reply in replies for token in [*reply, end]]
    assert 0 in row.said and row.said[0] == 1


def test_a_held_out_problem_in_the_human_s_words_drops_the_conversation(make_story_context: Callable) -> None:
    keys = {split_of(key) == "train": key for key in stories.sums(2, Random(0))}
    for trains, kept in ((True, 1), (False, 0)):
        story = stories.told(keys[trains], 0, Random(0))
        talk = f"[Human] Hello.\n[AI] Hi.\n[Human] {story}\n[AI] Let me see."
        context = make_story_context(lambda text, ask, talk=talk: talk)
        assert len(SelfChat().acquire(TASK.problems("train", 1, 0), context)) == kept
        assert context.log.metrics["self_chat/held_out"] == 1 - kept


def test_a_reply_that_was_cut_off_is_no_conversation_and_bounds_that_cross_are_refused(
    make_context: Callable, given_engine: Callable, make_prompt: Callable
) -> None:
    with pytest.raises(RecipeError, match=r"turns is 5, above most=3"):
        SelfChat(turns=5, most=3)
    prompt: Prompt = make_prompt("3+5")
    context = make_context(given_engine(says=lambda ask: "no conversation"))
    assert SelfChat().acquire([prompt], context) == [] and context.log.metrics["self_chat/valid"] == 0
