"""Plots by matplotlib (extra `plot`): a leaderboard of recipes, the rounds of runs, refinements by their tokens."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfimprove.errors import RecipeError
from selfimprove.measures.equal_tokens import Findings
from selfimprove.records import measured
from selfimprove.store import durable

KINDS = (".svg", ".png", ".pdf")


def available() -> bool:
    """Whether matplotlib is installed."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def leaderboard(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """The sealed gain of each recipe in points with its 95 % interval; hollow unless the interval is above zero.

    Args:
        rows: from `leaderboard.row_of`; rows without a finished run are left out.
        path: the picture; its suffix gives the format.
    """
    shown = [row for row in reversed(rows) if row["gain"]]
    figure, axes = _figure(0.32 * len(shown) + 1.0)
    for height, row in enumerate(shown):
        gain = {name: 100 * row["gain"][name] for name in ("value", "low", "high")}
        sure = gain["low"] > 0
        axes.plot([gain["low"], gain["high"]], [height, height], color="C0" if sure else "0.6", linewidth=2)
        axes.plot(gain["value"], height, "o", color="C0" if sure else "0.6", fillstyle="full" if sure else "none")
    axes.axvline(0, color="0.3", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [row["recipe"] for row in shown])
    axes.set_xlabel("sealed gain in points, with 95 % interval")
    _save(figure, path)


def rounds(summaries: Mapping[str, dict[str, Any]], path: Path) -> None:
    """The score on gate problems by round: candidates as dots with 95 % intervals, the champion as a line.

    Args:
        summaries: name to show -> summary.json of a finished run.
        path: the picture; its suffix gives the format.
    """
    figure, axes = _figure(3.6)
    for number, (name, summary) in enumerate(summaries.items()):
        lines, color = summary["per_round"], f"C{number}"
        champion = [(line["round"], measured(line, "champion")["value"]) for line in lines]
        axes.plot(*zip(*champion, strict=True), color=color, label=f"{name}: champion; dots: candidates")
        tried = [(line["round"], found) for line in lines if (found := measured(line, "candidate"))]
        values = [found["value"] for _, found in tried]
        low, high = ([abs(found[end] - found["value"]) for _, found in tried] for end in ("low", "high"))
        axes.errorbar([at for at, _ in tried], values, yerr=[low, high], fmt="o", color=color, capsize=2)
    axes.set_xlabel("round")
    measures = {line.get("measure", "accuracy") for summary in summaries.values() for line in summary["per_round"]}
    axes.set_ylabel(f"{' or '.join(sorted(measures)).replace('_', ' ')} on fresh gate problems")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    _save(figure, path)


def frontier(findings: Findings, path: Path) -> None:
    """Accuracy against tokens of an answer: the fixed vote as a line, methods as dots with 95 % intervals; hollow if
    they are dominated.

    Args:
        path: the picture; its suffix gives the format.
    """
    figure, axes = _figure(4.2)
    votes = [(samples * findings.one, accuracy.value) for samples, accuracy in findings.curve]
    axes.plot(*zip(*votes, strict=True), color="0.5", marker=".", label="a vote of 1, 2, 4, ... samples")
    names = dict.fromkeys(row.name for row in findings.rows)
    for number, name in enumerate(names):
        rows = [row for row in findings.rows if row.name == name]
        color, mark = f"C{number % 10}", "osD^v"[number // 10 % 5]
        axes.plot([row.tokens for row in rows], [row.accuracy.value for row in rows], color=color, linewidth=0.8)
        for place, row in enumerate(rows):
            axes.plot([row.tokens] * 2, [row.accuracy.low, row.accuracy.high], color=color, linewidth=0.8)
            style = "none" if row.worth.dominated else "full"
            label = None if place else name
            axes.plot(row.tokens, row.accuracy.value, mark, color=color, fillstyle=style, label=label)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlabel("tokens of an answer")
    axes.set_ylabel(f"accuracy on {findings.problems} selection problems")
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, path)


def _figure(height: float) -> tuple[Any, Any]:
    if not available():
        raise RecipeError("plots need matplotlib: pip install 'selfimprove[plot]'")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="0.92")
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    if path.suffix not in KINDS:
        raise RecipeError(f"{path} is not a plot file; use a name that ends in {', '.join(KINDS)}")
    import matplotlib

    drawn = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "selfimprove", "svg.fonttype": "none"}):
        dated = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(drawn, format=path.suffix[1:], metadata=dated)
    durable.mkdir(path.parent)
    durable.write(path, drawn.getvalue())
