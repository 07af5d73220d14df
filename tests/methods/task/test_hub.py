"""The task `hub`: the forms of data that it takes, from where, and how it says what is wrong."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError, EngineError, MissingError, RecipeError, UserError
from selfimprove.methods.task.hub import Hub
from selfimprove.problems.hub_rows import Source, columns, table
from selfimprove.problems.splits import SPLITS, split_of
from selfimprove.records import Prompt


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def every(task: Hub) -> list[Prompt]:
    """All problems of a task, in the order of the data."""
    found = [prompt for split in SPLITS for prompt in task.problems(split, None, 0)]
    return sorted(found, key=lambda prompt: prompt.info["row"])


def read(values: dict[str, Any], prompt: str | None = None, answer: str | None = None) -> tuple[Any, str | None]:
    """What is read of a row: the contents with the first letters of their roles, and the answer."""
    messages, reply = columns(prompt, answer)(values)
    return [(message["role"][0], message["content"]) for message in messages], reply


# ---- forms -------------------------------------------------------------------------------------------------------
ASKED = [{"role": "system", "content": "brief"}, {"role": "user", "content": "3+5?"}]
REPLY = {"role": "assistant", "content": "8"}
FORMS = [
    ({"prompt": "3+5?", "answer": 8}, [("u", "3+5?")], "8"),
    ({"prompt": "3+5?", "completion": "It is 8"}, [("u", "3+5?")], "It is 8"),
    ({"prompt": ASKED, "completion": [REPLY]}, [("s", "brief"), ("u", "3+5?")], "8"),
    ({"messages": [*ASKED, REPLY], "id": "x"}, [("s", "brief"), ("u", "3+5?")], "8"),
    ({"messages": ASKED}, [("s", "brief"), ("u", "3+5?")], None),
    ({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]}, [("u", "hi")], "ho"),
    (
        {"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "q"}]},
        [("s", "s"), ("u", "q")],
        None,
    ),
    ({"instruction": "add", "input": "3, 5", "output": "8"}, [("u", "add\n\n3, 5")], "8"),
    ({"instruction": "add", "input": "", "output": "8"}, [("u", "add")], "8"),
    ({"instruction": "add", "context": "3, 5", "response": "8", "category": "qa"}, [("u", "add\n\n3, 5")], "8"),
    ({"question": "q", "answer": "work #### 8"}, [("u", "q")], "work #### 8"),
    ({"problem": "p", "solution": "s", "answer": "8"}, [("u", "p")], "8"),
    ({"problem": "p", "solution": "\\boxed{8}"}, [("u", "p")], "\\boxed{8}"),
    ({"prompt": "p"}, [("u", "p")], None),
]


@pytest.mark.parametrize(
    ("row", "asked", "reply"), FORMS, ids=lambda value: "-".join(value) if isinstance(value, dict) else None
)
def test_the_form_is_found_by_its_columns(row, asked, reply):
    assert read(row) == (asked, reply)


def test_named_columns_come_before_those_that_would_be_found():
    row = {"prompt": "a", "answer": "b", "q": "c", "gold": 7}
    assert read(row, "q", "gold") == ([("u", "c")], "7")
    talk = {"messages": [*ASKED, REPLY], "gold": "eight"}
    assert read(talk, None, "gold") == ([("s", "brief"), ("u", "3+5?"), ("a", "8")], "eight")


@pytest.mark.parametrize(
    ("row", "named", "words"),
    [
        ({"text": "a", "label": 1}, (None, None), ["prompt_column", "text, label"]),
        (
            {"question": "a", "answer": "b"},
            ("questoin", None),
            ["'questoin'", "Did you mean 'question'?", "question, answer"],
        ),
        ({"question": "a", "answer": "b"}, (None, "anwser"), ["'anwser'", "Did you mean 'answer'?"]),
        ({"messages": [REPLY]}, (None, None), ["but no question"]),
        ({"conversations": [{"from": "humon", "value": "a"}]}, (None, None), ["'humon'", "Did you mean 'human'?"]),
        ({"prompt": 7, "answer": "b"}, (None, None), ["must be a text"]),
        ({"prompt": " ", "answer": "b"}, (None, None), ["is empty"]),
        ({"prompt": "a", "answer": {"x": 1}}, (None, None), ["'answer' must be a text or a number"]),
    ],
)
def test_a_row_that_cannot_be_read_says_which_column(row, named, words):
    with pytest.raises(DataError) as caught:
        read(row, *named)
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value)


# ---- sources -----------------------------------------------------------------------------------------------------
ROWS = [{"question": f"{i} + 1?", "answer": f"so #### {i + 1}"} for i in range(40)]


@pytest.mark.long
def test_files_and_folders_of_each_kind_give_the_same_problems(tmp_path):
    import datasets

    made = datasets.Dataset.from_list(ROWS)
    paths = [lines(tmp_path / "a.jsonl", ROWS), tmp_path / "a.json", tmp_path / "a.csv", tmp_path / "a.tsv"]
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    for path, sign in ((paths[2], ","), (paths[3], "\t")):
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["question", "answer"], delimiter=sign)
            writer.writeheader()
            writer.writerows(ROWS)
    made.to_parquet(tmp_path / "a.parquet")
    folder = tmp_path / "folder"
    folder.mkdir()
    lines(folder / "train.jsonl", ROWS)
    lines(folder / "test.jsonl", ROWS[:5])
    made.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"train": made, "test": made.select(range(3))}).save_to_disk(tmp_path / "both")
    first = every(Hub(path=str(paths[0]), verifier="math"))
    assert [(p.prompt[0]["content"], p.answer) for p in first] == [(r["question"], r["answer"]) for r in ROWS]
    for path in (*paths[1:], tmp_path / "a.parquet", folder, tmp_path / "saved", tmp_path / "both"):
        assert every(Hub(path=str(path), verifier="math")) == first, path
    assert len(every(Hub(path=str(folder), split="test"))) == 5
    assert len(every(Hub(path=str(folder), split="test+train[:10]"))) == 10, "equal prompts count once"
    assert len(every(Hub(path=str(tmp_path / "both"), split="test"))) == 3


def test_an_answer_that_only_some_rows_have_is_blank_in_the_others(tmp_path):
    rows = [{"prompt": f"What is {i}?", "answer": str(i), "solution": "x"} for i in range(60)]
    del rows[7]["answer"]
    task = Hub(path=str(lines(tmp_path / "a.jsonl", rows)))
    assert [p.answer for p in every(task)][6:9] == ["6", None, "8"]
    assert "1 problems without an answer" in task.preflight()[0]


TYPED = ["2024-02-01", "NA", "None", "007", "1", "0.5", "9" * 26, "x"]


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl", "parquet", "folder/train.csv", "folder/train.jsonl"])
def test_answers_arrive_as_they_stand_from_every_kind_of_file(suffix, tmp_path):
    rows = [{"question": str(i), "answer": TYPED[i % len(TYPED)]} for i in range(40)]
    path = tmp_path / (suffix if "/" in suffix else f"a.{suffix}")
    path.parent.mkdir(exist_ok=True)
    if suffix.endswith("csv"):
        path.write_text("".join(f"{one},{other}\n" for one, other in [("question", "answer"), *map(dict.values, rows)]))
    elif suffix == "json":
        path.write_text(json.dumps(rows))
    elif suffix.endswith("jsonl"):
        lines(path, rows)
    else:
        import datasets

        datasets.Dataset.from_list(rows).to_parquet(path)
    found = every(Hub(path=str(path if path.parent == tmp_path else path.parent)))
    assert [(p.prompt[0]["content"], p.answer) for p in found] == [(r["question"], r["answer"]) for r in rows]


def test_dates_numbers_and_columns_of_columns_in_parquet(tmp_path):
    import datasets

    when = [datetime(2024, 2, 1 + i) for i in range(20)]
    rows = [{"prompt": [{"role": "user", "content": f"q{i}"}], "gold": {"day": day}} for i, day in enumerate(when)]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "a.parquet")
    found = every(Hub(path=str(tmp_path / "a.parquet"), answer_column="gold.day"))
    assert [p.answer for p in found] == [day.isoformat() for day in when]
    message = complaint(DataError, Hub(path=str(tmp_path / "a.parquet")))
    assert "no column holds an answer" in message and "Set answer_column to one of gold.day" in message


def test_what_was_left_out_is_said_and_a_conflict_can_be_kept(tmp_path):
    shared = "one two three four five six seven eight nine ten eleven twelve"
    held_out, near = (
        next(f"{shared} {i}" for i in range(999) if split_of(f"{shared} {i}") in wanted)
        for wanted in (("gate", "sealed"), ("train",))
    )
    texts = [held_out, near, *(f"What is {i} plus {i}?" for i in range(60)), "What is 1 plus 1?"]
    rows = [{"prompt": text, "answer": str(i)} for i, text in enumerate(texts)]
    path = lines(tmp_path / "a.jsonl", [*rows, rows[-2], {"prompt": "blank", "answer": " "}])
    task = Hub(path=str(path))
    assert task.preflight() == [
        f"{path}: 1 duplicates dropped: rows that repeat a problem with the same answer (first: row 63)",
        f"{path}: 1 rows with another answer to a problem than a row before; all rows of it were left out "
        "(task.hub.conflicts=keep keeps them) (first: row 62)",
        f"{path}: 1 problems without an answer, which are never marked (first: row 64)",
        f"{path}: 1 training problems share twelve words in a row with a held-out problem: left out "
        "(task.hub.overlap=keep keeps them)",
    ]
    assert near not in {p.key for p in every(task)} and held_out in {p.key for p in every(task)}
    kept = Hub(path=str(path), conflicts="keep", overlap="keep")
    assert len(every(kept)) == len(every(task)) + 3
    assert "with a held-out problem: kept" in kept.preflight()[-1]


def test_splits_follow_from_the_prompt_alone_and_are_disjoint(tmp_path):
    task = Hub(path=str(lines(tmp_path / "a.jsonl", [*ROWS, *ROWS[:7]])), system_prompt="Be brief.")
    by_split = {split: task.problems(split, None, 0) for split in SPLITS}
    assert sum(map(len, by_split.values())) == len(ROWS)
    for split, problems in by_split.items():
        assert all(split_of(problem.key) == split for problem in problems)
        halves = [task.problems(split, None, 3, (i, 2)) for i in range(2)]
        assert sorted(p.key for half in halves for p in half) == sorted(p.key for p in problems)
    assert all(p.prompt[0] == {"role": "system", "content": "Be brief."} for p in by_split["train"])


def test_a_file_is_read_again_by_the_next_run_after_it_changed(tmp_path):
    path = lines(tmp_path / "a.jsonl", ROWS[:3])
    assert len(every(Hub(path=str(path)))) == 3
    lines(path, ROWS[:4])
    assert len(every(Hub(path=str(path)))) == 4


def test_the_verifiers_are_those_of_jsonl(tmp_path):
    path = lines(tmp_path / "a.jsonl", [{"prompt": "half?", "answer": "\\frac{1}{2}"}])
    [problem] = every(Hub(path=str(path), verifier="math"))
    assert Hub(path="x/y", verifier="math").verify(problem, "It is \\boxed{0.5}") == 1.0
    assert Hub(path="x/y").verify(problem, "It is \\boxed{0.5}") == 0.0
    with pytest.raises(RecipeError, match="task.hub.verifier cannot be 'maths'"):
        Hub(path="x/y", verifier="maths")


def complaint(kind: type[UserError], task: Hub) -> str:
    with pytest.raises(UserError) as caught:
        task.problems("train", None, 0)
    assert type(caught.value) is kind, caught.value
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    return str(caught.value)


def test_bad_rows_are_named_and_can_be_skipped(tmp_path):
    path = lines(tmp_path / "a.jsonl", [*ROWS, {"question": "", "answer": "x"}])
    assert f"{path}, split train, row 40: 'question' is empty" in complaint(DataError, Hub(path=str(path)))
    assert len(every(Hub(path=str(path), skip_bad=1))) == 40


def test_references_that_the_verifier_cannot_read_stop_before_the_run(tmp_path):
    path = lines(tmp_path / "a.jsonl", ROWS)
    message = complaint(DataError, Hub(path=str(path), verifier="choice"))
    assert "row 0" in message and "'choice' cannot read 40 of 40" in message


def test_what_is_not_there_or_no_table_is_said_in_one_line(tmp_path):
    assert "does not exist" in complaint(MissingError, Hub(path=str(tmp_path / "none.jsonl")))
    assert "does not exist" in complaint(MissingError, Hub(path="data/none.csv"))
    assert "does not exist" in complaint(MissingError, Hub(path="json"))
    (tmp_path / "a.txt").write_text("x\n")
    assert ".parquet" in complaint(DataError, Hub(path=str(tmp_path / "a.txt")))
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in complaint(DataError, Hub(path=str(tmp_path / "empty")))
    (tmp_path / "broken.jsonl").write_text('{"prompt": "a", \n')
    assert "broken.jsonl" in complaint(DataError, Hub(path=str(tmp_path / "broken.jsonl")))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    assert "broken.parquet" in complaint(DataError, Hub(path=str(tmp_path / "broken.parquet")))


def test_an_unknown_split_or_configuration_lists_those_that_exist(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    lines(folder / "train.jsonl", ROWS)
    assert "train" in complaint(RecipeError, Hub(path=str(folder), split="tran"))
    assert "default" in complaint(RecipeError, Hub(path=str(folder), config="main"))


def test_code_beside_the_data_is_never_run(tmp_path):
    folder = tmp_path / "code"
    folder.mkdir()
    lines(folder / "train.jsonl", ROWS)
    (folder / "code.py").write_text("raise SystemExit('this was run')")
    complaint(DataError, Hub(path=str(folder)))


@pytest.fixture
def offline(monkeypatch):
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def test_a_hub_id_without_a_network(offline):
    message = complaint(EngineError, Hub(path="nobody/no-such-data"))
    assert "nobody/no-such-data" in message and "task.hub.path" in message


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            "Dataset 'a/b' is a gated dataset on the Hub. You must be authenticated to access it.",
            EngineError,
            "hf auth login",
        ),
        ("Dataset 'a/b' doesn't exist on the Hub or cannot be accessed.", MissingError, "no data set 'a/b'"),
    ],
)
def test_a_gated_or_missing_id_says_what_to_do(said, kind, words, monkeypatch):
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    def refuse(*_: Any, **__: Any) -> Any:
        raise DatasetNotFoundError(said)

    monkeypatch.setattr(datasets, "load_dataset_builder", refuse)
    assert words in complaint(kind, Hub(path="a/b"))


def test_images_are_no_table(monkeypatch, tmp_path):
    import datasets

    class Builder:
        __module__ = "datasets.packaged_modules.imagefolder.imagefolder"

    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *_, **__: Builder())
    with pytest.raises(DataError, match="imagefolder"):
        list(table(Source("task.hub", "a/b", None, "train", None)))
