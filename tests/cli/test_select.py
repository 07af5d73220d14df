"""`selfimprove select` from the command line: rows come out as they went in, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str, str]]
ROWS = [
    '{"prompt": "How many legs has an ant?",  "completion": "6", "mine": 1}',
    '{"prompt": "How many legs has an ant?", "completion": "6", "mine": 2}',
    '{"prompt": "Name a river.", "completion": "Ebro"}',
]


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("clean.yaml").write_text("selection: [dedup]\n")
    Path("pool.jsonl").write_text("\n".join(ROWS) + "\n")
    return Path("pool.jsonl")


def test_the_rows_that_stay_keep_their_bytes_and_the_report_counts_them(command: Command, pool: Path) -> None:
    before = pool.read_bytes()
    code, out, _ = command("select", "clean.yaml", "--data", "pool.jsonl", "--out", "o.jsonl", "--report", "r.json")
    assert code == 0 and out
    assert Path("o.jsonl").read_text().splitlines() == [ROWS[0], ROWS[2]]
    assert pool.read_bytes() == before
    [step] = json.loads(Path("r.json").read_text())["steps"]
    assert (step["came"], step["stayed"]) == (3, 2)


def test_json_goes_to_standard_output_alone(command: Command, pool: Path) -> None:
    code, out, _ = command("select", "clean.yaml", "--data", "pool.jsonl", "--out", "o.jsonl", "--json")
    assert code == 0 and json.loads(out)["stayed"] == 2


@pytest.mark.parametrize(
    ("words", "number", "said"),
    [
        (("--data", "none.jsonl", "--out", "o.jsonl"), 66, "none.jsonl does not exist"),
        (("--data", "pool.jsonl", "--out", "pool.jsonl"), 2, "is the pool itself"),
        (("--data", ".", "--out", "o.jsonl"), 2, "lies in the pool"),
        (("--data", "pool.jsonl", "--out", "clean.yaml"), 74, "exists; choose another name, or add --force"),
        (("--data", "pool.jsonl", "--out", "o.jsonl", "--prompt", "question"), 65, "question"),
    ],
    ids=["missing", "itself", "inside", "exists", "column"],
)
def test_what_it_refuses_in_one_line(
    command: Command, pool: Path, words: tuple[str, ...], number: int, said: str
) -> None:
    code, _, err = command("select", "clean.yaml", *words)
    assert code == number
    [line] = [one for one in err.splitlines() if one.startswith("error:")]
    assert said in line
    assert pool.read_text().splitlines() == ROWS
