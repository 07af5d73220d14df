"""A first look at the start model: shares cut off and unread, the form of a prompt, roles that a template refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError

from selfimprove import registry
from selfimprove.errors import DataError
from selfimprove.inference import chat
from selfimprove.logs import MetricLog
from selfimprove.loop import first_look, start_model
from selfimprove.loop.history import Stored
from selfimprove.records import Message


class Strict:
    """A tokenizer whose chat template wants user and assistant in turn."""

    chat_template = "turns"
    is_fast, added_tokens_decoder = False, dict[int, Any]()

    def apply_chat_template(self, talk: list[Message], **options: Any) -> Any:
        if any((message["role"] == "user") != (place % 2 == 0) for place, message in enumerate(talk)):
            raise TemplateError("roles must alternate")
        return [1, 2, 3]

    def decode(self, ids: list[int]) -> str:
        return "<|assistant|>\n<think>\n"


def _message(said: str | Message) -> Message:
    return {"role": "assistant", "content": said} if isinstance(said, str) else said


@pytest.fixture
def looked(make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """`looked(answers, overrides)`: what is said of a start model that gives these answers in turn."""

    def look(answers: list[str | Message], *overrides: str, cut: bool = False, template: bool = False) -> list[str]:
        folder, log = make_run(*overrides)
        stored, step = Stored(folder), folder.begin(0, "model")
        start_model.build(stored, step, MetricLog(log))
        engine = registry.find("engine", "student").method
        plain = engine.draw

        def draw(self: Any, asks: Any, log: Any) -> Any:
            groups = plain(self, asks, log)
            said = iter(answers * 100)
            info = {"finish_reason": "length" if cut else "stop"}
            reply = [[_message(next(said)) for _ in group] for group in groups]
            return [
                [replace(one, completion=[text], info=info) for one, text in zip(group, texts, strict=True)]
                for group, texts in zip(groups, reply, strict=True)
            ]

        monkeypatch.setattr(engine, "draw", draw)
        if template:
            monkeypatch.setattr(chat, "tokenizer_of", lambda folder: Strict())
        first_look.look(stored, step, log)
        return log.notes

    return look


def test_the_shares_and_the_form_are_said_in_one_line_each(looked: Callable[..., list[str]]) -> None:
    notes = looked(["3+5=8#8", "It may be\nso"], cut=True, template=True)
    assert notes == [
        "by the chat template a prompt ends '<|assistant|>\\n<think>\\n'; a completion begins '3+5=8#8'",
        "8 of 8 completions of the start model are cut off",
        "4 of 8 completions of the start model state no answer that the task's rule reads; one ends 'It may be\\nso'",
    ]


def test_thoughts_and_those_that_never_end_are_counted(looked: Callable[..., list[str]]) -> None:
    thinks: Message = {"role": "assistant", "content": "#8", "thinking": "3+5"}
    [note, *_] = looked([thinks, {**thinks, "content": ""}, "#8", "#8"])
    assert note.startswith("4 of 8 completions of the start model think before they reply") and "; 2 never end" in note


def test_nothing_is_said_of_answers_that_are_whole_and_read(looked: Callable[..., list[str]]) -> None:
    assert looked(["#1"]) == []


def test_a_run_from_which_nothing_could_be_learned_is_stopped(looked: Callable[..., list[str]]) -> None:
    with pytest.raises(DataError, match=r"nothing could be learned: of 64 more .* preflight_samples=0") as caught:
        looked(["I cannot say."])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("override", ["selection=everything", "preflight_samples=0"])
def test_a_recipe_that_learns_from_unread_answers_goes_on(looked: Callable[..., list[str]], override: str) -> None:
    notes = looked(["I cannot say."], override)
    assert len(notes) == (override != "preflight_samples=0")


@pytest.mark.parametrize("bad", [150, None])
def test_a_row_that_the_template_refuses_is_named(
    looked: Callable[..., list[str]], tmp_path: Path, bad: int | None
) -> None:
    path = tmp_path / "talks.jsonl"
    rows = [[{"role": "user", "content": f"What is {number}?"}] for number in range(300)]
    if bad is not None:
        rows[bad] = [*rows[bad], {"role": "user", "content": "Quick!"}]
    path.write_text("\n".join(json.dumps({"prompt": row, "answer": "7"}) for row in rows))
    words = ("task=jsonl", f"task.jsonl.path={path}")
    if bad is None:
        assert looked(["7"], *words, "preflight_samples=0", template=True) == []
        return
    with pytest.raises(DataError) as caught:
        looked(["7"], *words, template=True)
    said = f"{path}, row {bad + 1}: the model's chat template refuses messages of the roles user, user: roles must alternate"
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)
