"""What a newcomer sees first, and the completion of the shell."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.cli import main
from selfimprove.cli.first_screen import first_screen

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_the_first_screen_names_every_command_once_and_fits(command: Command) -> None:
    code, out, err = command()
    assert (code, err) == (0, "") and out.startswith("Self-improving language models") and "--version" in out
    assert max(map(len, out.splitlines())) <= 80
    visible = {
        one.name or one.callback.__name__ for one in main.app.registered_commands if one.callback and not one.hidden
    }
    words = set(out.replace(",", " ").split())
    assert visible <= words


def test_the_completion_of_the_shell_is_there(command: Command) -> None:
    code, out, _ = command("--help")
    assert code == 0 and "--install-completion" in out


def test_commands_that_it_does_not_know_stand_at_the_end_and_missing_ones_are_left_out() -> None:
    lines = first_screen(["run", "status", "zap"]).splitlines()
    assert lines[lines.index("more") + 1] == "  zap" and "start here" in lines
    said = [line.split("  ")[1] for line in lines if line.startswith("  ")]
    assert said == ["run quickstart", "run, status", "zap"]


def test_a_named_command_is_prepared_alone(command: Command) -> None:
    assert [one.callback for one in main._alone(["demo"]).registered_commands] == [main.demo.demo]
    assert main._alone(["demos"]) is main.app and main._alone([]) is main.app and main._alone(["--help"]) is main.app
    code, _, err = command("demos")
    assert code == 2 and "No such command 'demos'" in err and err.count("\n") == 1
