"""Thoughts and replies: what a completion says, in every form, and the tokens that its message gives back."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.errors import RecipeError
from selfimprove.inference.chat import completion_ids, prompt_ids
from selfimprove.inference.drawn import messages_of
from selfimprove.inference.forms import THOUGHT
from selfimprove.inference.rows import rows_of
from selfimprove.inference.thinking import begins_after, form_of
from selfimprove.inference.thought_budget import Thoughts
from selfimprove.problems.answers import mark
from selfimprove.records import Cut, Message, Prompt, Rollout, dumps, loads
from selfimprove.text import joined, prefilled

NAMES = ("tags", "quiet", "opened", "special", "channels", "code", "text")
ASKED: list[Message] = [{"role": "user", "content": "3 + 5?"}]


@pytest.fixture(scope="module")
def thinkers(small_llama: ModuleType, thinkers_module: ModuleType) -> dict[str, Any]:
    return {name: thinkers_module.thinker(small_llama, name) for name in NAMES}


def drawn(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text whose marks are control tokens."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def controls(tokenizer: Any, line: list[int]) -> list[int]:
    return [token for token in line if token in tokenizer.added_tokens_decoder]


@pytest.mark.parametrize(
    ("name", "text", "content", "thinking"),
    [
        ("tags", "<think>\n3 and 5\n</think>\n\nIt is 8.", "It is 8.", "3 and 5"),
        ("tags", "It is 8.", "It is 8.", ""),
        ("tags", "\nIt is 8.", "\nIt is 8.", ""),
        ("tags", "<think>\nIt is 8", "", "It is 8"),  # never closed: no reply
        ("tags", "<think>\n\n</think>\n\nIt is 8.", "It is 8.", ""),
        ("tags", "8?</think>It is 8.", "It is 8.", "8?"),  # opened by nobody
        ("tags", "<think>a</think>b<think>c</think>d", "bd", "ac"),
        ("quiet", "It is 8.", "It is 8.", ""),
        ("opened", "3 and 5\n</think>\n\nIt is 8.", "It is 8.", "3 and 5"),
        ("opened", "It is 8", "", "It is 8"),
        ("special", "[THINK]3 and 5[/THINK]It is 8.", "It is 8.", "3 and 5"),
        ("channels", "<|channel|>analysis<|message|>3 and 5<|end|><|start|>assistant<|channel|>final<|message|>8", "8",
         "3 and 5"),
        ("channels", "<|channel|>final<|message|>8", "8", ""),
        ("channels", "<|channel|>analysis<|message|>It is 8", "", "It is 8"),
        ("channels", "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>fin", "", "a"),
        ("channels", "<|channel|>commentary<|message|>Wait.<|end|><|start|>assistant<|channel|>final<|message|>8", "8",
         "Wait."),
        ("channels", "It is 8.", "It is 8.", ""),
        ("code", "It is 8.", "It is 8.", ""),
        ("text", "<think>\n3 and 5\n</think>\n\nIt is 8.", "It is 8.", "3 and 5"),
    ],
)  # fmt: skip
def test_a_message_has_the_reply_and_what_was_thought(
    thinkers: dict[str, Any], name: str, text: str, content: str, thinking: str
) -> None:
    tokenizer = thinkers[name]
    line = drawn(tokenizer, text)
    [message] = messages_of(tokenizer, [line])
    assert (message["content"], message.get("thinking", "")) == (content, thinking)
    rollout = Rollout(prompt=Prompt(prompt=ASKED), completion=[message], info={"finish_reason": "length"})
    assert rollout.text == content and isinstance(rollout.text, Cut)
    assert completion_ids(tokenizer, [message], ended=False) == line
    assert loads(dumps(rollout)) == rollout


def test_a_text_in_the_template_s_own_form_needs_no_ids(thinkers: dict[str, Any]) -> None:
    for name, text in (
        ("tags", "<think>\n3 and 5\n</think>\n\nIt is 8."),
        ("opened", "3 and 5\n</think>\n\nIt is 8."),
        ("channels", "<|channel|>analysis<|message|>3<|end|><|start|>assistant<|channel|>final<|message|>8"),
    ):
        [message] = messages_of(thinkers[name], [drawn(thinkers[name], text)])
        assert message.keys() == {"role", "content", "thinking"}


@pytest.mark.parametrize(
    ("name", "text", "calls"),
    [
        ("channels", "<|channel|>commentary to=functions.add <|message|>{}<|call|>", [("functions.add", "{}")]),
        ("code", "See:<|python_tag|>print(3 + 5)", [("python", "print(3 + 5)")]),
    ],
)
def test_a_call_of_a_tool_is_not_the_reply(
    thinkers: dict[str, Any], name: str, text: str, calls: list[tuple[str, str]]
) -> None:
    line = drawn(thinkers[name], text.removesuffix("<|call|>"))
    [message] = messages_of(thinkers[name], [line])
    assert message.get("calls") == [{"to": to, "content": content} for to, content in calls]
    assert message["content"] == text.partition("<")[0]
    assert completion_ids(thinkers[name], [message], ended=False) == line


@pytest.mark.parametrize(("thought", "reply", "marked"), [("8", "9", 0.0), ("9", "8", 1.0)])
def test_the_mark_is_that_of_the_reply(thinkers: dict[str, Any], thought: str, reply: str, marked: float) -> None:
    for name in ("tags", "opened", "channels"):
        form = form_of(thinkers[name])
        assert form is not None
        text = form.written(f"The answer is {thought}.", f"The answer is {reply}.", form.opened)
        [message] = messages_of(thinkers[name], [drawn(thinkers[name], text)])
        assert mark("math", message["content"], "8") == marked


@pytest.mark.parametrize("name", NAMES)
@given(pieces=st.lists(st.sampled_from(["<think>", "</think>", "[THINK]", "<|channel|>", "final", "analysis",
    "<|message|>", "<|end|>", "<|start|>", "assistant", "<|python_tag|>", "8", "\n", "é"]), max_size=8))  # fmt: skip
@settings(max_examples=50)
def test_whatever_was_drawn_comes_back_and_its_message_is_plain(
    thinkers: dict[str, Any], name: str, pieces: list[str]
) -> None:
    tokenizer = thinkers[name]
    line = [token for token in drawn(tokenizer, "".join(pieces)) if token != tokenizer.eos_token_id]
    [message] = messages_of(tokenizer, [line])
    rollout = Rollout(prompt=Prompt(prompt=ASKED), completion=[message])
    [[row]] = rows_of(tokenizer, [rollout])
    assert row.completion[:-1] == line and row.prompt == prompt_ids(tokenizer, ASKED)
    again = prompt_ids(tokenizer, [{"role": "user", "content": message["content"]}])
    assert controls(tokenizer, again) == controls(tokenizer, prompt_ids(tokenizer, ASKED))


# ---- history -------------------------------------------------------------------------------------------------------
def test_history_shows_thoughts_as_the_template_does(thinkers: dict[str, Any]) -> None:
    talk: list[Message] = [
        *ASKED,
        {"role": "assistant", "content": "8", "thinking": "3, 5"},
        {"role": "user", "content": "?"},
    ]
    for name, text in (
        ("tags", "<|user|>3 + 5?<|end|><|assistant|>8<|end|><|user|>?<|end|><|assistant|>"),
        ("opened", "<|user|>3 + 5?<|end|><|assistant|>8<|end|><|user|>?<|end|><|assistant|><think>\n"),
        ("channels", "<|start|>user<|message|>3 + 5?<|end|><|start|>assistant<|channel|>final<|message|>8<|end|>"
         "<|start|>user<|message|>?<|end|><|start|>assistant"),
    ):  # fmt: skip
        assert prompt_ids(thinkers[name], talk) == drawn(thinkers[name], text)
        if name == "tags":  # data whose assistant thought aloud
            told = [talk[0], {"role": "assistant", "content": "<think>\n3, 5\n</think>\n\n8"}, talk[2]]
            assert prompt_ids(thinkers[name], told) == drawn(thinkers[name], text)


def test_a_prefilled_thought_is_still_open(thinkers: dict[str, Any]) -> None:
    """What is drawn next belongs to the thought; with content beside it the thought is closed."""
    talk = [{"role": "user", "content": "3 + 5?"}]
    for name in ("tags", "opened", "special"):
        tokenizer = thinkers[name]
        asked = prompt_ids(tokenizer, [*talk, {"role": "assistant", "content": "", "thinking": "eight, Wait"}])
        shown = tokenizer.decode(asked)
        assert shown.endswith("eight, Wait") and begins_after(tokenizer, asked) == THOUGHT
        assert len(re.findall(r"<think>|\[THINK\]", shown)) == 1
        asked = prompt_ids(tokenizer, [*talk, {"role": "assistant", "content": "Final:", "thinking": "eight"}])
        assert tokenizer.decode(asked).endswith("Final:") and begins_after(tokenizer, asked) != THOUGHT


def test_a_prefilled_reply_goes_on_after_the_thought_that_it_had(thinkers: dict[str, Any]) -> None:
    prompt = Prompt(prompt=ASKED)
    for name in ("tags", "opened", "channels"):
        tokenizer, form = thinkers[name], form_of(thinkers[name])
        assert form is not None
        text = form.written("3 and 5", "3 + 5 = 8", form.opened)
        [whole] = messages_of(tokenizer, [drawn(tokenizer, text) + drawn(tokenizer, "!")])
        whole["ids"] = drawn(tokenizer, text)
        begun = prefilled(prompt, "3 + 5", whole)
        ids = prompt_ids(tokenizer, begun.prompt)
        kept = drawn(tokenizer, text.removesuffix(" = 8"))
        assert ids == prompt_ids(tokenizer, ASKED) + kept
        [end] = messages_of(tokenizer, [drawn(tokenizer, " = 9")], [("3 + 5", kept)])
        assert joined("3 + 5", end)["content"] == "3 + 5 = 9"
        assert completion_ids(tokenizer, [joined("3 + 5", end)], ended=False) == kept + drawn(tokenizer, " = 9")
        bare = prompt_ids(tokenizer, prefilled(prompt, "3 + 5").prompt)
        assert bare == prompt_ids(tokenizer, ASKED) + drawn(tokenizer, form.written("", "3 + 5", form.opened))


# ---- budgets -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "text", "budget", "taken"),
    [
        ("tags", "<think>qrstuvwxyzqr</think>", 3, "<think>qrs\n</think>\n\n"),
        ("tags", "<think>qr</think>stuvwxyz", 3, "<think>qr</think>stuvwxyz"),
        ("tags", "8", 0, "8"),
        ("opened", "qrstuvwx", 2, "qr\n</think>\n\n"),
        ("opened", "qrstu", 0, "\n</think>\n\n"),
        ("channels", "<|channel|>analysis<|message|>" + "1" * 30, 2,
         "<|channel|>analysis<|message|>11<|end|><|start|>assistant<|channel|>final<|message|>"),
        ("channels", "<|channel|>final<|message|>" + "1" * 9, 2, "<|channel|>final<|message|>" + "1" * 9),
    ],
)  # fmt: skip
def test_a_thought_is_closed_after_its_budget(
    thinkers: dict[str, Any], name: str, text: str, budget: int, taken: str
) -> None:
    tokenizer = thinkers[name]
    thoughts = Thoughts(tokenizer, [prompt_ids(tokenizer, ASKED)], budget)
    made = [token for one in drawn(tokenizer, text) for token in thoughts.take([0], [one])]
    wanted = drawn(tokenizer, taken)
    assert made[: len(wanted)] == wanted
    form = form_of(tokenizer)
    assert form is not None
    closing = drawn(tokenizer, form.closing) if taken.endswith(form.closing) else []
    assert [wanted[place] for place in thoughts.closed.get(0, ())] == closing, "what it did not draw"


def test_a_budget_needs_thoughts_that_can_be_closed(thinkers: dict[str, Any], small_llama: ModuleType) -> None:
    for tokenizer in (thinkers["code"], thinkers["text"], small_llama.tokenizer(True)):
        with pytest.raises(RecipeError, match="thinking_budget"):
            Thoughts(tokenizer, [[]], 5)


def test_stop_strings_count_in_the_reply_only(thinkers: dict[str, Any]) -> None:
    for name, text in (("tags", "<think>\na\n</think>\n\nb\n"), ("channels",
        "<|channel|>analysis<|message|>\n<|end|><|start|>assistant<|channel|>final<|message|>b\n")):  # fmt: skip
        tokenizer = thinkers[name]
        thoughts, silent = Thoughts(tokenizer, [prompt_ids(tokenizer, ASKED)], None), list[str]()
        for token in drawn(tokenizer, text):
            thoughts.take([0], [token])
            silent += [] if thoughts.thinking([0])[0] else [tokenizer.decode([token])]
        assert silent == ["b", "\n"]
