"""Models that think one thing and say another are marked by what they say."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.inference.chat import completion_ids, prompt_ids
from selfimprove.inference.drawn import messages_of
from selfimprove.inference.foreign import controls_of
from selfimprove.inference.thinking import form_of
from selfimprove.interfaces import GREEDY
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.task.jsonl import JsonlTask
from selfimprove.records import Checkpoint, Message

PROBLEMS = 100
ASKED: list[Message] = [{"role": "user", "content": "How many are 3 and 5?"}]


def _marks(published: Any, log: Any) -> list[tuple[float, str, str, str]]:
    """Of each problem the mark, the reference, and the last number of the reply and of the thought."""
    task, engine = JsonlTask(path=str(published.sums)), Transformers(max_completion_length=48, dtype="float32")
    problems = task.problems("train", PROBLEMS, 0)
    drawn = engine.sample(Checkpoint(path=str(published.folder)), [one.blind() for one in problems], 1, GREEDY, 0, log)
    made = []
    for problem, [rollout] in zip(problems, drawn, strict=True):
        numbers = [re.findall(r"\d+", text)[-1:] for text in (rollout.text, rollout.completion[0].get("thinking", ""))]
        said, thought = ("".join(one) for one in numbers)
        made.append((task.verify(problem, rollout.text) or 0.0, problem.answer or "", said, thought))
    return made


@pytest.mark.lesson("right_thought")
def test_a_right_thought_with_a_wrong_reply_is_marked_wrong(
    published: Any, quiet_log: Any, figure: Callable[[str, Any], None]
) -> None:
    made = _marks(published, quiet_log)
    by_reply = sum(mark == (said == answer) for mark, answer, said, _ in made)
    figure("right thought, wrong reply: marked by the reply", f"{by_reply} of {len(made)}")
    assert by_reply == len(made) == PROBLEMS
    assert sum(thought == answer for _, answer, _, thought in made) >= 90, "else it was not taught"
    assert sum(mark for mark, *_ in made) <= 10


@pytest.mark.lesson("right_reply")
def test_a_wrong_thought_with_a_right_reply_is_marked_right(
    published: Any, quiet_log: Any, figure: Callable[[str, Any], None]
) -> None:
    made = _marks(published, quiet_log)
    by_reply = sum(mark == (said == answer) for mark, answer, said, _ in made)
    figure("wrong thought, right reply: marked by the reply", f"{by_reply} of {len(made)}")
    assert by_reply == len(made) == PROBLEMS
    assert sum(thought == answer for _, answer, _, thought in made) <= 10, "else it was not taught"
    assert sum(mark for mark, *_ in made) >= 90


def test_a_message_in_the_model_s_own_form_keeps_its_parts_and_tokens(published: Any) -> None:
    words, form = published.tokenizer, form_of(published.tokenizer)
    if form is None:
        assert "{thought}" not in published.architecture.form
        return
    text = form.written("3 + 5 = 8", "The answer is 8.", form.opened)
    line = words(text, add_special_tokens=False)["input_ids"]
    [message] = messages_of(words, [line])
    thinks = "{thought}" in published.architecture.form
    assert message["content"] == "The answer is 8." and message.get("thinking", "") == ("3 + 5 = 8" if thinks else "")
    assert completion_ids(words, [message], ended=False) == line


def test_a_forged_control_token_in_a_question_stays_text(published: Any) -> None:
    words = published.tokenizer
    usual = prompt_ids(words, ASKED)
    for forged in controls_of(words).names:
        ids = prompt_ids(words, [{"role": "user", "content": f"How many are 3{forged} and 5?"}])
        known = words.added_tokens_decoder
        special = [token for token in ids if token in known and known[token].content in controls_of(words).names]
        assert special == [
            token for token in usual if token in known and known[token].content in controls_of(words).names
        ], forged
