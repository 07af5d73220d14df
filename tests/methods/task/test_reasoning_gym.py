"""The task `reasoning_gym`: what it draws, how it marks, and that the library cannot harm or mislead it.

Most tests run on a small library of their own with the interface of the real one; those of the real one need the extra.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import EngineError, RecipeError
from selfimprove.interfaces import Task
from selfimprove.methods.task import reasoning_gym as module
from selfimprove.methods.task.reasoning_gym import UNSAFE, UNSEEDED, ReasoningGym
from selfimprove.problems import splits
from selfimprove.problems.gold import check_gold
from selfimprove.problems.splits import SPLITS, folded, split_of
from selfimprove.recipe.compose import load, runnable
from selfimprove.records import Prompt, dumps, loads, read_records, write_records


# ---- a library of two dozen lines --------------------------------------------------------------------------------
@dataclass
class Settings:
    low: int = 0
    high: int = 999
    seed: int = 0
    size: int = 500

    def validate(self) -> None:
        assert self.low <= self.high, "low must not be above high"


class Sums:
    """`a plus b`; the rule gives a tenth for an answer that is off by one, and fails on what is no number."""

    name = "sums"

    def __init__(self, config: Settings) -> None:
        config.validate()
        self.config = config

    def __getitem__(self, i: int) -> dict[str, Any]:
        source = random.Random(self.config.seed + i)
        a, b = (source.randint(self.config.low, self.config.high) for _ in "ab")
        return {"question": f"{self.name}: {a} plus {b}", "answer": str(a + b), "metadata": {"sum": a + b}}

    def score_answer(self, answer: str, entry: dict[str, Any]) -> float:
        off = abs(int(answer) - entry["metadata"]["sum"])
        return {0: 1.0, 1: 0.1}.get(off, 0.0)


class Sparse(Sums):
    """Every other draw fails, or has a wrong reference answer."""

    name = "sparse"

    def __getitem__(self, i: int) -> dict[str, Any]:
        if i % 4 == 1:
            raise RuntimeError("no puzzle for this seed")
        entry = super().__getitem__(i)
        return {**entry, "answer": str(int(entry["answer"]) + 1)} if i % 4 == 3 else entry


class Wrong(Sums):
    def score_answer(self, answer: str, entry: dict[str, Any]) -> float:
        return 0.5


class Fooled(Sums):
    """A rule that takes what is no number for right."""

    def score_answer(self, answer: str, entry: dict[str, Any]) -> float:
        return 0.0 if abs(float(answer) - entry["metadata"]["sum"]) > 0.5 else 1.0


class Open(Sums):
    """Many answers are right, so there is no reference answer; the rule gives what it is told to."""

    name = "open"

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {**super().__getitem__(i), "answer": None}

    def score_answer(self, answer: str, entry: dict[str, Any]) -> float:
        return float(answer)


class Tuples(Sums):
    """A rule that asks for a tuple, which a stored record cannot hold."""

    def __getitem__(self, i: int) -> dict[str, Any]:
        entry = super().__getitem__(i)
        return {**entry, "metadata": {"sum": (int(entry["answer"]),)}}

    def score_answer(self, answer: str, entry: dict[str, Any]) -> float:
        return float(entry["metadata"]["sum"] == (int(answer),))


class Dials:
    """Level l has numbers of l + 1 digits."""

    def set_global_level(self, level: int) -> None:
        self.level = level

    def generate_configuration(self, context: Any) -> Settings:
        assert context == "UPPER_BOUND"
        return Settings(10**self.level, 10 ** (self.level + 1) - 1)


FAMILIES = {"sums": Sums, "sparse": Sparse, "wrong": Wrong, "open": Open, "tuples": Tuples, "flat": Sums}
FAMILIES["fooled"] = Fooled


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library of this file in place of the real one; `flat` has no levels."""
    parts = {
        "factory": SimpleNamespace(
            DATASETS={name: (kind, Settings) for name, kind in FAMILIES.items()},
            CURRICULA={name: Dials for name in FAMILIES if name != "flat"},
            create_curriculum=lambda name: Dials(),
        ),
        "coaching.base_curriculum": SimpleNamespace(
            RangeAttributeMode=SimpleNamespace(UPPER_BOUND="UPPER_BOUND"), DefaultCurriculumContext=str
        ),
    }
    monkeypatch.setattr(module, "_library", parts.__getitem__)


