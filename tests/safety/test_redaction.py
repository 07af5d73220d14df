"""Secrets reach neither the screen nor the run folder, and JSON has no number that is none."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from selfimprove import registry
from selfimprove.cli import console, main
from selfimprove.errors import UserError
from selfimprove.interfaces import Alarm, Gate
from selfimprove.loop.loop import Runner
from selfimprove.records import Alert, Decision
from selfimprove.report.terminal import Screen
from selfimprove.rounds import Evidence
from selfimprove.safety.redaction import dumps, holds_key, redact, shown
from selfimprove.store.seal import write_json, write_text

CANARIES = {
    "HF_TOKEN": "hf_" + "Abcd1234" * 4,
    "WANDB_API_KEY": "0123456789abcdef" * 2 + "01234567",
    "AWS_SECRET_ACCESS_KEY": 'wJalr/XUtn"FEMI\\K7MDENG+bPxRfi',
    "OPENAI_API_KEY": "sk-proj-" + "x9Y8" * 6,
    "TRACKER_PASSWORD": "correct-horse-battery-stäple",
}
KEYS = [
    *("hf_" + "a" * 20, "sk-" + "a" * 24, "AKIA" + "A1" * 8, "ghp_" + "a" * 36, "github_pat_" + "a" * 30),
    *("glpat-" + "a" * 20, "xoxb-1234567890-abc", "AIza" + "a" * 35, "nvapi-" + "a" * 30),
    *("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc-_1", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n"),
]


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Five secrets in the environment."""
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    return list(CANARIES.values())


def hits(text: str) -> list[str]:
    """The canaries in a text, as they are or as JSON writes them."""
    return [name for name, value in CANARIES.items() if value in text or json.dumps(value)[1:-1] in text]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:8])
def test_what_has_the_form_of_a_key_is_hidden(key: str) -> None:
    assert holds_key(f"x {key} y") and key[:12] not in redact(f"x='{key}' y")


@pytest.mark.parametrize(
    "text",
    [
        *("risk-something-that-is-long-enough-to-count", "task-1234567890123456789012", "sha256:" + "a" * 64),
        *("hf_model", "AKIA", "https://example.org/a@b", "selfimprove resume runs/quickstart --rounds 5"),
    ],
)
def test_plain_words_stay(text: str) -> None:
    assert redact(text) == text and not holds_key(text)


def test_a_password_in_a_url_is_hidden_and_json_stays_json() -> None:
    assert redact("see https://me:pass1@host/x") == "see https://***@host/x"
    text = json.dumps({"a": "x://y", "b": "z:w", "c": "k@m", "d": "https://u:p@h"})
    assert json.loads(redact(text)) == {"a": "x://y", "b": "z:w", "c": "k@m", "d": "https://***@h"}


def test_values_of_the_environment_are_named_and_never_shown(
    canaries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CANARIES.items():
        assert redact(f"<{value}>") == f"<***{name}***>"
    monkeypatch.setenv("MY_TOKEN", "true")
    monkeypatch.setenv("KEYBOARD", "a-long-enough-value")
    assert redact("true a-long-enough-value") == "true a-long-enough-value", "short words and other names stay"


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda t: st.lists(t, max_size=3)))
def test_json_has_null_for_numbers_that_are_none(value: Any) -> None:
    def expected(part: Any) -> Any:
        if isinstance(part, list):
            return [expected(inner) for inner in part]
        return None if isinstance(part, float) and not math.isfinite(part) else part

    def refuse(word: str) -> Any:
        raise AssertionError(word)

    assert json.loads(dumps({"x": value}), parse_constant=refuse) == {"x": expected(value)}


def test_files_of_a_run_have_neither_secrets_nor_nan(canaries: list[str], tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"p": math.nan, "q": [math.inf], "said": canaries})
    write_text(tmp_path / "b.txt", "\n".join(canaries))
    assert json.loads((tmp_path / "a.json").read_text())["p"] is None
    assert not hits((tmp_path / "a.json").read_text() + (tmp_path / "b.txt").read_text())


