"""Commands that must not surprise: what they leave behind, what they keep, and where their advice leads."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.cli import run
from selfimprove.errors import DataError, RecipeError, StorageError
from selfimprove.loop import begin
from selfimprove.loop.origin import refuse_changes
from selfimprove.report.verify import BY_ITSELF, Finding
from selfimprove.store.run_folder import RunDir

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


# ---- a run that cannot start ---------------------------------------------------------------------------------------
FILES = ["environment.json", "recipe.yaml"]


@pytest.mark.parametrize(
    ("there", "error", "left"),
    [
        ("", DataError("no"), []),
        ("a", DataError("no"), ["a"]),
        ("a/b", DataError("no"), ["a", "a/b"]),
        ("", StorageError("full"), ["a", "a/b", *(f"a/b/{name}" for name in FILES)]),
        ("a/b/round_000/model", DataError("no"), ["a", "a/b", *(f"a/b/{name}" for name in FILES), "a/b/round_000"]),
    ],
)
def test_what_is_left_of_a_run_that_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str, error: Exception, left: list[str]
) -> None:
    """A mistake leaves what was there; a run that can go on, or has finished a step, stays."""
    monkeypatch.chdir(tmp_path)
    if there:
        Path(there).mkdir(parents=True)
    before, root = begin.there(Path("a/b")), Path("a/b")
    root.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (root / name).touch()
    with pytest.raises(type(error)), begin.removed_if_it_cannot_start(RunDir(root), before):
        raise error
    assert sorted(str(path) for path in Path().rglob("*") if path.name != "model") == left


def test_a_run_that_cannot_start_leaves_no_folder(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: Path, *_: Any, **named: Any) -> None:
        assert (root / "recipe.yaml").is_file()
        raise DataError("no")

    monkeypatch.setattr(run, "finish", fail)
    assert command("run", "quickstart")[2] == "error: no\n" and not list(Path().iterdir())


ROWS = "".join(f'{{"prompt": "What is {i} + {i}?", "answer": "{2 * i}"}}\n' for i in range(300))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task=jsonl", "task.jsonl.path=rows.jsonl"], "no worked examples to bootstrap the tiny model on; use model="),
        (["task=gsm8k"], "no worked examples to bootstrap the tiny model on; use model=pretrained"),
        (["model.tiny.roles=[solve,foo]"], "task chain_sums has no role 'foo'"),
        (["model.tiny.roles=[]"], "model.tiny.roles is empty"),
        (["model.tiny.position=x"], "it must be rope or none"),
        (["model.tiny.hidden_size=65"], "it must be a multiple of twice num_attention_heads, 8"),
    ],
)
def test_what_the_tiny_model_cannot_be_made_for_is_refused_before_a_run(
    command: Command, words: list[str], said: str
) -> None:
    Path("rows.jsonl").write_text(ROWS)
    code, _, err = command("run" if "roles" in said else "check", "quickstart", *words)
    assert code == 2 and said in err and err.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize(
    ("words", "given"),
    [([], (None, None, None)), (["--rounds", "8"], (8, None, None)), (["--add", "3"], (None, None, 3))],
)
def test_resume_hands_on_how_many_rounds(
    command: Command, monkeypatch: pytest.MonkeyPatch, words: list[str], given: tuple[int | None, ...]
) -> None:
    handed = list[tuple[Any, ...]]()
    monkeypatch.setattr(run, "finish", lambda root, *rest, **named: handed.append(rest))
    assert command("resume", "one", *words)[0] == 0 and handed == [given]


# ---- bench ---------------------------------------------------------------------------------------------------------
LOST, WON = "failed with exit code 65: error: no", "no significant gain: the start stays champion"


@pytest.mark.parametrize(("said", "code"), [([LOST, LOST], 65), ([LOST, WON], 0), ([WON, WON], 0)])
def test_a_bench_in_which_every_run_failed_fails(
    command: Command, monkeypatch: pytest.MonkeyPatch, said: list[str], code: int
) -> None:
    monkeypatch.setattr("selfimprove.studies.bench.bench", lambda *_: iter(enumerate(said)))
    left, out, err = command("bench", "quickstart", "--seeds", "0,1")
    assert left == code and all(one in out for one in said)
    assert err == ("error: all 2 runs failed; what each one printed is in bench/NAME.log\n" if code else "")


# ---- where files go ------------------------------------------------------------------------------------------------
@pytest.mark.long
def test_a_plot_goes_into_a_folder_that_is_made_for_it(command: Command) -> None:
    value = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    line = {"round": 0, "champion/accuracy": value, "seconds": {"model": 1.0}}
    sealed = {"n": 9, "start": 0.5, "champion": 0.5, "delta": 0.0, "ci": [0.0, 0.0], "champion_round": 0}
    summary = {"recipe": "quickstart", "seed": 0, "rounds": 0, "verdict": "none", "sealed": sealed, "per_round": [line]}
    Path("summary.json").write_text(json.dumps(summary))
    assert command("report", ".", "--plot", "new/there/x.svg")[0] == 0
    assert "<svg" in Path("new/there/x.svg").read_text()
    Path("file").touch()
    for place in ("file/x.svg", "new/there/x.svg/y.svg"):
        code, _, err = command("report", ".", "--plot", place)
        assert code == 74 and err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "quickstart", "--rounds", "5"], "Values of the recipe are written without dashes: rounds=VALUE"),
        (["run", "quickstart", "--gate-problems=5"], "written without dashes: gate_problems=VALUE"),
        (["run", "quickstart", "--frob"], "No such option: --frob"),
        (["run", "quickstart", "seed=3", "--seed", "4"], "--seed 4 and seed=3 both set the seed"),
        (
            ["check", "quickstart", "model.tiny.roles=solve"],
            "model.tiny.roles is a list; write model.tiny.roles=[solve]",
        ),
    ],
)
def test_what_is_written_another_way_is_shown(command: Command, words: list[str], said: str) -> None:
    code, _, err = command(*words)
    assert code == 2 and said in err and err.count("\n") == 1 and not list(Path().iterdir())


# ---- where advice leads --------------------------------------------------------------------------------------------
def make_run(root: Path) -> None:
    (root / "round_001").mkdir(parents=True)
    (root / "recipe.yaml").write_text("rounds: 1\n")
    (root / "environment.json").write_text("{}")


NO_RUN = {
    "one": "it does not exist. Did you mean runs/one?",
    "nowhere": "it does not exist",
    "runs": "it holds 2; name one of them, such as runs/one",
    "runs/one/round_001": "it is a part of one; name the whole: ",
    "star.yaml": "it is a file. Run a recipe with: selfimprove run star.yaml",
    "empty": "it lacks recipe.yaml or environment.json. Start one with: selfimprove run RECIPE",
}


@pytest.mark.parametrize("place", NO_RUN)
@pytest.mark.parametrize("verb", ["resume", "verify", "report"])
def test_what_is_not_a_run_is_told_what_it_is(command: Command, verb: str, place: str) -> None:
    for name in ("one", "two"):
        make_run(Path("runs") / name)
    Path("star.yaml").touch()
    Path("empty").mkdir()
    code, _, err = command(verb, place)
    what = "a finished run" if verb == "report" else "a run folder"
    assert (code, err.count("\n")) == (66, 1) and err.startswith(f"error: {place} is not {what}: {NO_RUN[place]}")


def test_a_run_that_is_not_finished_is_told_to_go_on(command: Command) -> None:
    make_run(Path("one"))
    assert command("report", "one", "--json")[2].endswith("no summary.json. Finish it: selfimprove resume one\n")


@pytest.mark.parametrize("verb", ["run", "check"])
@pytest.mark.long
def test_a_run_folder_is_no_recipe_but_has_one(command: Command, verb: str) -> None:
    make_run(Path("one"))
    code, _, err = command(verb, "one")
    assert code == 66 and "Continue it: selfimprove resume one; or start a new run with its recipe" in err
    assert err.endswith("selfimprove run one/recipe.yaml\n")
    if verb == "check":
        return
    for place, said in (("one", "Continue it with: selfimprove resume one; or choose --out"), (".", "Choose another")):
        code, _, err = command("run", "quickstart", "--out", place)
        assert code == 74 and f"{place} exists and is not empty. {said}" in err


@pytest.mark.parametrize(
    ("found", "advice"),
    [
        (Finding("round_001/selection", False, "output.jsonl is damaged"), "Fix it: selfimprove resume one"),
        (Finding("data", False, "a.jsonl: a, now b", "restore it"), "resume does not repair data: a.jsonl: a, now b; "),
        (Finding("ledger.jsonl", False, "Restore the file", BY_ITSELF), "resume does not repair ledger.jsonl: Restore"),
    ],
)
def test_verify_says_who_repairs_what_is_wrong(
    command: Command, monkeypatch: pytest.MonkeyPatch, found: Finding, advice: str
) -> None:
    monkeypatch.setattr("selfimprove.report.verify.verify", lambda _: [Finding("recipe", True, "fine"), found])
    code, _, err = command("verify", "one")
    assert code == 65 and f"one is damaged: {found.what}. {advice}" in err and err.count("\n") == 1


def test_an_edited_recipe_is_only_offered_what_resume_takes(tmp_path: Path) -> None:
    then = {"rounds": 3, "selection": {"threshold": {"min_score": 1.0}}}
    for now, way in (
        ({"rounds": 3, "selection": {"threshold": {"min_score": 0.5}}}, "accept the change: selfimprove resume"),
        ({"rounds": 4, "selection": {"threshold": {"min_score": 0.5}}}, "start a new run with it: selfimprove run"),
    ):
        with pytest.raises(RecipeError, match=f"Restore it, or {way}"):
            refuse_changes(tmp_path, then, now)
    refuse_changes(tmp_path, then, then)


def test_a_disk_that_is_full_from_the_start_leaves_no_folder(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("selfimprove.store.durable._put", full)
    Path("here").mkdir()
    code, _, err = command("run", "quickstart", "--out", "here/new/run")
    assert code == 74 and err.endswith("No space left on device. Fix this, then type the command again\n")
    assert [path.name for path in Path().rglob("*")] == ["here"]


def test_a_full_disk_names_the_run_to_go_on_with(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise StorageError("cannot write: no room. Finished steps are kept; fix this, then: selfimprove resume")

    monkeypatch.setattr("selfimprove.loop.loop.Runner.__init__", full)
    make_run(Path("one"))
    assert command("resume", "one")[2].endswith("then: selfimprove resume one\n")
