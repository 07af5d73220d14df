"""`selfimprove mark`: rows of every form, what is read and why, bad rows, and the completions of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.cli import main
from selfimprove.errors import DataError, EngineError, MissingError, RecipeError
from selfimprove.loop.loop import Runner
from selfimprove.safety.sandbox.open import shared
from selfimprove.studies import marking

DOUBLE = {
    "prompt": "Write twice(x).",
    "function": "twice",
    "solution": "def twice(x):\n    return 2 * x",
    "tests": [{"arguments": [3], "result": 6}],
}
PROGRAM = "```python\ndef twice(x):\n    return x + x\n```"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """`write(rows, name)`: a file with these rows."""

    def make(*rows: Any, name: str = "mine.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
        return path

    return make


def test_rows_of_every_form(write: Callable[..., Path]) -> None:
    said = [
        {"role": "user", "content": "6 x 7?"},
        {"role": "assistant", "content": [{"type": "text", "text": "#### 42"}]},
    ]
    path = write(
        {"completion": said, "reference": 42, "right": True},
        "",
        {"completion": "#### 41", "reference": "It is #### 42", "right": 1, "rule": "gsm8k"},
        {"completion": "The answer is (B)", "reference": "B", "rule": "choice"},
        {"completion": "I pass.", "reference": "B", "rule": "mmlu_pro", "right": 0},
        {"completion": "5+3=8#8", "reference": "8", "rule": "chain_sums", "right": 0},
        {"completion": "yes", "instructions": [["punctuation:no_comma", {}]], "rule": "ifeval", "right": 1.0},
        {
            "completion": "a, b",
            "instruction_id_list": ["punctuation:no_comma", "detectable_format:title"],
            "kwargs": [{}, None],
            "rule": "ifeval",
        },
        {"completion": "#### 4", "reference": "no number", "right": 1},
    )
    found = marking.mark(path, "gsm8k", [])
    assert [(one.place, one.rule, one.read, one.mark, one.right, one.outcome) for one in found] == [
        ("1", "gsm8k", "42", 1.0, 1.0, "right"),
        ("3", "gsm8k", "41", 0.0, 1.0, "false_reject"),
        ("4", "choice", "B", 1.0, None, "right"),
        ("5", "mmlu_pro", None, 0.0, 0.0, "right"),
        ("6", "chain_sums", "8", 1.0, 0.0, "false_accept"),
        ("7", "ifeval", "1 of 1 instructions followed", 1.0, 1.0, "right"),
        ("8", "ifeval", "0 of 2 instructions followed", 0.0, None, ""),
        ("9", "gsm8k", "4", None, 1.0, "false_reject"),
    ]
    assert [found[place].why for place in (0, 1, 3, 6, 7)] == [
        "",
        "it differs from the reference",
        "no answer is stated",
        "not followed: punctuation:no_comma, detectable_format:title",
        "the reference cannot be read",
    ]
    assert marking.plain(found)["counts"] == {"right": 4, "false_accept": 1, "false_reject": 2, "unread": 2}
    assert marking.plain(found)["rows"][1] == {"read": "41", "mark": 0.0, "right": 1.0}


def test_code_rows_carry_their_row_or_name_it(write: Callable[..., Path]) -> None:
    try:
        shared()
    except EngineError as error:
        pytest.skip(str(error))
    write({"name": "double", "row": DOUBLE}, name="rows.jsonl")
    path = write(
        {"completion": PROGRAM, "row": DOUBLE, "right": 1},
        {"completion": PROGRAM.replace("x + x", "3 * x"), "name": "double", "right": 0},
        {"completion": "I cannot.", "name": "here"},
        {"name": "here", "row": DOUBLE},
    )
    first, second, third = marking.mark(path, None, [])
    assert (first.read, first.mark) == ("def twice(x):\n    return x + x", 1.0)
    assert (second.mark, second.outcome, second.why) == (0.0, "right", "twice(3) must give 6: 9")
    assert (third.read, third.mark) == (None, 0.0)


@pytest.mark.parametrize(
    ("row", "task", "said"),
    [
        ({"completion": "1", "reference": "1"}, None, "add --task, or a column 'rule'"),
        ({"completion": "1"}, "gsm8k", "no column 'reference'"),
        ({"completions": "1", "reference": "1"}, "gsm8k", "no column 'completion'. Did you mean 'completions'?"),
        ({"completion": 1, "reference": "1"}, "gsm8k", "must be a text, or messages"),
        ({"completion": [{"role": "user", "content": "1"}], "reference": "1"}, "gsm8k", "one of the assistant"),
        ({"completion": "1", "reference": "1", "right": "yes"}, "gsm8k", "'right' must be a mark"),
        ({"completion": "1", "reference": "1", "rule": "gsm9k"}, None, "no rule 'gsm9k'. Did you mean 'gsm8k'?"),
        ({"completion": "1", "reference": ["1"]}, "gsm8k", "'reference' must be a text or a number"),
        ({"completion": "1", "name": "none"}, "code", "no column 'row'"),
        ({"completion": "1", "row": {"prompt": "p", "tests": []}}, None, "the problem has no tests"),
        ({"completion": "1", "instructions": [["x:y", {}]]}, "ifeval", "no check exists for 'x:y'"),
        ({"completion": "1", "instructions": 5}, "ifeval", "must be a list"),
        ({"completion": "1+1", "reference": "1+1"}, "countdown", "the columns 'key' and 'info'"),
        ("{", "gsm8k", "not a JSON object"),
        ({"row": DOUBLE, "name": "a"}, "code", "no completions"),
    ],
)
def test_a_bad_row_is_named_in_one_line(write: Callable[..., Path], row: Any, task: str | None, said: str) -> None:
    path = write(row)
    with pytest.raises(DataError) as caught:
        marking.mark(path, task, [])
    assert said in str(caught.value) and "mine.jsonl" in str(caught.value) and "\n" not in str(caught.value)


def test_a_rule_that_is_unknown_and_a_file_that_is_not_there(write: Callable[..., Path]) -> None:
    path = write({"completion": "1", "reference": "1"})
    with pytest.raises(RecipeError, match="no task has this name, and no recipe. Did you mean 'gsm8k'"):
        marking.mark(path, "gsm9k", [])
    with pytest.raises(RecipeError, match=r"task\.jsonl\.verifier=math"):
        marking.mark(path, "math", [])
    with pytest.raises(MissingError, match="does not exist"):
        marking.mark(path.with_name("none"), "gsm8k", [])


@pytest.mark.long
def test_every_task_marks_without_its_data() -> None:
    needed = ("hub", "jsonl", "code", "countdown")  # the first three name their data; the others compose as these do
    assert [marking._rule_of(name, []).name for name in needed] == ["exact", "exact", "code", "countdown"]
    assert marking._rule_of("jsonl", ["task.jsonl.verifier=choice"]).name == "choice"


def test_a_recipe_gives_its_task_and_its_options(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("defaults:\n  - task: jsonl\ntask:\n  jsonl: {verifier: choice, path: gone.jsonl}\n")
    assert marking._rule_of(str(recipe), []).name == "choice"
    assert marking._rule_of("star", []).name == "chain_sums"


@pytest.mark.runs
def test_a_run_is_marked_again(make_run: Callable[..., Any]) -> None:
    folder, log = make_run("gate_problems=20", "sealed_problems=10", "probe_problems=0", "audit_problems=5")
    with pytest.raises(DataError, match="no completions yet"):
        marking.mark(folder.root, None, [])
    Runner(folder, log).run()
    found = marking.mark(folder.root, None, [])
    steps = {one.place.partition(":")[0].removesuffix("/champion").removesuffix("/candidate") for one in found}
    assert steps >= {"round_000/evaluation", "round_001/audit", "round_001/evaluation", "round_001/sealed"}, steps
    assert all(one.outcome == "right" for one in found if one.right is not None)
    assert sum(one.right is not None for one in found) > len(found) / 2


def test_the_table_shows_what_is_marked_otherwise(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write({"completion": "#### 41", "reference": "42", "right": 1}, {"completion": "#### 1", "reference": "1"})
    monkeypatch.setattr("sys.argv", ["selfimprove", "mark", str(path), "--task", "gsm8k"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    shown = capsys.readouterr().out
    assert not ended.value.code and "marked otherwise than due" in shown and "it differs from the" in shown
    assert [word for word in shown.split() if word.isdigit()][-5:] == ["2", "1", "0", "1", "0"]
