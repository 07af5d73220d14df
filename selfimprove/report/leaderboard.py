"""Many runs in one table."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from selfimprove.recipe import compose

COLUMNS = (
    *("recipe", "paper", "seeds", "start", "champion", "sealed gain", "certified", "over votes", "labels right"),
    *("pass@k", "tokens", "seconds", "alarms"),
)
"""The columns of the leaderboard."""


def row_of(name: str, summaries: Sequence[dict[str, Any]], failed: Sequence[int] = ()) -> dict[str, Any]:
    """The leaderboard's row for the finished runs of a recipe.

    Returns:
        gain: the mean over seeds with Student's 95 % interval; for one seed, the gain of its exam; None without a run.
    """
    row: dict[str, Any] = {
        "recipe": Path(name).stem,
        "paper": _paper(name),
        "seeds": [summary["seed"] for summary in summaries],
        "failed": list(failed),
        "gain": None,
    }
    if not summaries:
        return row
    sealed = [summary["sealed"] for summary in summaries]
    last = [summary["per_round"][-1] for summary in summaries]
    controls = [exam["controls"]["over_votes"]["value"] for exam in sealed if "over_votes" in exam.get("controls", {})]
    precisions = [line["selection/label_precision"] for line in last if "selection/label_precision" in line]
    champions = [s["per_round"][exam["champion_round"]] for s, exam in zip(summaries, sealed, strict=True)]
    largest = [found for line in champions if (found := _pass_at_k(line)) is not None]
    alarms = [alert["alarm"] for s in summaries for alert in s["loop"]["alerts"] if alert["level"] >= 2]
    return row | {
        "start": fmean(exam["start"] for exam in sealed),
        "champion": fmean(exam["champion"] for exam in sealed),
        "gain": _gain(sealed),
        "certified": sum(exam["champion_round"] > 0 and exam["ci"][0] > 0 for exam in sealed),
        "over_votes": fmean(controls) if controls else None,
        "label_precision": fmean(precisions) if precisions else None,
        "pass@k": fmean(largest) if len(largest) == len(champions) else None,
        "tokens": fmean(
            sum(line.get("acquisition/tokens", 0) for line in summary["per_round"]) for summary in summaries
        ),
        "seconds": fmean(summary["seconds"] for summary in summaries),
        "alarms": {alarm: alarms.count(alarm) for alarm in sorted(set(alarms))},
    }


def _gain(sealed: Sequence[dict[str, Any]]) -> dict[str, float]:
    if len(sealed) == 1:
        return {"value": sealed[0]["delta"], "low": sealed[0]["ci"][0], "high": sealed[0]["ci"][1]}
    from scipy.stats import t

    gains = [exam["delta"] for exam in sealed]
    average, half = fmean(gains), float(t.ppf(0.975, len(gains) - 1)) * stdev(gains) / math.sqrt(len(gains))
    return {"value": average, "low": average - half, "high": average + half}


def _pass_at_k(line: dict[str, Any]) -> float | None:
    ladder = line.get("diagnosis", {}).get("ladder", {})
    names = [name for name in ladder if name.startswith("pass@")]
    return ladder[max(names, key=lambda name: int(name.removeprefix("pass@")))] if names else None


def _paper(name: str) -> str:
    """The arXiv id in the comment at the head of a recipe."""
    found = re.search(r"arXiv:(\d{4}\.\d{5})", compose.find(name).read_text(encoding="utf-8"))
    return found[1] if found else ""


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The leaderboard as lines of Markdown.

    A row with `since` was made before the recipe, a method or a rule changed as that text says. It is marked, and the
    reasons stand below the table.
    """
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + " --- |" * len(COLUMNS)]
    for row in rows:
        paper = f"[{row['paper']}](https://arxiv.org/abs/{row['paper']})" if row["paper"] else ""
        seeds = ", ".join([*map(str, row["seeds"]), *(f"{seed} failed" for seed in row["failed"])])
        cells = [f"`{row['recipe']}`{' †' if row.get('since') else ''}", paper, seeds]
        if row["gain"]:
            low, high = 100 * row["gain"]["low"], 100 * row["gain"]["high"]
            alarms = ", ".join(f"{alarm} ({count})" for alarm, count in row["alarms"].items())
            cells += [f"{row['start']:.3f}", f"{row['champion']:.3f}"]
            cells += [f"{100 * row['gain']['value']:+.1f} [{low:+.1f}, {high:+.1f}]"]
            cells += [f"{row['certified']} of {len(row['seeds'])}", _signed(row["over_votes"])]
            cells += ["" if row[name] is None else f"{row[name]:.2f}" for name in ("label_precision", "pass@k")]
            cells += [f"{row['tokens'] / 1000:.0f}k", f"{row['seconds']:.0f}", alarms]
        lines.append(f"| {' | '.join([*cells, *[''] * (len(COLUMNS) - len(cells))])} |")
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.get("since"):
            reasons.setdefault(row["since"], []).append(f"`{row['recipe']}`")
    older = [f"- {', '.join(names)}: {why}." for why, names in reasons.items()]
    return [*lines, "", "† made before these changes:", "", *older] if older else lines


def _signed(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.1f}"
