"""The champion as a folder, on a Hub that a test plays, and as GGUF by a converter that a test plays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from selfimprove.cli.main import app
from selfimprove.errors import DataError, EngineError, MissingError, RecipeError, StorageError
from selfimprove.loop.loop import Runner
from selfimprove.sharing import folder, gguf, hub
from selfimprove.sharing.card import card, metadata
from selfimprove.sharing.exported import Exported, base_of, exported, license_of, without_places
from selfimprove.sharing.harness import leaderboards, scores_of

pytestmark = pytest.mark.long
RESULTS = {
    "results": {
        "gsm8k": {
            "alias": "gsm8k",
            "exact_match,strict-match": 0.5,
            "exact_match_stderr,strict-match": 0.01,
            "exact_match,flexible-extract": 0.6,
        },
        "arc_easy": {"acc,none": 0.25, "acc_stderr,none": "N/A"},
    },
    "n-samples": {"gsm8k": {"original": 1319, "effective": 1319}, "arc_easy": {"original": 9, "effective": 3}},
}


SMALL = ["gate_problems=20", "sealed_problems=20", "probe_problems=0", "audit_problems=0", "control_problems=0"]


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test keeps its finished run for the others."""
    return tmp_path_factory.mktemp("once") / "run"


@pytest.fixture
def finished(make_run: Any, once: Path, tmp_path: Path) -> Path:
    if not once.exists():
        run, log = make_run("rounds=1", "optimization.practice.gain=0.7", *SMALL, name="first")
        Runner(run, log).run()
        shutil.copytree(run.root, once, symlinks=True)
    return Path(shutil.copytree(once, tmp_path / "run", symlinks=True))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(RESULTS))
    return path


def test_a_folder_has_the_weights_the_card_and_what_was_measured(
    finished: Path, results: Path, tmp_path: Path, secret: str
) -> None:
    from huggingface_hub import ModelCard
    from huggingface_hub._eval_results import parse_eval_result_entries

    one, out = exported(finished, name="mine", license="mit"), tmp_path / "made" / "out"
    files = folder.write(one, out, results)
    assert {"README.md", "config.json", "model.safetensors", "selfimprove.json", ".eval_results/gsm8k.yaml"} <= {*files}
    champion = (finished / "champion").resolve()
    assert (out / "model.safetensors").read_bytes() == (champion / "model.safetensors").read_bytes()
    made = ModelCard((out / "README.md").read_text())
    summary, sealed = json.loads((finished / "summary.json").read_text()), one.sealed
    exam, *_, last = made.data.eval_results
    assert exam.metric_type == "accuracy" and exam.metric_value == round(sealed["champion"], 4)
    assert exam.dataset_split == "sealed" and f"n = {sealed['n']}" in exam.metric_name and "95 % CI" in exam.metric_name
    assert (made.data.model_name, made.data.license, made.data.library_name) == ("mine", "mit", "transformers")
    assert last.metric_value == 0.25 and "recipe:small" in made.data.tags
    assert summary["verdict"][12:40] in made.text and "`greedy`" in made.text and "## Limits" in made.text
    assert str(tmp_path) not in (out / "README.md").read_text() + (out / "selfimprove.json").read_text()
    known = json.loads((out / "selfimprove.json").read_text())
    assert known["verdict"] == summary["verdict"] and known["weights_sha256"] == dict(one.hashes)
    exam_results = json.loads((out / "lm_eval" / "results_sealed.json").read_text())
    assert exam_results["results"]["chain_sums"]["accuracy,none"] == sealed["champion"]
    assert exam_results["configs"]["chain_sums"]["test_split"] == "sealed"
    [entry] = parse_eval_result_entries(yaml.safe_load((out / ".eval_results" / "gsm8k.yaml").read_text()))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("openai/gsm8k", "gsm8k", 50.0)
    sealed_problems = [json.loads(line)["prompt"]["prompt"][0]["content"] for line in _exam(finished).splitlines()]
    assert not any(
        problem in (out / name).read_text() for problem in sealed_problems for name in files if name[-4:] == "json"
    )
    with pytest.raises(StorageError, match="not empty"):
        folder.write(one, out)
    assert not [path for path in out.parent.iterdir() if path != out]


def _exam(finished: Path) -> str:
    return (finished / "round_001" / "sealed" / "champion.jsonl").read_text()


