"""A checkpoint scored outside a run: only selection problems are read, and other programs can read what is written."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from selfimprove import registry
from selfimprove.cli import main
from selfimprove.errors import DataError, MissingError, StorageError
from selfimprove.interfaces import Evaluation, Policy, Sampling
from selfimprove.loop.loop import Runner
from selfimprove.measures.statistics import mean
from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.problems.splits import split_of
from selfimprove.records import Report
from selfimprove.rounds import Exam
from selfimprove.studies.evaluate import examine
from selfimprove.trials.rehearsal import TOKENIZER

pytestmark = pytest.mark.runs

NO_ANSWER = "3+5=8;"


@pytest.fixture
def folder(tmp_path: Path, make_run: Callable[..., Any]) -> Path:
    """A model folder for the test-only engine `student` of `make_run`, which is right with probability 0.3."""
    root = tmp_path / "model"
    root.mkdir()
    (root / "config.json").write_text(json.dumps({"skill": 0.3}))
    (root / "model.safetensors").write_bytes(bytes([2, 0, 0, 0, 0, 0, 0, 0]) + b"{}")  # no tensors
    (root / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    return root


@pytest.fixture
def exams(folder: Path) -> list[Exam]:
    """The exams that the test-only evaluation `witness` has seen; it gives two metrics and keeps no scores."""
    seen: list[Exam] = []

    @registry.register("witness")
    @dataclass
    class Witness(Evaluation):
        def evaluate(self, policy: Policy, exam: Exam) -> Report:
            seen.append(exam)
            return Report(metrics={"several": mean([0, 1, 1, 1]), "single": mean([1])})

    return seen


@pytest.fixture
def school(folder: Path, worked: Callable[..., str]) -> list[Sampling]:
    """How the test-only engine `school` was asked: of four selection problems it fails the third, with no answer."""
    asked: list[Sampling] = []
    problems = ChainSums().problems("selection", 4, 0)
    texts = [worked([int(digit) for digit in problem.key.split("+")]) for problem in problems]
    texts[2] = NO_ANSWER
    table = {problem.prompt[-1]["content"]: {text: 1.0} for problem, text in zip(problems, texts, strict=True)}

    @registry.register("school")
    @dataclass
    class School(Fake):
        batch_size: int = 7

        def draw(self, asks, log):
            asked.extend(dict.fromkeys(ask.sampling for ask in asks))
            return Fake(table).draw(asks, log)

    return asked


def written(out: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What lies in the one file of results and the one of samples."""
    [results], [samples] = out.glob("results_*.json"), out.glob("samples_chain_sums_*.jsonl")
    assert results.stem.removeprefix("results_") == samples.stem.removeprefix("samples_chain_sums_")
    return json.loads(results.read_text()), [json.loads(line) for line in samples.read_text().splitlines()]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# ---- what is examined --------------------------------------------------------------------------------------------
def test_problems_and_probes_are_drawn_from_the_selection_split(exams, folder, quiet_log, monkeypatch) -> None:
    probes = {"probe/short": ChainSums(min_length=3, max_length=3), "ood/long": ChainSums(min_length=7, max_length=7)}
    monkeypatch.setattr(ChainSums, "probes", lambda self: probes)
    changes = ["engine=student", "sealed_problems=9", "probe_problems=5", "seed=3"]
    result = examine(folder, "chain_sums", "greedy", ["evaluation=[witness,probes]", *changes], quiet_log)
    [exam] = exams
    assert [problem.key for problem in exam.problems] == [p.key for p in ChainSums().problems("selection", 9, 3)]
    assert {name: len(problems) for name, problems in exam.probes.items()} == {"probe/short": 5, "ood/long": 5}
    assert {len(problem.prompt[0]["content"]) for problem in exam.probes["ood/long"]} == {len("S:1+1+1+1+1+1+1=")}
    drawn = [*exam.problems, *(problem for problems in exam.probes.values() for problem in problems)]
    assert {split_of(problem.key) for problem in drawn} == {"selection"}
    assert result["split"] == "selection" and result["metrics"]["ood/long"]["n"] == 5
    assert set(result["metrics"]) == {"several", "single", "probe/short", "ood/long"}


def test_no_probe_is_drawn_where_the_recipe_wants_none(exams, folder, quiet_log, monkeypatch) -> None:
    monkeypatch.setattr(ChainSums, "probes", lambda self: pytest.fail("probes were asked for"))
    examine(folder, "chain_sums", "greedy", ["engine=student", "evaluation=witness", "probe_problems=0"], quiet_log)
    assert exams[0].probes == {}


