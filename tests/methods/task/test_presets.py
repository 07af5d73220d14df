"""The presets of published data sets, each on a small file in the form of the data on the hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError
from selfimprove.interfaces import Task
from selfimprove.loop.loop import Runner
from selfimprove.problems.gold import check_gold
from selfimprove.problems.splits import SPLITS, split_of
from selfimprove.records import Prompt
from selfimprove.registry import find

Open = Callable[..., Task]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """`opened("gsm8k", rows)`: the task with these rows in place of those of the hub."""

    def make(name: str, rows: list[dict[str, Any]]) -> Task:
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return find("task", name).method(path=str(path))

    return make


def every(task: Task) -> list[Prompt]:
    found = [prompt for split in SPLITS for prompt in task.problems(split, None, 0)]
    return sorted(found, key=lambda prompt: prompt.info["row"])


def marked(task: Task, *texts: str) -> list[float | None]:
    """What the only problem's rule says of completions."""
    [problem] = every(task)
    return [task.verify(problem, text) for text in texts]


GSM8K = {
    "question": "Natalia sold 48 clips in April and half as many in May. How many in all?",
    "answer": "In May she sold 48/2 = <<48/2=24>>24 clips.\nIn all she sold 48+24 = <<48+24=72>>72 clips.\n#### 72",
}
MATH = {
    "problem": "What is the larger root of $x^2 = 2$?",
    "solution": "The roots are $\\pm\\sqrt{2}$, so it is $\\boxed{\\sqrt{2}}$.",
    "answer": "\\sqrt{2}",
    "subject": "Algebra",
    "level": 1,
    "unique_id": "test/algebra/1.json",
}
MMLU = {
    "question_id": 70,
    "question": "Which number is prime?",
    "options": [str(number) for number in (4, 6, 8, 9, 10, 12, 14, 15, 16, 17)],
    "answer": "J",
    "answer_index": 9,
    "cot_content": "",
    "category": "math",
    "src": "made for this test",
}


@pytest.mark.long
def test_gsm8k_compares_the_final_numbers(opened):
    task = opened("gsm8k", [GSM8K])
    assert (
        marked(task, "24 + 48.\n#### 72", "The answer is 72.", "\\boxed{72.0}", "so it is $72", "72 clips") == [1.0] * 5
    )
    assert marked(task, "#### 71", "72 at first, then 73", "none", "") == [0.0] * 4
    [problem] = every(task)
    assert problem.prompt[0]["role"] == "system" and "####" in problem.prompt[0]["content"]
    assert problem.prompt[1] == {"role": "user", "content": GSM8K["question"]}
    large = opened("gsm8k", [{"question": "q", "answer": "a lot\n#### 1,250,000"}])
    assert marked(large, "#### 1250000", "$1,250,000.00", "1250") == [1.0, 1.0, 0.0]
    assert large.answer_of("costs $1,250,000.00") == "1250000"


@pytest.mark.long
def test_math500_compares_expressions(opened):
    task = opened("math500", [MATH])
    assert marked(task, "\\boxed{\\sqrt{2}}", "\\boxed{2^{1/2}}", "the answer is $\\sqrt 2$") == [1.0] * 3
    assert marked(task, "\\boxed{-\\sqrt{2}}", "\\boxed{1.41}") == [0.0] * 2
    unanswered = {name: value for name, value in MATH.items() if name != "answer"}
    assert marked(opened("math500", [unanswered]), "\\boxed{\\sqrt{2}}") == [1.0], (
        "the training set of MATH has solutions"
    )


@pytest.mark.parametrize(
    "row",
    [
        {"problem": "p", "solution": "s", "answer": "025"},
        {"question": "p", "answer": "25"},
        {"Question": "p", "Answer": 25},
    ],
)
def test_aime_reads_the_columns_of_its_editions(row, opened):
    assert marked(opened("aime", [row]), "\\boxed{25}", "\\boxed{025}", "It is 25.", "\\boxed{250}") == [
        1.0,
        1.0,
        1.0,
        0.0,
    ]


def test_mmlu_pro_writes_ten_options_and_takes_a_letter(opened):
    task = opened("mmlu_pro", [MMLU])
    [problem] = every(task)
    lines = problem.prompt[-1]["content"].splitlines()
    assert (lines[0], lines[1], lines[-1], len(lines)) == (MMLU["question"], "A. 4", "J. 17", 11)
    assert marked(task, "17 has no divisor: the answer is (J).", "The answer is J", "\\boxed{J}") == [1.0] * 3
    assert marked(task, "the answer is (A)", "J or A: (A)", "seventeen") == [0.0] * 3
    with pytest.raises(DataError, match="'options' holds a null"):
        every(opened("mmlu_pro", [{**MMLU, "options": ["4", None]}]))
    with pytest.raises(DataError, match="'options' must be a list of 2 to 10 texts"):
        every(opened("mmlu_pro", [{**MMLU, "options": [str(i) for i in range(11)]}]))


