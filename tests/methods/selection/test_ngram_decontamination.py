"""Planted leaks of held-out problems are found in every form that the method promises, and nothing else goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.loop.given import held_out
from selfimprove.methods.selection.ngram_decontamination import NgramDecontamination
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.problems.splits import folded
from selfimprove.recipe import compose
from selfimprove.records import Document, Prompt

EXAM = [
    "A train leaves the station at noon with twelve wagons and every wagon carries nine heavy barrels. How many?",
    "What is 3 - 5?",
]


@pytest.fixture
def exam(tmp_path: Path) -> str:
    file = tmp_path / "exam.jsonl"
    file.write_text("".join(json.dumps({"prompt": text, "answer": "x"}) + "\n" for text in EXAM))
    return str(file)


def asked(text: str) -> Prompt:
    return Prompt(prompt=[{"role": "user", "content": text}], key=folded(text))


def test_copies_in_any_form_go(make_context: Callable, exam: str) -> None:
    leaks = [
        Document(text=f"Some page. {EXAM[0]} And more."),
        Document(text=EXAM[0].upper().replace(" ", "  ").replace(",", "")),
        Document(text="\u201c" + " ".join(EXAM[0].split()[2:16]) + "\u201d"),
        asked("what is  3 - 5?"),  # shorter than a run: by its key
    ]
    clean = [
        Document(text=" ".join(EXAM[0].split()[:12])),
        Document(text="What is 3 - 5?"),  # a document has no key
        asked("What is 3 + 5?"),
        Document(text=" ".join(reversed(EXAM[0].split()))),
    ]
    method, context = NgramDecontamination(against=exam), make_context()
    assert list(method.select([*leaks, *clean], context)) == clean
    assert context.log.metrics == {"ngram_decontamination/runs": 3, "ngram_decontamination/keys": 1}
    assert len(NgramDecontamination(against=exam, n=8).select(clean, context)) == 3
    assert len(NgramDecontamination(against=exam, n=8, least=6).select(clean, context)) == 4


def test_a_run_compares_with_hashes_of_its_tasks_problems(make_context: Callable) -> None:
    recipe, _ = compose.load("quickstart")
    exam, train = (ChainSums().problems(split, None, 0)[:20] for split in ("gate", "train"))
    context = make_context(held_out=lambda n: held_out(recipe, n))
    assert list(NgramDecontamination(n=3).select([*exam, *train], context)) == train


def test_without_anything_to_compare_with_it_says_so(make_context: Callable, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="against=FILE"):
        NgramDecontamination().select([asked("a")], make_context())
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "a"}\n{"prompt": ""}\n')
    with pytest.raises(DataError, match="row 2: 'prompt' is empty"):
        NgramDecontamination(against=str(bad)).select([asked("a")], make_context())
