"""`selfimprove diagnose`: from a recipe, a model folder and a run folder to tables, verdicts and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from selfimprove.loop.loop import Runner
from selfimprove.measures.diagnosis import Fit, Sample, measure
from selfimprove.report.diagnosis import plain, sentences
from selfimprove.studies.diagnose import diagnose

pytestmark = pytest.mark.runs

SMALL = ("--samples", "8", "--problems", "20")


@pytest.fixture
def small(make_run: Callable[..., Any], tmp_path: Path) -> str:
    """A recipe whose model is right with probability 0.3 and knows nothing of its errors; no torch."""
    make_run()
    return str(tmp_path / "small.yaml")


def strict(text: str) -> Any:
    """JSON without NaN and Infinity, which other programs cannot read."""

    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_recipe_is_diagnosed_without_a_run(command: Callable[..., Any], small: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    code, out, err = command("diagnose", small, *SMALL)
    assert code == 0 and "Traceback" not in err
    assert "20 selection problems of chain_sums (few: the errors are rough), 8 samples" in " ".join(out.split())
    for word in ("pass@1", "maj@k", "best by votes", "best by logprob", "k = 8", "reward", "greedy accuracy", "AUROC"):
        assert word in out
    assert sorted(tmp_path.rglob("*")) == before


def test_json_has_all_that_the_tables_have(command: Callable[..., Any], small: str) -> None:
    code, out, _ = command("diagnose", small, *SMALL, "--json", "seed=3")
    said = strict(out)
    assert code == 0 and (said["task"], said["problems"], said["seed"]) == ("chain_sums", 20, 3)
    model = said["models"]["model"]
    assert [rung["k"] for rung in model["ladders"]] == [2, 4, 8]
    assert 0.15 < model["ladders"][-1]["single"]["value"] < 0.45
    assert [score["name"] for score in model["scores"]] == ["votes", "logprob", "reward"]
    assert model["greedy"]["n"] == 20 and "groups" not in model
    reward = model["scores"][-1]
    assert reward["possible"] and reward["auroc"]["value"] == 1.0  # the verifier
    assert {verdict["name"] for verdict in said["verdicts"]} >= {"POSSIBLE"}


@pytest.mark.slow
def test_a_diagnosis_is_repeatable(small: str, quiet_log: Any) -> None:
    one, two, other = (plain(diagnose(small, [f"seed={seed}"], 8, 20, quiet_log)) for seed in (0, 0, 1))
    assert one == two and one["models"] != other["models"]


def test_the_reward_of_the_recipe_is_what_is_judged(small: str, quiet_log: Any) -> None:
    verifier, coin, none = (
        diagnose(small, [f"reward={name}"], 8, 40, quiet_log) for name in ("verifier", "random", "[]")
    )
    assert "POSSIBLE" in {verdict.name for verdict in verifier.verdicts if verdict.by == "reward"}
    assert not [verdict for verdict in coin.verdicts if verdict.by == "reward"]
    assert any(line.startswith("not POSSIBLE(by reward): the recipe's reward does not") for line in sentences(coin))
    assert not any("POSSIBLE(by reward)" in line for line in sentences(none))
    assert not any(line.startswith("not POSSIBLE") for line in sentences(verifier))
    assert [score.name for score in none.now.scores] == ["votes", "logprob"] and none.now.reward is None


@pytest.mark.slow
def test_the_reward_sees_as_many_completions_as_in_a_run(small: str, quiet_log: Any) -> None:
    drawn = "acquisition.rejection_sampling.samples"
    few, many = (
        diagnose(small, ["reward=majority_vote", f"{drawn}={size}"], 10, 60, quiet_log).now for size in (3, 10)
    )
    # There are two answers to each problem, so 3 votes have a majority of 2 or 3, and 10 one of 6 or more or a tie.
    assert few.reward and many.reward and few.scores[0] == many.scores[0]
    thirds = [sum(s.reward or 0.0 for s in group[place : place + 3]) for group in few.groups for place in (0, 3, 6)]
    assert set(thirds) == {2.0, 3.0} and few.groups[0][9].reward == 1.0  # the last one is a group of its own
    assert {sum(s.reward or 0.0 for s in group) for group in many.groups} <= {0.0, 6.0, 7.0, 8.0, 9.0, 10.0}


def test_a_model_folder_is_diagnosed_on_the_task_of_an_override(small: str, tmp_path: Path, quiet_log: Any) -> None:
    found = diagnose(str(tmp_path / "start-0.3"), ["engine=student", "task.chain_sums.max_length=5"], 8, 20, quiet_log)
    assert list(found.models) == ["model"] and found.change is None
    assert [score.name for score in found.now.scores] == ["votes", "logprob"]  # no recipe, so no reward


@pytest.mark.slow
def test_a_run_is_compared_with_its_start(make_run: Callable[..., Any], quiet_log: Any) -> None:
    folder, log = make_run("rounds=4", "optimization.practice.gain=0.15")
    Runner(folder, log).run()
    found = diagnose(str(folder.root), [], 8, 60, quiet_log)
    assert list(found.models) == ["start", "round 3", "round 4"]
    assert found.change and found.change.single.value > 0.3 and found.change.word in ("sharpening", "learning")
    assert found.fit and found.fit.rounds == 5
    start, now = next(iter(found.models.values())), found.now
    assert start.keys == now.keys and now.ladder.single.value > 0.8
    said = sentences(found)
    assert any(line.startswith("since the start: ") for line in said)
    assert said[-1].startswith("dynamics of 5 rounds: ")
    known = sentences(replace(found, fit=Fit(0.9, 0.02, -0.3, 0.5, 5)))[-1]
    assert known == "dynamics of 5 rounds: accuracy goes to 0.900 ±0.020, within 0.01 of it from round 7 on"
    assert strict(json.dumps(plain(found)))["fit"]["rounds"] == 5


def test_a_run_without_a_round_is_missing_something(make_run: Callable[..., Any], command: Callable[..., Any]) -> None:
    folder, _ = make_run()
    code, _, err = command("diagnose", str(folder.root))
    assert code == 66 and "has no finished round yet. Finish one with: selfimprove resume" in err


def test_a_refused_consensus_says_why(small: str, quiet_log: Any) -> None:
    found = diagnose(small, [], 8, 20, quiet_log)
    likely = [[Sample(j < 5, "right" if j < 5 else str(j), -1.0, 1) for j in range(8)]] * 20
    refused = replace(found, models={"model": measure(likely, greedy=[True] * 20)}, verdicts=[])
    assert sentences(refused) == [
        "no verdict: no rule of docs/diagnose.md applies",
        "not CONSENSUS-SAFE: majorities are not more accurate than greedy answers, maj@8 - greedy accuracy is +0.000 ±0.000",
    ]


def test_what_the_rounds_do_not_determine_is_null(small: str, quiet_log: Any) -> None:
    found = replace(diagnose(small, [], 8, 20, quiet_log), fit=Fit(0.9, float("inf"), -0.3, 0.001, 4))
    assert plain(found)["fit"]["error"] is None
    assert sentences(found)[-1] == "dynamics of 4 rounds: too few rounds to estimate where accuracy levels off"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["quikstart"], 66, "Did you mean 'quickstart'?"),
        (["."], 65, "is not a model folder"),
        (["quickstart", "--samples", "3"], 2, "--samples is 3; a diagnosis needs at least 4 completions"),
        (["quickstart", "--problems", "1"], 2, "--problems is 1; a standard error needs at least 2 problems"),
        (["quickstart", "selection=treshold"], 2, "Did you mean 'threshold'?"),
        (["quickstart", "rounds=many"], 2, "could not be converted to Integer"),
        (["small.yaml", "task=jsonl", "task.jsonl.path=few.jsonl"], 65, "the task has 0 selection problems"),
    ],
)
def test_a_mistake_gets_one_line_and_its_exit_code(
    command: Callable[..., Any],
    small: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("few.jsonl").write_text('{"prompt": "1 + 1", "answer": "2"}\n')
    left, out, err = command("diagnose", *words)
    assert left == code and said in err
    assert err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in out + err


def test_a_small_task_says_how_many_problems_it_has(small: str, tmp_path: Path, quiet_log: Any) -> None:
    rows = [json.dumps({"prompt": f"word {i}", "answer": str(i)}) for i in range(100)]
    (tmp_path / "few.jsonl").write_text("\n".join(rows) + "\n")
    found = diagnose(
        small, ["task=jsonl", f"task.jsonl.path={tmp_path / 'few.jsonl'}", "engine=fake"], 4, 100, quiet_log
    )
    assert 2 <= found.problems < 30 and {verdict.name for verdict in found.verdicts} == {"NO-SIGNAL"}


def test_a_real_model_gives_log_probabilities(tmp_path: Path, quiet_log: Any) -> None:
    from selfimprove.methods.model.tiny import Tiny

    model = Tiny()._untrained(tmp_path / "tiny", seed=0)
    found = diagnose(model.path, ["engine.transformers.max_completion_length=8"], 4, 10, quiet_log)
    assert "NO-SIGNAL" in {verdict.name for verdict in found.verdicts}
    now = found.now
    assert now.token_entropy and now.sharpening and [score.name for score in now.scores] == ["votes", "logprob"]
    assert 2 < now.token_entropy.value < 4.6  # untrained: nearly uniform over 99 tokens, at most ln 99
