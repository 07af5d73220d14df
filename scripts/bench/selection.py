"""What `selfimprove select` takes for pools of 10,000 to 1,000,000 rows of 1 kB, and what it finds of what is planted.

Each pool is made here from the seed: texts of random words, and among a hundred rows 4 exact copies of earlier ones, 4
near copies whose 5-grams have a Jaccard similarity of .90 to .98, 2 of .55 to .65 that are no copies, 1 with a sentence
of an exam, and 10 of the target's kind. The first command takes length quantiles, exact copies, MinHash and n-gram
decontamination; the second DSIR down to a tenth; the third k-center down to a hundredth of these. Recall counts rows
that went among those planted whose original stayed; precision counts planted rows among those that went as near copies.

A pool is also killed in the middle (`--kill ROWS`), and must give the same file with what was read before.
The goals: a million rows in 15 minutes and 8 GB, 1.2 times linear growth from the smallest pool, .98 of the duplicates.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bench

COMMAND = [sys.executable, "-m", "selfimprove", "select"]
WORDS, EXAM = 20_000, 200
"""Different words, and problems of the exam."""
N, QUANTILE = 5, 0.02
"""Words of an n-gram, and the share of rows that length takes at each end."""
CLEAN = f"""
selection:
  - length_quantiles: {{low: {QUANTILE}, high: {1 - QUANTILE}}}
  - dedup
  - minhash_dedup: {{n: {N}}}
  - ngram_decontamination: {{against: EXAM}}