def gym(*families: str, **options: Any) -> ReasoningGym:
    return ReasoningGym(families=list(families or ["sums"]), **options)


def cells(problems: list[Prompt]) -> Counter[tuple[str, int]]:
    return Counter((p.info["family"], p.info["level"]) for p in problems)


# ---- problems ----------------------------------------------------------------------------------------------------
def test_a_problem_is_the_library_s_question_behind_the_system_message(library: None) -> None:
    [prompt] = gym(system_prompt="Be brief.").problems("train", 1, 0)
    [system, user] = prompt.prompt
    found = re.fullmatch(r"sums: (\d\d) plus (\d\d)", user["content"])
    assert system == {"role": "system", "content": "Be brief."} and user["role"] == "user" and found
    total = int(found[1]) + int(found[2])
    assert prompt.answer == str(total) and prompt.key == user["content"]
    assert prompt.info == {"family": "sums", "level": 1, "metadata": {"sum": total}}
    assert [m["role"] for m in gym(system_prompt=None).problems("train", 1, 0)[0].prompt] == ["user"]


@pytest.mark.long
def test_splits_are_disjoint_and_problems_lie_in_the_split_of_their_key(library: None) -> None:
    keys = {split: [p.key for p in gym("sums", "flat").problems(split, 200, 3)] for split in SPLITS}
    for split, found in keys.items():
        assert len(set(found)) == 200 and {split_of(key) for key in found} == {split}
    assert not any(set(a) & set(b) for a, b in itertools.combinations(keys.values(), 2))


@pytest.mark.long
def test_blocks_of_a_stream_never_overlap_and_follow_from_the_seed(library: None) -> None:
    task = gym("sums", "sparse", weights=[1, 3])
    blocks = [task.problems("gate", 40, 5, (i, 4)) for i in range(4)]
    joined = [p for block in blocks for p in block]
    assert joined == gym("sums", "sparse", weights=[1, 3]).problems("gate", 160, 5)
    assert len({p.key for p in joined}) == 160
    assert {p.key for p in joined} != {p.key for p in task.problems("gate", 160, 6)}
    assert len(task.problems("train", None, 1)) == 1500


def test_levels_stand_in_equal_shares_and_say_how_hard_a_problem_is(library: None) -> None:
    problems = gym("sums", max_level=4).problems("sealed", 400, 0)
    assert cells(problems) == {("sums", level): 100 for level in (1, 2, 3, 4)}
    for prompt in problems:
        numbers = re.findall(r"\d+", prompt.key)
        assert {len(number) for number in numbers} == {prompt.info["level"] + 1}


def test_families_have_their_weights_and_share_them_among_their_levels(library: None) -> None:
    problems = gym("sums", "flat", weights=[3, 1]).problems("gate", 120, 0)
    assert cells(problems) == {("sums", 1): 30, ("sums", 2): 30, ("sums", 3): 30, ("flat", 0): 30}
    start = cells(problems[:12])
    assert start == {("sums", 1): 3, ("sums", 2): 3, ("sums", 3): 3, ("flat", 0): 3}, "they take turns"


def test_a_level_changes_the_training_problems_only(library: None) -> None:
    mixed, one = gym("sums", "flat"), gym("sums", "flat", level=0, min_level=1)
    assert cells(one.problems("train", 20, 0)) == {("sums", 0): 10, ("flat", 0): 10}
    for split in ("selection", "gate", "audit", "sealed"):
        assert one.problems(split, 40, 0) == mixed.problems(split, 40, 0)


def test_settings_of_a_family_are_laid_over_those_of_its_level(library: None) -> None:
    task = gym("sums", "flat", config={"sums": {"high": 40}, "flat": {"low": 7, "high": 7}}, max_level=1)
    problems = task.problems("train", 30, 0)
    numbers = {int(n) for p in problems if p.info["family"] == "sums" for n in re.findall(r"\d+", p.key)}
    assert min(numbers) >= 10 and 30 < max(numbers) <= 40
    assert all(p.key == "sums: 7 plus 7" for p in problems if p.info["family"] == "flat")


