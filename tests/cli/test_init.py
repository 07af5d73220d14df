"""A recipe to change: a copy, or made of five answers."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from selfimprove.cli import init
from selfimprove.recipe import compose

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_init_gives_a_copy_and_asks_only_at_a_terminal(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("init", "star")
    (tmp_path / "mine.yaml").write_text(out)
    assert code == 0 and compose.load(tmp_path / "mine.yaml")[1] == compose.load("star")[1]
    code, _, err = command("init")
    assert code == 2 and "name a recipe: selfimprove init rest_em > mine.yaml" in err


@pytest.mark.parametrize(
    ("typed", "made"),
    [
        (["", "", "two", "2"], {"rounds": 2, "model": "tiny", "task": "chain_sums"}),
        (["a/b", "rows.jsonl", "approx", "math", "star", "5"], {"rounds": 5, "model": "pretrained", "task": "jsonl"}),
    ],
)
def test_five_questions_make_a_recipe(
    typed: list[str], made: dict[str, object], command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    answers = iter(typed)
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(init, "_ask", lambda question, default: next(answers) or default)
    code, out, err = command("init")
    (tmp_path / "mine.yaml").write_text(out)
    recipe, _ = compose.load(tmp_path / "mine.yaml")
    assert code == 0 and err.startswith("Five questions; Enter takes") and not list(answers)
    assert {"rounds": recipe.rounds, "model": next(iter(recipe.model)), "task": next(iter(recipe.task))} == made
