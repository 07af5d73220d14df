"""The options become the pattern of the sampling; what is none is refused before a run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.refinement.constrained import Constrained


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        ({"pattern": "#[0-9]"}, ("regex", "#[0-9]")),
        ({"kind": "choice", "pattern": '["#1", "#2"]'}, ("choice", "#1", "#2")),
        ({"kind": "json", "pattern": '{"type": "object"}'}, ("json", '{"type": "object"}')),
    ],
)
def test_the_pattern_reaches_the_engine(
    make_engine: Callable, make_policy: Callable, make_prompt: Callable, options: dict[str, str], pattern: tuple
) -> None:
    engine = make_engine()
    engine.can = frozenset({*engine.can, "pattern"})
    make_policy(engine, Constrained(**options)).answer([make_prompt()])
    assert [sampling.pattern for _, sampling, _ in engine.calls] == [pattern]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pattern": "("}, "no regular expression"),
        ({"kind": "choice", "pattern": "a"}, "JSON list of texts"),
        ({"kind": "choice", "pattern": "[]"}, "JSON list of texts"),
        ({"kind": "json", "pattern": "nothing"}, "no JSON schema"),
        ({"kind": "grammar", "pattern": "x"}, "takes regex, choice, json"),
    ],
)
def test_what_is_no_pattern_is_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        Constrained(**options)


def test_an_engine_without_patterns_is_told(
    make_engine: Callable, make_policy: Callable, make_prompt: Callable
) -> None:
    with pytest.raises(RecipeError, match="engine.watched has no patterns: use engine=transformers"):
        make_policy(make_engine(), Constrained(pattern="a")).answer([make_prompt()])
