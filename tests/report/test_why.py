"""Where a row came from, by rows whose history is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.errors import MissingError, RecipeError
from selfimprove.loop.history import Stored
from selfimprove.loop.loop import Runner
from selfimprove.recipe.compose import Load
from selfimprove.records import Rollout, read_records
from selfimprove.report.why import told, why

SMALL = ["gate_problems=40", "sealed_problems=40", "probe_problems=10", "audit_problems=10", "control_problems=10"]


@pytest.mark.long
def test_a_row_is_followed_from_its_problem_to_the_candidates_that_were_trained_on_it(
    make_run: Callable[..., Any],
    load_once: Load,
) -> None:
    folder, log = make_run("rounds=2", "selection=[threshold,top_k]", "selection.top_k.rows=10", *SMALL)
    Runner(folder, log, load_once).run()
    stored = Stored(folder, load_once)
    acquired = [one for one in read_records(folder.step(1, "acquisition") / "output.jsonl") if isinstance(one, Rollout)]
    kept = [one.id for one in read_records(folder.step(1, "selection") / "output.jsonl")]
    found = why(stored, "1:1")
    assert found["id"] == kept[0] and why(stored, kept[0][:10]) == found
    assert (found["kind"], found["round"], found["step"], found["line"]) == ("Rollout", 1, "selection", 1)
    made = {
        "method": "rejection_sampling",
        "slot": "acquisition",
        "round": 1,
        "weights_of_round": 0,
        "engine": "student",
    }
    assert found["source"] == made and found["mark"] == 1.0 and found["split"] == "train"
    assert [(one["kind"], one["source"]["method"]) for one in found["parents"]] == [("Prompt", "seed_prompts")]
    assert found["selection"] == [{"method": "threshold", "did": "kept it"}, {"method": "top_k", "did": "kept it"}]
    verdict = stored.decision(1).verdict
    assert found["trained"] == [{"round": 1, "verdict": verdict}]
    wrong = next(one for one in acquired if one.reward == 0.0)
    dropped = why(stored, wrong.id)
    assert dropped["selection"] == [{"method": "threshold", "did": "dropped it"}] and dropped["trained"] == []
    assert dropped["mark"] == 0.0 and "not trained on" in list(told(dropped))
    second = next(one for one in acquired if one.reward == 1.0 and one.id not in kept)
    assert why(stored, second.id)["selection"][1] == {"method": "top_k", "did": "dropped it"}
    lines = list(told(found))
    assert lines[0] == f"row {kept[0]}, rollout, line 1 of selection in round 1"
    assert f"trained in round 1 ({verdict})" in lines and "mark      right by the task's own rule" in lines
    for sample, kind, words in (
        ("1:99999", MissingError, "round 1 selected fewer"),
        ("ffffffffff", MissingError, "no row ffffffffff"),
        ("zz", RecipeError, "'zz' names no row"),
    ):
        with pytest.raises(kind, match=words):
            why(stored, sample)
    everything = [one.id for one in acquired]
    assert why(stored, everything[0])["id"] == everything[0]
