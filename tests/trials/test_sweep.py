"""A run broken at its durable operations, and its files damaged: a part of what `selfimprove selftest --full` does."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from selfimprove.report.verify import verify
from selfimprove.store import failpoints
from selfimprove.trials import selftest, sweep
from selfimprove.trials.rehearsal import Rehearsal, contents, fault, rehearse, step_of

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
    assert all(finding.fine for finding in verify(given.whole, given.load))
    other = given.begin(given.scratch / "other")
    given.runner(other).run()
    assert contents(other.root) == given.image, "two undisturbed runs differ"


def test_a_second_rehearsal_in_a_process_counts_its_own_operations(given: Rehearsal, tmp_path: Path) -> None:
    with rehearse(tmp_path) as again:
        assert (again.operations, again.steps) == (given.operations, given.steps)


@pytest.mark.sweep
@pytest.mark.parametrize("kind", failpoints.KINDS)
def test_faults(
    given: Rehearsal, kind: str, pytestconfig: pytest.Config, record_property: Callable[[str, object], None]
) -> None:
    """At a few points; in CI at those of its share, with --all-faults at all."""
    share, every = pytestconfig.getoption("share"), range(len(given.operations))
    points = every[11 * failpoints.KINDS.index(kind) :: 230] if share is None else sweep.share_of_points(given, share)
    points = every if pytestconfig.getoption("all_faults") else points
    [row] = sweep.sweep(given, [kind], points, jobs=1)
    record_property(f"points of the fault {kind}, of {len(every)}", row.points)
    assert row.points == len(points) >= 2 and not row.wrong and not row.redone


@pytest.mark.sweep
def test_damages(given: Rehearsal, pytestconfig: pytest.Config, record_property: Callable[[str, object], None]) -> None:
    share, every = pytestconfig.getoption("share"), sweep.cases(given)
    cases = every[::131] if share is None else sweep.share_of_cases(given, share)
    found = list(sweep.damages(given, every if pytestconfig.getoption("all_faults") else cases, jobs=1))
    record_property(f"damaged files, of {len(every)}", len(found))
    assert len(found) >= 6 and not [one for one in found if not one.held]


def test_two_processes_never_work_on_one_run(given: Rehearsal) -> None:
    assert selftest.lock(given, full=True) == ("2 processes, 1000 starts each", [])


def test_four_shares_in_a_row_take_every_point_and_eight_every_damage(given: Rehearsal) -> None:
    """And each of them one point of every kind of operation in every kind of step, and one damage of every file."""
    points, cases = [], []
    kinds = set(zip(given.steps, given.operations, strict=True))
    for share in range(7, 15):
        cases.append(sweep.share_of_cases(given, share))
        assert {damage for _, damage in cases[-1]} == set(sweep.DAMAGES)
        assert len(cases[-1]) == len({file for file, _ in cases[-1]}) == len(sweep.cases(given)) / 8
    for share in range(7, 11):
        points.append(sweep.share_of_points(given, share))
        assert {(given.steps[point], given.operations[point]) for point in points[-1]} == kinds
        assert len(points[-1]) < len(given.operations) / 2
    assert sorted(set().union(*points)) == list(range(len(given.operations)))
    assert sorted(case for part in cases for case in part) == sorted(sweep.cases(given))
    assert points[0] == sweep.share_of_points(given, 7)


def test_the_step_of_an_operation(tmp_path: Path) -> None:
    names = {
        "round_002/.gate.partial/metrics.json": "gate",
        "round_002/gate": "gate",
        "round_001/.acquisition.journal": "acquisition",
        "round_001/.optimization.training/new": "optimization",
        "round_001": "round",
        ".summary.json.new": "summary.json",
        "ledger.jsonl": "ledger.jsonl",
    }
    assert {name: step_of(tmp_path / name, tmp_path) for name in names} == names
    assert step_of(tmp_path, tmp_path) == step_of(tmp_path.parent, tmp_path) == "the folder itself"


def test_a_sweep_notices_what_is_wrong(given: Rehearsal, tmp_path: Path) -> None:
    """With another run to compare with, every point is a fault, also where the state was resumed before."""
    shutil.copy(given.scratch / "rehearsal.yaml", tmp_path)
    other = replace(given, scratch=tmp_path, image={**given.image, "recipe.yaml": ""})
    for new in (True, False):
        [row] = sweep.sweep(other, ["kill"], range(0, len(given.operations), 400))
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
