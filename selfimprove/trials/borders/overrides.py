"""What is typed after a recipe: each override composes, or is refused by one line."""

from __future__ import annotations

import contextlib
import importlib
import random
from collections.abc import Iterator
from pathlib import Path

from selfimprove import registry
from selfimprove.recipe import checks, compose, cost
from selfimprove.trials import fuzz
from selfimprove.trials.borders.recipes import CODES, VALUES, words

TYPED = [
    *(
        "a,b",
        "[a,b",
        "a]",
        "{a:1",
        "{a:1,b:[2,{c:3}]}",
        "range(1,3)",
        "glob(*)",
        "choice(1,2)",
        "int('9')",
        "sort(3,1)",
    ),
    *("'", '"', "'a", "a'", "'a\\'", '"\\"', "\\", "\\\\", "a\\,b", "=", "a=b", "==", "+a", "~a", "@", "$", "${", "}"),
    *("(", ")", "(" * 300, "[" * 300 + "]" * 300, "{a:" * 200 + "1" + "}" * 200, "9" * 4000, "1" * 4300 + ".5"),
    *("a\x00b", "~nosuchuser/x", "a" * 5000, "\udcff", "\ud800", "\n", "a\nb", " a", "a ", "-0", "nan", "inf", "1e400"),
    *("true,false", "[1,2,3]", "[[1]]", "null", "''", '""', "0b1", "1__0", "\u0661", "\u0967\u0968", "%s", "{}", "{0}"),
]
"""Values that a shell hands over."""
RECIPES = ["quickstart", "gsm8k_grpo", "self_rewarding"]


def made(draw: random.Random, known: list[str], options: dict[str, str]) -> str:
    """An override of an option, a slot or a stage, with a value of some kind and at times a fault in its text."""
    key = draw.choice(list(options))
    usual = draw.choice([options[key], options[key], str(draw.randrange(-1, 5)), str(draw.random())])
    if draw.random() < 0.5:
        return f"{key}={usual}"
    value = draw.choice([usual, draw.choice(known), draw.choice([*VALUES, *TYPED])])
    if draw.random() < 0.2:
        key = draw.choice([draw.choice(known), f"{draw.choice(list(registry.SLOTS))}.{draw.choice(known)}"])
    text = f"{key}={value}"
    for _ in range(draw.choice([0, 0, 0, 1, 2])):
        cut = draw.randrange(len(text) + 1)
        text = text[:cut] + draw.choice(["", draw.choice(TYPED), draw.choice(known)]) + text[cut + draw.randrange(3) :]
    return text


def _options(recipe: str) -> dict[str, str]:
    """What can be set in a recipe, with a value that it may have."""
    composed = compose.load(recipe)[0]
    found = {"rounds": "2", "seed": "3", "autonomy": "2", "gate_problems": "50", "sealed_problems": "50"}
    for slot in registry.SLOTS:
        for method in getattr(composed, slot):
            entry = registry.find(slot, method).method
            found |= {f"{slot}.{method}.{one.name}": one.default for one in registry.options(entry)}
    return found


@contextlib.contextmanager
def _open(scratch: Path) -> Iterator[fuzz.Try]:
    importlib.import_module("torch")  # a check of the device loads it, for seconds on a busy machine, once
    known, options = words(), {recipe: _options(recipe) for recipe in RECIPES}

    def attempt(draw: random.Random) -> str:
        recipe = draw.choice(RECIPES)
        typed = [made(draw, known, options[recipe]) for _ in range(draw.choice([1, 1, 1, 2, 3]))]
        with fuzz.shown((recipe, typed)):
            try:
                composed = compose.load(recipe, typed)[0]
                checks.preflight(composed)
                cost.estimate(composed)
            except Exception as error:
                return fuzz.refused(error, CODES)
        return "composed"

    yield attempt


BORDER = fuzz.Border(promise="what is typed after a recipe composes, or is refused by one line", open=_open, in_ci=100)
