"""Throw mutated recipes at `load` and `check`: each composes or is refused by one line, and nothing else ever happens.

    python scripts/fuzz_recipes.py 100000 --seed 0

A failure prints the recipe and its traceback; the exit code is 1 where there was one.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from selfimprove import registry
from selfimprove.errors import UserError
from selfimprove.recipe import checks, compose, cost
from selfimprove.safety.redaction import printable

CODES = {2, 65, 66}
"""What a recipe that cannot be used may end with."""
LONGEST = 1500
"""Characters of the longest message."""
VALUES = [
    *("", "null", "~", "true", "no", "0", "-1", "3", "007", "1e-4", "1e999", ".nan", "-.inf", "9" * 40, "1_000"),
    *("[]", "{}", "[1, 2]", "{a: 1}", "[[[]]]", "'x'", '"\\0"', '"\\ud800"', "*a", "&a 1", "!!int 3", "!x y", "0x1F"),
    *("${seed}", "${oc.env:HOME}", "os.system", "../../x", "/dev/zero", "sk-" + "a" * 30, "\xe9", "\u202e", "- a"),
    *("|", ">", "? a", "<<", "%YAML 1.1", "---", "...", "@a", "`a", "#", ":", ": ", "-", "\t", "\x00", "\x1b[31m"),
    *("\ufeff", "2026-01-01", "\U0001f4a3"),
]
"""What is put in the place of a value, or anywhere."""


def mutated(text: str, words: Sequence[str], draw: random.Random) -> str:
    """A recipe with a few faults: lines moved, words swapped, values of all kinds, bytes lost."""
    lines = text.splitlines()
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(lines)) if lines else 0
        line = lines[at] if lines else ""
        match draw.randrange(10):
            case 0 if lines:
                del lines[at]
            case 1:
                lines.insert(at, line)
            case 2:
                lines.insert(at, " " * draw.randrange(6) + draw.choice(words) + ": " + draw.choice(VALUES))
            case 3 | 4 if ":" in line:
                lines[at] = line.partition(":")[0] + ": " + draw.choice(VALUES)
            case 5 if line:
                cut = draw.randrange(len(line))
                lines[at] = line[:cut] + draw.choice([*VALUES, *words]) + line[cut + draw.randrange(3) :]
            case 6 if line:
                found = [word for word in words if word in line]
                lines[at] = line.replace(draw.choice(found), draw.choice(words)) if found else line
            case 7:
                lines[at : at + 1] = [draw.choice([" ", "  ", "\t", "- ", ""]) + line]
            case 8 if len(lines) > 1:
                other = draw.randrange(len(lines))
                lines[at], lines[other] = lines[other], line
            case _ if line:
                lines[at] = line[: draw.randrange(len(line))]
    return "\n".join(lines) + draw.choice(["\n", "", "\n\n", "\n\x00", "\n---\n"][: draw.choice([1, 1, 1, 5])])


def tried(text: str | bytes, path: Path, overrides: Sequence[str] = ()) -> int:
    """Compose, look at model and data, estimate: 0, or the exit code of the one line that refuses it.

    Raises:
        AssertionError: the code is not documented, or the message is no line that can be shown.
        Exception: whatever is a bug.
    """
    path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
    try:
        composed = compose.load(path, overrides)[0]
        checks.preflight(composed)
        cost.estimate(composed)
    except UserError as error:
        message = str(error)
        assert error.code in CODES, f"exit code {error.code}"
        assert len(message) <= LONGEST and printable(" ".join(message.split())), f"message of {len(message)} characters"
        return error.code
    return 0


def fuzz(count: int, seed: int, minutes: float = 1e9) -> tuple[Counter[int], list[str]]:
    """Try that many recipes; returns how many ended with each code, and what went wrong."""
    sources = [path.read_text(encoding="utf-8") for path in sorted(compose.shipped().glob("*.yaml"))]
    words = [*registry.SLOTS, *(name for slot in registry.SLOTS for name in registry.names(slot)), "defaults", "bench"]
    words += ["rounds", "seed", "autonomy", "_target_", "hydra", "path", "level", "samples", "learning_rate", "weight"]
    ended, wrong, limit = Counter[int](), list[str](), time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(prefix="selfimprove-fuzz-") as scratch:
        for number in range(count):
            if time.monotonic() > limit:
                break
            draw = random.Random(f"{seed}:{number}")
            text = mutated(draw.choice(sources), words, draw)
            try:
                ended[tried(text, Path(scratch) / "mine.yaml")] += 1
            except Exception:
                wrong.append(f"case {seed}:{number}\n{text!r}\n{traceback.format_exc()}")
    return ended, wrong


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Throw mutated recipes at load and check.")
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this long")
    given = parser.parse_args()
    began = time.monotonic()
    ended, wrong = fuzz(given.count, given.seed, given.minutes)
    for text in wrong[:5]:
        print(text)
    told = ", ".join(f"{count} with {code}" for code, count in sorted(ended.items()))
    print(f"{sum(ended.values())} ended well ({told}), {len(wrong)} did not, {time.monotonic() - began:.0f} s")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
