"""What the text after `=` means: an option that is a text gets it as it was typed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from selfimprove import registry
from selfimprove.recipe.compose import load
from selfimprove.recipe.overrides import for_hydra, written

FILE = ("task=jsonl", "model=pretrained", "model.pretrained.path=there")
TYPED = [
    "C:\\new",
    "C:\\\\server\\x\\",
    "007",
    "1e5",
    "1_000",
    "true",
    "null",
    "None",
    "a,b",
    "a=b",
    "x y",
    "[a]",
    "'",
    "",
]


def read(override: str) -> Any:
    """What Hydra's grammar makes of an override."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_override(for_hydra(override, registry.find)).value()
    return [str(one) for one in parsed] if isinstance(parsed, list) else parsed


def test_texts_arrive_in_the_method_as_they_were_typed() -> None:
    recipe = load("rest_em", [*FILE, "task.jsonl.path=C:\\new", "task.jsonl.prompt_column=007", "seed=7"])[0]
    task = recipe.the("task")
    assert (task.path, task.prompt_column, recipe.seed) == ("C:\\new", "007", 7)


@pytest.mark.parametrize("typed", TYPED)
def test_a_text_stays_what_it_is(typed: str) -> None:
    assert read(f"task.jsonl.path={typed}") == typed


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("task.jsonl.path='007'", "007"),
        ('task.jsonl.path="a \\" b"', 'a " b'),
        ("task.jsonl.path='C:\\'", "'C:\\'"),
        ("task.python_programs.config=null", None),
        ("task.python_programs.config='null'", "null"),
        ("task.python_programs.config=1e5", "1e5"),
        ("model.tiny.roles=[007,'a, b',1e5, C:\\new ]", ["007", "a, b", "1e5", "C:\\new"]),
        ("model.tiny.roles=[]", []),
        ("parts=null", None),
        ("parts=[1,true]", ["1", "true"]),
        ("rounds=5", 5),
        ("optimization.sft.learning_rate=1e-4", 1e-4),
    ],
)
def test_quotes_nothing_lists_and_numbers(override: str, value: Any) -> None:
    assert read(override) == value


def test_a_free_mapping_takes_any_names() -> None:
    typed = ["model=pretrained", "model.pretrained.path=x", "bench=false"]
    for one in (
        ("model.pretrained.chat_template_kwargs={think: false, a: [1]}",),
        (
            "model.pretrained.chat_template_kwargs.think=false",
            "model.pretrained.chat_template_kwargs.a=[1]",
        ),
    ):
        method = load("rest_em", [*typed, *one])[0].the("model")
        assert method.chat_template_kwargs == {"think": False, "a": [1]}


@given(st.text(alphabet=st.sampled_from("a0'\"\\,[]{}= \n$e.-:"), max_size=8))
@example("\\'")
@example("\\")
@settings(max_examples=60)
def test_any_text_that_a_controller_sets_is_read_back(text: str) -> None:
    assert read(written("task.jsonl.path", text)) == text
    assert read(written("model.tiny.roles", [text, "b"])) == [text, "b"]