@pytest.mark.long
def test_a_used_up_family_drops_out_and_what_there_is_comes_back(library: None) -> None:
    """Numbers from 0 to 4: 25 problems in all, far fewer than are asked for."""
    task = gym("flat", config={"flat": {"high": 4}})
    found = [p.key for split in SPLITS for p in task.problems(split, 30, 0)]
    assert sorted(found) == sorted(f"sums: {a} plus {b}" for a in range(5) for b in range(5))
    both = gym("flat", "sums", config={"flat": {"high": 4}}).problems("train", 100, 0)
    assert len(both) == 100 and cells(both)["flat", 0] < 25


def test_one_problem_of_two_families_is_given_once(library: None) -> None:
    both = gym("flat", "sums", config={"flat": {"low": 10, "high": 13}, "sums": {"low": 10, "high": 13}})
    found = [p.key for p in both.problems("train", 50, 0)]
    assert (
        len(set(found))
        == len(found)
        == sum(split_of(f"sums: {a} plus {b}") == "train" for a in range(10, 14) for b in range(10, 14))
    )


def test_draws_that_fail_or_have_a_wrong_reference_are_left_out(library: None) -> None:
    problems = gym("sparse").problems("gate", 200, 0)
    assert len(problems) == 200
    assert all(int(str(p.answer)) == p.info["metadata"]["sum"] for p in problems)


@pytest.mark.parametrize("family", ["wrong", "tuples", "fooled"])
def test_a_family_whose_rule_cannot_tell_right_from_wrong_is_refused(family: str, library: None) -> None:
    with pytest.raises(RecipeError, match=f"'{family}' gives no usable problem at level 1"):
        gym("sums", family).problems("gate", 50, 0)


def test_no_draw_is_beyond_what_the_library_was_told_to_prepare(library: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    draw = Sums.__getitem__
    monkeypatch.setattr(Sums, "__getitem__", lambda self, i: asked.append((i, self.config.size)) or draw(self, i))
    assert len(gym(min_level=2).problems("audit", 100, 0)) == 100
    assert all(i < size for i, size in asked) and len(asked) > 2 * asked[0][1], "more than one seed was drawn from"


def test_held_out_problems_are_out_of_reach_while_a_stage_runs(library: None) -> None:
    with splits.closed("acquisition"):
        assert gym().problems("train", 3, 0)
        with pytest.raises(RecipeError, match="held out"):
            gym().problems("gate", 3, 0)


# ---- marking -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>12</answer>", "12"),
        ("<answer> 12\n</answer> done", "12"),
        ("<answer>1</answer> no, <answer>12</answer>", "12"),
        ("<answer>1 2\n3 4</answer>", "1 2\n3 4"),
        ("The answer is 5. <answer>12</answer>", "12"),
        ("<answer>12", None),
        ("<answer></answer>", None),
        ("so \\boxed{12}", "12"),
        ("work\n#### 12", "12"),
        ("work.\nThe answer is 12.", "12"),
        ("12", "12"),
        (" 12 \n", "12"),
        ("10 plus 2\nis 12", None),
        ("", None),
        ("\n", None),
    ],
)
def test_the_final_answer(text: str, answer: str | None) -> None:
    assert gym().answer_of(text) == answer


def test_the_library_s_rule_marks_the_final_answer(library: None) -> None:
    task = gym()
    [prompt] = task.problems("train", 1, 0)
    right = int(str(prompt.answer))
    marks = {right: 1.0, right + 1: 0.1, right - 1: 0.1, right + 2: 0.0}
    for number, mark in marks.items():
        assert task.verify(prompt, f"<answer>{number}</answer>") == mark
        assert task.verify(prompt, f"It follows that the answer is {number}.") == mark
    for text in ("no idea", "", "<answer></answer>", "<answer>" + "9" * 10_001 + "</answer>"):
        assert task.verify(prompt, text) == 0.0


@pytest.mark.parametrize(
    ("said", "mark"), [("0.25", 0.25), ("1.5", 1.0), ("-2", 0.0), ("nan", 0.0), ("inf", 1.0), ("a", 0.0)]
)
def test_marks_are_kept_between_0_and_1(said: str, mark: float, library: None) -> None:
    task = gym("open")
    [prompt] = task.problems("train", 1, 0)
    assert prompt.answer is None
    assert task.verify(prompt, said) == mark


