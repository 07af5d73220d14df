"""Compare our marks with those of published extractors on the same rows, and write the table of docs/marking.md.

Rows are JSON lines with rule, completion, reference and right; without FILE those of the tests. The others:

- lm-eval: the filters of its tasks gsm8k (flexible-extract), hendrycks_math, mmlu_pro and triviaqa, with their metrics.
  The package's own class for regex filters is used where it is installed; the patterns are those of its task files.
- math_verify: `verify(parse(reference), parse(completion))` and nothing else, for numbers and mathematics.
- simple-evals: the patterns after `Answer:` of its MMLU, MATH and MGSM.

With --check nothing is written, and the exit code is 1 if the page does not say what the rows say.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import re
import string
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from methods_table import ROOT, fill, table

from selfimprove.problems import answers

PAGE = ROOT / "docs" / "marking.md"
ROWS = sorted((ROOT / "tests" / "problems").glob("marking*.jsonl"))
Marker = Callable[[str, str, str], bool | None]
"""(kind of rule, reference, completion) -> whether it is right; None if the system has no such rule."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "files", type=Path, nargs="*", metavar="FILE", help="files with rows; the table is only printed"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page is not up to date")
    options = parser.parse_args()
    read = (file.read_text(encoding="utf-8").splitlines() for file in options.files or ROWS)
    text = compared([json.loads(line) for lines in read for line in lines])
    print(text)
    if options.files:
        return
    before = PAGE.read_text(encoding="utf-8")
    after = fill(before, "marking", text)
    if options.check and after != before:
        sys.exit(f"{PAGE.relative_to(ROOT)} is not up to date. Run: python scripts/compare_marking.py")
    if not options.check:
        PAGE.write_text(after, encoding="utf-8")


def compared(rows: list[dict[str, Any]]) -> str:
    """The table: for each rule and system how many rows it marks as they are due, and how many it accepts falsely."""
    marked = [row for row in rows if row["rule"] in answers.RULES]
    lines = []
    for rule in dict.fromkeys(
        row["rule"] for row in sorted(marked, key=lambda row: list(answers.RULES).index(row["rule"]))
    ):
        own = [row for row in marked if row["rule"] == rule]
        lines.append((rule, str(len(own)), *(_cell(system, own) for system in SYSTEMS.values())))
    lines.append(("all", str(len(marked)), *(_cell(system, marked) for system in SYSTEMS.values())))
    return table(("rule", "rows", *SYSTEMS), lines)


def _cell(system: Marker, rows: list[dict[str, Any]]) -> str:
    """Rows marked as they are due, and in brackets false accepts and false rejects."""
    found = [(system(row["rule"], row["reference"], row["completion"]), bool(row["right"])) for row in rows]
    known = [pair for pair in found if pair[0] is not None]
    if not known:
        return "-"
    accepts, rejects = (sum(given is way and due is not way for given, due in known) for way in (True, False))
    return f"{len(known) - accepts - rejects} of {len(known)} (+{accepts}, -{rejects})"


# ---- ours ---------------------------------------------------------------------------------------------------------
def ours(rule: str, reference: str, text: str) -> bool:
    """The mark of this package."""
    return answers.mark(rule, reference, text) == 1.0


# ---- lm-eval's filters --------------------------------------------------------------------------------------------
NUMBER = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"
"""gsm8k.yaml, flexible-extract."""
LETTER = r"answer is \(?([ABCDEFGHIJ])\)?"
"""mmlu_pro's _default_template_yaml, custom-extract."""


def lm_eval(rule: str, reference: str, text: str) -> bool:
    """The filter and the metric of lm-eval's task for a rule."""
    match answers.RULES[rule]:
        case "number":
            gold = reference.rpartition("####")[2].strip()
            return _plain_number(_regex(NUMBER, text, -1)) == _plain_number(gold)
        case "choice":
            return _regex(LETTER, text, 0) == reference.strip("().")
        case "math":
            return _hendrycks(text) == _stripped(_unboxed(reference) or reference)
        case _:
            return _bare(text) == _bare(reference)


