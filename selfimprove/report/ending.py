"""The end of a run in a few lines: the verdict, what could make it wrong, the cost, the champion, what to type next.

It is made from the run folder alone, so that `report` shows again what `run` showed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError
from selfimprove.loop import shapes, stages
from selfimprove.loop.agreement import told
from selfimprove.report import alarms, reasons
from selfimprove.store.shape import read

MOST = 4
"""Metrics of the exam that a line names."""


@dataclass(frozen=True)
class Part:
    """A line of the block: a label, or the word of the verdict, and what it says."""

    label: str
    text: str
    style: str = ""
    main: bool = False
    """Whether it is the verdict, or a command, which has no label of its own."""


def settings_of(folder: Path) -> dict[str, Any]:
    """The values of a run's recipe, as it began; {} if the folder does not have them."""
    path = folder / "environment.json"
    return dict(read(path, shapes.ENVIRONMENT)["settings"]) if path.exists() else {}


def gained(summary: Mapping[str, Any]) -> bool:
    """Whether the sealed exam shows a gain."""
    sealed = summary["sealed"]
    return bool(sealed["champion_round"] and sealed["ci"][0] > 0 and sealed.get("p", 0.0) < 0.05)


def block(summary: Mapping[str, Any], folder: Path) -> list[Part]:
    """The end of a finished run.

    Args:
        summary: its summary.json.
        folder: the run folder, as commands name it.

    Raises:
        DataError: a file of the run is damaged.
    """
    settings = settings_of(folder)
    parts = [_verdict(summary)]
    if summary.get("stopped"):
        parts.append(Part("stopped", f"after round {summary['rounds']}: {summary['stopped']}"))
    parts += [Part(label, text) for label, text in _doubts(summary, settings)]
    parts.append(Part("cost", _cost(summary, folder)))
    parts.append(Part("champion", f"{folder / 'champion'}, {_maker(summary['sealed']['champion_round'])}"))
    if (folder / "report.html").exists():
        parts.append(Part("page", f"{folder / 'report.html'}, to look at in a browser"))
    if not gained(summary):
        parts += map(Part, ("why", "try"), reasons.reasons(summary, settings, str(folder)))
    return parts


def commands(summary: Mapping[str, Any], folder: Path) -> list[str]:
    """What to type next: at most three commands."""
    seen = [f"selfimprove samples {folder}"]
    if not gained(summary):
        return seen
    return [*seen, f"selfimprove eval {folder}", f"selfimprove resume {folder} --add 3"]


def _verdict(summary: Mapping[str, Any]) -> Part:
    """The outcome of the sealed exam in one sentence."""
    sealed = summary["sealed"]
    measure = sealed.get("measure", "accuracy").replace("_", " ")
    n = f"{sealed['n']} sealed problems"
    n += f", read {sealed['reads']} times" if sealed.get("reads", 1) > 1 else ""
    n += ", adapted on their questions" if sealed.get("adapted") else ""
    if not sealed["champion_round"]:
        return Part("NO GAIN", f"the start stays champion, {measure} {sealed['start']:.3f} on {n}", "bold", main=True)
    change = f"{measure} {sealed['start']:.3f} → {sealed['champion']:.3f}   {points(sealed['delta'], sealed['ci'])}"
    p = f"   p {_p(sealed['p'])}" if "p" in sealed else ""
    said = gained(summary)
    return Part("GAIN" if said else "NO GAIN", f"{change}{p}   {n}", "bold green" if said else "bold", main=True)


def _p(p: float) -> str:
    return "< 1e-6" if p < 1e-6 else f"= {p:.2g}"


def points(delta: float, ci: Any) -> str:
    """`+33.1 points [+30.0, +36.2]`."""
    return f"{100 * delta:+.1f} points [{100 * ci[0]:+.1f}, {100 * ci[1]:+.1f}]"