def test_a_run_stands_for_its_champion_on_its_own_task_and_for_its_start(folder, make_run, quiet_log, tmp_path) -> None:
    store, log = make_run("task.chain_sums.max_length=4", "sealed_problems=30")
    Runner(store, log).perform(0, "model", "any fingerprint")
    (folder / "config.json").write_text(json.dumps({"skill": 1.0}))
    without_link = examine(store.root, None, "greedy", ["sealed_problems=1"], quiet_log)
    assert without_link["checkpoint"] == str(tmp_path / "start-0.3"), "copied without its link"
    store.point("champion", folder)
    champion = examine(store.root, None, "greedy", [], quiet_log)
    assert champion["checkpoint"] == str(folder)
    assert champion["metrics"]["accuracy"] == pytest.approx(
        {"value": 1.0, "low": 0.88649, "high": 1.0, "n": 30}, abs=1e-5
    )
    start = examine(store.root, None, "greedy", [], quiet_log, start=True)
    assert start["checkpoint"] == str(tmp_path / "start-0.3")
    assert start["metrics"]["accuracy"]["value"] < 0.7 and start["metrics"]["accuracy"]["n"] == 30
    other = examine(store.root, "chain_sums", "greedy", ["engine=student", "sealed_problems=8"], quiet_log)
    assert other["metrics"]["accuracy"]["n"] == 8


def test_a_refinement_of_the_run_answers_with_what_it_learned(folder, make_run, quiet_log) -> None:
    store, log = make_run("refinement=opro", "refinement.opro.problems=2", "refinement.opro.answers=2")
    runner = Runner(store, log)
    for stage in ("model", "refinement"):
        runner.perform(0, stage, "any fingerprint")
    store.point("champion", folder)
    state = store.step(0, "refinement") / "state.json"
    state.write_text(json.dumps([{"instruction": "Think twice."}]))
    asked = list[str]()

    @registry.register("listening")
    @dataclass
    class Listening(Fake):
        def draw(self, asks, log):
            asked.extend(ask.prompt.prompt[-1]["content"] for ask in asks)
            return Fake({}).draw(asks, log)

    for target, starts in ((store.root, True), (folder, False)):
        asked.clear()
        examine(target, None, "opro", ["engine=listening", "sealed_problems=2", "probe_problems=0"], quiet_log)
        assert len(asked) == 2 and all(text.startswith("Think twice.") == starts for text in asked)


def test_the_control_lets_the_start_vote(folder, school, quiet_log) -> None:
    changes = ["engine=school", "sealed_problems=4", "refinement.self_consistency.temperature=0.5"]
    result = examine(folder, "chain_sums", "self_consistency", changes, quiet_log)
    assert result["refinement"] == "self_consistency" and result["metrics"]["accuracy"]["value"] == 0.75
    assert {sampling.temperature for sampling in school} == {0.5}


def test_what_cannot_be_examined_is_named(folder, exams, make_run, quiet_log, tmp_path, monkeypatch) -> None:
    with pytest.raises(MissingError, match="is not a run folder"):
        examine(folder, None, "greedy", [], quiet_log, start=True)
    store, _ = make_run(name="new")
    with pytest.raises(MissingError, match="has no model yet; make it: selfimprove resume"):
        examine(store.root, None, "greedy", [], quiet_log, start=True)
    (tmp_path / "taken").write_text("")
    for out in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(StorageError, match="a file is in the way"):
            examine(folder, "chain_sums", "greedy", ["engine=student", "evaluation=witness"], quiet_log, out=out)
    monkeypatch.setattr(ChainSums, "problems", lambda *_: [])
    with pytest.raises(DataError, match="no selection problems"):
        examine(folder, "chain_sums", "greedy", ["engine=student", "evaluation=witness"], quiet_log)
    assert not exams  # refused before any work


# ---- lm-eval's layout --------------------------------------------------------------------------------------------
def test_results_are_written_as_lm_eval_writes_them(folder, school, quiet_log, tmp_path) -> None:
    out = tmp_path / "deep" / "results"
    changes = ["engine=school", "sealed_problems=4", "evaluation=[accuracy,pass_at_k]", "seed=0"]
    examine(folder, "chain_sums", "greedy", changes, quiet_log, out=out)
    results, samples = written(out)
    scores = results["results"]["chain_sums"]
    assert (scores["name"], scores["alias"], scores["sample_len"]) == ("chain_sums", "chain_sums", 4)
    assert scores["accuracy,none"] == 0.75
    assert scores["accuracy_stderr,none"] == pytest.approx(
        0.25
    )  # sqrt(0.75 * 0.25 / 3), though the interval is Wilson's
    assert scores["truncated,none"] == scores["truncated_stderr,none"] == 0.0
    assert scores["pass@1_stderr,none"] == pytest.approx(0.25) and scores["pass@16_stderr,none"] == pytest.approx(0.25)
    assert results["n-samples"] == {"chain_sums": {"original": 4, "effective": 4}}
    assert results["n-shot"] == {"chain_sums": 0} and results["group_subtasks"] == {"chain_sums": []}
    assert results["higher_is_better"]["chain_sums"]["accuracy"] is True
    assert results["higher_is_better"]["chain_sums"]["truncated"] is False
    assert results["versions"] == {"chain_sums": results["configs"]["chain_sums"]["metadata"]["version"]}
    assert results["configs"]["chain_sums"]["metadata"]["task"]["chain_sums"]["max_length"] == 6
    assert results["configs"]["chain_sums"]["generation_kwargs"] == {"greedy": {}}
    execution = results["config"]
    assert (execution["model"], execution["batch_size"], execution["device"]) == ("school", 7, None)
    assert execution["model_args"]["pretrained"] == results["model_name"] == str(folder)
    assert "/" not in results["model_name_sanitized"]
    hashes = "".join(sample["doc_hash"] + sample["prompt_hash"] + sample["target_hash"] for sample in samples)
    assert results["task_hashes"] == {"chain_sums": sha256(hashes)}


