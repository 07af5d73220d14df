"""A recipe to begin with: a shipped one with comments on what to change, or a small one that builds on it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HEAD = (
    "A copy of the shipped recipe {name}. Lines with `#>` say what to change for your own model and data.",
    "`recipe_schema` and `_self_` may stay or go: the first changes nothing, the second stands for this file's values.",
    "Before it runs: selfimprove check FILE, which says whether the parts fit and what it costs.",
)
OWN = {
    "task": "your own data: `- task: jsonl`, and below: `task: {jsonl: {path: data.jsonl}}`, one JSON object a line "
    'such as {"prompt": "...", "answer": "..."}',
    "model": "your own model: `- model: pretrained`, and below: `model: {pretrained: {path: FOLDER_OR_HUB_ID}}`",
    "reward": "how a completion is judged; the others: selfimprove list reward",
    "optimization": "how it trains; its options: selfimprove show optimization {method}",
}
"""Slot in `defaults` -> what to change there."""
KEYS = {
    "rounds": "more rounds cost more and test more; each tests on problems that no other has seen",
    "bench": "only with `model: tiny`: it scales the paper's values down; delete it for your own model",
}
"""Key of the file -> what to know about it."""
WIDEST = 118


def annotated(name: str, text: str) -> str:
    """The text of a recipe, with comments on what to change; as a recipe it says the same.

    Args:
        name: of the shipped recipe.
    """
    lines = [f"# {line.format(name=name)}" for line in HEAD]
    for line in text.splitlines():
        slot = re.match(r"( *)- (\w+): *\[?(\w*)", line)
        key = re.match(r"(\w+):", line)
        if slot and slot[2] in OWN:
            lines += _comment(OWN[slot[2]].replace("{method}", slot[3] or "METHOD"), slot[1])
        elif key and key[1] in KEYS:
            lines += _comment(KEYS[key[1]], "")
        lines.append(line)
    return "\n".join(lines) + "\n"


def _comment(text: str, indent: str) -> list[str]:
    """A comment in lines that fit."""
    found, line = list[str](), f"{indent}#>"
    for word in text.split(" "):
        if len(line) + 1 + len(word) > WIDEST:
            found.append(line)
            line = f"{indent}#>  "
        line += f" {word}"
    return [*found, line]


@dataclass(frozen=True)
class Answers:
    """What a person answered to the five questions; "" for whatever stays as it is in the recipe."""

    base: str
    """The shipped recipe to build on."""
    model: str = ""
    """A folder or hub id; "" for the tiny model."""
    data: str = ""
    """A file of problems; "" for the recipe's own task."""
    rule: str = ""
    """How answers are compared: exact, choice or math; "" if there are none to compare with."""
    rounds: int = 3


def built(answers: Answers) -> str:
    """A recipe that builds on a shipped one, from the answers to the five questions."""
    defaults, values = [f"  - {answers.base}  # what it says: selfimprove show {answers.base}"], list[str]()
    if answers.model:
        defaults.append("  - model: pretrained")
        values.append(f"model: {{pretrained: {{path: {_quoted(answers.model)}}}}}")
    if answers.data:
        defaults.append("  - task: jsonl")
        options = {"path": answers.data, **({"verifier": answers.rule} if answers.rule else {})}
        values.append(f"task: {{jsonl: {_mapping(options)}}}")
        if not answers.rule:
            defaults.append("  - reward: majority_vote  # no answers to compare with: the model's own majorities")
    lines = [
        "# Made by selfimprove init. Next: selfimprove check FILE, then: selfimprove run FILE",
        "defaults:",
        *defaults,
        "  - _self_  # what stands below changes what stands above",
        f"rounds: {answers.rounds}",
        *values,
    ]
    return "\n".join(lines) + "\n"


def _mapping(values: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {_quoted(value)}" for key, value in values.items()) + "}"


def _quoted(text: str) -> str:
    """A text as YAML reads it back: quoted wherever that could be needed."""
    return text if re.fullmatch(r"[A-Za-z/][\w/.-]*", text) else json.dumps(text)


def is_known(path: str) -> bool:
    """Whether a person's answer names a file that is there."""
    return Path(path).expanduser().is_file()