def _doubts(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What could make the verdict wrong, or qualifies it."""
    yield from _controls(summary["sealed"].get("controls", {}))
    if elsewhere := _elsewhere(summary):
        yield "elsewhere", elsewhere
    rounds = summary.get("per_round", ())
    known = len(settings["alarm"]) if "alarm" in settings else None
    for place, text in enumerate(alarms.of_run(rounds, known)):
        yield ("" if place else "alarms"), text
    right = reasons.precision([line for line in rounds if "decision" in line])
    if right is not None and (gained(summary) or right >= reasons.MOSTLY_RIGHT):  # else it stands under `why`
        yield "labels", f"{100 * right:.0f} % of what it trained on was right"
    loop = summary.get("loop", {})
    if "certified" in loop:
        yield "certificates", _certificates(loop)
    if "agreement" in summary:
        yield "engine", told(summary["agreement"])


def _certificates(loop: Mapping[str, Any]) -> str:
    said = f"{loop['certified']} of {loop['candidates']} models"
    if loop.get("alpha") is None:
        return f"{said}; this gate bounds no chance of a false one"
    chance = f"chance of any false one ≤ {loop['alpha']:g}, {loop['alpha_spent']:.2g} spent"
    return f"{said}; {chance}: docs/evaluation.md"


def _controls(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The controls that the gain is compared with."""
    if "over_votes" in found:
        votes = f"start with {found['samples']} votes {found['votes']['value']:.3f}"
        yield (
            "equal compute",
            f"{votes}, champion {found['champion']['value']:.3f}: {_gap(found['over_votes'])}, "
            f"{found['problems']} problems",
        )
    if "null" in found:
        yield "shuffled", f"the same training on shuffled rewards: {_gap(found['null'])} over the start"
    if priced := found.get("equal_tokens"):
        yield (
            "equal tokens",
            f"{priced['tokens']:.0f} an answer: refined {priced['refined']['value']:.3f}, {priced['samples']} votes "
            f"{priced['votes']['value']:.3f} ({priced['votes_tokens']:.0f} tokens), one sample "
            f"{priced['plain']['value']:.3f}: {_gap(priced['over_votes'])} over votes, {priced['problems']} problems",
        )


def _gap(metric: Mapping[str, Any]) -> str:
    value, low, high = (100 * metric[name] for name in ("value", "low", "high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def _elsewhere(summary: Mapping[str, Any]) -> str:
    """The other metrics of the exam, start and champion, and which of them surely got worse."""
    start, champion = (summary.get("metrics", {}).get(who, {}) for who in ("start", "champion"))
    measure = summary["sealed"].get("measure", "accuracy")
    names = [name for name in start if name != measure and name in champion]
    cut = max(one.get("truncated", {}).get("value", 0.0) for one in (start, champion))
    names = [name for name in names if name != "truncated" or cut > 0.004]
    if not names:
        return ""
    said = [f"{_name(name)} {start[name]['value']:.2f} → {champion[name]['value']:.2f}" for name in names[:MOST]]
    more = [f"{len(names) - MOST} more"] if len(names) > MOST else []
    worse = [_name(name) for name in names if _worse(name, start[name], champion[name])]
    sure = f"surely worse: {', '.join(worse)}" if worse else "no sure fall"
    return f"{', '.join([*said, *more])}" + (f"; {sure}" if summary["sealed"]["champion_round"] else "")


def _worse(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether the intervals do not overlap, in the wrong direction."""
    return now["low"] > before["high"] if name == "truncated" else now["high"] < before["low"]


def _name(metric: str) -> str:
    return "cut off" if metric == "truncated" else metric


def _cost(summary: Mapping[str, Any], folder: Path) -> str:
    """Seconds, tokens and training steps of a run; of an older run without the counts, the seconds."""
    counts = [_counts(folder, summary["rounds"], stage) for stage in stages.END]
    lines = [line for line in summary.get("per_round", ()) if "decision" in line]
    tokens = sum(_sum(line, "drawn_tokens") for line in lines) + sum(one.get("drawn_tokens", 0) for one in counts)
    steps = sum(_sum(line, "steps") for line in lines) + sum(one.get("steps", 0) for one in counts)
    steps = steps or sum(line.get("train/steps", 0) for line in lines)
    said = [_time(summary["seconds"])] if "seconds" in summary else []
    said += [f"{_number(tokens)} tokens drawn"] if tokens else []
    return ", ".join([*said, *([f"{steps:,.0f} training steps"] if steps else [])]) or "not known"


def _sum(line: Mapping[str, Any], count: str) -> float:
    """A count of the steps of a round, over all of them."""
    keys = (key.rpartition("/") for key in line)
    return sum(line[f"{step}/{last}"] for step, _, last in keys if last == count and _is_step(step))


def _is_step(name: str) -> bool:
    return name.partition(".")[0] in stages.NAMED


def _counts(folder: Path, number: int, stage: str) -> dict[str, Any]:
    """The counts of a step of the end; {} if it was not needed, or is not there."""
    path = folder / f"round_{number:03d}" / stage / "step.json"
    try:
        return dict(foreign.json_in(path).get("counts", {}))
    except (OSError, DataError, AttributeError, TypeError, ValueError):
        return {}


def _number(n: float) -> str:
    return f"{n / 1e6:.2f} million" if n >= 1e5 else f"{n:,.0f}"


def _time(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _maker(number: int) -> str:
    return f"the model of round {number}" if number else "the start, as round 0 built it"
