"""The tables of docs/refinement.md, from what `selfimprove refine --json` printed; results_table.py fills them in."""

from __future__ import annotations

from typing import Any

from methods_table import table

from selfimprove.report.refinement import WORDS


def refinements(found: dict[str, Any]) -> str:
    """Refinements against one greedy answer and against votes, as `selfimprove refine --json` printed them."""
    rows = sorted(found["methods"], key=lambda row: (-row["accuracy"]["value"], row["tokens"]))
    lines = [
        (
            f"`{row['name']}`" + (f" within {row['budget']}" if row["budget"] else ""),
            f"{row['tokens']:.0f}",
            f"{row['completions'] + row['calls']:.1f}",
            f"{row['accuracy']['value']:.3f}",
            _interval(row["against_greedy"]),
            _interval(row["against_votes"]),
            WORDS[row["dominated_by"] or ""],
        )
        for row in rows
    ]
    heads = ("method", "tokens", "calls", "accuracy", "over greedy", "over votes of as many tokens", "dominated")
    # a vote differs from one of as many tokens by the rounding of its tokens only: a gain below the last digit is none
    better = {
        name: [row for row in rows if row[f"against_{name}"] and row[f"against_{name}"]["low"] >= 5e-4]
        for name in ("greedy", "votes")
    }
    many = ", ".join(f"{len(some)} above {name}" for name, some in better.items())
    curve = ", ".join(f"{one['samples']}: {one['accuracy']['value']:.3f}" for one in found["votes"])
    head = f"{found['problems']} problems, seed {found['seed']}; {len(rows)} rows, by the interval {many}. "
    said = [f"{head}Accuracy of a vote by samples, {found['plain']['tokens']:.0f} tokens each: {curve}.", ""]
    said.append(table(heads, lines))
    if found["left_out"]:
        said += ["", "Left out:", "", *(f"- `{one['name']}`: {one['reason']}" for one in found["left_out"])]
    return "\n".join(said)


def _interval(found: dict[str, float] | None) -> str:
    """A difference in points with its 95 % interval."""
    if found is None:
        return ""
    return f"{_points(found['difference'])} [{_points(found['low'])}, {_points(found['high'])}]"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
