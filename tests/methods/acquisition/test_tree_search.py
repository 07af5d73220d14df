"""A tree over steps: the value of a right path ends at 1, and the search goes where right ends were found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import RecipeError
from selfimprove.inference.tree import Node
from selfimprove.methods.acquisition.tree_search import TreeSearch
from selfimprove.records import Rollout

ROOT = "S:3+5+8="


def search(**options: Any) -> TreeSearch:
    return TreeSearch(**{"separator": ";", **options})


@pytest.mark.parametrize(
    ("solutions", "values"),
    [
        # one right path of two steps: w1 = 1/2, w2 = (1 - 1/2) / 1
        ({"a;b": 1.0}, {"a;b": [0.5, 1.0]}),
        # three steps: 1/3, 2/3, 1
        ({"a;b;c": 1.0}, {"a;b;c": [1 / 3, 2 / 3, 1.0]}),
        # wrong second step: one step was needed, so -(1 - 1/2) / 2
        ({"a;b": 1.0, "a;x": 0.0}, {"a;b": [0.5, 1.0], "a;x": [0.5, 0.25]}),
        # wrong from the start: two steps are needed, nothing is lost below 0
        ({"a;b": 1.0, "x;b": 0.0}, {"a;b": [0.5, 1.0], "x;b": [0.0, 0.0]}),
        # a longer right path shares its first step with a shorter one, and is measured by the shortest known way
        ({"a;b": 1.0, "a;c;d": 1.0}, {"a;b": [0.5, 1.0], "a;c;d": [0.5, 0.75, 1.0]}),
        ({"x;y": 0.0}, {"x;y": [0.0, 0.0]}),  # nothing right is known
    ],
)
def test_the_values_by_hand(
    make_rollout: Callable, solutions: dict[str, float], values: dict[str, list[float]]
) -> None:
    made = search()._valued([make_rollout(text, reward=mark) for text, mark in solutions.items()])
    assert {r.text: r.info["values"] for r in made} == {text: pytest.approx(v) for text, v in values.items()}
    assert [r.reward for r in made] == [r.info["values"][-1] for r in made]


@given(
    st.dictionaries(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(";".join), st.booleans(), max_size=6)
)
def test_right_paths_end_at_one_and_no_value_leaves_its_range(make_rollout: Callable, found: dict[str, bool]) -> None:
    for one in search()._valued([make_rollout(text, reward=float(right)) for text, right in found.items()]):
        assert all(-1e-12 <= value <= 1 + 1e-12 for value in one.info["values"])
        if found[one.text]:
            assert one.reward == pytest.approx(1.0)
            assert one.info["values"] == sorted(one.info["values"])  # each right step comes nearer


@pytest.fixture
def explore(make_context: Callable, make_engine: Callable, make_prompt: Callable) -> Callable[..., Any]:
    """`explore(table, iterations=3)`: what a search of 3+5+8 gives, and its context."""

    def run(table: dict[str, dict[str, float]], **options: Any) -> tuple[list[Rollout], Any]:
        context = make_context(make_engine(table, "lost"))
        made: list[Any] = list(search(**options).acquire([make_prompt()], context))
        return made, context

    return run


def test_the_search_goes_on_behind_the_better_step(explore: Callable) -> None:
    table = {
        ROOT: {"3+5=8;8+8=5#5": 1.0, "3+5=9;9+8=7#7": 1.0},
        "3+5=8;": {"8+8=6#6": 1.0},
        "3+5=9;": {"9+8=7#7": 1.0},
    }
    made, context = explore(table, iterations=4, samples=4, enough=1)
    texts = {r.text: r.reward for r in made}
    assert texts["3+5=8;8+8=6#6"] == 1.0  # no whole sample has it: it takes a search
    assert texts["3+5=8;8+8=5#5"] == pytest.approx(0.25) and texts["3+5=9;9+8=7#7"] == 0.0
    assert context.log.metrics["tree_search/solved"] == 1.0
    assert all(r.logprobs is None and r.prompt.prompt[-1]["content"] == ROOT for r in made)
    assert all(prompt.answer is None for prompt in context.policy.engine.seen)


def test_a_solved_problem_is_left_alone_and_a_closed_tree_too(explore: Callable) -> None:
    made, context = explore({ROOT: {"#6": 1.0}}, iterations=9, samples=2, enough=1)
    assert [r.text for r in made] == ["#6"] and len(context.policy.engine.calls) == 1
    made, context = explore({ROOT: {"#5": 1.0}}, iterations=9, samples=2, enough=1)
    assert [r.reward for r in made] == [0.0] and len(context.policy.engine.calls) == 1  # nothing open is left


def test_values_go_up_to_the_root_and_bounds_choose_the_next_leaf() -> None:
    root = Node()
    for step, value in (("a;", 1.0), ("a;", 0.0), ("b;", 0.0)):
        root.add(step, value, whole=False)
    assert (root.visits, root.total) == (3, 1.0)
    assert root.leaf(0.0) is root.below["a;"]  # means 1/2 and 0
    assert root.leaf(10.0) is root.below["b;"]  # tried less
    root.below["a;"].add("c", 1.0, whole=True)
    assert (root.visits, root.total, root.below["a;"].total) == (4, 2.0, 2.0)
    assert root.leaf(0.0) is root.below["b;"] and root.below["a;"].closed  # its only child is a whole solution
    root.below["b;"].closed = True
    assert root.leaf(0.0) is None


@pytest.mark.parametrize(("value", "behind"), [("self", "3+5=9;"), ("rollout", "3+5=8;")])
def test_what_is_likely_leads_elsewhere_than_what_is_right(explore: Callable, value: str, behind: str) -> None:
    table = {ROOT: {"3+5=9;9+8=7#7": 3.0, "3+5=8;8+8=6#6": 1.0}}
    _, context = explore(table, iterations=2, samples=40, value=value, explore=0.0, enough=9)
    first, second = (prompt.prompt[-1]["content"] for prompt in context.policy.engine.seen)
    assert (first, second) == (ROOT, behind)


@pytest.mark.parametrize("options", [{"value": "coin"}, {"separator": ""}])
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="acquisition.tree_search"):
        TreeSearch(**options)
