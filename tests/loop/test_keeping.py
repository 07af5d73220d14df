"""Which rounds keep their weights; a pruned run is reported, verified, evaluated, resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from selfimprove.cli.main import app
from selfimprove.errors import DataError, RecipeError
from selfimprove.loop import keeping
from selfimprove.loop.history import Stored
from selfimprove.loop.loop import Runner
from selfimprove.recipe import compose
from selfimprove.report.verify import verify
from selfimprove.store.run_folder import RunDir

SMALL = (
    "acquisition.seed_prompts.problems=10",
    "gate_problems=40",
    "sealed_problems=20",
    "probe_problems=0",
    "audit_problems=0",
    "control_problems=0",
)


def weights(root: Path) -> list[int]:
    """The rounds whose weights are there."""
    found = list(root.glob("round_*/optimization/model/model.safetensors"))
    return sorted(int(path.parts[-4].removeprefix("round_")) for path in found)


@pytest.mark.long
def test_a_pruned_run_is_verified_reported_and_resumed(make_run: Any) -> None:
    run, log = make_run("rounds=3", "optimization.practice.gain=0.1", *SMALL)
    Runner(run, log).run()
    stored, before = Stored(RunDir.open(run.root)), (run.root / "summary.json").read_bytes()
    champion = stored.standing(4).champion
    kept = keeping.kept(stored, "champion")
    assert kept.keys() <= keeping.kept(stored, "needed").keys() <= keeping.kept(stored, "all").keys() == {0, 1, 2, 3}
    assert {0, champion, 3} <= kept.keys() and kept[0] == "the start"
    going = {one.number for one in keeping.spare(stored, "champion")}
    assert going == set(range(1, 4)) - kept.keys() and going
    assert weights(run.root) == [1, 2, 3]

    def typed(*words: str) -> Any:
        done = CliRunner().invoke(app, ["prune", str(run.root), "--keep", "champion", *words], standalone_mode=False)
        assert done.exception is None, done.exception
        return done.output

    assert "would be freed" in typed("--dry-run") and weights(run.root) == [1, 2, 3]
    told = json.loads(typed("--json"))
    assert {row["round"] for row in told["steps"]} == going and told["bytes"] > 0 and told["pruned"]
    assert weights(run.root) == sorted(set(range(1, 4)) & kept.keys())
    assert "nothing freed" in typed()
    found = verify(run.root)
    assert all(one.fine for one in found)
    pruned = [one.what for one in found if "of them pruned" in one.said]
    assert pruned == [f"round_{number:03d}/optimization" for number in sorted(going)]
    with pytest.raises(DataError, match=f"the weights of round {min(going)} were pruned"):
        Stored(RunDir.open(run.root)).checkpoint(min(going))
    Runner(RunDir.open(run.root), log).run()  # nothing is repeated
    assert (run.root / "summary.json").read_bytes() == before and not (run.root / "quarantine").exists()
    Runner(RunDir.open(run.root), log).run(add=1)
    assert all(one.fine for one in verify(run.root))


@pytest.mark.long
def test_a_run_that_keeps_the_champion_prunes_as_it_goes_and_ends_with_the_same(make_run: Any) -> None:
    results = {}
    for keep in ("all", "best:1", "champion"):
        run, log = make_run("rounds=3", f"keep={keep}", *SMALL, name=keep.replace(":", "_"))
        summary = Runner(run, log).run()
        results[keep] = summary["verdict"], weights(run.root)
        assert all(one.fine for one in verify(run.root))
    assert results["all"][0] == results["champion"][0] == results["best:1"][0]
    assert results["all"][1] == [1, 2, 3] and set(results["champion"][1]) < {1, 2, 3}
    assert set(results["champion"][1]) <= set(results["best:1"][1])


@pytest.mark.long
def test_nothing_goes_while_weights_that_stay_are_damaged(make_run: Any) -> None:
    run, log = make_run("rounds=3", *SMALL)
    Runner(run, log).run()
    stored = Stored(RunDir.open(run.root))
    place = Path(stored.checkpoint(stored.standing(4).champion).path) / "model.safetensors"
    place.write_bytes(place.read_bytes() + b" ")
    before = weights(run.root)
    with pytest.raises(DataError, match="nothing is pruned, because .* is damaged"):
        keeping.free(stored, "champion")
    assert weights(run.root) == before


def test_how_rounds_are_kept_is_checked_before_a_run() -> None:
    assert compose.load("quickstart", ["keep=best:3"])[0].keep == "best:3"
    for wrong in ("best", "best:0", "most"):
        with pytest.raises(RecipeError, match="keep is .*; it takes all, needed, champion, or best:K"):
            compose.load("quickstart", [f"keep={wrong}"])
