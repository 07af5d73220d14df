"""Shipped recipes with a few faults: each composes, or is refused by one line."""

from __future__ import annotations

import contextlib
import importlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from selfimprove import registry
from selfimprove.recipe import checks, compose, cost
from selfimprove.trials import fuzz

CODES = (2, 65, 66, 74)
"""What a recipe that cannot be used may end with."""
VALUES = [
    *("", "null", "~", "true", "no", "0", "-1", "3", "007", "1e-4", "1e999", ".nan", "-.inf", "9" * 40, "1_000"),
    *("[]", "{}", "[1, 2]", "{a: 1}", "[[[]]]", "'x'", '"\\0"', '"\\ud800"', "*a", "&a 1", "!!int 3", "!x y", "0x1F"),
    *("${seed}", "${oc.env:HOME}", "os.system", "../../x", "/dev/zero", "sk-" + "a" * 30, "\xe9", "\u202e", "- a"),
    *("|", ">", "? a", "<<", "%YAML 1.1", "---", "...", "@a", "`a", "#", ":", ": ", "-", "\t", "\x00", "\x1b[31m"),
    *(
        "\ufeff",
        "2026-01-01",
        "\U0001f4a3",
        "9" * 5000,
        "-" + "9" * 5000,
        "1e" + "9" * 500,
        "." + "9" * 5000,
        "[" * 400,
    ),
    *('"a\\0b"', "~nosuchuser", "~nosuchuser/x", "~", "a" * 300, "/" + "a/" * 2000, "/proc/self/fd/0", "/dev/full"),
]
"""What is put in the place of a value, or anywhere."""
WORDS = ["rounds", "seed", "autonomy", "_target_", "hydra", "path", "level", "samples", "learning_rate", "weight"]


def words() -> list[str]:
    """The words of recipes: slots, methods and some options."""
    slots = registry.SLOTS
    return [*slots, *(name for slot in slots for name in registry.names(slot)), "defaults", "bench", *WORDS]


def mutated(text: str, known: Sequence[str], draw: random.Random) -> str:
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
                lines.insert(at, " " * draw.randrange(6) + draw.choice(known) + ": " + draw.choice(VALUES))
            case 3 | 4 if ":" in line:
                lines[at] = line.partition(":")[0] + ": " + draw.choice(VALUES)
            case 5 if line:
                cut = draw.randrange(len(line))
                lines[at] = line[:cut] + draw.choice([*VALUES, *known]) + line[cut + draw.randrange(3) :]
            case 6 if line:
                found = [word for word in known if word in line]
                lines[at] = line.replace(draw.choice(found), draw.choice(known)) if found else line
            case 7:
                lines[at : at + 1] = [draw.choice([" ", "  ", "\t", "- ", ""]) + line]
            case 8 if len(lines) > 1:
                other = draw.randrange(len(lines))
                lines[at], lines[other] = lines[other], line
            case _ if line:
                lines[at] = line[: draw.randrange(len(line))]
    return "\n".join(lines) + draw.choice(["\n", "", "\n\n", "\n\x00", "\n---\n"][: draw.choice([1, 1, 1, 5])])


def tried(text: str | bytes, path: Path, overrides: Sequence[str] = ()) -> str:
    """Compose, look at model and data, estimate; how that ended.

    Raises:
        AssertionError: it is refused in another way than promised.
        Exception: whatever is a bug.
    """
    path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
    with fuzz.shown(text):
        try:
            composed = compose.load(path, overrides)[0]
            checks.preflight(composed)
            cost.estimate(composed)
        except Exception as error:
            return fuzz.refused(error, CODES)
    return "composed"


@contextlib.contextmanager
def _open(scratch: Path) -> Iterator[fuzz.Try]:
    importlib.import_module("torch")  # a check of the device loads it, for seconds on a busy machine, once
    sources = [path.read_text(encoding="utf-8") for path in sorted(compose.shipped().glob("*.yaml"))]
    known = words()
    yield lambda draw: tried(mutated(draw.choice(sources), known, draw), scratch / "mine.yaml")


BORDER = fuzz.Border(promise="a recipe from a stranger composes, or is refused by one line", open=_open, in_ci=100)