def test_what_the_library_did_not_make_cannot_be_marked(library: None) -> None:
    assert gym().verify(Prompt(prompt=[{"role": "user", "content": "1 plus 1"}], answer="2"), "2") is None


def test_a_problem_that_was_stored_is_marked_alike(library: None, tmp_path: Any) -> None:
    problems = gym().problems("train", 20, 0)
    write_records(tmp_path / "problems.jsonl", problems)
    again, later = read_records(tmp_path / "problems.jsonl"), gym()
    assert again == problems
    for prompt in again:
        assert isinstance(prompt, Prompt)
        assert later.verify(prompt, str(prompt.info["metadata"]["sum"])) == 1.0


def test_no_engine_sees_the_notes_of_the_library(library: None) -> None:
    blind = gym().problems("train", 1, 0)[0].blind()
    assert blind.answer is None and blind.info == {}


@pytest.mark.long
@given(st.text(max_size=60))
def test_extraction_never_fails(text: str) -> None:
    found = gym().answer_of(text)
    assert found is None or (found and found.strip())
    assert gym().answer_of(f"{text}<answer>x</answer>") == "x"


# ---- roles -------------------------------------------------------------------------------------------------------
def test_every_role_quotes_the_problem_and_what_it_is_about(library: None) -> None:
    roles = gym(system_prompt="Be brief.").roles()
    prompt = Prompt(prompt=roles.solve("What is {3}?"), key="k")
    hint, judge, refine = roles.hint(prompt, "{8}"), roles.judge(prompt, "{9}"), roles.refine(prompt, "{9}")
    assert prompt.prompt == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is {3}?"}]
    for messages in (hint, judge, refine):
        assert "<problem>\nWhat is {3}?\n</problem>" in messages[-1]["content"]
        assert "Be brief." not in messages[-1]["content"]
    assert "<correct_answer>\n{8}\n</correct_answer>" in hint[-1]["content"]
    for messages in (judge, refine):
        assert "<attempt>\n{9}\n</attempt>" in messages[-1]["content"]
    assert [messages[0]["role"] for messages in (hint, judge, refine)] == ["system", "user", "system"]


def test_a_proposal_is_a_problem_that_the_library_cannot_mark(library: None) -> None:
    for prompt in gym("sums").problems("gate", 10, 0):
        read = gym().roles().read_proposal(f" {prompt.prompt[-1]['content']}\n")
        assert read is not None and (read.key, read.answer) == (prompt.key, None) and gym().verify(read, "8") is None
        assert gym().roles().solution(prompt) is None
    assert gym().roles().read_proposal("\n") is None


def test_proposals_are_shown_training_problems(library: None) -> None:
    roles = gym("sums", "flat").roles()
    [message] = roles.propose(None)
    shown = re.findall(r"<example>\n(.*)\n</example>", message["content"])
    assert len(shown) == 3 and {split_of(folded(text)) for text in shown} == {"train"}
    assert "difficulty 4" in roles.propose(4)[0]["content"] and "difficulty" not in message["content"]


def test_there_is_nothing_to_bootstrap_a_tiny_model_on_and_nothing_to_vary(library: None) -> None:
    task: Task = gym()
    with pytest.raises(RecipeError, match="model=pretrained"):
        task.demonstrations("solve", 1, 0)
    assert task.variants(task.problems("train", 1, 0)[0], "same", 3, 0) == []


# ---- options -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"families": ["gcd", "countdown"]}, ["'countdown' cannot be used", "runs answers as code"]),
        ({"families": ["word_ladder"]}, ["'word_ladder' cannot be used", "do not follow from a seed"]),
        ({"weights": [1.0, 2.0]}, ["weights", "each of the families"]),
        ({"weights": [0.0]}, ["weights", "above 0"]),
        ({"min_level": 2, "max_level": 1}, ["min_level <= max_level"]),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        ReasoningGym(**options)
    assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("options", [{"families": ["sum"]}, {"config": {"sum": {}}, "families": ["sums"]}])