def test_what_is_damaged_unfinished_or_named_badly_is_one_line(
    finished: Path, make_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("{", "[]", '{"results": 3}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(DataError):
            scores_of(tmp_path / "bad.json")
    with pytest.raises(RecipeError, match="cannot name a model"):
        exported(finished, name="../up")
    with pytest.raises(MissingError, match="not a finished run"):
        exported(tmp_path)
    one = exported(finished)
    monkeypatch.setattr(folder.shutil, "copyfile", lambda a, b: Path(b).write_bytes(b"other"))
    with pytest.raises(DataError, match="differs from it"):
        folder.write(one, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    weights = (finished / "champion").resolve() / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(DataError, match="is damaged: model/model.safetensors has another length"):
        exported(finished)


def test_only_whole_benchmarks_go_to_a_leaderboard(results: Path) -> None:
    scores = scores_of(results)
    assert [(one.task, one.metric, one.value, one.error, one.n, one.whole) for one in scores] == [
        ("gsm8k", "exact_match,strict-match", 0.5, 0.01, 1319, True),
        ("gsm8k", "exact_match,flexible-extract", 0.6, None, 1319, True),
        ("arc_easy", "acc,none", 0.25, None, 3, False),
    ]
    made = leaderboards(scores, "2026-11-30", [])
    assert made == {
        "gsm8k.yaml": [
            {
                "dataset": {"id": "openai/gsm8k", "task_id": "gsm8k"},
                "value": 50.0,
                "date": "2026-11-30",
                "notes": "lm-eval, gsm8k, exact_match,strict-match, n = 1319",
            }
        ]
    }
    assert leaderboards(scores, "2026-11-30", ["openai/gsm8k"]) == {}
    assert leaderboards([one for one in scores if one.task != "gsm8k"], "2026-11-30", []) == {}


def test_text_of_others_does_nothing_in_a_card(finished: Path) -> None:
    one = exported(finished)
    loop = {**one.summary["loop"], "alerts": [{"round": 1, "alarm": "x", "level": 1, "text": "<script>|\n# no `a`"}]}
    made = card(Exported(**{**vars(one), "summary": {**one.summary, "loop": loop}}))
    assert "&lt;script>\\| \\# no \\`a\\`" in made and "<script>" not in made
    assert "No licence is named" in made and "license" not in metadata(one)


def test_the_id_of_the_start_comes_from_the_recipe_or_the_hubs_cache(tmp_path: Path) -> None:
    settings = {"model": {"pretrained": {"path": "org/model"}}}
    assert base_of(settings, tmp_path) == "org/model"
    cached = tmp_path / "models--Qwen--Qwen3-0.6B" / "snapshots" / "5a"
    cached.mkdir(parents=True)
    assert (
        base_of({"model": {"tiny": None}}, cached) == "Qwen/Qwen3-0.6B"
        and base_of({"model": {"tiny": {}}}, tmp_path) is None
    )
    assert license_of(cached) is None
    for text, expected in [
        ("---\nlicense: mit\n---\n", "mit"),
        ("---\nlicense: [\n---\n", None),
        ("license: mit", None),
    ]:
        (cached / "README.md").write_text(text)
        assert license_of(cached) == expected
    data = tmp_path / "data.jsonl"
    data.write_text("")
    task = {"jsonl": {"path": str(data), "split": "train"}}
    assert without_places({"seed": 1, "task": task}) == {
        "seed": 1,
        "task": {"jsonl": {"path": "data.jsonl", "split": "train"}},
    }


class FakeHub:
    """The functions of the Hub that a push calls."""

    endpoint = "https://hub.test"
    calls: list[Any]
    error: Exception | None = None

    def __init__(self, token: str) -> None:
        self.calls.append(token)

    def create_repo(self, name: str, **how: Any) -> None:
        if self.error:
            raise self.error
        self.calls.append((name, how["private"], how["exist_ok"]))

    def upload_folder(self, repo_id: str, folder_path: str, **_: Any) -> None:
        self.calls.append(sorted(path.name for path in Path(folder_path).iterdir()))


def test_a_push_needs_a_token_asks_first_and_loses_nothing(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx
    import huggingface_hub

    FakeHub.calls = []
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    words = ["export", str(finished), "--to", "hub:me/mine"]

    def typed(*more: str) -> Any:
        return CliRunner().invoke(app, [*words, *more], standalone_mode=False)

    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert "HF_TOKEN is not set" in str(typed("--yes").exception)
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrst")
    assert "add --yes" in str(typed().exception) and FakeHub.calls == []
    done = typed("--yes", "--private")
    assert done.exception is None, done.exception
    assert "https://hub.test/me/mine" in done.output and "hf_abc" not in done.output
    assert FakeHub.calls[:2] == ["hf_abcdefghijklmnopqrst", ("me/mine", True, True)]
    assert {"README.md", "model.safetensors", "selfimprove.json"} <= {*FakeHub.calls[2]}
    for error in (httpx.ConnectError("no route to hf_abcdefghijklmnopqrst"), OSError("broken\npipe")):
        monkeypatch.setattr(FakeHub, "error", error)
        said = str(typed("--yes").exception)
        assert "Nothing is lost" in said and "\n" not in said and "hf_abc" not in said
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in str(typed("--yes").exception)
    with pytest.raises(RecipeError, match="no id of the Hub"):
        hub.check("mine")


def test_gguf_is_made_by_llama_cpps_converter_or_refused_with_the_command(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="git clone .* && pip install"):
        gguf.converter()
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path))
    with pytest.raises(EngineError, match="there is no convert_hf_to_gguf.py"):
        gguf.converter()
    script = tmp_path / gguf.SCRIPT
    script.write_text(
        "import sys, pathlib\nmodel, out = sys.argv[1], sys.argv[3]\nassert sys.argv[2:5:2] == ['--outfile', '--outtype']\n"
        "pathlib.Path(out).write_bytes(b'GGUF' + pathlib.Path(model, 'config.json').read_bytes())\n"
    )
    out = tmp_path / "one.gguf"
    done = CliRunner().invoke(app, ["export", str(finished), "--to", f"gguf:{out}"], standalone_mode=False)
    assert done.exception is None and out.read_bytes().startswith(b"GGUF{") and (tmp_path / "one.md").is_file()
    with pytest.raises(StorageError, match="exists"):
        gguf.convert(finished / "champion", out)
    script.write_text("import sys\nprint('Model x is not supported')\nsys.exit(1)\n")
    with pytest.raises(DataError, match="cannot write this model: Model x is not supported"):
        gguf.convert(finished / "champion", tmp_path / "two.gguf")
    assert not (tmp_path / "two.gguf").exists()
