"""Break a run at every durable operation, and damage each of its files in every way; print the tables.

The run is that of `selfimprove.trials.rehearsal`: three rounds without a model. After each fault it is resumed and
compared file by file with a run that nothing happened to. Ends with exit code 1 if one promise was broken.

    python scripts/chaos_sweep.py --json docs/results/faults.json
    python scripts/chaos_sweep.py --recorded docs/results/faults.json    # was that made with the store as it is now?
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from selfimprove.store import failpoints
from selfimprove.trials import store_code, sweep
from selfimprove.trials.rehearsal import rehearse
from selfimprove.trials.selftest import MEMORY


def holds(path: Path) -> bool:
    """Whether these are the numbers of a whole sweep in which the store, as it is now, kept every promise."""
    if not path.exists():
        return False
    numbers = json.loads(path.read_text())
    whole = numbers["every"] == 1 and {row["kind"] for row in numbers["faults"]} == {*failpoints.KINDS}
    return whole and not numbers["broken"] and numbers["store"] == store_code.code()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only every n-th operation and damage")
    parser.add_argument("--kinds", nargs="*", choices=failpoints.KINDS, default=failpoints.KINDS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--scratch", type=Path, default=MEMORY if MEMORY.is_dir() else None, help="where the runs go")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--recorded", type=Path, help="try nothing: exit code 0 if these numbers are of this store")
    given = parser.parse_args()
    if given.recorded:
        sys.exit(not holds(given.recorded))
    began, out, broken = time.monotonic(), Console(), list[str]()
    with tempfile.TemporaryDirectory(dir=given.scratch) as folder, rehearse(Path(folder)) as rehearsal:
        faults = Table("fault", "points", "states resumed", "runs that differ or fail", "steps done again", "seconds")
        rows = []
        points = range(0, len(rehearsal.operations), given.every)
        for row in sweep.sweep(rehearsal, given.kinds, points, given.jobs):
            rows.append(asdict(row))
            broken += row.wrong + [f"{row.kind}: finished steps were done again"] * bool(row.redone)
            cells = (row.points, row.resumed, len(row.wrong), row.redone, f"{row.seconds:.0f}")
            faults.add_row(row.kind, *map(str, cells))
        out.print(faults)
        ends = ("redone", "refused", "rewritten", "harmless", "SILENT")
        found = list(sweep.damages(rehearsal, sweep.cases(rehearsal)[:: given.every], given.jobs))
        damages = Table("damage", "files", *ends, "seen by verify")
        for damage in sweep.DAMAGES:
            part = [one for one in found if one.damage == damage]
            counts = Counter(one.ended for one in part)
            seen = sum(one.seen for one in part)
            damages.add_row(damage, str(len(part)), *(str(counts[end]) for end in ends), str(seen))
        out.print(damages)
        broken += [f"{one.damage} of {one.file}: {one.ended} {one.said}" for one in found if not one.held]
        seconds = time.monotonic() - began
        out.print(
            f"{len(rehearsal.operations)} operations, {len(found)} damages, {seconds:.0f} s, {len(broken)} broken"
        )
    for line in broken:
        out.print(line, markup=False)
    if given.json:
        numbers = {"store": store_code.code(), "every": given.every, "operations": len(rehearsal.operations)}
        numbers |= {"faults": rows, "seconds": seconds, "broken": broken}
        numbers["damages"] = dict(Counter(f"{one.damage}: {one.ended}" for one in found))
        numbers["seen"] = dict(Counter(one.damage for one in found if one.seen))
        given.json.write_text(json.dumps(numbers, indent=1) + "\n")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
