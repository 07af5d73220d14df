"""A run broken at its durable operations, and its files damaged: a part of what `selfimprove selftest --full` does."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from selfimprove.logs import Silent
from selfimprove.loop.loop import Runner
from selfimprove.report.verify import verify
from selfimprove.store import failpoints
from selfimprove.trials import sweep
from selfimprove.trials.rehearsal import Rehearsal, contents, fault, rehearse

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    import tempfile

    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as folder, rehearse(Path(folder)) as made:
        yield made


def test_the_rehearsal_goes_through_every_kind_of_step_and_operation(given: Rehearsal) -> None:
    steps = {Path(name).parts[1] for name in given.image if name.startswith("round_")}
    assert steps >= {"model", "acquisition", "optimization", "gate", "controller", "confirmation", "null", "sealed"}
    kinds = {name.split(".")[0] for name in given.operations}
    assert kinds == {"mkdir", "write", "append", "remove", "seal", "commit", "link"} and len(given.operations) > 400
    assert all(finding.fine for finding in verify(given.whole))
    other = given.begin(given.scratch / "other")
    Runner(other, Silent()).run()
    assert contents(other.root) == given.image, "two undisturbed runs differ"


@pytest.mark.parametrize("kind", failpoints.KINDS)
def test_faults_here_and_there(given: Rehearsal, kind: str) -> None:
    first = 11 * failpoints.KINDS.index(kind)
    [row] = sweep.sweep(given, [kind], every=230, first=first)
    assert row.points >= 2 and not row.wrong and not row.redone


def test_damages_here_and_there(given: Rehearsal) -> None:
    found = list(sweep.damages(given, every=131))
    assert len(found) >= 6 and not [one for one in found if not one.held]


def test_a_sweep_notices_what_is_wrong(given: Rehearsal, tmp_path: Path) -> None:
    """With another run to compare with, every point is a fault, also where the state was resumed before."""
    shutil.copy(given.scratch / "rehearsal.yaml", tmp_path)
    other = Rehearsal(tmp_path, given.whole, {**given.image, "recipe.yaml": ""}, given.operations, 0.0)
    for new in (True, False):
        [row] = sweep.sweep(other, ["kill"], every=400)
        assert len(row.wrong) == row.points >= 1 and "recipe.yaml differ" in row.wrong[0]
        assert row.resumed == (row.points if new else 0)


def test_only_equal_folders_count_as_the_same_state(given: Rehearsal, tmp_path: Path) -> None:
    def state(change: Callable[[Path], object]) -> str:
        root = shutil.copytree(given.whole, tmp_path / "run", symlinks=True)
        change(root)
        found = sweep._state(root)
        shutil.rmtree(root)
        return found

    step = "round_001/selection"
    changes: list[Callable[[Path], object]] = [
        lambda root: None,
        lambda root: (root / "round_004").mkdir(),
        lambda root: (root / step / "timing.json").write_text(""),
        lambda root: (root / step / "timing.json").unlink(),
        lambda root: (root / step / "output.jsonl").write_text(""),
        lambda root: (root / "champion").unlink(),
        lambda root: (root / "round_003" / ".sealed.journal").write_text("{}"),
    ]
    states = [state(change) for change in changes]
    assert len(set(states)) == len(states)
    other_times = state(lambda root: (root / step / "timing.json").write_text('{"seconds": 1.0}'))
    assert states[0] == state(lambda root: None) == other_times


def test_a_run_that_is_killed_again_and_again_comes_to_its_end(given: Rehearsal) -> None:
    """Every start gets a little further, however soon it is killed, as long as it can finish one step."""
    root, starts = given.scratch / "preempted", 0
    ended, said = -9, ""
    while ended == -9:
        starts += 1
        with fault("*:40:kill", root):
            ended, said = sweep.in_fork(lambda: (failpoints.state(), sweep._resume(given, root)))
        assert starts < 60
    assert ended == 0, said
    assert starts > 10 and contents(root) == given.image