@pytest.mark.runs
def test_five_canaries_reach_no_file_of_a_run_and_no_line_of_the_screen(
    canaries: list[str], make_run: Callable[..., Any]
) -> None:
    """Methods that blab: in a reason, an alert, a note and a metric's name."""
    said = " ".join(canaries)

    @registry.register("blabbing")
    @dataclass
    class Blabbing(Gate):
        def decide(self, *given: Any, **named: Any) -> Decision:
            return Decision(verdict="accept", reason=said, statistics={"note": said})

    @registry.register("blabbing")
    @dataclass
    class Blabbed(Alarm):
        def check(self, evidence: Evidence) -> list[Alert]:
            return [Alert(alarm="blabbing", level=1, text=said)]

    folder, _ = make_run("gate=blabbing", "alarm=blabbing", "audit_problems=10")
    screen = io.StringIO()
    with Screen(Console(file=screen, width=200)) as watcher:
        watcher.note(said)
        Runner(folder, watcher).run()
    files = [path for path in folder.root.rglob("*") if path.is_file()]
    assert len(files) > 20 and "***HF_TOKEN***" in screen.getvalue()
    assert {path.name: found for path in files if (found := hits(path.read_bytes().decode(errors="replace")))} == {}
    assert not hits(screen.getvalue())
    assert any("***HF_TOKEN***" in path.read_text(errors="replace") for path in files), "the canaries came through"


def test_an_error_and_a_traceback_hide_them(
    canaries: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any) -> None:
        raise UserError("cannot log in with " + " ".join(canaries))

    monkeypatch.setattr("selfimprove.recipe.compose.load", refuse)
    monkeypatch.setattr(sys, "argv", ["selfimprove", "check", "quickstart"])
    monkeypatch.setattr(main.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit):
        main.main()
    main._bug(ValueError, ValueError(canaries[0]), None)
    told = capsys.readouterr().err
    assert "***HF_TOKEN***" in told and not hits(told)


# ---- terminals -----------------------------------------------------------------------------------------------------
STRANGE = [
    "\x1b]52;c;cm0gLXJm\x07",  # writes the clipboard
    "\x1b[2J\x1b[1;1Hall is well",  # moves the cursor
    "\x9b31mred\x9d0;title\x9c",  # the same in one byte each
    "\r\x08\x7f\x0b\x0c",
    "\u202eexe.txt\u2066",  # turns the reading direction
    "\ud800",
]


@pytest.mark.parametrize("text", STRANGE, ids=repr)
def test_nothing_that_steers_a_terminal_is_shown(text: str) -> None:
    left = shown(f"a{text}b")
    assert left[0] + left[-1] == "ab" and left.isprintable()
    assert shown(left) == left


def test_the_console_of_the_commands_shows_foreign_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table(title="[red]title[/red]\x1b[2J")
    table.add_column("[bold]head\x1b]52;c;eA==\x07")
    table.add_row("[link=file:///etc/passwd]x[/link] :bomb: \x9b31m[/]")
    console.out.print(table)
    console.out.print("[red]plain :bomb:\x1b[31m[/nothing]")
    told = capsys.readouterr().out
    for part in ("[red]title[/red]", "[bold]head", "[link=file:///etc/passwd]x[/link] :bomb:", "[/nothing]"):
        assert part in told
    assert not [c for c in told if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160]


def test_rounds_are_shown_without_markup(make_report: Callable[..., Any]) -> None:
    screen = io.StringIO()
    Screen(Console(file=screen)).note("[red]\x1b[31mno[/red] :bomb:")
    assert screen.getvalue() == "[red][31mno[/red] :bomb:\n"


PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('a-,"\n:{')
)
NAMED = st.text('a,"\n:', max_size=3) | st.integers()


@given(
    st.recursive(PLAIN, lambda one: st.lists(one) | st.tuples(one, one) | st.dictionaries(NAMED, one), max_leaves=12)
)
def test_indented_text_is_that_of_the_standard_library(value: Any) -> None:
    assert dumps(value, indent=1) == json.dumps(value, indent=1)


def test_numbers_that_json_does_not_have_are_null_at_every_depth() -> None:
    value = {"a": {"b": [1.0, math.nan, {"c": math.inf}]}, "d": {}}
    assert json.loads(dumps(value, indent=1)) == {"a": {"b": [1.0, None, {"c": None}]}, "d": {}}
