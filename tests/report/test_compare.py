"""Runs side by side: hand-worked differences, and a refusal by name of all that was not measured alike."""

import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import DataError, MissingError, RecipeError
from selfimprove.loop.step_files import write_report
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.records import Prompt, Report, Rollout
from selfimprove.report.compare import against, compare, difference_of_shares, differences, fisher
from selfimprove.report.finished import Finished, _contract, finished
from selfimprove.store.ledger import Ledger
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import write_json

FIRST = [1, 0, 0, 0, 0, 0, 0, 1]
BETTER = [1, 1, 1, 1, 1, 1, 1, 0]
"""Against FIRST: six problems won, one lost."""


@pytest.fixture
def make_finished(make_run: Callable[..., Any], tmp_path: Path) -> Callable[..., Path]:
    """`make_finished("a", scores, "seed=1")`: the folder of a run whose champion has these sealed scores; no loop ran."""
    begun: dict[tuple[str, ...], Path] = {}

    def make(
        name: str, scores: Sequence[float] = FIRST, *overrides: str, rounds: int = 1, put: Sequence[Prompt] = ()
    ) -> Path:
        if overrides not in begun:
            begun[overrides] = make_run(*overrides, name=f"begun-{len(begun)}")[0].root
        store = RunDir(shutil.copytree(begun[overrides], tmp_path / name))
        seed = json.loads((store.root / "environment.json").read_text())["settings"]["seed"]
        problems = put or ChainSums().problems("sealed", len(scores), seed)
        said = [Rollout(prompt=problem, completion=[{"role": "assistant", "content": "#1"}]) for problem in problems]
        marks = {problem.key: float(score) for problem, score in zip(problems, scores, strict=True)}
        step = store.begin(rounds, "sealed")
        for who in ("start", "champion"):
            write_report(Report(metrics={}, scores=marks, rollouts=tuple(said)), step, who)
        store.commit(rounds, "sealed", {"fingerprint": "", "counts": {}, "metrics": {}, "seconds": 0.0})
        Ledger(store.root / "ledger.jsonl").read(rounds, "sealed", "sealed", problems)
        sealed = {"n": 8, "start": 0.25, "champion": 0.5, "delta": 0.25, "ci": [0.1, 0.4], "champion_round": 1}
        summary = {"recipe": "small", "seed": seed, "rounds": rounds, "sealed": sealed}
        write_json(store.root / "summary.json", summary)
        return store.root

    return make


def run_of(name: str, scores: dict[str, float] | None = None, **changes: Any) -> Finished:
    values: dict[str, Any] = {"row": {}, "contract": {}, "scores": scores or {}, "worded": {}}
    return Finished(folder=Path(name), **{**values, **changes})


# ---- values ------------------------------------------------------------------------------------------------------
def test_the_same_problems_are_compared_pair_by_pair() -> None:
    old, new = ({f"p{i}": float(score) for i, score in enumerate(scores)} for scores in (FIRST, BETTER))
    pair = against(run_of("a", old), run_of("b", new))
    assert (pair["run"], pair["against"], pair["paired"], pair["n"]) == ("b", "a", True, [8, 8])
    assert pair["difference"] == 0.625
    # differences 0, six times 1, -1: their squares around 5/8 sum to 31/8, so SE = sqrt(31/8 / (8 * 7)) = 0.263052
    assert pair["ci"] == pytest.approx([0.625 - 1.959964 * 0.263052, 0.625 + 1.959964 * 0.263052], abs=1e-5)
    assert pair["p"] == 0.125  # 2 P(Bin(7, 1/2) >= 6) = 2 * 8 / 128


def test_runs_are_read_and_their_comparisons_corrected_by_holm(make_finished) -> None:
    six = [1, 1, 1, 1, 1, 1, 0, 0]
    roots = [make_finished("a"), make_finished("b", BETTER), make_finished("c", [0] * 8)]
    result = compare([*roots, make_finished("d", six, "seed=1")])
    row = {"run": str(roots[0]), "recipe": "small", "seed": 0, "rounds": 1, "champion_round": 1, "n": 8}
    assert result["runs"][0] == {**row, "start": 0.25, "champion": 0.5, "delta": 0.25, "ci": [0.1, 0.4]}
    assert [Path(row["run"]).name for row in result["runs"]] == ["a", "b", "c", "d"]
    better, worse, other = result["comparisons"]
    assert [pair["paired"] for pair in result["comparisons"]] == [True, True, False]
    assert [pair["difference"] for pair in result["comparisons"]] == [0.625, -0.25, 0.5]
    assert (better["p"], worse["p"]) == (0.125, 0.5)  # 2 P(Bin(2, 1/2) = 2) = 1/2
    # Fisher, 6 of 8 against 2 of 8: as rare or rarer among the 12870 ways to place 8 of 16 are 2 (28 * 28 + 8 * 8 + 1)
    assert other["p"] == pytest.approx(2 * 849 / 12870)
    assert [pair["p_holm"] for pair in (better, worse, other)] == pytest.approx([0.375, 0.5, 0.375])