"""
LIKE = "selection:\n  - dsir: {target: GOAL, share: SHARE}\n"
SPREAD = "selection:\n  - k_center: {share: 0.01}\n"


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], metavar="N")
    parser.add_argument(
        "--kill", type=int, default=100_000, metavar="N", help="rows of the pool that is killed; 0: none"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where pools are made and kept; default: nowhere")
    options = parser.parse_args()
    machine = bench.machine()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        maker = Maker(options.seed, options.folder)
        found = [measured(maker, rows, Path(scratch)) for rows in options.rows]
        killed = kill(maker, options.kill, Path(scratch)) if options.kill else None
    show(found, killed)
    bench.save(options.json, machine, pools=found, killed=killed)


# ---- pools -----------------------------------------------------------------------------------------------------------
class Maker:
    """Makes rows by their numbers, so that a copy is made without the row that it copies."""

    def __init__(self, seed: int, kept: Path | None = None) -> None:
        source = random.Random(seed)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self.seed, self.kept = seed, kept
        self.words = ["".join(source.choices(letters, k=source.randint(3, 8))) for _ in range(WORDS)]
        self.exam = [" ".join(source.choices(self.words, k=25)) for _ in range(EXAM)]
        self.goal = [" ".join(self.of_goal(source, 150)) for _ in range(300)]

    def of_goal(self, source: random.Random, count: int) -> list[str]:
        """Words of the target's kind: half of them among a hundredth of all."""
        return [*source.choices(self.words[: WORDS // 100], k=count // 2), *source.choices(self.words, k=count // 2)]

    def plain(self, row: int) -> list[str]:
        """The words of a row that is no copy."""
        source = random.Random(self.seed << 32 | row)
        count = source.randint(130, 190)
        return self.of_goal(source, count) if row % 100 < 10 else source.choices(self.words, k=count)

    def kind(self, row: int) -> str:
        """What a row is planted as; the first hundred are no copies."""
        place = row % 100
        if row < 100 or place < 89:
            return "goal" if place < 10 else "plain"
        return "exact" if place < 93 else "near" if place < 97 else "far" if place < 99 else "leak"

    def origin(self, row: int) -> int:
        """The row that another one copies."""
        source = random.Random(self.seed << 33 | row)
        return 100 * source.randrange(row // 100) + source.randrange(89)

    def text(self, row: int) -> str:
        """The text of a row."""
        kind = self.kind(row)
        if kind in ("plain", "goal"):
            return " ".join(self.plain(row))
        source = random.Random(self.seed << 34 | row)
        words = self.plain(self.origin(row)) if kind != "leak" else self.plain(row)
        if kind == "leak":
            at, exam = source.randrange(len(words)), source.choice(self.exam)
            return " ".join([*words[:at], *exam.split()[:18], *words[at:]])
        if kind != "exact":
            grams = len(words) - N + 1  # k new words at the end change k n-grams: similarity (g - k) / (g + k)
            low, high = (0.90, 0.98) if kind == "near" else (0.55, 0.65)
            wanted = source.uniform(low, high)
            changed = max(1, int(grams * (1 - wanted) / (1 + wanted)))
            words = [*words[:-changed], *(f"new{source.randrange(10**9)}" for _ in range(changed))]
        return " ".join(words)

    def write(self, rows: int, folder: Path) -> Path:
        """A pool of so many rows, with exam and target beside it."""
        pool = (self.kept or folder) / f"pool_{rows}_{self.seed}.jsonl"
        if not pool.exists():
            fresh = pool.with_suffix(".new")
            with fresh.open("w") as file:
                file.writelines(json.dumps({"id": row, "text": self.text(row)}) + "\n" for row in range(rows))
            fresh.rename(pool)
        for name, texts in (("exam", self.exam), ("goal", self.goal)):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        return pool


# ---- commands --------------------------------------------------------------------------------------------------------
@dataclass
class Watch:
    """The most memory that a process and its children have together, looked at while they run."""

    process: subprocess.Popen[bytes]
    most: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _look(self) -> None:
        while not self._ended.wait(0.25):
            self.most = max(self.most, sum(map(_resident, _family(self.process.pid))))


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in below:
        yield from _family(int(child))


def _resident(pid: int) -> int:
    """Bytes that a process has for itself."""
    try:
        parts = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return (int(parts[1]) - int(parts[2])) * os.sysconf("SC_PAGE_SIZE")


def selected(recipe: str, data: Path, out: Path) -> dict[str, Any]:
    """What the command reports on a pool, with its wall time and its memory."""
    file, report = out.with_suffix(".yaml"), out.with_suffix(".json")
    file.write_text(recipe)
    began = time.perf_counter()
    command = [*COMMAND, str(file), "--data", str(data), "--out", str(out), "--report", str(report), "--force"]
    cpu = bench.children()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process, Watch(process) as watch:
        process.wait()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    steps = {step["name"]: [step["came"], step["seconds"]] for step in json.loads(report.read_text())["steps"]}
    print(f"{data.name}: {time.perf_counter() - began:.0f} s, {watch.most / 1e9:.2f} GB {steps}", flush=True)
    taken = {"wall": time.perf_counter() - began, "cpu": bench.children() - cpu, "memory": watch.most}
    return {**json.loads(report.read_text()), **taken}


def measured(maker: Maker, rows: int, folder: Path) -> dict[str, Any]:
    """What a pool takes, and what is found of what is planted."""
    began = time.perf_counter()
    pool = maker.write(rows, folder)
    print(f"{rows:,} rows made in {time.perf_counter() - began:.0f} s", flush=True)
    clean = selected(CLEAN.replace("EXAM", str(folder / "exam.jsonl")), pool, folder / "clean.jsonl")
    left = kept(folder / "clean.jsonl")
    share = rows / 10 / len(left)
    like = LIKE.replace("GOAL", str(folder / "goal.jsonl")).replace("SHARE", f"{share:.9f}")
    goal = selected(like, folder / "clean.jsonl", folder / "like.jsonl")
    spread = selected(SPREAD, folder / "like.jsonl", folder / "spread.jsonl")
    found = {"rows": rows, "bytes": pool.stat().st_size, **planted(maker, rows, left, clean)}
    near_goal = kept(folder / "like.jsonl")
    found["goal_before"] = sum(maker.kind(row) == "goal" for row in left) / len(left)
    found["goal_after"] = sum(maker.kind(row) == "goal" for row in near_goal) / len(near_goal)
    parts = {step["name"]: step["seconds"] for report in (clean, goal, spread) for step in report["steps"]}
    wall = {"clean": clean["wall"], "dsir": goal["wall"], "k_center": spread["wall"]}
    memory = max(report["memory"] for report in (clean, goal, spread))
    cpu = sum(report["cpu"] for report in (clean, goal, spread))
    found |= {"steps": parts, "wall": wall, "cpu": cpu, "memory": memory}
    print(json.dumps(found), flush=True)
    if maker.kept is None:
        pool.unlink()
    return found


def kept(file: Path) -> list[int]:
    """The numbers of the rows in a file."""
    with file.open() as lines:
        return [json.loads(line)["id"] for line in lines]


def planted(maker: Maker, rows: int, left: Sequence[int], report: dict[str, Any]) -> dict[str, Any]:
    """How much of each kind is found."""
    stay = set(left)
    went, all_of = dict[str, int](), dict[str, int]()
    steps = {step["name"]: step for step in report["steps"]}
    for row in range(rows):
        kind = maker.kind(row)
        if kind in ("exact", "near", "far") and maker.origin(row) not in stay:
            continue  # the original itself went, most of them by their length
        all_of[kind] = all_of.get(kind, 0) + 1
        went[kind] = went.get(kind, 0) + (row not in stay)
    length = steps["length_quantiles"]
    expected = (length["came"] - length["stayed"]) / length["came"]  # lengths do not depend on the kind
    near = steps["minhash_dedup"]["came"] - steps["minhash_dedup"]["stayed"]
    return {
        "recall": {kind: went[kind] / all_of[kind] for kind in ("exact", "near", "leak")},
        "far_gone": went["far"] / all_of["far"],
        "length_gone": expected,
        "near_planted": sum(maker.kind(row) == "near" for row in range(rows)),
        "near_gone": near,
    }


def kill(maker: Maker, rows: int, folder: Path) -> dict[str, Any]:
    """Kill a selection in its third step, repeat it, and compare with one that was left alone."""
    pool, recipe = maker.write(rows, folder), folder / "killed.yaml"
    recipe.write_text(CLEAN.replace("EXAM", str(folder / "exam.jsonl")))
    alone, out = folder / "alone.jsonl", folder / "killed.jsonl"
    subprocess.run(
        [*COMMAND, str(recipe), "--data", str(pool), "--out", str(alone)], check=True, stdout=subprocess.DEVNULL
    )
    command = [*COMMAND, str(recipe), "--data", str(pool), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    step = folder / ".killed.jsonl.partial" / "03_minhash_dedup"
    while process.poll() is None and len(list(step.glob("[0-9]*.npz"))) < 8:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    parts = len(list(step.glob("[0-9]*.npz")))
    again = out.with_suffix(".json")
    subprocess.run([*command, "--report", str(again)], check=True, stdout=subprocess.DEVNULL)
    report = json.loads(again.read_text())
    return {
        "rows": rows,
        "parts_kept": parts,
        "same": out.read_bytes() == alone.read_bytes(),
        "resumed": report["resumed"],
        "read_again": report["read"],
        "in_work": report["portion"],
    }


def show(found: Sequence[dict[str, Any]], killed: dict[str, Any] | None) -> None:
    """Print what was found beside the goals."""
    columns = ("rows", "steps to DSIR, s", "k-center, s", "CPU, s", "memory, GB", "exact", "near", "leaks", "far gone")
    table = list[Sequence[Any]]()
    for one in found:
        pool, recall = one["wall"]["clean"] + one["wall"]["dsir"], one["recall"]
        spread, memory = one["wall"]["k_center"], one["memory"] / 1e9
        finds = [f"{recall[kind]:.4f}" for kind in ("exact", "near", "leak")]
        table.append((f"{one['rows']:,}", pool, spread, one["cpu"], memory, *finds, f"{one['far_gone']:.4f}"))
    bench.show(columns, table)
    steps = list(found[0]["steps"])
    bench.show(("rows", *steps), [(f"{one['rows']:,}", *(one["steps"][step] for step in steps)) for one in found])
    first, last = found[0], found[-1]
    if last is not first:
        wall, cpu = (_per_row(last, kind) / _per_row(first, kind) for kind in ("wall", "cpu"))
        print(
            f"time of a row, {last['rows']:,} rows against {first['rows']:,}: {wall:.2f} times; CPU with k-center "
            f"{cpu:.2f} times"
        )
    print(f"of the target's kind: {last['goal_before']:.3f} before DSIR, {last['goal_after']:.3f} after")
    if killed:
        same = "the same" if killed["same"] else "ANOTHER"
        print(
            f"killed after {killed['parts_kept']} parts of the third step: {same} file, at most "
            f"{killed['in_work']:,} of {killed['rows']:,} rows read twice"
        )


def _per_row(one: dict[str, Any], kind: str) -> float:
    total = one["wall"]["clean"] + one["wall"]["dsir"] if kind == "wall" else one["cpu"]
    return total / one["rows"]


if __name__ == "__main__":
    main()
