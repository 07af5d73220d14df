"""The leaderboard: worked by hand from summaries, and through run folders that end, fail and go on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import MissingError, RecipeError, StorageError
from selfimprove.recipe import compose
from selfimprove.report import leaderboard
from selfimprove.store.seal import write_json
from selfimprove.studies import bench

pytestmark = pytest.mark.runs


def alert(alarm: str, level: int) -> dict[str, Any]:
    return {"alarm": alarm, "level": level, "text": f"{alarm} rose", "numbers": {}, "round": 1}


def summary(seed: int, delta: float, champion_round: int = 1, **more: Any) -> dict[str, Any]:
    ladder = {"pass@1": 0.5, "maj@8": 0.6, "pass@8": 0.7 + 0.1 * champion_round}
    lines = [
        {"round": 0, "diagnosis": {"ladder": {"pass@1": 0.4, "pass@8": 0.7}}},
        {"round": 1, "diagnosis": {"ladder": ladder}, "acquisition/tokens": 4000, "selection/label_precision": 0.9},
    ]
    return {
        "recipe": "star",
        "seed": seed,
        "rounds": 1,
        "seconds": 50.0,
        "verdict": f"gain of {delta}",
        "sealed": {
            "n": 100,
            "start": 0.4,
            "champion": 0.4 + delta,
            "delta": delta,
            "ci": [delta - 0.05, delta + 0.05],
            "champion_round": champion_round,
            "controls": {"over_votes": {"value": delta / 2, "low": 0.0, "high": delta, "n": 100}},
        },
        "per_round": lines,
        "loop": {"alerts": [alert("length", 2), alert("entropy", 1)]},
        **more,
    }


def test_a_row_by_hand() -> None:
    row = leaderboard.row_of("quickstart", [summary(0, 0.1), summary(1, 0.3), summary(2, 0.2)], failed=[7])
    # standard deviation .1, t(.975, 2) = 4.3027, so 4.3027 x .1 / sqrt(3) = .2484
    assert row["gain"]["value"] == pytest.approx(0.2)
    assert row["gain"]["high"] - row["gain"]["value"] == pytest.approx(0.2484, abs=1e-4)
    assert (row["start"], row["certified"], row["over_votes"]) == (pytest.approx(0.4), 3, pytest.approx(0.1))
    assert (row["label_precision"], row["pass@k"], row["tokens"]) == (pytest.approx(0.9), pytest.approx(0.8), 4000)
    assert row["alarms"] == {"length": 3} and row["paper"] == "2312.06585"
    assert leaderboard.row_of("quickstart", [summary(0, 0.1)])["gain"]["low"] == pytest.approx(0.05)


def test_a_start_that_stays_champion_is_not_certified_and_its_own_diagnosis_counts() -> None:
    row = leaderboard.row_of("quickstart", [summary(0, 0.0, champion_round=0)])
    assert row["certified"] == 0 and row["pass@k"] == pytest.approx(0.7)


def test_the_table_has_a_row_of_equal_length_for_every_recipe() -> None:
    rows = [leaderboard.row_of("quickstart", [summary(0, 0.1)]), leaderboard.row_of("star", [], failed=[0, 1])]
    lines = leaderboard.table(rows)
    assert {line.count(" |") for line in lines} == {len(leaderboard.COLUMNS)}
    assert "| +10.0 [+5.0, +15.0] | 1 of 1 |" in lines[2] and "| 0 failed, 1 failed |" in lines[3]


@pytest.fixture
def launch(tmp_path: Path) -> Callable[[list[str], Path], int]:
    """Makes runs that gain 0.1 times their seed; seed 3 fails as long as there is no file `mended`."""

    def start(words: list[str], log: Path) -> int:
        log.write_text("starting\n")
        (tmp_path / "calls").open("a").write(json.dumps(words) + "\n")
        place = Path(words[words.index("--out") + 1] if "--out" in words else words[1])
        place.mkdir(exist_ok=True)
        (place / "recipe.yaml").touch()
        seed = int(place.name.rpartition("-")[2])
        if seed == 3 and not (tmp_path / "mended").exists():
            log.write_text("starting\nerror: the disk is full\n\n")
            return 74
        write_json(place / "summary.json", summary(seed, 0.1 * seed))
        return 0

    return start


def test_runs_are_ranked_and_a_bench_goes_on_where_it_stopped(
    tmp_path: Path, launch: Callable[[list[str], Path], int]
) -> None:
    out = tmp_path / "out"
    said = dict(bench.bench(["random_reward", "star"], [1, 3], out, ["rounds=1"], launch=launch))
    assert said["star-1"] == "gain of 0.1" and said["star-3"] == "failed with exit code 74: error: the disk is full"
    (tmp_path / "mended").touch()
    (tmp_path / "calls").unlink()
    said = dict(bench.bench(["random_reward", "star"], [1, 3], out, ["rounds=1"], launch=launch))
    assert set(said.values()) == {"gain of 0.1", f"gain of {0.1 * 3}"}
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert calls == [["resume", str(out / "random_reward-3")], ["resume", str(out / "star-3")]]
    rows = json.loads((out / "leaderboard.json").read_text())
    assert [row["seeds"] for row in rows] == [[1, 3]] * 2 and "`star`" in (out / "leaderboard.md").read_text()


def test_a_budget_joins_the_recipe_s_own_controllers(tmp_path: Path, launch: Callable[[list[str], Path], int]) -> None:
    list(bench.bench(["star"], [0], tmp_path / "out", minutes=3, launch=launch))
    words = json.loads((tmp_path / "calls").read_text())
    assert words[:2] == ["run", "star"] and "controller=[plateau,budget]" in words
    assert "controller.budget.hours=0.05" in words and "seed=0" in words


def test_mistakes_are_found_before_anything_starts(tmp_path: Path, launch: Callable[[list[str], Path], int]) -> None:
    with pytest.raises(MissingError, match="star"):
        list(bench.bench(["quickstart", "stat"], [0], tmp_path / "out", launch=launch))
    with pytest.raises(RecipeError, match="at least one recipe"):
        list(bench.bench([], [0], tmp_path / "out", launch=launch))
    (tmp_path / "star.yaml").write_text("defaults:\n  - task: chain_sums\n")
    with pytest.raises(RecipeError, match="same file name"):
        list(bench.bench(["star", str(tmp_path / "star.yaml")], [0], tmp_path / "out", launch=launch))
    for seed, minutes, jobs, said in (
        (0, None, 0, "--jobs 0 runs nothing"),
        (0, -1.0, 1, "--minutes is -1.0"),
        (0, float("nan"), 1, "--minutes is nan"),
        (10**20, None, 1, "seed is 1"),
    ):
        with pytest.raises(RecipeError, match=said):
            list(bench.bench(["star"], [seed], tmp_path / "none", [], minutes, jobs, launch))
    assert not (tmp_path / "none").exists() and not (tmp_path / "calls").exists()
    with pytest.raises(StorageError, match="is a file, so no runs"):
        list(bench.bench(["star"], [0], tmp_path / "star.yaml", launch=launch))


def test_a_run_of_other_settings_is_not_taken_for_one_of_this_bench(
    tmp_path: Path, launch: Callable[[list[str], Path], int]
) -> None:
    place = tmp_path / "out" / "star-1"
    place.mkdir(parents=True)
    settings = compose.load("star", ["rounds=1", "seed=1"])[1]
    write_json(place / "environment.json", {"settings": settings})
    write_json(place / "recipe.yaml", {})
    with pytest.raises(RecipeError, match="star-1 was made with other settings: rounds was 1, is 2. Choose another"):
        list(bench.bench(["star"], [1], tmp_path / "out", ["rounds=2"], launch=launch))
    assert not (tmp_path / "calls").exists()
    assert [said for _, said in bench.bench(["star"], [1], tmp_path / "out", ["rounds=1"], launch=launch)]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("failed with exit code 66: error: no such file", 66),
        ("failed with exit code -9: it printed nothing", 137),
        ("no significant gain: the start stays champion", None),
    ],
)
def test_the_exit_code_of_a_run_that_failed(said: str, code: int | None) -> None:
    assert bench.failure(said) == code


def test_who_stops_a_bench_begins_no_further_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, stopping = list[str](), threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            stopping.set()
            super().shutdown(wait=wait)

    def launch(words: list[str], log: Path) -> int:
        started.append(words[1])
        if len(started) > 1:  # the second run goes on until the bench is stopped
            stopping.wait()
        place = Path(words[words.index("--out") + 1])
        place.mkdir()
        write_json(place / "summary.json", summary(0, 0.1))
        return 0

    monkeypatch.setattr(bench, "ThreadPoolExecutor", Pool)
    runs = bench.bench(["star", "rest_em", "quickstart", "random_reward"], [0], tmp_path / "out", launch=launch)
    assert next(runs) == ("star-0", "gain of 0.1")
    runs.close()
    assert started in (["star"], ["star", "rest_em"])


def test_a_run_is_a_process_with_its_output_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "out" / "star-0").mkdir(parents=True)
    (tmp_path / "out" / "star-0" / "diary.txt").touch()  # no new run may be made in a folder that holds something
    [(name, said)] = bench.bench(["star"], [0], tmp_path / "out")
    assert name == "star-0" and said.startswith("failed with exit code 74: error: ") and "star-0" in said


def test_a_row_of_older_code_is_marked_and_says_what_changed() -> None:
    rows = [leaderboard.row_of(name, [summary(0, 0.1)]) for name in ("quickstart", "star", "rise")]
    assert not [line for line in leaderboard.table(rows) if "†" in line]
    lines = leaderboard.table([rows[0], *({**row, "since": "dedup keeps more"} for row in rows[1:])])
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| `quickstart`", "| `star` †", "| `rise` †"]
    assert lines[5:] == ["", "† made before these changes:", "", "- `star`, `rise`: dedup keeps more."]
