"""The result of a finished run: summary.json and its verdict."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from selfimprove.loop.certificate import certificate_of
from selfimprove.loop.history import Stored
from selfimprove.measures import statistics
from selfimprove.measures.alpha import used
from selfimprove.recipe.legs import legs_of
from selfimprove.records import VERDICTS, Report


def summarize(stored: Stored, last: int, stopped: str) -> dict[str, Any]:
    """The content of summary.json, from the finished steps of a run with the sealed exam after round `last`."""
    start, champion = stored.report(last, "start", "sealed"), stored.report(last, "champion", "sealed")
    old = list(start.scores.values())
    new = [champion.scores[key] for key in start.scores]
    delta, (better, worse) = statistics.difference(new, old), statistics.discordant(new, old)
    sealed = {
        "n": len(old),
        "measure": start.measure,
        "start": sum(old) / len(old),
        "champion": sum(new) / len(new),
        "delta": delta.value,
        "ci": [delta.low, delta.high],
        "p": statistics.mcnemar_two_sided(better, worse),
        "champion_round": stored.standing(last + 1).champion,
        "reads": len(list(stored.folder.root.glob("round_*/sealed"))) + (stored.branch.exams if stored.branch else 0),
        "controls": stored.controls(last),
        **({"adapted": True} if _adapted(stored) else {}),
    }
    lines = [{**stored.line(number), "seconds": stored.seconds(number)} for number in range(last + 1)]
    exams = [step for step in ("confirmation", "null", "sealed") if stored.folder.step(last, step).exists()]
    seconds = sum(sum(line["seconds"].values()) for line in lines)
    return {
        "recipe": stored.environment["recipe"],
        "seed": stored.recipe.seed,
        "rounds": last,
        "seconds": seconds + sum(stored.folder.seconds(last, step) for step in exams),
        "verdict": verdict(sealed),
        "stopped": stopped,
        "sealed": sealed,
        "metrics": {who: _values(stored.report(last, who, "sealed")) for who in ("start", "champion")},
        "loop": _loop_counts(stored, last, sealed["champion"]),
        "per_round": lines,
        **({"agreement": agreed} if (agreed := certificate_of(stored)) else {}),
    }


def in_bytes(size: int) -> str:
    """A size in readable units."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _values(report: Report) -> dict[str, Any]:
    return {name: asdict(metric) for name, metric in report.metrics.items()}


def _loop_counts(stored: Stored, last: int, champion: float) -> dict[str, Any]:
    """The decisions of the loop, and the difference between the champion's last gate score and its sealed score."""
    rounds = range(1, last + 1)
    verdicts = [stored.decision(number) for number in rounds]
    decisions = [said for number in rounds for said in (stored.decision(number), stored.confirmation(number)) if said]
    gate, planned = stored.recipe.the("gate"), stored.recipe.rounds
    maker = stored.standing(last + 1).champion
    seen = [
        stored.report(last, who, step).scores
        for step in ("confirmation", "evaluation")
        for who in ("incumbent", "candidate", "champion")
        if (stored.folder.step(last, step) / f"{who}.json").exists() and stored.made(last, who, step) == maker
    ]
    return {
        "candidates": len(rounds),
        **{word: sum(decision.verdict == word for decision in verdicts) for word in VERDICTS},
        "certified": sum(d.certified or d.verdict == "certify" for d in decisions),
        "alpha": gate.error_rate(),
        "alpha_spent": used(decisions, last > planned or any(stored.confirmation(number) for number in range(1, last))),
        "gate_minus_sealed": sum(seen[0].values()) / len(seen[0]) - champion if seen and seen[0] else None,
        "held_out_dropped": sum(
            int(stored.counts(number).get(f"{leg.step('acquisition')}/held_out_dropped", 0))
            for number in rounds
            for leg in legs_of(stored.recipe)
        ),
        "alerts": [{"round": number, **asdict(alert)} for number in rounds for alert in stored.alerts(number)],
    }


def _adapted(stored: Stored) -> bool:
    """Whether weights were adapted on the questions of the sealed exam."""
    joint = any(method.joint for method in stored.recipe.refinement.values())
    return joint or any("adapted" in entry and entry["split"] == "sealed" for entry in stored.ledger.entries())


def verdict(sealed: dict[str, Any]) -> str:
    """The outcome of the sealed exam in one sentence."""
    measure = sealed.get("measure", "accuracy").replace("_", " ")
    again = f", sealed problems read {sealed['reads']} times" if sealed["reads"] > 1 else ""
    again += ", adapted on the exam's questions, without answers" if sealed.get("adapted") else ""
    if sealed["champion_round"] == 0:
        share = f"{measure} {sealed['start']:.2f} (n = {sealed['n']}{again})"
        return f"no significant gain: the start stays champion, {share}"
    low, high = (100 * bound for bound in sealed["ci"])
    p = f"exact p = {sealed['p']:.2g}" if sealed["p"] >= 1e-6 else "exact p < 1e-6"
    change = (
        f"{measure} {sealed['start']:.2f} -> {sealed['champion']:.2f} ({100 * sealed['delta']:+.1f} points, "
        f"95 % CI {low:+.1f} to {high:+.1f}, {p}, n = {sealed['n']}{again})"
    )
    return change if low > 0 and sealed["p"] < 0.05 else f"no significant gain: {change}"
