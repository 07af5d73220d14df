"""A chat template with a run's own arguments and date in its text, so that every program renders it alike.

What a caller would pass to `apply_chat_template` becomes the template's own default. A model folder that is trained
from it keeps it: engines, trainers and whoever loads the champion see the conversations that it learned from.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError

FILE = "chat_template.jinja"
KEPT = ("*.json", "*.safetensors", "*.model", "*.txt")
"""The files of a model folder that belong to the model, besides templates."""
_TODAY = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1\s*\)""")


def template_of(folder: Path) -> str:
    """The chat template that transformers takes for a folder; "" if there is none."""
    if (folder / FILE).is_file():
        return (folder / FILE).read_text(encoding="utf-8")
    found: Any = None
    for name in ("tokenizer_config.json", "chat_template.json"):
        with suppress(OSError, ValueError, AttributeError):
            found = found or json.loads((folder / name).read_text(encoding="utf-8")).get("chat_template")
    if isinstance(found, list):  # several by name
        named = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else ""


def asks_for_date(template: str) -> bool:
    """Whether a template shows today's date."""
    return _TODAY.search(template) is not None


def check_arguments(template: str, arguments: Mapping[str, Any], option: str) -> None:
    """Check that a template reads each of the arguments.

    Raises:
        DataError: it does not; the message names the option.
    """
    for name in arguments:
        if not name.isidentifier() or not re.search(rf"\b{re.escape(name)}\b", template):
            raise DataError(
                f"{option}: the chat template reads no argument {name!r}"
                + ("" if template else ", the model has none")
                + ": look for its arguments in the model's description, or leave it out"
            )


def filled(template: str, arguments: Mapping[str, Any], today: date | None) -> str:
    """The template with defaults for its arguments, and with one date for every day.

    Args:
        today: None leaves the date to the day on which the template is rendered.
    """
    if today is not None:
        template = _TODAY.sub(lambda found: json.dumps(today.strftime(found[2])), template)
    head = "".join(
        f"{{%- if {name} is not defined %}}{{%- set {name} = {_literal(value)} %}}{{%- endif %}}"
        for name, value in arguments.items()
    )
    return head + template


def _literal(value: Any) -> str:
    """A value of a recipe as jinja writes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(name))}: {_literal(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def with_template(model: Path, template: str, folder: Path) -> Path:
    """Write a model folder with another chat template. Weights are linked where the disk allows it, else copied."""
    folder.mkdir(parents=True)
    for path in sorted({path for pattern in KEPT for path in model.glob(pattern)}):
        if path.name == "chat_template.json":
            continue
        if path.suffix == ".safetensors":
            try:
                os.link(path.resolve(), folder / path.name)
                continue
            except OSError:  # another disk, or a file of somebody else
                pass
        shutil.copyfile(path, folder / path.name)
    config = folder / "tokenizer_config.json"
    values = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    if values.pop("chat_template", None) is not None:
        config.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / FILE).write_text(template, encoding="utf-8")
    return folder
