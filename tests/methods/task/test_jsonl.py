"""The task `jsonl`: which rows it takes, how it splits them, how it compares answers, and how it says what is wrong."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.errors import DataError, MissingError, RecipeError
from selfimprove.methods.reward.judge import Judge
from selfimprove.methods.task.jsonl import JsonlTask
from selfimprove.problems.jsonl_rows import values_of
from selfimprove.problems.splits import APART, SPLITS, folded, split_of
from selfimprove.recipe import compose
from selfimprove.records import Prompt, Rollout

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path) -> Write:
    """`write(rows)`: a file with these rows, each a value or a line as text or bytes."""

    def make(rows, name: str = "data.jsonl") -> Path:
        lines = [row if isinstance(row, bytes | str) else json.dumps(row) for row in rows]
        path = tmp_path / name
        path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
        return path

    return make


def row(prompt: Any, answer: Any = "1") -> dict[str, Any]:
    return {"prompt": prompt, "answer": answer}


def every(task: JsonlTask) -> list[Prompt]:
    """All problems of a task, in the order of the file."""
    found = [prompt for split in SPLITS for prompt in task.problems(split, None, 0)]
    return sorted(found, key=lambda prompt: prompt.info["line"])


def marked(answer: str | None, text: str, verifier: str = "exact") -> float | None:
    return JsonlTask(path="unread", verifier=verifier).verify(Prompt(prompt=[], answer=answer), text)


# ---- reading -----------------------------------------------------------------------------------------------------
def test_a_text_becomes_a_user_message(write):
    [prompt] = every(JsonlTask(path=str(write([row("What is 3 + 5?", "8")]))))
    assert prompt.prompt == [{"role": "user", "content": "What is 3 + 5?"}]
    assert (prompt.answer, prompt.key, prompt.info) == ("8", "what is 3 + 5?", {"line": 1})


def test_a_conversation_is_taken_as_it_is(write):
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "3 + 5?"},
    ]
    [prompt] = every(JsonlTask(path=str(write([row(talk, 8)]))))
    assert prompt.prompt == talk
    assert (prompt.answer, prompt.key) == ("8", "be brief. hi hello 3 + 5?")


def test_the_columns_can_have_other_names(write):
    path = write([{"question": "q", "solution": "work #### 8", "level": 3}])
    [prompt] = every(JsonlTask(path=str(path), prompt_column="question", answer_column="solution"))
    assert (prompt.key, prompt.answer) == ("q", "work #### 8")


@pytest.mark.parametrize(("answer", "text"), [(8, "8"), (0.5, "0.5"), (True, "true"), ("8", "8"), ("", "")])
def test_numbers_and_truth_values_are_answers_too(answer, text, write):
    path = write([row(f"filler {i}") for i in range(10)] + [row("q", answer)])
    assert every(JsonlTask(path=str(path)))[-1].answer == text


def test_a_system_prompt_goes_in_front_unless_the_row_has_one(write):
    own = [{"role": "system", "content": "mine"}, {"role": "user", "content": "b"}]
    task = JsonlTask(path=str(write([row("a"), row(own)])), system_prompt="Use \\boxed{}.")
    first, second = every(task)
    assert first.prompt == [{"role": "system", "content": "Use \\boxed{}."}, {"role": "user", "content": "a"}]
    assert second.prompt == own
    assert first.key == "a", "the split does not depend on the system prompt"


def test_blank_lines_a_byte_order_mark_and_windows_line_ends_do_no_harm(write):
    path = write(["\ufeff" + json.dumps(row("a")) + "\r", "", "  \r", json.dumps(row("b"))])
    task = JsonlTask(path=str(path))
    assert [(prompt.key, prompt.info["line"]) for prompt in every(task)] == [("a", 1), ("b", 4)]
    assert task.counts == {"rows": 2}


def test_a_file_without_a_newline_at_its_end_is_complete(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(row("a")) + "\n" + json.dumps(row("b")))
    assert [prompt.key for prompt in every(JsonlTask(path=str(path)))] == ["a", "b"]


def test_control_characters_and_broken_surrogates_are_stripped(write):
    line = '{"prompt": "a\\u0000\\u001b[31m\\tb\\nc\\ud800\\u0085", "answer": "4\\u00002"}'
    [prompt] = every(JsonlTask(path=str(write([line]))))
    assert prompt.prompt[0]["content"] == "a[31m\tb\nc"
    assert prompt.answer == "42"


def test_a_row_that_repeats_another_is_dropped_and_counted(write):
    task = JsonlTask(path=str(write([row("What is 3+5?", "8"), row("x"), row("What is 3+5? \n", "work #### 8")])))
    assert [(prompt.key, prompt.answer) for prompt in every(task)] == [("what is 3+5?", "8"), ("x", "1")]
    assert task.counts == {"rows": 3, "duplicates": 1}


def test_the_file_is_read_once_and_not_before_it_is_needed(write, tmp_path):
    task = JsonlTask(path=str(tmp_path / "data.jsonl"))
    task.roles().solve("a")
    path = write([row("a")])
    assert len(every(task)) == 1
    path.unlink()
    assert len(every(task)) == 1


def test_a_recipe_with_the_task_can_be_checked_without_the_file():
    composed, _ = compose.load("quickstart", ["task=jsonl", "task.jsonl.path=/nowhere/data.jsonl"])
    assert composed.the("task").path == "/nowhere/data.jsonl"
    with pytest.raises(RecipeError, match=r"task\.jsonl\.path"):
        compose.load("quickstart", ["task=jsonl"])


def test_the_home_folder_can_be_written_as_a_tilde(write, monkeypatch):
    path = write([row("a")])
    monkeypatch.setenv("HOME", str(path.parent))
    assert len(every(JsonlTask(path="~/data.jsonl"))) == 1


# ---- what is wrong with a file -----------------------------------------------------------------------------------
def complaint(kind: type[Exception], task: JsonlTask) -> str:
    with pytest.raises(kind) as caught:
        task.problems("train", None, 0)
    assert type(caught.value) is kind and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_named_as_it_was_resolved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / "no.jsonl") in complaint(MissingError, JsonlTask(path="no.jsonl"))


def test_a_folder_is_not_a_file(tmp_path):
    assert str(tmp_path) in complaint(DataError, JsonlTask(path=str(tmp_path)))


@pytest.mark.parametrize("rows", [[], ["", "  "]])
def test_a_file_without_rows(rows, write):
    assert "no rows" in complaint(DataError, JsonlTask(path=str(write(rows))))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "prompt,answer\n1,2\n", "is a table; .* or use task=hub task.hub.path="),
        ("a.json", '[{"prompt": "a"}]', "is a JSON list; .* or use task=hub task.hub.path="),
        ("a.jsonl", '[{"prompt": "a"}]', "is a JSON list; write its rows"),
        ("a.parquet", "PAR1", "is a parquet file; .* or use task=hub task.hub.path="),
    ],
)
def test_a_table_is_sent_to_the_task_that_reads_it(name, text, words, tmp_path):
    (tmp_path / name).write_text(text)
    assert re.search(words, complaint(DataError, JsonlTask(path=str(tmp_path / name))))


LONG = {"prompt": "p" * 1_000_000, "answer": "1"}
BAD = [
    ('{"prompt": "b", ', ["not a JSON object", '{"prompt": "b",']),
    ("prompt,answer", ["not a JSON object (correct"]),  # it was never JSON, so it may be private
    ('["prompt", "answer"]', ["not a JSON object"]),
    ("[" * 100_000, ["not a JSON object", "more than 200 levels"]),
    (b"\xff\xfe{", ["not UTF-8", "byte 0"]),
    (json.dumps(row("b")).encode("utf-16"), ["not UTF-8"]),
    ('{"prompt": "b", "x": 1}', ["no column 'answer'", "prompt, x"]),
    ('{"promt": "b", "answer": "1"}', ["no column 'prompt'", "Did you mean 'promt'?", "promt, answer"]),
    (json.dumps(row(None)), ["'prompt' is empty"]),
    (json.dumps(row("")), ["'prompt' is empty"]),
    (json.dumps(row(" \n\u0000")), ["'prompt' is empty"]),
    (json.dumps(row([])), ["'prompt' is empty"]),
    (json.dumps(row([{"role": "user", "content": ""}])), ["'prompt' is empty"]),
    (json.dumps(row(7)), ["'prompt' must be a text or a list", "7"]),
    (json.dumps(row(["b"])), ["'prompt' must be a text or a list"]),
    (json.dumps(row({"role": "user"})), ["'prompt' must be a text or a list"]),
    (json.dumps(row([{"role": "user", "content": None}])), ["'prompt' must be a text or a list"]),
    (json.dumps(row("b", ["1", "2"])), ["'answer' must be a text or a number"]),
    (json.dumps(LONG), ["more than 1 MB"]),
]


@pytest.mark.parametrize(("line", "words"), BAD, ids=lambda value: str(value)[:40])
def test_a_bad_line_is_named_with_its_number(line, words, write):
    path = write([row("a"), "", line, row("c")])
    message = complaint(DataError, JsonlTask(path=str(path)))
    for word in (f"{path}:3:", *words):
        assert word in message
    assert len(message) < len(str(path)) + 250, "of the line only the beginning is shown"


@pytest.mark.parametrize("line", [line for line, _ in BAD], ids=lambda line: str(line)[:40])
def test_bad_lines_can_be_skipped_up_to_a_number(line, write):
    path = write([row("a"), line, row("c"), line, row("e")])
    task = JsonlTask(path=str(path), skip_bad=2)
    assert [(prompt.key, prompt.info["line"]) for prompt in every(task)] == [("a", 1), ("c", 3), ("e", 5)]
    assert task.counts == {"rows": 5, "skipped": 2}
    assert f"{path}:4:" in complaint(DataError, JsonlTask(path=str(path), skip_bad=1))


def test_a_file_of_nothing_but_skipped_lines_has_no_rows(write):
    assert "no rows" in complaint(DataError, JsonlTask(path=str(write(["{", "{"])), skip_bad=5))


def test_a_row_of_one_megabyte_is_taken(write):
    fits = {"prompt": "p" * (1_000_000 - len(json.dumps(row("")))), "answer": "1"}
    assert len(json.dumps(fits)) == 1_000_000
    assert len(every(JsonlTask(path=str(write([fits]))))) == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("verifier", "good", "bad"), [("exact", "x", None), ("choice", "B", "Paris"), ("math", "\\frac{1}{2}", "see below")]
)
def test_a_tenth_of_the_references_may_be_unreadable_but_no_more(verifier, good, bad, write):
    rows = [row(f"q{i}", good) for i in range(9)] + [row("q9", bad)]
    task = JsonlTask(path=str(write(rows)), verifier=verifier)
    last = every(task)[-1]
    assert (last.key, task.verify(last, good)) == ("q9", None)
    path = write([*rows[1:], row("q10", bad)])
    message = complaint(DataError, JsonlTask(path=str(path), verifier=verifier))
    words = ["no reference answer", "answer_column"] if bad is None else [repr(verifier), repr(bad)]
    for word in (f"{path}:9:", "2 of 10", *words):
        assert word in message


def test_an_unknown_verifier_is_refused():
    with pytest.raises(RecipeError, match="maths.*'math'"):
        JsonlTask(path="x", verifier="maths")


# ---- splits ------------------------------------------------------------------------------------------------------
texts = st.lists(st.text("aAbB .?\u00e9\u0130\u4e2d\n\t", min_size=1, max_size=8), max_size=40)


@settings(max_examples=25)
@given(texts=texts, seed=st.integers(0, 10), k=st.integers(1, 5))
def test_splits_and_parts_are_disjoint_and_complete(texts, seed, k, write):
    task = JsonlTask(path=str(write([row("filler"), *(row(text) for text in texts if text.strip())])))
    keys = {folded(text) for text in texts if text.strip()} | {"filler"}
    found: list[str] = []
    for split in SPLITS:
        whole = task.problems(split, None, seed)
        assert all(split_of(prompt.key) == split for prompt in whole)
        parts = [task.problems(split, None, seed, (i, k)) for i in range(k)]
        assert [prompt for part in parts for prompt in part] == whole
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert task.problems(split, 3, seed, (k - 1, k)) == parts[-1][:3]
        found += [prompt.key for prompt in whole]
    assert len(found) == len({*found}) and {key.partition(APART)[0] for key in found} == keys


@settings(max_examples=15)
@given(order=st.permutations(range(30)))
def test_the_order_of_the_file_changes_nothing(order, write):
    keys = [f"problem {i}" for i in range(30)]
    sorted_, mixed = (
        write([row(keys[i]) for i in places], f"{name}.jsonl") for name, places in (("a", range(30)), ("b", order))
    )
    for split in SPLITS:
        one, other = (JsonlTask(path=str(path)).problems(split, None, 7) for path in (sorted_, mixed))
        assert [prompt.key for prompt in one] == [prompt.key for prompt in other]


def test_the_seed_decides_the_order(write):
    task = JsonlTask(path=str(write([row(f"problem {i}") for i in range(60)])))
    orders = [[prompt.key for prompt in task.problems("train", None, seed)] for seed in (1, 2, 1)]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) != orders[0]


def test_a_new_row_does_not_move_the_others(write):
    rows = [row(f"problem {i}") for i in range(60)]
    before = [p.key for p in JsonlTask(path=str(write(rows))).problems("train", None, 1)]
    new = next(text for text in (f"new {i}" for i in range(100)) if split_of(text) == "train")
    after = [p.key for p in JsonlTask(path=str(write([row(new), *rows]))).problems("train", None, 1)]
    assert [key for key in after if key != new] == before


# ---- the verifier exact ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("answer", "text", "right"),
    [
        ("Paris", "Paris", 1.0),
        ("Paris", "  PARIS \n", 1.0),
        ("Paris", "It is the capital.\nParis", 1.0),
        ("Paris", "Paris\nis a city.", 0.0),
        ("Paris", "The answer is Paris.", 1.0),
        ("Paris", "so \\boxed{Paris}, I think.", 1.0),
        ("Paris", "\\boxed{London}\nParis", 0.0),
        ("Paris", "work\n#### Paris", 1.0),
        ("Paris", "Paris or London", 0.0),
        ("Paris", "", 0.0),
        ("two\nlines", "two\nlines", 1.0),
        ("two\nlines", "lines", 0.0),
        ("3 + 5 is 8, so\n#### 8", "8", 1.0),
        ("3 + 5 is 8, so\n#### 8", "3 + 5 is 8, so\n#### 8", 1.0),
        ("3 + 5 is 8, so\n#### 8", "3 + 5 is 8, so", 0.0),
        ("the result is \\boxed{\\frac{1}{2}}.", "\\boxed{\\frac{1}{2}}", 1.0),
        ("\uff21\uff22\uff23", "abc", 1.0),
        ("", "", None),
        ("  ", "", None),
        (None, "", None),
    ],
)
def test_exact(answer, text, right):
    assert marked(answer, text) == right


@given(answer=st.text(st.characters(codec="ascii", exclude_characters="\\{}#:="), min_size=1).filter(str.strip))
def test_a_reference_verifies_itself_however_it_is_stated(answer):
    for text in (answer, f"\\boxed{{{answer.strip()}}}"):
        if "answer" not in answer.lower():
            assert marked(answer, text) == 1.0
    assert marked(answer, f"\\boxed{{not {answer}}}") == 0.0


def test_equal_exact_answers_are_equal_strings():
    task = JsonlTask(path="unread")
    assert {task.answer_of(text) for text in ("Paris", " paris\n", "so\n\\boxed{PARIS}", "The answer is Paris.")} == {
        "paris"
    }
    assert task.answer_of(" \n ") is None


# ---- the verifier choice -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("answer", "text", "right"),
    [
        ("B", "The answer is (B).", 1.0),
        ("(b)", "B", 1.0),
        ("B.", "A is wrong, so B", 1.0),
        ("It must be C.\n#### B", "\\boxed{B}", 1.0),
        ("B", "C", 0.0),
        ("B", "no letter here", 0.0),
        ("K", "K", None),
        ("Bonn", "B", None),
        ("A cat", "A", None),
        ("1", "A", None),
        (None, "A", None),
    ],
)
def test_choice(answer, text, right):
    assert marked(answer, text, "choice") == right


def test_equal_choices_are_equal_strings():
    task = JsonlTask(path="unread", verifier="choice")
    assert {task.answer_of(text) for text in ("B", "(B)", "The answer is B.", "\\boxed{B}")} == {"B"}
    assert task.answer_of("none of them") is None


# ---- the verifier math -------------------------------------------------------------------------------------------
@pytest.mark.long
@pytest.mark.parametrize(
    ("answer", "text", "right"),
    [
        ("8", "8", 1.0),
        ("8", "3 + 5 = 8, so the answer is 8.", 1.0),
        ("3 + 5 is 8\n#### 8", "\\boxed{8.0}", 1.0),
        ("8", "We get 8 apples", 1.0),
        ("8", "9", 0.0),
        ("8", "no idea", 0.0),
        ("8", "", 0.0),
        ("1,080", "#### 1080", 1.0),
        ("1 000 000", "1000000", 1.0),
        ("\\frac{1}{2}", "\\boxed{0.5}", 1.0),
        ("\\frac{1}{2}", "1/2", 1.0),
        ("\\frac{1}{2}", "2", 0.0),
        ("50\\%", "\\boxed{50}", 0.0),
        ("50\\%", "\\boxed{0.5}", 1.0),
        ("x^2+2x+1", "\\boxed{(x+1)^2}", 1.0),
        ("x^2+2x+1", "\\boxed{(x+1)^3}", 0.0),
        ("2\\sqrt{2}", "\\boxed{\\sqrt{8}}", 1.0),
        ("sqrt(2)", "2", 0.0),
        ("sqrt(2)", "\\boxed{\\sqrt{2}}", 1.0),
        ("5", "\\boxed{x = 5}", 1.0),
        ("\\{1, 2\\}", "\\boxed{2, 1}", 1.0),
        ("[0, 1)", "\\boxed{[0,1)}", 1.0),
        ("[0, 1)", "\\boxed{[0,1]}", 0.0),
        ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\boxed{\\begin{pmatrix}1\\\\2\\end{pmatrix}}", 1.0),
        ("\\text{even}", "\\boxed{Even}", 1.0),
        ("12 \\text{ cm}", "\\boxed{12}", 1.0),
        ("5 dollars", "\\boxed{5}", 1.0),
        ("listen", "\\boxed{silent}", 0.0),
        ("see the figure", "3", None),
        ("???", "3", None),
        ("", "3", None),
        (None, "3", None),
        ("9" * 1001, "9", None),
        ("9", "\\boxed{" + "9" * 1001 + "}", 0.0),
    ],
)
def test_math(answer, text, right):
    assert marked(answer, text, "math") == right


@pytest.mark.parametrize(
    ("spellings", "answer"),
    [
        (["1/2", "\\boxed{0.5}", "\\frac{1}{2}", "$x = \\frac{2}{4}$", "The answer is 0.50."], "1/2"),
        (["1080", "#### 1,080", "\\boxed{1080.0}", "so we get 1080"], "1080"),
        (["\\boxed{2, 1}", "\\boxed{\\{1,2\\}}"], "{1, 2}"),
        (["\\boxed{\\text{Evelyn}}", "\\boxed{Evelyn}"], "evelyn"),
        (["\\boxed{\\sqrt{8}}", "\\boxed{2\\sqrt{2}}"], "2*sqrt(2)"),
        (["", "no idea", "..."], None),
    ],
)
def test_equal_math_answers_are_equal_strings(spellings, answer):
    task = JsonlTask(path="unread", verifier="math")
    assert {task.answer_of(text) for text in spellings} == {answer}


@given(number=st.integers(-(10**12), 10**12), other=st.integers(-(10**12), 10**12))
def test_math_tells_integers_apart(number, other):
    assert marked(str(number), f"It follows that the answer is {number}.", "math") == 1.0
    assert marked(str(number), f"\\boxed{{{other}}}", "math") == float(number == other)


# ---- roles -------------------------------------------------------------------------------------------------------
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "3 + {x}?"},
]


def test_every_role_quotes_the_problem_and_what_it_is_about():
    roles = JsonlTask(path="unread", system_prompt="Use \\boxed{}.").roles()
    prompt = Prompt(prompt=roles.solve("What is {3} + 5?"), answer="work\n#### 8", key="k")
    assert prompt.prompt == [
        {"role": "system", "content": "Use \\boxed{}."},
        {"role": "user", "content": "What is {3} + 5?"},
    ]
    hint, judge, refine = roles.hint(prompt, "work\n#### 8"), roles.judge(prompt, "{9}"), roles.refine(prompt, "{9}")
    for messages in (hint, judge, refine):
        assert messages[-1]["role"] == "user" and "What is {3} + 5?" in messages[-1]["content"]
        assert "\\boxed" not in messages[-1]["content"], "the system prompt is no part of the problem"
    assert "<correct_answer>\n8\n</correct_answer>" in hint[-1]["content"], "the final answer, not the solution"
    for messages in (judge, refine):
        assert "<attempt>\n{9}\n</attempt>" in messages[-1]["content"]
    assert "#y" in judge[-1]["content"] and "#n" in judge[-1]["content"]
    assert [messages[0]["role"] for messages in (hint, judge, refine)] == ["system", "user", "system"]


def test_a_conversation_is_quoted_with_its_speakers():
    system, message = JsonlTask(path="unread").roles().judge(Prompt(prompt=TALK), "8")
    assert system == TALK[0]
    assert "<problem>\nuser: Hi\nassistant: Hello\nuser: 3 + {x}?\n</problem>" in message["content"]


@pytest.mark.parametrize("system_prompt", [None, "Use \\boxed{}."])
def test_a_row_s_own_system_message_stays_in_every_role(system_prompt):
    roles, prompt = JsonlTask(path="unread", system_prompt=system_prompt).roles(), Prompt(prompt=TALK, answer="4")
    rollout = Rollout(prompt=prompt, completion=[{"role": "assistant", "content": "4"}])
    asked = [roles.hint(prompt, "4"), roles.judge(prompt, "4"), roles.refine(prompt, "4")]
    asked += [Judge(scale=scale).question(rollout, roles).prompt for scale in ("verdict", "points")]
    assert [[message for message in messages if message["role"] == "system"] for messages in asked] == [[TALK[0]]] * 5


def test_a_proposal_of_a_problem_in_the_file_has_its_key_and_split_and_no_answer(write):
    """So one of a held-out problem is known for what it is, however it is spaced."""
    task = JsonlTask(path=str(write([row(f"What is {i} + 5?", f"work\n#### {i + 5}") for i in range(60)])))
    for prompt in every(task):
        read = task.roles().read_proposal(f"  {prompt.prompt[-1]['content'].replace(' ', '  ')}\n")
        assert read is not None and (read.key, read.answer) == (prompt.key, None)
        assert task.roles().solution(prompt) == prompt.answer and task.verify(read, "#### 8") is None
    assert task.roles().read_proposal(" \n") is None


def test_proposals_see_training_problems_only(write):
    prompts = [f"problem {i}" for i in range(200)]
    roles = JsonlTask(path=str(write([row(text) for text in prompts]))).roles()
    [message] = roles.propose(None)
    shown = [text for text in prompts if f"<example>\n{text}\n</example>" in message["content"]]
    assert len(shown) == 3 and {split_of(text) for text in shown} == {"train"}
    assert roles.propose(None) == [message]
    assert "difficulty 4" in roles.propose(4)[0]["content"] and "difficulty" not in message["content"]


def test_there_is_nothing_to_bootstrap_a_tiny_model_on():
    with pytest.raises(RecipeError, match="model=pretrained"):
        JsonlTask(path="unread").demonstrations("solve", 1, 0)


def test_a_key_that_appears_twice_among_a_hundred_thousand_is_found_at_once() -> None:
    line = b"{" + b",".join(b'"%d":1' % number for number in range(90_000)) + b',"89999":2}'
    began = time.process_time()
    with pytest.raises(DataError, match="'89999' appears twice"):
        values_of(line)
    assert time.process_time() - began < 5
