"""Why nothing was gained, and what to try: the first answers of "When nothing was certified" in docs/evaluation.md."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from selfimprove.records import measured
from selfimprove.report.verdicts import vetoes

MOSTLY_RIGHT = 0.95
"""Share of right labels below which labels are named as a reason."""


def reasons(summary: Mapping[str, Any], settings: Mapping[str, Any], place: str) -> tuple[str, str]:
    """(why nothing was gained, what to try), one line each.

    Args:
        summary: summary.json of a run without a gain.
        settings: the values of its recipe, as far as they are known.
        place: the run folder, for commands.
    """
    rounds = [line for line in summary.get("per_round", ()) if "decision" in line]
    loop, recipe = summary.get("loop", {}), summary["recipe"]
    if "nothing to train on" in summary.get("stopped", ""):
        return "selection kept nothing, so there was nothing to train on", "a lower threshold, or more samples"
    if not rounds:
        return "no round was decided", f"selfimprove resume {place} --add 3"
    if loop.get("certified"):
        seen = "certified on gate problems, but the sealed exam cannot tell it from the start"
        return seen, f"selfimprove run {recipe} sealed_problems={4 * summary['sealed']['n']}"
    if small := _too_few_problems(rounds, recipe):
        return small
    accepted = [line["round"] for line in rounds if line["decision"]["verdict"] == "accept"]
    if accepted:
        spent = loop.get("alpha") is not None and loop.get("alpha_spent", 0.0) >= 0.999 * loop["alpha"]
        more = f"selfimprove run {recipe} rounds={2 * len(rounds)}" if spent else f"selfimprove resume {place} --add 3"
        return f"{_models(len(accepted))} on trial, but not surely better on new problems", more
    return _harmed_or_mislabelled(rounds, settings, recipe)


def _too_few_problems(rounds: Sequence[Mapping[str, Any]], recipe: str) -> tuple[str, str] | None:
    """Whether a candidate was ahead, by less than the gate could detect."""
    ahead = [
        (numbers["delta"], numbers["detectable"], numbers["n"])
        for numbers in (line["decision"].get("statistics", {}) for line in rounds)
        if {"delta", "detectable", "n"} <= numbers.keys() and 0 < numbers["delta"] < numbers["detectable"]
    ]
    held = any(line["decision"]["verdict"] == "hold" for line in rounds)
    accepted = any(line["decision"]["verdict"] == "accept" for line in rounds)
    if not ahead or not held or accepted:
        return None
    delta, detectable, n = max(ahead)
    wanted = math.ceil(n * (detectable / delta) ** 2 / 100) * 100
    why = f"a candidate was ahead by {100 * delta:.1f} points; {n} problems show {100 * detectable:.0f} or more"
    return why, f"selfimprove run {recipe} gate_problems={min(wanted, 16 * n)}"


def _harmed_or_mislabelled(
    rounds: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], recipe: str
) -> tuple[str, str]:
    by = [name for line in rounds for name in vetoes(line["decision"], line.get("alerts", ()))]
    vetoed = sum(bool(vetoes(line["decision"], line.get("alerts", ()))) for line in rounds)
    right = precision(rounds)
    why, tries = list[str](), list[str]()
    if right is not None and right < MOSTLY_RIGHT:
        why.append(f"{100 * right:.0f} % of what it trained on was right")
        if "verifier" not in settings.get("reward", {}):
            tries.append("reward=verifier, if the task can check an answer")
    if vetoed:
        worst = max(dict.fromkeys(by), key=by.count)
        why.append(f"{worst} vetoed {vetoed} of {len(rounds)} candidates")
        tries.append("shorter training, or a lower learning rate")
    if why:
        return "; ".join(why), f"{tries[0] if tries else 'a stricter selection'}; more: docs/evaluation.md"
    scores = [(measured(dict(line), "candidate"), measured(dict(line), "champion")) for line in rounds]
    better = sum(new["value"] > old["value"] for new, old in scores if new and old)
    why = [f"{better} of {len(rounds)} candidates scored above the champion, none surely"]
    return why[0], f"selfimprove diagnose {recipe} says what there is to gain; or another method"


def precision(rounds: Sequence[Mapping[str, Any]]) -> float | None:
    """The share of all kept samples that are right; None if it is not known."""
    known = [
        (line["selection/label_precision"], line.get("selection/kept", 1))
        for line in rounds
        if line.get("selection/label_precision") is not None
    ]
    kept = sum(n for _, n in known)
    return sum(share * n for share, n in known) / kept if kept else None


def _models(n: int) -> str:
    return f"{n} model{'s were' if n > 1 else ' was'}"