def test_a_form_that_only_overlaps_is_not_paired() -> None:
    pair = against(run_of("a", {"x": 1.0, "y": 0.0}), run_of("b", {"y": 1.0, "z": 1.0, "w": 0.0}))
    assert (pair["paired"], pair["n"]) == (False, [3, 2])
    assert pair["difference"] == pytest.approx(2 / 3 - 1 / 2)


def test_newcombes_example() -> None:
    found = difference_of_shares([1] * 56 + [0] * 14, [1] * 48 + [0] * 32)  # his table II, row (a), method 10
    assert [round(value, 4) for value in (found.value, found.low, found.high)] == [0.2, 0.0524, 0.3339]


def test_fishers_example() -> None:
    assert fisher([1, 1, 1, 0], [1, 0, 0, 0]) == pytest.approx(34 / 70)  # the lady tasting tea, two-sided


SCORES = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40)


@given(pairs=SCORES, paired=st.booleans(), seed=st.integers(0, 9))
def test_a_comparison_turns_with_its_sides_and_not_with_the_order(pairs: list, paired: bool, seed: int) -> None:
    old = {f"p{i}": float(a) for i, (a, _) in enumerate(pairs)}
    new = {f"p{i}" if paired else f"q{i}": float(b) for i, (_, b) in enumerate(pairs)}
    there, back = against(run_of("a", old), run_of("b", new)), against(run_of("b", new), run_of("a", old))
    assert there["paired"] is paired
    assert there["difference"] == pytest.approx(-back["difference"])
    assert there["ci"] == pytest.approx([-back["ci"][1], -back["ci"][0]])
    assert there["p"] == pytest.approx(back["p"]) and 0 <= there["p"] <= 1 + 1e-9
    assert there["ci"][0] - 1e-9 <= there["difference"] <= there["ci"][1] + 1e-9
    items = list(new.items())
    random.Random(seed).shuffle(items)
    again = against(run_of("a", old), run_of("b", dict(items)))
    assert again["ci"] == pytest.approx(there["ci"]) and again["p"] == pytest.approx(there["p"])


# ---- the contract ------------------------------------------------------------------------------------------------
SETTINGS: dict[str, Any] = {
    "seed": 0,
    "rounds": 3,
    "sealed_problems": 100,
    "task": {"chain_sums": {"max_length": 6, "modulus": 10}},
    "engine": {
        "transformers": {"max_completion_length": 512, "batch_size": 1024, "device": "auto", "cached_models": 2}
    },
    "refinement": {"self_consistency": {"samples": 16, "temperature": 0.7}},
    "evaluation": {"accuracy": {}, "pass_at_k": {"temperature": 1.0}},
    "gate": {"ratchet": {"alpha": 0.05}},
}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"task": {"chain_sums": {"max_length": 7, "modulus": 10}}}, ["task.chain_sums.max_length is 7, there 6"]),
        ({"task": {"jsonl": {"path": "a"}}}, ["task is 'jsonl', there 'chain_sums'"]),
        ({"refinement": {"greedy": {}}}, ["refinement is 'greedy', there 'self_consistency'"]),
        ({"engine": {"fake": {"batch_size": 1}}}, ["engine is 'fake', there 'transformers'"]),
        ({"evaluation": {"accuracy": {}}}, ["evaluation is 'accuracy', there 'accuracy, pass_at_k'"]),
        ({"sealed_problems": 50}, ["sealed_problems is 50, there 100"]),
        (
            {
                "engine": {"transformers": {"max_completion_length": 9, "batch_size": 1024}},
                "evaluation": {"accuracy": {}, "pass_at_k": {"temperature": 0.5}},
                "refinement": {"self_consistency": {"samples": 3, "temperature": 0.7}},
            },
            [
                "refinement.self_consistency.samples is 3, there 16",
                "engine.transformers.max_completion_length is 9, there 512",
                "evaluation.pass_at_k.temperature is 0.5, there 1.0",
            ],
        ),
        ({"engine": {"transformers": {"max_completion_length": 512, "batch_size": 3, "device": "cpu"}}}, []),
        ({"seed": 1, "rounds": 9, "gate": {"always": {}}}, []),
    ],
)
def test_settings_that_decide_a_score_are_named_where_they_differ(changes, named) -> None:
    there, here = (
        run_of(name, contract=_contract(values)) for name, values in (("a", SETTINGS), ("b", SETTINGS | changes))
    )
    assert differences(there, here) == named


