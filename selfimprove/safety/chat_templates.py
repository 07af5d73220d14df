"""Which chat templates a model folder has, which of them is used, and whether they can be.

As in transformers 5.17: files go before the tokenizer's config. A folder may have several templates, of which the one
called `default` renders prompts, and `tool_use` those with tools.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError
from selfimprove.safety.template_worker import objection
from selfimprove.safety.weight_files import CONFIG, mapping

DEFAULT, TOOLS = "default", "tool_use"
MOST = 50
"""Most templates of a folder."""


def has_template(folder: Path) -> bool:
    """Whether the folder has a chat template.

    Raises:
        DataError: it cannot be said which one is used.
    """
    return DEFAULT in templates(folder)


def check_templates(folder: Path) -> None:
    """Try the templates that render prompts.

    Raises:
        DataError: it cannot be said which these are, or one of them cannot be used.
    """
    found = templates(folder)
    for name in (DEFAULT, TOOLS):
        path, text = found.get(name, (folder, ""))
        wrong = objection(text) if text else ""
        if wrong and (name == DEFAULT or not wrong.startswith("cannot be rendered")):  # tools are not in the trial
            raise DataError(f"{path}: the chat template {wrong}; refused: fetch the published one, or correct it there")


def templates(folder: Path) -> dict[str, tuple[Path, str]]:
    """The templates of a folder that can be used, by name, each with its file.

    Raises:
        DataError: they are given in a form that leaves open which one is used.
    """
    return _in_files(folder) or _in_config(folder)


def _in_files(folder: Path) -> dict[str, tuple[Path, str]]:
    paths = {path.stem: path for path in sorted((folder / "additional_chat_templates").glob("*.jinja"))[: MOST + 1]}
    if (folder / "chat_template.jinja").exists():
        if DEFAULT in paths:
            raise DataError(f"{paths[DEFAULT]}: chat_template.jinja is called default too; remove one of them")
        paths[DEFAULT] = folder / "chat_template.jinja"
    if paths and DEFAULT not in paths:
        raise DataError(f"{folder} has chat templates but none that is used by default; add chat_template.jinja")
    return {name: (path, _text(path)) for name, path in _few(paths, folder).items()}


def _text(path: Path) -> str:
    return foreign.content(path.resolve(), CONFIG).decode(errors="replace")


def _in_config(folder: Path) -> dict[str, tuple[Path, str]]:
    path, said = folder, None
    for name in ("tokenizer_config.json", "chat_template.json"):
        if said is None and (folder / name).is_file():
            path = folder / name
            said = mapping(path).get("chat_template")
    if said is None or said == "":
        return {}
    if isinstance(said, str):
        return {DEFAULT: (path, said)}
    if isinstance(said, list):
        pairs = [(one.get("name"), one.get("template")) if isinstance(one, dict) else (None, None) for one in said]
    else:
        pairs = [*said.items()] if isinstance(said, dict) else [(None, None)]
    if not all(isinstance(name, str) and isinstance(text, str) for name, text in pairs):
        raise DataError(f"{path}: chat_template is neither a text nor a list of texts with names")
    found: dict[str, Any] = {str(name): text for name, text in pairs}
    if len(found) < len(pairs):
        raise DataError(f"{path}: several chat templates have the same name; remove all but one")
    if DEFAULT not in found:
        raise DataError(f"{path}: none of the chat templates is called {DEFAULT!r}, so none is used; name one so")
    return {name: (path, text) for name, text in _few(found, folder).items()}


def _few(found: dict[str, Any], folder: Path) -> dict[str, Any]:
    if len(found) > MOST:
        raise DataError(f"{folder} has more than {MOST} chat templates; refused")
    return found
