"""The section Cost: where the time went, and what was drawn and trained."""

from __future__ import annotations

from collections.abc import Mapping

from selfimprove.loop import stages
from selfimprove.report.bar import STAGES
from selfimprove.report.page.facts import Facts
from selfimprove.report.page.markup import Html, bars, tag, terms
from selfimprove.report.page.numbers import count, percent, time

TESTS = ("evaluation", "audit", "gate", "confirmation", "null", "sealed")
"""Stages that measure, in another colour."""


def seconds(facts: Facts) -> dict[str, float]:
    """Seconds of each stage, over the whole run."""
    found = dict.fromkeys(stages.NAMED, 0.0)
    for line in facts.lines:
        for step, took in line.get("seconds", {}).items():
            found[step.partition(".")[0]] = found.get(step.partition(".")[0], 0.0) + took
        for step in stages.END:
            if step in facts.run.finished(line["round"]) and step not in line.get("seconds", {}):
                found[step] += facts.run.seconds(line["round"], step)
    return {stage: took for stage, took in found.items() if took}


def counted(facts: Facts, name: str) -> float:
    """A count such as `drawn_tokens`, over all steps of the run."""
    total = 0.0
    for line in facts.lines:
        for step in facts.run.finished(line["round"]):
            if step.partition(".")[0] in stages.NAMED:
                total += facts.run.manifest(line["round"], step).get("counts", {}).get(name, 0)
    return total


def box(facts: Facts) -> tuple[str, str, str]:
    """The cost for the verdict."""
    took = seconds(facts)
    whole = sum(took.values())
    tested = sum(took.get(stage, 0.0) for stage in TESTS)
    said = [f"{count(value)} {words}" for words, value in _work(facts).items() if value][:2]
    tests = f"{percent(tested / whole)} of the time for tests" if whole else ""
    return "Cost", time(whole), ", ".join(said) + (f"; {tests}" if said and tests else tests)


def _work(facts: Facts) -> Mapping[str, float]:
    steps = counted(facts, "steps") or sum(line.get("train/steps", 0) for line in facts.rounds)
    tokens = counted(facts, "drawn_tokens") or sum(line.get("acquisition/tokens", 0) for line in facts.rounds)
    return {"tokens drawn": tokens, "training steps": steps, "completions": counted(facts, "completions")}


def section(facts: Facts) -> Html:
    """Seconds by stage, the work behind them, and the machine."""
    took = seconds(facts)
    most, whole = max([*took.values(), 1e-9]), sum(took.values())
    rows = (
        (STAGES.get(stage, stage), time(value), value / most, "t" if stage in TESTS else "")
        for stage, value in took.items()
    )
    tested = sum(took.get(stage, 0.0) for stage in TESTS)
    note = tag("p", tag("span", class_="sw"), f" tests: {time(tested)} of {time(whole)}", class_="meta")
    then = facts.began
    device = {"": "CPU", "cuda": "GPU (CUDA)", "rocm": "GPU (ROCm)", "mps": "GPU (Apple)"}.get(
        then.get("accelerator", ""), ""
    )
    machine = ", ".join(
        part for part in (then.get("machine"), device, f"threads {then.get('threads', 'default')}") if part
    )
    pairs = [(words, count(value)) for words, value in _work(facts).items() if value]
    return tag(
        "section",
        tag("h2", "Cost"),
        tag("div", tag("div", bars(rows), note), tag("div", terms([*pairs, ("ran on", machine)])), class_="two even"),
        id=facts.id("cost"),
    )