def test_runs_that_were_not_measured_alike_are_refused(make_finished) -> None:
    a, b = make_finished("a"), make_finished("b", FIRST, "seed=1", "refinement=self_consistency", "sealed_problems=9")
    with pytest.raises(RecipeError) as refused:
        compare([a, b])
    assert str(refused.value) == (
        f"{b} cannot be compared with {a}: refinement is 'self_consistency', there 'greedy'; "
        "sealed_problems is 9, there 100"
    )


def test_a_refinement_counts_as_a_controller_left_it(make_finished) -> None:
    voting = ("refinement=self_consistency", "refinement.self_consistency.samples=4")
    root = make_finished("a", FIRST, *voting, rounds=2)
    (root / "round_001" / "controller").mkdir(parents=True)
    changed = {"overrides": {"refinement.self_consistency.samples": 8, "task.chain_sums.level": 5}}
    write_json(root / "round_001" / "controller" / "next.json", changed)
    contract = finished(root).contract
    assert contract["refinement.self_consistency.samples"] == 8
    assert contract["task.chain_sums.level"] is None  # the exam is held on the run's own task


def test_a_problem_put_in_other_words_is_found(make_finished) -> None:
    read = finished(make_finished("a"))
    problems = ChainSums().problems("sealed", 8, 0)
    assert read.worded == {problem.key: (problem.prompt, problem.answer) for problem in problems}
    third, fifth = problems[3].key, problems[5].key
    other = run_of("b", worded={**read.worded, third: ([], problems[3].answer), fifth: (problems[5].prompt, "?")})
    said = f"2 problems are worded or answered differently, for example {third!r}"
    assert differences(run_of("a", worded=read.worded), other) == [said]
    assert differences(run_of("a", worded={}), other) == []  # of other problems nothing can be said


def test_problems_of_other_split_bounds_are_refused(make_finished) -> None:
    problems = [*ChainSums().problems("sealed", 7, 0), *ChainSums().problems("gate", 1, 0)]
    with pytest.raises(DataError, match="other split bounds"):
        finished(make_finished("a", FIRST, put=problems))


# ---- damage ------------------------------------------------------------------------------------------------------
def test_one_run_is_no_comparison(tmp_path) -> None:
    with pytest.raises(RecipeError, match="two runs or more"):
        compare([tmp_path])


def test_a_run_that_is_not_finished_is_refused(make_finished) -> None:
    root = make_finished("a")
    (root / "summary.json").unlink()
    with pytest.raises(MissingError, match=f"selfimprove resume {root}"):
        finished(root)


def test_a_damaged_summary_is_refused(make_finished) -> None:
    root = make_finished("a")
    for text in ("{", "[]", '{"recipe": "small", "seed": 0, "rounds": 1}', '{"sealed": {}}'):
        (root / "summary.json").write_text(text)
        with pytest.raises(DataError, match="summary.json is damaged"):
            finished(root)


def test_settings_that_cannot_be_read_are_refused(make_finished) -> None:
    root = make_finished("a", rounds=2)
    with pytest.raises(DataError, match="cannot be read .*next.json"):  # what the controller of round 1 said
        finished(root)
    for text in ("{", "[]", '{"settings": {}}', '{"settings": {"task": 1}}'):
        (root / "environment.json").write_text(text)
        with pytest.raises(DataError, match="the settings of its exam cannot be read"):
            finished(root)


def test_changed_scores_are_refused(make_finished) -> None:
    root = make_finished("a")
    path = root / "round_001" / "sealed" / "champion.json"
    path.write_text(path.read_text().replace("0.0", "1.0", 1))
    with pytest.raises(DataError, match="is damaged or missing"):
        finished(root)
    shutil.rmtree(path.parent)
    with pytest.raises(DataError, match="is damaged or missing"):
        finished(root)


def test_a_changed_ledger_is_refused(make_finished) -> None:
    root = make_finished("a")
    ledger = root / "ledger.jsonl"
    whole = ledger.read_text()
    ledger.write_text(whole.replace('"n": 8', '"n": 9'))
    with pytest.raises(DataError, match="the ledger was changed"):
        finished(root)
    ledger.unlink()
    with pytest.raises(DataError, match="has no line for step sealed of round 1"):
        finished(root)
