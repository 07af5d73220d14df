"""Whether a path is that of a run, and what to type if it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfimprove.store.run_place import is_run, why_no_run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "runs" / "mine"
    (made / "round_000").mkdir(parents=True)
    for name in ("recipe.yaml", "environment.json"):
        (made / name).write_text("{}")
    return made


def test_a_run_has_a_recipe_and_an_environment(run: Path) -> None:
    assert is_run(run)
    (run / "environment.json").unlink()
    assert not is_run(run) and why_no_run(run).startswith("it lacks recipe.yaml or environment.json")


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("mine", "it does not exist. Did you mean runs/mine?"),
        ("other", "it does not exist"),
        ("runs", "it holds 1; name one of them, such as runs/mine"),
        ("runs/mine/round_000", "it is a part of one; name the whole: {run}"),
        ("runs/mine/recipe.yaml", "it is a file. Run a recipe with: selfimprove run runs/mine/recipe.yaml"),
        ("runs/mine/environment.json", "it is a file"),
    ],
)
def test_why_a_path_is_none(named: str, said: str, run: Path) -> None:
    assert why_no_run(Path(named)) == said.format(run=run)