def test_a_family_that_there_is_not_is_answered_with_the_nearest(options: dict[str, Any], library: None) -> None:
    with pytest.raises(RecipeError, match=r"no family 'sum'\. Did you mean 'sums'\?"):
        ReasoningGym(**options).problems("train", 1, 0)


@pytest.mark.parametrize(
    ("family", "settings", "cause"),
    [
        ("sums", {"high": 3}, "low must not be above high"),
        ("flat", {"low": 9, "high": 3}, "low must not be above high"),
        ("sums", {"hihg": 3}, "hihg"),
        ("flat", {"hihg": 3}, "hihg"),
    ],
)
def test_settings_that_the_library_refuses(family: str, settings: dict[str, int], cause: str, library: None) -> None:
    with pytest.raises(RecipeError, match=f"'{family}' cannot be made at level [01]: .*{cause}"):
        gym(family, config={family: settings}).problems("train", 1, 0)


def test_without_the_package_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    monkeypatch.delitem(sys.modules, "reasoning_gym.factory", raising=False)
    with pytest.raises(EngineError, match=r"pip install 'selfimprove\[reasoning_gym\]'") as caught:
        ReasoningGym().problems("train", 1, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.long
def test_a_recipe_sets_every_option_and_survives_being_written(make_recipe: Any) -> None:
    text = (
        "defaults:\n  - task: reasoning_gym\n  - model: pretrained\nmodel: {pretrained: {path: x}}\n"
        "task: {reasoning_gym: {families: [gcd, lcm], weights: [1, 2], config: {gcd: {max_value: 30}}, level: 0}}\n"
    )
    composed, settings = load(make_recipe(text))
    task = composed.the("task")
    assert (task.families, task.weights, task.level) == (["gcd", "lcm"], [1.0, 2.0], 0)
    assert task.config == {"gcd": {"max_value": 30}}
    assert load(make_recipe(runnable(settings), "again")) == (composed, settings)
    changed, _ = load(
        make_recipe(text), ["task.reasoning_gym.families=[spell_backward]", "task.reasoning_gym.weights=[]"]
    )
    assert changed.the("task").families == ["spell_backward"]


# ---- the real library --------------------------------------------------------------------------------------------
REAL = ["chain_sum", "gcd", "word_sorting", "graph_color", "gsm_symbolic"]


@pytest.fixture(scope="module")
def real() -> ReasoningGym:
    pytest.importorskip("reasoning_gym")
    return ReasoningGym(families=REAL)


def test_real_problems_are_distinct_right_and_have_their_levels(real: ReasoningGym) -> None:
    problems = real.problems("gate", 60, 1)
    levels = {(family, level): 4 for family in REAL[:4] for level in (1, 2, 3)}
    assert cells(problems) == {**levels, ("gsm_symbolic", 0): 12}
    assert len({p.key for p in problems}) == 60 and {split_of(p.key) for p in problems} == {"gate"}
    check_gold(real, problems)
    assert all(loads(dumps(p)) == p for p in problems)


def test_a_real_level_has_numbers_of_its_size_only(real: ReasoningGym) -> None:
    for prompt in ReasoningGym(families=["chain_sum"]).problems("gate", 30, 0):
        terms = re.findall(r"[+-]?\d+", prompt.key.partition(":")[2].replace(" ", ""))
        level = prompt.info["level"]
        assert len(terms) == level + 2 and {len(term.strip("+-")) for term in terms} == {level + 1}
        assert prompt.answer == str(sum(map(int, terms)))


def test_a_real_rule_gives_part_of_a_mark_for_part_of_an_answer(real: ReasoningGym) -> None:
    task = ReasoningGym(families=["chain_sum"])
    [prompt] = task.problems("train", 1, 0)
    assert task.verify(prompt, f"<answer>{prompt.answer}</answer>") == 1.0
    assert 0.0 < (task.verify(prompt, f"<answer>{prompt.answer} or so</answer>") or 0.0) < 1.0
    assert task.verify(prompt, "<answer>nothing</answer>") == 0.0


def test_no_label_of_a_form_has_more_than_a_fifth(real: ReasoningGym) -> None:
    labels = Counter(p.answer for p in ReasoningGym(families=["chain_sum"]).problems("gate", 300, 0))
    assert max(labels.values()) <= 60


CANARY = "selfimprove_canary"
HOSTILE = (CANARY, f"[{CANARY}]", f"{CANARY}()", f"1 + {CANARY}", "9**9**9**9", "1e999999999", "(" * 3000, "nan")
_run: list[str] = []


def _audit(event: str, arguments: tuple) -> None:
    if event in ("compile", "exec") and _run:
        code = arguments[0]
        text = code.decode(errors="ignore") if isinstance(code, bytes) else code
        names = getattr(code, "co_names", ())
        if (isinstance(text, str) and CANARY in text) or CANARY in names:
            _run.append("code")


@pytest.fixture
def watched() -> Any:
    """What the fixture gives grows when an answer with the canary is compiled or run as Python code."""
    if not getattr(_audit, "added", False):
        sys.addaudithook(_audit)  # cannot be taken away again, so it is idle outside of the fixture
        _audit.added = True  # type: ignore[attr-defined]
    _run.append("watching")
    yield _run
    _run.clear()


@pytest.mark.parametrize("family", ["spiral_matrix", "string_insertion", "countdown"])
def test_the_watch_sees_an_answer_that_is_run(family: str, watched: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("reasoning_gym")
    assert family in UNSAFE
    monkeypatch.setattr(module, "UNSAFE", ())
    task = ReasoningGym(families=[family], min_level=0, max_level=0)
    task.verify(task.problems("train", 1, 0)[0], f"<answer>{CANARY}</answer>")
    assert "code" in watched


@pytest.mark.slow
def test_no_family_runs_an_answer_or_hangs_on_it(watched: list[str]) -> None:
    """Every family of the library, at its easiest level that works, against answers that are out to do harm."""
    factory = pytest.importorskip("reasoning_gym.factory")
    refused, tried = set(), 0
    for family in sorted(set(factory.DATASETS) - {*UNSAFE, *UNSEEDED, "composite", "knight_swap"}):  # the last is slow
        task, problems = ReasoningGym(families=[family]), []
        for level in (0, 1, 2):
            try:
                source = task._family(family, level, 5)
            except RecipeError:
                continue
            problems = [p for p in (task._draw(source, i, family, level) for i in range(4)) if p]
            if problems:
                break
        else:
            refused.add(family)
        for prompt in problems:
            tried += 1
            for text in HOSTILE:
                assert (task.verify(prompt, f"<answer>{text}</answer>") or 0.0) < 1.0, (family, text)
    assert refused == {"arc_agi", "complex_arithmetic", "game_of_life_halting", "rearc"}
    assert tried > 300 and watched == ["watching"]


@pytest.mark.slow
def test_problems_follow_from_the_seed_in_every_process() -> None:
    """The order of a set of texts differs between processes; families that depend on it are refused."""
    factory = pytest.importorskip("reasoning_gym.factory")
    slow = {"bf", "futoshiki", "game_of_life", "jugs", "knight_swap", "sokoban", "zebra_puzzles", "acre", "rush_hour"}
    families = sorted(set(factory.DATASETS) - {*UNSAFE, *UNSEEDED, *slow, "composite"})
    script = (
        "import json, sys\nfrom selfimprove.methods.task import reasoning_gym as m\nfrom selfimprove.errors import RecipeError\n"
        "from selfimprove.records import dumps\n"
        "found = {}\n"
        "for name in json.loads(sys.argv[1]):\n"
        "    task = m.ReasoningGym()\n"
        "    try:\n        source = task._family(name, 0, 7)\n    except RecipeError:\n        continue\n"
        "    drawn = [task._draw(source, i, name, 0) for i in range(6)]\n"
        "    found[name] = [p and dumps(p) for p in drawn]\n"
        "print(json.dumps(found))\n"
    )
    outputs = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", script, json.dumps(families)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        outputs.append(json.loads(done.stdout.splitlines()[-1]))
    assert outputs[0] == outputs[1] and len(outputs[0]) > 70


def test_the_library_is_loaded_when_it_is_needed_and_not_before() -> None:
    code = "import sys, selfimprove.methods.task.reasoning_gym as m; m.ReasoningGym(); print('reasoning_gym' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