def test_ifeval_takes_all_instructions_of_a_prompt(opened):
    names = ["punctuation:no_comma", "length_constraints:number_words"]
    empty = {"num_words": None, "relation": None, "keywords": None}
    row = {
        "key": 1000,
        "prompt": "Write at least three words without commas.",
        "instruction_id_list": names,
        "kwargs": [empty, {**empty, "num_words": 3, "relation": "at least"}],
    }
    for given in (row, {**row, "kwargs": json.dumps(row["kwargs"])}):
        assert marked(opened("ifeval", [given]), "one two three", "one two", "one, two three") == [1.0, 0.0, 0.0]
    other = {**row, "prompt": "In French.", "instruction_id_list": ["language:response_language"], "kwargs": [{}]}
    task = opened("ifeval", [row, other])
    [kept] = every(task)
    assert kept.prompt[0]["content"] == row["prompt"] and kept.answer is None
    assert task.counts == {"rows": 2, "left_out": 1}
    assert task.verify(Prompt(prompt=[]), "x") is None
    with pytest.raises(DataError, match="no prompt can be checked: no check exists for 'language:response_language'"):
        every(opened("ifeval", [other]))
    with pytest.raises(DataError, match="lists of equal length"):
        every(opened("ifeval", [{**row, "kwargs": [{}]}]))


def test_open_instructions_are_marked_by_nobody(opened):
    rows = [
        {"instruction": "Name a river.", "context": "In Africa.", "response": "The Nile.", "category": "open_qa"},
        {"instruction": "Greet me.", "context": "", "response": "Hello!", "category": "open_qa"},
    ]
    task = opened("open_instructions", rows)
    first, second = every(task)
    assert first.prompt == [{"role": "user", "content": "Name a river.\n\nIn Africa."}]
    assert (first.answer, task.verify(first, "The Nile."), task.answer_of("The Nile.")) == (None, None, None)
    assert [task.roles().solution(prompt) for prompt in (first, second)] == ["The Nile.", "Hello!"]


@pytest.mark.long
def test_a_run_on_what_nobody_can_mark_ends_at_its_baseline(make_run, tmp_path):
    path = tmp_path / "open.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Say {i}.", "completion": "x"}) + "\n" for i in range(300)))
    options = ["task=open_instructions", f"task.open_instructions.path={path}", "engine=fake"]
    folder, log = make_run(*options, "probe_problems=0")
    with pytest.raises(DataError, match=r"none of the \d+ gate problems could be marked"):
        Runner(folder, log).run()
    assert not (folder.root / "round_001").exists()


ROWS = {
    "gsm8k": [{**GSM8K, "question": f"{i} + 1?", "answer": f"so\n#### {i + 1}"} for i in range(60)],
    "math500": [{**MATH, "problem": f"${i}/2$?", "answer": f"\\frac{{{i}}}{{2}}"} for i in range(60)],
    "aime": [{"problem": f"{i} + 1?", "answer": f"{i + 1:03}"} for i in range(60)],
    "mmlu_pro": [{**MMLU, "question": f"{i}?", "answer": "ABCDEFGHIJ"[i % 10]} for i in range(60)],
    "open_instructions": [{"prompt": f"Say {i}.", "completion": str(i)} for i in range(60)],
}


@pytest.mark.parametrize("name", ROWS)
def test_a_preset_finds_its_own_references_right_and_splits_by_key(name, opened):
    task = opened(name, ROWS[name])
    assert task.preflight() == find("task", name).method().preflight() == [], "of the hub nothing is fetched"
    with pytest.raises(DataError, match=rf"^task\.{name}\.path: .* is too small: "):
        opened(name, ROWS[name][:2]).preflight()
    task = opened(name, ROWS[name])
    assert len(every(task)) == 60
    for split in SPLITS:
        problems = task.problems(split, None, 0)
        check_gold(task, problems)
        assert all(split_of(problem.key) == split for problem in problems)
    roles, [problem] = task.roles(), task.problems("train", 1, 0)
    for messages in (roles.propose(3), roles.judge(problem, "x"), roles.refine(problem, "x"), roles.hint(problem, "7")):
        assert problem.prompt[-1]["content"] in messages[-1]["content"] or "<example>" in messages[-1]["content"]
