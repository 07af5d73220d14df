"""What a newcomer sees first: the first screen, lists that fit, recipes as they are written, and five questions."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from selfimprove import registry
from selfimprove.cli import init, main
from selfimprove.recipe import compose
from selfimprove.recipe.places import shipped

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process, 80 columns wide; returns (exit code, standard output, standard error)."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["selfimprove", *words])
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as left:
            main.main()
        shown = capsys.readouterr()
        return int(left.value.code or 0), shown.out, shown.err

    return call


def test_the_first_screen_names_every_command_once_and_fits(command: Command) -> None:
    code, out, err = command()
    assert (code, err) == (0, "") and out.startswith("Self-improving language models") and "--version" in out
    assert max(map(len, out.splitlines())) <= 80
    visible = {
        one.name or one.callback.__name__ for one in main.app.registered_commands if one.callback and not one.hidden
    }
    words = set(out.replace(",", " ").split())
    assert visible <= words


def test_lists_have_a_line_for_each_and_fit(command: Command) -> None:
    code, out, _ = command("list")
    lines = out.splitlines()
    assert code == 0 and max(map(len, lines)) <= 80
    for slot in registry.SLOTS:
        place = lines.index(next(line for line in lines if line.startswith(f"{slot}: ")))
        names = [line.split()[0] for line in lines[place + 1 : place + 1 + len(registry.names(slot))]]
        assert names == registry.names(slot)
    code, out, _ = command("list", "gate")
    assert code == 0 and "selfimprove show gate METHOD" in out and "task:" not in out


def test_recipes_are_grouped_by_what_they_need(command: Command) -> None:
    code, out, _ = command("recipes", "--search", "vote")
    lines = out.splitlines()
    assert code == 0 and lines[0].startswith("needs nothing but problems") and max(map(len, lines)) <= 80
    assert any(line.split()[:1] == ["majority_vote"] for line in lines)
    found = json.loads(command("recipes", "--json")[1])
    assert {one["name"] for one in found} == {path.stem for path in shipped().glob("*.yaml")}
    code, _, err = command("recipes", "--search", "xyzzy")
    assert code == 66 and "no shipped recipe has the word 'xyzzy'" in err and err.count("\n") == 1


def test_a_recipe_is_shown_as_it_is_written_and_a_slot_alone_is_told_how(command: Command) -> None:
    assert command("show", "star") == (0, (shipped() / "star.yaml").read_text(), "")
    code, _, err = command("show", "selection")
    assert code == 2 and err.endswith("They are in: selfimprove list selection\n")
    code, _, err = command("show", "starr")
    assert code == 66 and "Did you mean 'star'?" in err


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


def test_the_completion_of_the_shell_is_there(command: Command) -> None:
    code, out, _ = command("--help")
    assert code == 0 and "--install-completion" in out
