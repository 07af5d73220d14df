"""What is served of a run, and whether an exam has measured it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError, MissingError, RecipeError
from selfimprove.loop.loop import Runner
from selfimprove.serving.served import Served, hashes_of, served

pytestmark = pytest.mark.long
SMALL = ["gate_problems=20", "sealed_problems=20", "probe_problems=0", "audit_problems=0", "control_problems=0"]


@pytest.fixture
def found(tmp_path: Path, quiet_log: Any) -> Any:
    def find(target: Path, refinement: str | None = None, *overrides: str) -> Served:
        return served(str(target), refinement, overrides, tmp_path, quiet_log)

    return find


def test_the_champion_with_its_refinement_is_what_was_examined(make_run: Any, found: Any) -> None:
    run, log = make_run("rounds=1", "refinement=self_consistency", *SMALL)
    Runner(run, log).run()
    one = found(run.root)
    verdict = json.loads((run.root / "summary.json").read_text())["verdict"]
    assert one.examined and one.refinements == ["self_consistency"] and one.name == "run"
    assert one.told() == f"examined: {verdict}" and one.exam["champion_round"] == 1
    assert one.hashes == hashes_of((run.root / "champion").resolve()) and list(one.hashes) == ["model.safetensors"]
    other = found(run.root, "greedy")
    assert not other.examined and "what runs is something else: refinement is greedy" in other.told()
    plain = found(run.root, "none")
    assert not plain.examined and plain.refinements == [] and not plain.policy.chain
    changed = found(run.root, None, "refinement.self_consistency.samples=3")
    assert not changed.examined and changed.facts()["verdict"] == verdict


def test_what_cannot_be_served_is_said_in_one_line(make_run: Any, found: Any, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no folder"):
        found(tmp_path / "none")
    run, log = make_run("rounds=1", *SMALL)
    with pytest.raises(MissingError, match="has no model yet"):
        found(run.root)
    Runner(run, log).run()
    with pytest.raises(RecipeError, match="ttrl sees all problems"):
        found(run.root, "ttrl")
    with pytest.raises(RecipeError, match="no refinement is called 'gredy'"):
        found(run.root, "gredy")
    summary = run.root / "summary.json"
    whole = summary.read_text()
    summary.write_text(whole.replace('"verdict": "', '"verdict": "better than '))
    with pytest.raises(DataError, match=r"summary.json is damaged"):
        found(run.root)
    summary.unlink()
    assert found(run.root).told().startswith("not examined: the run has not held its exam")


def test_a_model_folder_is_served_as_it_is(make_run: Any, found: Any) -> None:
    run, log = make_run("rounds=1", *SMALL)
    Runner(run, log).run()
    one = found(run.root / "champion")
    assert not one.examined and one.exam is None and not one.policy.chain and "a model folder has no exam" in one.told()
    assert found(run.root / "champion", "self_consistency").refinements == ["self_consistency"]