def test_there_is_a_line_for_each_problem(folder, school, quiet_log, tmp_path) -> None:
    changes = ["engine=school", "sealed_problems=4", "evaluation=accuracy"]
    examine(folder, "chain_sums", "greedy", changes, quiet_log, out=tmp_path / "out")
    _, samples = written(tmp_path / "out")
    problems = ChainSums().problems("selection", 4, 0)
    assert [sample["doc_id"] for sample in samples] == [0, 1, 2, 3]
    assert [sample["accuracy"] for sample in samples] == [1.0, 1.0, 0.0, 1.0]
    assert [sample["target"] for sample in samples] == [problem.answer for problem in problems]
    assert samples[2]["resps"] == [[NO_ANSWER]] and samples[2]["filtered_resps"] == ["[invalid]"]
    assert samples[0]["filtered_resps"] == [problems[0].answer]
    assert samples[0]["filter"] == "none" and samples[0]["metrics"] == ["accuracy"]
    text = problems[0].prompt[0]["content"]
    assert samples[0]["arguments"] == {"gen_args_0": {"arg_0": text, "arg_1": {"greedy": {}}}}
    # the hashes by which lm-eval's own run on the same exported problems can be joined
    assert samples[0]["doc"] == {"prompt": text, "answer": problems[0].answer}
    written_out = f'{{\n  "prompt": "{text}",\n  "answer": "{problems[0].answer}"\n}}'
    assert samples[0]["doc_hash"] == sha256(written_out)
    assert (samples[0]["prompt_hash"], samples[0]["target_hash"]) == (sha256(text), sha256(str(problems[0].answer)))


def test_a_problem_that_cannot_be_marked_has_a_line_without_a_mark(
    folder, school, quiet_log, tmp_path, monkeypatch
) -> None:
    unreadable = ChainSums().problems("selection", 4, 0)[1].key
    verify = ChainSums.verify
    monkeypatch.setattr(
        ChainSums, "verify", lambda self, p, text: None if p.key == unreadable else verify(self, p, text)
    )
    changes = ["engine=school", "sealed_problems=4", "evaluation=accuracy"]
    examine(folder, "chain_sums", "greedy", changes, quiet_log, out=tmp_path / "out")
    results, samples = written(tmp_path / "out")
    assert [sample["accuracy"] for sample in samples] == [1.0, None, 0.0, 1.0]
    assert results["results"]["chain_sums"]["accuracy,none"] == pytest.approx(2 / 3)
    assert results["n-samples"]["chain_sums"] == {"original": 4, "effective": 3}


def test_a_metric_without_values_gets_its_error_from_its_interval(folder, exams, quiet_log, tmp_path) -> None:
    changes = ["engine=student", "evaluation=witness", "sealed_problems=4"]
    examine(folder, "chain_sums", "greedy", changes, quiet_log, out=tmp_path / "out")
    results, samples = written(tmp_path / "out")
    scores = results["results"]["chain_sums"]
    assert scores["several_stderr,none"] == pytest.approx(0.25)
    assert scores["single_stderr,none"] == "N/A"  # one problem shows no spread
    assert samples == []


# ---- the command -------------------------------------------------------------------------------------------------
def test_the_command_writes_beside_its_table(folder, school, tmp_path, capsys) -> None:
    words = ["eval", str(folder), "--task", "chain_sums", "engine=school", "sealed_problems=4", "evaluation=accuracy"]
    assert main.app([*words, "--out", str(tmp_path / "out")], standalone_mode=False) in (0, None)
    shown = capsys.readouterr().out
    assert "accuracy" in shown and "0.7500" in shown
    assert written(tmp_path / "out")[0]["results"]["chain_sums"]["accuracy,none"] == 0.75
    main.app([*words, "--json"], standalone_mode=False)
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"checkpoint", "task", "refinement", "split", "metrics"}
    assert printed["metrics"]["accuracy"]["value"] == 0.75


def test_the_command_takes_the_start_of_a_run(make_run, tmp_path, capsys) -> None:
    store, log = make_run("sealed_problems=5")
    Runner(store, log).perform(0, "model", "any fingerprint")
    changes = ["--start", "--json", "--refinement", "self_consistency", "refinement.self_consistency.samples=3"]
    main.app(["eval", str(store.root), *changes], standalone_mode=False)
    printed = json.loads(capsys.readouterr().out)
    assert printed["checkpoint"] == str(tmp_path / "start-0.3")
    assert (printed["refinement"], printed["metrics"]["accuracy"]["n"]) == ("self_consistency", 5)
