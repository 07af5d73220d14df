"""Rows of a pool come out as they went in: by any chain, from any kind of file, and after a kill."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import BusyError, DataError, RecipeError, UserError
from selfimprove.logs import Silent
from selfimprove.recipe import compose
from selfimprove.studies.pool import reading
from selfimprove.studies.pool.chain import chain_of
from selfimprove.studies.pool.findings import Findings
from selfimprove.studies.pool.selecting import Request, select
from selfimprove.studies.pool.work_folder import WorkFolder

TEXTS = ["a b c d", "A  b c d", "a b c d", "a b c d e f g h", "one two three four five six"]


class Stopped(Exception):
    """The process was killed."""


def chosen(tmp_path: Path, recipe: str, data: Path, log: Any = None, **options: Any) -> Findings:
    file = tmp_path / "mine.yaml"
    file.write_text(recipe)
    asked = Request(data=data, out=tmp_path / options.pop("out", "out.jsonl"), **options)
    return select(chain_of(str(file), ()), asked, log or Silent(), lambda name: None)


def pool(tmp_path: Path, rows: Sequence[dict[str, Any]] | None = None, name: str = "pool.jsonl") -> Path:
    file = tmp_path / name
    rows = rows or [{"id": number, "text": text} for number, text in enumerate(TEXTS)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def ids(file: Path) -> list[int]:
    return [json.loads(line)["id"] for line in file.read_text().splitlines()]


@pytest.mark.parametrize(
    ("recipe", "kept"),
    [
        ("selection: [dedup]", [0, 1, 3, 4]),
        ("selection:\n  - dedup: {loose: true}", [0, 3, 4]),
        ("selection:\n  - minhash_dedup: {n: 2, similarity: 0.9}", [0, 3, 4]),
        ("selection: [dedup, length_quantiles: {low: 0.0, high: 1.0, longest: 2}]", [3, 4]),
        ("defaults:\n  - selection: [random, dedup]\nselection: {random: {rows: 5}}", [0, 1, 3, 4]),
        ("selection: everything", [0, 1, 2, 3, 4]),
    ],
)
def test_chains_by_hand(tmp_path: Path, recipe: str, kept: list[int]) -> None:
    data = pool(tmp_path)
    before = data.read_bytes()
    found = chosen(tmp_path, recipe, data)
    assert ids(tmp_path / "out.jsonl") == kept
    assert (found.rows, found.stayed, found.unread) == (5, len(kept), 0)
    assert data.read_bytes() == before
    assert not list(tmp_path.glob(".out*"))


def test_rows_keep_their_bytes_and_the_report_tells_what_went(tmp_path: Path) -> None:
    data = tmp_path / "pool.jsonl"
    lines = [
        '{"prompt":  "1 + 1?", "completion": "2", "level": 1, "more": [1.50]}',
        '{"level": 2, "prompt": [{"role": "user", "content": "2 + 2?"}], "completion": "it is 4"}',
        '{"prompt": "1 + 1?", "completion": " 2", "level": 1}',
    ]
    data.write_text("\n\n".join(lines))
    found = chosen(tmp_path, "selection: [dedup, length_filter]", data)
    assert (tmp_path / "out.jsonl").read_text() == "\n".join([*lines[:2], ""])
    assert found.levels == {"1": [2, 1], "2": [1, 1]}
    [twin] = found.steps[0].twins
    assert (twin.row, twin.like, twin.similarity) == (3, 1, 1.0)
    assert found.steps[1].score and found.steps[1].score.after.mean == 4.0
    assert json.loads(json.dumps(found.plain()))["steps"][0]["came"] == 3


def test_packed_tables_and_folders(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    packed, table, folder = tmp_path / "pool.gz", tmp_path / "pool.parquet", tmp_path / "texts"
    packed.write_bytes(gzip.compress(pool(tmp_path).read_bytes()))
    rows = [{"id": number, "text": text} for number, text in enumerate(TEXTS)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), table)
    folder.mkdir()
    for number, text in enumerate(TEXTS):
        (folder / f"{number}.txt").write_text(text)
    for data in (packed, table, folder):
        chosen(tmp_path, "selection: [dedup]", data)
        texts = [json.loads(line)["text"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert texts == [TEXTS[place] for place in (0, 1, 3, 4)], data
    chosen(tmp_path, "selection: [dedup]", packed, out="out.jsonl.gz")
    assert len(gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()).splitlines()) == 4


@pytest.mark.parametrize("stop", [1, 3, 5, 8])
def test_after_a_kill_the_same_rows_and_no_part_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    monkeypatch.setattr(reading, "ROWS", 10)
    monkeypatch.setattr(reading, "AHEAD", 1)
    data = pool(tmp_path, [{"id": n, "text": f"text {n % 37} of many words"} for n in range(100)])
    recipe = "selection:\n  - dedup\n  - minhash_dedup: {n: 1, similarity: 0.99}\n  - random: {rows: 9}"
    whole = chosen(tmp_path, recipe, data, out="whole.jsonl")

    class Killer(Silent):
        left = stop

        def progress(self, done: int, total: int, unit: str = "") -> None:
            self.left -= 1
            if not self.left:
                raise Stopped

    with pytest.raises(Stopped):
        chosen(tmp_path, recipe, data, Killer())
    assert not (tmp_path / "out.jsonl").exists()
    again = chosen(tmp_path, recipe, data)
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert again.resumed
    assert again.read == whole.read - 10 * min(stop, 10)
    assert [step.stayed for step in again.steps] == [step.stayed for step in whole.steps]


def test_work_on_another_pool_or_recipe_begins_anew(tmp_path: Path) -> None:
    data = pool(tmp_path)
    with pytest.raises(DataError, match="keeps none of 5 rows"):
        chosen(tmp_path, "selection:\n  - length_filter: {min_length: 99}", pool(tmp_path, talks(5)))
    assert not chosen(tmp_path, "selection: [dedup]", data).resumed
    held = WorkFolder(tmp_path / "out.jsonl", {})
    with pytest.raises(BusyError, match="another process is writing"):
        chosen(tmp_path, "selection: [dedup]", data)
    held.close()
    assert chosen(tmp_path, "selection: [dedup]", data).stayed == 5


def talks(count: int) -> list[dict[str, Any]]:
    said = [[{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}"}] for n in range(count)]
    return [{"id": n, "messages": one} for n, one in enumerate(said)]


@pytest.mark.parametrize(
    ("recipe", "rows", "said"),
    [
        ("selection: [threshold]", None, "selection.threshold goes by rewards"),
        ("selection: [perplexity]", None, "selection.perplexity asks a model, and .* names none; add `model: pre"),
        ("selection: []", None, "its selection is empty"),
        ("rounds: 2", None, "names no selection; add one"),
        ("selection: [dsir]", None, "asks for problems of a task, and .*selection.dsir.target=FILE"),
        ("selection: [ngram_decontamination]", None, "against=FILE"),
        ("selection:\n  - dsir: {target: nowhere.jsonl}", None, "selection.dsir.target: the file nowhere.jsonl"),
        ("selection: [dedup]", [{"a": 1}], "row 1: no column has a text: .* has a; name them: --prompt COLUMN"),
        (
            "selection: [dedup]",
            [{"text": "a"}, {"text": ""}, {"text": 1}],
            "2 of 3 rows .* row 2: 'text' is empty; .*2",
        ),
        ("selection: [length_filter]", None, "takes Rollout records, and the pool has Document"),
        ("selection:\n  - random: {rows: 0}", None, "selection.random keeps none of 5 rows"),
        ("selection: [dedup, 3]", None, "selection takes names of methods"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, recipe: str, rows: list[dict[str, Any]] | None, said: str
) -> None:
    with pytest.raises(UserError, match=said) as raised:
        chosen(tmp_path, recipe, pool(tmp_path, rows))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out.jsonl").exists()


def test_bad_rows_may_be_left_out_and_a_score_that_says_nothing_is_told(tmp_path: Path) -> None:
    goal = pool(tmp_path, [{"text": "same"}], "goal.jsonl")
    data = pool(tmp_path, [{"id": 0, "text": "same"}, {"id": 1}, {"id": 2, "text": "same"}])

    class Noted(Silent):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    log = Noted()
    found = chosen(tmp_path, f"selection:\n  - dsir: {{target: {goal}, share: 0.5}}", data, log, skip_bad=1)
    assert (found.unread, found.stayed) == (1, 1)
    assert log.notes == ["all rows have one log_weight, so it says nothing of them: what went is chance"]


def test_columns_are_named_or_found(tmp_path: Path) -> None:
    rows = [{"id": 0, "q": "a?", "a": "x"}, {"id": 1, "q": "a?", "a": "x"}, {"id": 2, "q": "b?", "a": "x"}]
    chosen(tmp_path, "selection: [dedup]", pool(tmp_path, rows), prompt="q", answer="a")
    assert ids(tmp_path / "out.jsonl") == [0, 2]
    chosen(tmp_path, "selection: [dedup]", pool(tmp_path, rows), text="a")
    assert ids(tmp_path / "out.jsonl") == [0]


def test_a_task_or_a_model_that_the_recipe_names_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`task:` gives DSIR its target; a method that takes all records at once gets them from memory."""
    rows = [{"id": n, "prompt": f"S:{n}+2+3=" if n % 2 else "name a colour", "completion": "x"} for n in range(20)]
    recipe = "defaults:\n  - task: chain_sums\nselection:\n  - dsir: {characters: true, share: 0.5}"
    chosen(tmp_path, recipe, pool(tmp_path, rows))
    assert sum(one % 2 for one in ids(tmp_path / "out.jsonl")) >= 9
    chosen(tmp_path, "selection:\n  - k_center: {share: 0.1}", pool(tmp_path, rows))
    assert len({one % 2 for one in ids(tmp_path / "out.jsonl")}) == 2


def test_names_in_place_of_options_are_a_recipe_for_every_command(make_recipe: Callable) -> None:
    path = make_recipe("rounds: 1\nselection:\n  - dedup\n  - random: {share: 0.25}\nacquisition: [seed_prompts]\n")
    with pytest.raises(RecipeError):
        compose.load(path, ["selection=[dedup,dedup]"])
    recipe, _ = compose.load(path, ["acquisition=[seed_prompts,rejection_sampling]"])
    assert [*recipe.selection] == ["dedup", "random"]
    assert recipe.selection["random"].share == 0.25  # pyright: ignore[reportAttributeAccessIssue]