def _regex(pattern: str, text: str, group: int) -> str:
    """What lm-eval's regex filter takes of a text; "[invalid]" if nothing matches."""
    with contextlib.suppress(ImportError):
        from lm_eval.filters.extraction import RegexFilter  # pyright: ignore[reportMissingImports]

        kept = RegexFilter(pattern, group_select=group, fallback="[invalid]")
        return next(iter(next(iter(kept.apply([[text]], [{}])))))
    found = re.findall(pattern, text)
    if not found:
        return "[invalid]"
    one = found[group]
    return (next((part for part in one if part), "[invalid]") if isinstance(one, tuple) else one).strip()


def _plain_number(text: str) -> str:
    """gsm8k's regexes_to_ignore."""
    return re.sub(r"(?s).*#### |,|\$|\.$", "", text).lower()


def _bare(text: str) -> str:
    """exact_match with ignore_case and ignore_punctuation."""
    return text.lower().translate(str.maketrans("", "", string.punctuation)).strip()


def _unboxed(text: str) -> str | None:
    """The last box of a text, as `last_boxed_only_string` and `remove_boxed` find it."""
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        return None
    depth, begin = 0, text.index("{", start)
    for place in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[begin + 1 : place]
    return None


def _hendrycks(text: str) -> str:
    """The answer of a completion: the last box, else what stands between the first and the last dollar sign."""
    if (boxed := _unboxed(text)) is not None:
        return _stripped(boxed)
    signs = [place for place, char in enumerate(text) if char == "$"]
    return _stripped(text[signs[0] + 1 : signs[-1]] if len(signs) > 1 else text)


def _stripped(text: str) -> str:
    """`strip_string`: the normal form that hendrycks_math compares."""
    for old, new in (
        ("\n", ""),
        ("\\!", ""),
        ("\\\\", "\\"),
        ("tfrac", "frac"),
        ("dfrac", "frac"),
        ("\\left", ""),
        ("\\right", ""),
    ):
        text = text.replace(old, new)
    for old in ("^{\\circ}", "^\\circ", "\\$", "\\%", "%"):
        text = text.replace(old, "")
    text = text.split("\\text{ ")[0] if "\\text{ " in text else text
    text = text.replace(" .", " 0.").replace("{.", "{0.")
    text = "0" + text if text.startswith(".") else text
    sides = text.split("=")
    text = sides[1] if len(sides) == 2 and len(sides[0]) <= 2 else text
    text = re.sub(r"\\sqrt(\w)", r"\\sqrt{\1}", text).replace(" ", "")
    text = re.sub(r"\\frac(\w)(\w)", r"\\frac{\1}{\2}", text)
    text = "\\frac{1}{2}" if text == "0.5" else text
    return re.sub(r"^(-?\d+)/(\d+)$", r"\\frac{\1}{\2}", text)


# ---- math_verify and simple-evals -----------------------------------------------------------------------------------
def math_verify(rule: str, reference: str, text: str) -> bool | None:
    """math_verify alone, with what it takes by default."""
    if answers.RULES[rule] not in ("math", "number"):
        return None
    import math_verify as library

    logging.disable(logging.CRITICAL)
    try:
        gold = library.parse(reference if answers.RULES[rule] == "number" else f"\\boxed{{{reference}}}")
        return library.verify(gold, library.parse(text))
    except Exception:
        return False


def simple_evals(rule: str, reference: str, text: str) -> bool:
    """What stands after `Answer:`, as simple-evals reads it."""
    match answers.RULES[rule]:
        case "choice":
            found = re.search(r"(?i)Answer[ \t]*:[ \t]*\$?([A-J])\$?", text)
            return found is not None and found[1].upper() == reference.strip("().").upper()
        case "number":
            after = text.split("Answer:")[-1] if "Answer:" in text else ""
            numbers = re.findall(r"\d+\.?\d*", after.replace(",", ""))
            gold = reference.rpartition("####")[2].strip().replace(",", "")
            return bool(numbers) and numbers[-1].rstrip(".").removesuffix(".0") == gold
        case "math":
            found = re.search(r"(?i)Answer\s*:\s*([^\n]+)", text)
            return found is not None and _stripped(found[1].strip(" $.")) == _stripped(reference)
        case _:
            found = re.search(r"(?i)Answer\s*:\s*([^\n]+)", text)
            return found is not None and _bare(found[1]) == _bare(reference)


SYSTEMS: dict[str, Marker] = {
    "ours": ours,
    "lm-eval's filters": lm_eval,
    "math_verify": math_verify,
    "simple-evals": simple_evals,
}


if __name__ == "__main__":
    main()
