"""Hand spoiled inputs to the borders where something from strangers comes in; `trials/fuzz.py` says what must hold.

    python scripts/fuzz.py recipes 10000 --seed 0
    python scripts/fuzz.py all 10000 --workers 2
    python scripts/fuzz.py recipes 1 --seed 0 --first 4711      the input that a failure names 0:4711

A failure prints the input and its traceback; the exit code is 1 where there was one.
"""

from __future__ import annotations

import argparse
import sys
import time

from selfimprove.trials import fuzz


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Hand spoiled inputs to a border.")
    parser.add_argument("border", choices=[*fuzz.names(), "all"])
    parser.add_argument("count", type=int, help="inputs for each border")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--workers", type=int, default=0, help="processes that try them, from the first on")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no input after this long")
    given = parser.parse_args()
    broken = False
    for name in fuzz.names() if given.border == "all" else [given.border]:
        began = time.monotonic()
        if given.workers:
            found = fuzz.fuzz_beside(name, given.count, given.seed, given.workers)
        else:
            found = fuzz.fuzz(name, given.count, given.seed, given.first, given.minutes)
        for text in found.wrong[:5]:
            print(text)
        print(f"{name}: {found}; {time.monotonic() - began:.0f} s", flush=True)
        broken |= bool(found.wrong)
    sys.exit(broken)


if __name__ == "__main__":
    main()
