"""Debate: agents see what the others said, minds change, agreement ends it, and the last turn makes the label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Engine
from selfimprove.loop.steps import rewarded
from selfimprove.methods.acquisition.debate import Debate, _label
from selfimprove.records import Prompt, Rollout

KEY = "3+5+8"


class Scripted(Engine):
    """Hands out the next line of a script to each prompt, and remembers what it was asked."""

    def __init__(self, *script: str) -> None:
        self.script, self.seen = list(script), list[Prompt]()

    def draw(self, asks: Any, log: Any) -> list[list[Rollout]]:
        self.seen.extend(ask.prompt for ask in asks)
        return [[self._next(ask.prompt) for _ in range(ask.n)] for ask in asks]

    def _next(self, prompt: Prompt) -> Rollout:
        said = [{"role": "assistant", "content": self.script.pop(0)}]
        return Rollout(prompt=prompt, completion=said, logprobs={"sum": -1.0, "count": 1})

    def logprobs_of(self, checkpoint: Any, rollouts: Any, statistic: str = "logprob") -> list[list[float]]:
        raise AssertionError("a debate needs no scores")


@pytest.fixture
def hold(make_context: Callable, make_prompt: Callable) -> Callable[..., Any]:
    """`hold(*script, **options)`: one problem debated with these lines, as (records, engine, context)."""

    def run(*script: str, **options: Any) -> tuple[list[Rollout], Scripted, Any]:
        engine = Scripted(*script)
        context = make_context(engine, round=2, reward=None, verify=None)  # a debate makes its labels itself
        return list(Debate(**options).acquire([make_prompt(KEY)], context)), engine, context

    return run


def asked(engine: Scripted) -> list[str]:
    return [prompt.prompt[-1]["content"] for prompt in engine.seen]


def test_each_agent_is_shown_the_others_and_not_itself(hold: Callable) -> None:
    _, engine, _ = hold("#1", "#2", "#3", "#6", "#6", "#6", turns=2)
    assert asked(engine) == [f"S:{KEY}=", *(f"R:{KEY}={o}|" for o in ("#2\n\n#3", "#1\n\n#3", "#1\n\n#2"))]
    assert {prompt.answer for prompt in engine.seen} == {None}


def test_a_minority_can_win_the_debate_where_it_would_lose_the_vote(hold: Callable) -> None:
    vote, _, _ = hold("#7", "#7", "#6", turns=1)
    assert [r.reward for r in vote] == [1.0, 1.0, 0.0]
    made, _, context = hold("#7", "#7", "#6", "#6", "#7", "#6", turns=2)
    assert [(r.text, r.reward) for r in made] == [("#6", 1.0), ("#7", 0.0), ("#6", 1.0)]
    assert context.log.metrics == {"debate/agreed": 0.0, "debate/label_changed": 1.0}


def test_agreement_ends_it_early(hold: Callable) -> None:
    made, engine, context = hold("#6", "#6", "#6", turns=3)
    assert asked(engine) == [f"S:{KEY}="] and [r.reward for r in made] == [1.0] * 3
    _, engine, _ = hold("#6", "#7", "#6", "#6", "#6", "#6", turns=3)
    assert len(engine.seen) == 4 and engine.script == []
    assert context.log.metrics["debate/agreed"] == 1.0


def test_silence_is_no_agreement_and_no_label(hold: Callable) -> None:
    made, engine, _ = hold("?", "?", "?", "?", "?", "?", turns=2)
    assert len(engine.seen) == 4 and [r.reward for r in made] == [None] * 3
    assert [r.reward for r in hold("#1", "#2", turns=1, agents=2)[0]] == [None, None]


def test_a_tie_is_not_settled_by_the_recipe_s_reward(
    make_context: Callable, make_prompt: Callable, make_rollout: Callable
) -> None:
    """The step asks only for rewards that nobody asked for; the verifier would give the labels away."""
    context = make_context(Scripted("#6", "#2"))
    made = Debate(agents=2, turns=1).acquire([make_prompt(KEY)], context)
    done = rewarded([*made, make_rollout("#6"), *context.reward([make_rollout("#6", reward=0.5)])], context)
    assert [one.reward for one in done if isinstance(one, Rollout)] == [None, None, 1.0, 1.0]


def test_majority_shows_one_attempt_that_speaks_for_the_others(hold: Callable) -> None:
    script = ("1+0=1#1", "0+1=1#1", "#2", "?", *["#1"] * 4)
    _, engine, _ = hold(*script, agents=4, turns=2, show="majority")
    assert asked(engine)[1:] == [f"R:{KEY}={o}|" for o in ("0+1=1#1", "1+0=1#1", "1+0=1#1", "1+0=1#1")]


@pytest.mark.parametrize(("keep", "texts"), [("last", "677"), ("first", "767"), ("both", "767677")])
def test_which_turns_are_kept_and_what_they_are_scored_by(hold: Callable, keep: str, texts: str) -> None:
    made, _, _ = hold("#7", "#6", "#7", "#6", "#7", "#7", turns=2, keep=keep)
    assert "".join(r.text[1] for r in made) == texts
    assert [r.reward for r in made] == [float(text == "7") for text in texts]  # first turns too, by the last label


def test_a_turn_that_settled_it_is_given_on_once(hold: Callable) -> None:
    assert len(hold("#6", "#6", "#6", keep="both")[0]) == 3


@pytest.mark.parametrize("attach", ["problem", "debate"])
def test_where_later_turns_are_stored(hold: Callable, make_prompt: Callable, attach: str) -> None:
    made, _, _ = hold("#7", "#6", "#6", "#7", agents=2, turns=2, attach=attach, keep="both")
    prompts = [r.prompt.prompt[-1]["content"] for r in made]
    later = [f"S:{KEY}="] * 2 if attach == "problem" else [f"R:{KEY}=#6|", f"R:{KEY}=#7|"]
    assert prompts == [f"S:{KEY}="] * 2 + later
    assert [r.logprobs is None for r in made] == [False, False, attach == "problem", attach == "problem"]
    assert {(r.prompt.key, r.parents) for r in made} == {(KEY, (make_prompt(KEY).id,))}


def test_problems_do_not_mix(make_context: Callable, make_prompt: Callable) -> None:
    engine = Scripted("#6", "#6", "#3", "#4", "#3", "#3")
    made = Debate(agents=2, turns=2).acquire([make_prompt(KEY), make_prompt("1+2")], make_context(engine))
    assert [(r.prompt.key, r.text) for r in made] == [(KEY, "#6"), (KEY, "#6"), ("1+2", "#3"), ("1+2", "#3")]
    assert asked(engine)[2:] == ["R:1+2=#4|", "R:1+2=#3|"]


@given(st.lists(st.sampled_from(["#1", "#2", "#3", "?"]), max_size=7), st.randoms(use_true_random=False))
def test_the_label_does_not_depend_on_the_order_of_speakers(
    make_context: Callable, make_rollout: Callable, texts: list[str], source: Any
) -> None:
    context, group = make_context(), [make_rollout(text) for text in texts]
    label = _label(group, context)
    source.shuffle(group)
    assert _label(group, context) == label != "?"
    assert label is None or all(
        texts.count(f"#{label}") > texts.count(other) for other in {*texts} - {f"#{label}", "?"}
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"show": "none"}, "show is 'none'; choose from all, majority"),
        ({"keep": "all"}, "choose from last, first, both"),
        ({"attach": "x"}, "choose from problem, debate"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(RecipeError, match=expected):
        replace(Debate(), **options)
