"""Alarms in few words: one line for each alarm of a round, and the alarms of a whole run in one line each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from selfimprove.report.letters import cut
from selfimprove.report.verdicts import vetoes

FEW = 6
"""Most rounds that a line names."""
_P = re.compile(r",? \(?p = [-+.\de]+\)?")


def lines(line: Mapping[str, Any], columns: int) -> list[str]:
    """`! round 3 forgetting, veto: level/5 fell by 6.6 points ...; 2 more`: one line for each alarm of a round."""
    stopped, found = vetoes(line["decision"], line["alerts"]) if "decision" in line else [], list[str]()
    for name, alerts in _by_name(line.get("alerts", ())).items():
        worst = max(alerts, key=lambda alert: alert["level"])
        more = f"; {len(alerts) - 1} more" if len(alerts) > 1 else ""
        head = f"! round {line['round']} {name}, {'veto' if name in stopped else 'alarm'}: "
        found.append(head + cut(_P.sub("", worst["text"]), columns - len(head) - len(more)) + more)
    return found


def of_run(rounds: Sequence[Mapping[str, Any]], known: int | None) -> list[str]:
    """The alarms of a run: `forgetting: veto in rounds 1, 2, 3, 5, alarm in 4`.

    Args:
        rounds: the lines of the rounds.
        known: how many alarms the recipe has; None if that is not known.
    """
    names = dict.fromkeys(alert["alarm"] for line in rounds for alert in line.get("alerts", ()))
    found = list[str]()
    for name in names:
        rang = [line for line in rounds if name in _by_name(line.get("alerts", ()))]
        grave = [line["round"] for line in rang if name in vetoes(line["decision"], line["alerts"])]
        mild = [line["round"] for line in rang if line["round"] not in grave]
        said = [f"veto in {_rounds(grave)}"] if grave else []
        found.append(f"{name}: " + ", ".join([*said, *([f"alarm in {_rounds(mild)}"] if mild else [])]))
    return found or [f"none of {known} rang" if known else "none rang"]


def _by_name(alerts: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found = dict[str, list[Mapping[str, Any]]]()
    for alert in alerts:
        found.setdefault(alert["alarm"], []).append(alert)
    return found


def _rounds(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - FEW} more" if len(numbers) > FEW else ""
    return f"round{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers[:FEW]))}{more}"
