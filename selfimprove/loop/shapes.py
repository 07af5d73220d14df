"""The shapes of the JSON files in a run folder, see `store/shape.py`: what is read from them has these types.

They hold what the program relies on, no more, so the files of older versions fit as well.
"""

from __future__ import annotations

from typing import Any

from selfimprove.records import VERDICTS
from selfimprove.store.shape import MAYBE, METRIC, NUMBER, PAIR

_METHODS = {str: (dict, type(None))}
SETTINGS = {"seed": int, "task": _METHODS, "engine": _METHODS}
ENVIRONMENT = {
    "settings": SETTINGS,
    "recipe?": str,
    "versions?": {str: str},
    "python?": str,
    "machine?": str,
    "threads?": str,
    "accelerator?": str,
    "tier?": str,
    "deterministic?": bool,
    "marking?": int,
    "data?": {str: {"path": str, "sha256": str}},
    "accepted?": [{"round": int, "overrides": dict}],
    "changes?": list,
}
_PAIR = {"b": int, "c": int}
DECISION = {
    "verdict": str,
    "reason": str,
    "certified?": bool,
    "statistics?": {
        "alpha_r?": NUMBER,
        "b?": int,
        "c?": int,
        "incumbent?": _PAIR,
        "fallen?": [str],
    },
}
ALERT = {"alarm": str, "level": int, "text": str, "numbers?": {str: NUMBER}}
NEXT = {"overrides?": {str: (str, int, float, bool, list, dict, type(None))}, "stop?": str}
_GAP = {"value": NUMBER, "ci": PAIR, "error?": NUMBER, "n?": int}
DIAGNOSIS = MAYBE({"ladder?": {str: NUMBER}, "gap?": {str: _GAP}, "memorization?": MAYBE(_GAP)})
_RELIABILITY = {"youden": MAYBE(METRIC), "auc": MAYBE(METRIC)}
JUDGES = {str: {"judge": _RELIABILITY, "start": _RELIABILITY, "drift": {str: METRIC}, "short": bool}}
CONTROLS = {
    "samples?": int,
    "drawn?": int,
    "problems?": int,
    **dict.fromkeys(("start?", "votes?", "champion?", "over_votes?", "null?"), METRIC),
    "equal_tokens?": {
        **{"samples": int, "tokens": NUMBER, "votes_tokens": NUMBER, "problems": int},
        **dict.fromkeys(("refined", "votes", "plain", "over_votes"), METRIC),
    },
}
AGREEMENT = {
    **dict.fromkeys(("engine", "dtype"), str),
    **dict.fromkeys(("prompts", "same_texts", "tokens", "same_tokens"), int),
    **dict.fromkeys(("mean_difference", "largest_difference"), NUMBER),
}
REPORT = {"metrics": {str: METRIC}, "scores": {str: NUMBER}, "measure?": str, "parts": {str: {str: NUMBER}}}
CHECKPOINT = {"path": str, "base?": MAYBE(str), "adapter?": bool, "parts?": {str: str}}
LINE = {
    "round": int,
    "measure?": str,
    "alerts?": [ALERT],
    "decision?": DECISION,
    "seconds?": {str: NUMBER},
    "diagnosis?": DIAGNOSIS,
    "selection/label_precision?": NUMBER,
    "acquisition/tokens?": NUMBER,
}
SUMMARY = {
    "recipe": str,
    "seed": int,
    "rounds": int,
    "seconds?": NUMBER,
    "verdict?": str,
    "stopped?": str,
    "sealed": {
        **{"n": int, "start": NUMBER, "champion": NUMBER, "delta": NUMBER, "ci": PAIR, "champion_round": int},
        "controls?": CONTROLS,
    },
    "metrics?": {"start": {str: METRIC}, "champion": {str: METRIC}},
    "loop?": {"alerts": [{**ALERT, "round": int}]},
    "per_round?": [LINE],
    "agreement?": AGREEMENT,
}


def odd_decision(said: dict[str, Any]) -> str:
    """What a decision says that no gate says, in words; "" if nothing."""
    return "" if said["verdict"] in VERDICTS else f"verdict {said['verdict'][:40]!r} is none of {', '.join(VERDICTS)}"
