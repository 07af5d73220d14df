"""What goes together with a candidate's result, by a run whose rounds differ in known ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.errors import MissingError
from selfimprove.loop.history import Stored
from selfimprove.loop.loop import Runner
from selfimprove.loop.replay import replay
from selfimprove.recipe.compose import Load
from selfimprove.records import read_records
from selfimprove.report.blame import ASSOCIATION, blame, told

SMALL = ["gate_problems=40", "sealed_problems=40", "probe_problems=10", "audit_problems=10", "control_problems=10"]


@pytest.mark.long
def test_a_candidate_is_told_with_its_test_its_data_and_what_changed(
    make_run: Callable[..., Any], tmp_path: Any, load_once: Load
) -> None:
    folder, log = make_run("rounds=2", *SMALL)
    Runner(folder, log, load_once).run()
    branch = replay(folder.root, 2, ["selection.threshold.per_prompt=1"], tmp_path / "branch", load_once)
    Runner(branch, log, load_once).run()
    stored = Stored(branch, load_once)
    found = blame(stored, 2)
    old, new = (stored.report(2, who).scores for who in ("incumbent", "candidate"))
    gained = sum(new[key] > old[key] for key in new)
    assert (found["test"]["gained"], found["test"]["problems"]) == (gained, len(new))
    assert sum(level[0] for level in found["test"]["levels"].values()) == gained
    rows = read_records(branch.step(2, "selection") / "output.jsonl")
    data = found["data"]
    assert data["now"]["rows"] == data["now"]["problems"] == len(rows) and data["now"]["wrong"] == 0
    earlier = {one.prompt.key for one in read_records(branch.step(1, "selection") / "output.jsonl")}
    assert data["new_problems"] == len({one.prompt.key for one in rows} - earlier)
    assert found["options"] == [{"option": "selection.threshold.per_prompt", "was": None, "is": 1}]
    assert found["before"] == 1 and found["trained_from"] == stored.standing(2).incumbent
    lines = list(told(found, "runs/a"))
    assert ASSOCIATION in lines and "option    selection.threshold.per_prompt was None, is 1" in lines
    assert lines[-1] == "to try one change: selfimprove replay runs/a --from 2 key=value"
    assert "gained_first" in found["test"]
    (branch.root / "summary.json").unlink()  # before the exam no problem of it is named
    assert "gained_first" not in blame(Stored(branch, load_once), 2)["test"]
    first = blame(stored, 1)
    assert first["before"] == 0 and first["options"] == [] and first["data"]["new_rows"] == first["data"]["now"]["rows"]
    for number in (0, 3):
        with pytest.raises(MissingError, match=f"no tested candidate of round {number}"):
            blame(stored, number)
