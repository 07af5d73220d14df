"""A run broken at its durable operations, and its files damaged: the whole sweep is slow, a part of it is here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfimprove import failpoints, sweep
from selfimprove.verify import verify

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sweep.Rehearsal]:
    import tempfile

    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as folder, sweep.rehearsal(Path(folder)) as made:
        yield made


def test_the_rehearsal_goes_through_every_kind_of_step_and_operation(given: sweep.Rehearsal) -> None:
    steps = {Path(name).parts[1] for name in given.image if name.startswith("round_")}
    assert steps >= {"model", "acquisition", "optimization", "gate", "controller", "confirmation", "null", "sealed"}
    kinds = {name.split(".")[0] for name in given.operations}
    assert kinds == {"mkdir", "write", "append", "remove", "seal", "commit", "link"} and len(given.operations) > 400
    assert all(finding.fine for finding in verify(given.whole))
    other = given.begin(given.scratch / "other")
    sweep.Runner(other, sweep._Silent()).run()
    assert sweep.contents(other.root) == given.image, "two undisturbed runs differ"


QUICK = ("kill", "power", "enospc+")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in QUICK else pytest.mark.faults) for kind in failpoints.KINDS]
)
def test_faults_here_and_there(given: sweep.Rehearsal, kind: str) -> None:
    first = 11 * failpoints.KINDS.index(kind)
    [row] = sweep.sweep(given, [kind], every=230, first=first)
    assert row.points >= 2 and not row.wrong and not row.redone


def test_damages_here_and_there(given: sweep.Rehearsal) -> None:
    found = list(sweep.damages(given, every=131))
    assert len(found) >= 6 and not [one for one in found if not one.held]


def test_a_sweep_notices_what_is_wrong(given: sweep.Rehearsal) -> None:
    """With another run to compare with, every point is a fault."""
    other = sweep.Rehearsal(given.scratch, given.whole, {**given.image, "recipe.yaml": ""}, given.operations, 0.0)
    [row] = sweep.sweep(other, ["kill"], every=400)
    assert len(row.wrong) == row.points >= 1 and "recipe.yaml differ" in row.wrong[0]


@pytest.mark.faults
def test_a_run_that_is_killed_again_and_again_comes_to_its_end(given: sweep.Rehearsal) -> None:
    """Every start gets a little further, however soon it is killed, as long as it can finish one step."""
    root, starts = given.scratch / "preempted", 0
    ended, said = -9, ""
    while ended == -9:
        starts += 1
        with sweep._fault("*:40:kill", root):
            ended, said = sweep.in_fork(lambda: (failpoints.state(), sweep._resume(given, root)))
        assert starts < 60
    assert ended == 0, said
    assert starts > 10 and sweep.contents(root) == given.image


@pytest.mark.slow
@pytest.mark.parametrize("kind", failpoints.KINDS)
def test_a_fault_at_every_operation(given: sweep.Rehearsal, kind: str) -> None:
    [row] = sweep.sweep(given, [kind])
    assert row.points == len(given.operations) and not row.wrong and not row.redone


@pytest.mark.slow
def test_every_file_damaged_in_every_way(given: sweep.Rehearsal) -> None:
    found = list(sweep.damages(given))
    ended = Counter(one.ended for one in found)
    assert len(found) >= 160 and not [one for one in found if not one.held]
    assert ended["redone"] > 100 and ended["refused"] > 10 and ended["mended"] > 5
