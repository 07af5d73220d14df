"""Problems from the beginning of a user's turn, and messages that stay open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.inference.chat import prompt_ids, shown
from selfimprove.methods.acquisition.magpie import Magpie
from selfimprove.methods.model.tiny import _tokenizer, _whole
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.problems.splits import split_of

NEW, HELD = "4+1+1+1", "2+2+2+3"


def test_what_the_user_would_say_becomes_problems(make_context: Callable, make_engine: Callable) -> None:
    said = {f"{NEW}=7#7": 1.0, f"{HELD}=": 1.0, "no sum": 1.0, "3+5+8+1": 1.0}
    context = make_context(make_engine({"S:": said}))
    made: Any = Magpie(problems=60).acquire([], context)
    assert split_of(HELD) != "train" and {p.key for p in made} == {NEW, "3+5+8+1"} and len(made) == 2
    assert {p.prompt[-1]["content"] for p in made} == {f"S:{NEW}=", "S:3+5+8+1="}  # closed, as any problem
    assert all("open" not in message for p in made for message in p.prompt)
    [asked] = {one.prompt[-1]["content"] for one in context.policy.engine.seen}
    assert asked == "S:" and context.policy.engine.seen[0].prompt[-1]["open"] is True
    assert context.policy.engine.calls[0][1].stop == ("=",)
    assert context.log.metrics["magpie/held_out"] > 0 and context.log.metrics["magpie/valid"] < 1


def test_a_problem_that_ends_with_its_own_words(make_story_context: Callable) -> None:
    story = "Ann has 3 nuts, finds 5, eats 2. How many?"
    context = make_story_context(lambda text, ask: f"{story}f3+5=8;e8-2=6#6")
    assert [p.prompt[-1]["content"] for p in Magpie(problems=3, until="?").acquire([], context)] in ([f"S:{story}"], [])
    assert context.log.metrics["magpie/valid"] == 1.0 and context.log.metrics["magpie/distinct"] == pytest.approx(1 / 3)


def test_a_message_that_stays_open_ends_the_prompt() -> None:
    tokenizer = _tokenizer()
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    talk: Any = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "What"}]
    closed = tokenizer.decode(prompt_ids(tokenizer, talk))
    left = tokenizer.decode(prompt_ids(tokenizer, [talk[0], {**talk[1], "open": True}]))
    assert left == "<system>be kind\n<user>What" and closed.startswith(left) and closed.endswith("<assistant>")
    with pytest.raises(RecipeError, match="an endpoint closes every message"):
        shown([{"role": "user", "content": "", "open": True}])


def test_the_bootstrap_can_teach_problems_too(make_rollout: Callable) -> None:
    one = make_rollout()
    whole = _whole(one, "S:")
    assert whole.prompt.prompt[-1]["content"] == "S:" and whole.text == "3+5+8=" + one.text
    assert _whole(one, "") == one and _whole(one, "J:") == one
    assert ChainSums().demonstrations("solve", 1, 0)[0].prompt.prompt[-1]["content"].startswith("S:")
