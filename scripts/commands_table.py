"""The commands of the program as tables, read from the command line itself; methods_table.py writes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import typer

from selfimprove.cli import main

Table = Callable[[tuple[str, ...], list[tuple[str, ...]]], str]
"""Heads of the columns and rows -> a table in Markdown."""
PLACEHOLDERS = {"int": "N", "integer": "N", "float": "N", "path": "PATH", "file": "PATH", "directory": "PATH"}
"""Type of an option -> how its value is written; any other is TEXT."""


def commands() -> dict[str, Any]:
    """Name -> command, without those that only the program itself calls."""
    group: Any = typer.main.get_command(main.app)
    return {name: command for name, command in group.commands.items() if not command.hidden}


def short(page: str) -> list[tuple[str, ...]]:
    """A row for each command: its name with a link into `page`, and its first sentence."""
    return [(f"[`{name}`]({page}#{name})", sentence(command)) for name, command in commands().items()]


def long(table: Table) -> str:
    """A section for each command: how it is typed, what it does, its arguments and options."""
    return "\n".join(section(name, command, table) for name, command in commands().items())


def sentence(command: Any) -> str:
    """The first sentence of a command's help, without its full stop."""
    return re.split(r"\.(?:\s|$)|;\s", " ".join((command.help or "").split()), maxsplit=1)[0]


def section(name: str, command: Any, table: Table) -> str:
    """The section of one command."""
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and "--help" not in one.opts]
    typed = " ".join(["selfimprove", name, *(placed(one) for one in arguments), *(["[options]"] if options else [])])
    rows = [(f"`{placed(one)}`", told(one)) for one in arguments] + [(flags(one), told(one)) for one in options]
    return f"## {name}\n\n`{typed}`\n\n{(command.help or '').strip()}\n\n{table(('', 'what it is'), rows)}"


def placed(argument: Any) -> str:
    """An argument as it stands in the line that is typed."""
    if argument.name == "overrides":
        return "[key=value ...]"
    word = (argument.metavar or argument.name.upper()).strip("[].")
    several = f"{word} ..." if argument.nargs == -1 else word
    return several if argument.required else f"[{several}]"


def flags(option: Any) -> str:
    """An option as it is typed, with what it takes."""
    kind = option.bare_type().strip("<>").lower()
    value = "" if option.is_flag else f" {option.metavar or PLACEHOLDERS.get(kind, 'TEXT')}"
    return ", ".join(f"`{flag}{value}`" for flag in (*option.opts, *option.secondary_opts))


def told(parameter: Any) -> str:
    """The help of an argument or option, and its default where it has one that says something."""
    default = parameter.default
    plain = isinstance(default, str | int | float) and not isinstance(default, bool) and default != ""
    said = (parameter.help or "").replace("<", "&lt;")
    return f"{said}{f' Default: `{default}`.' if plain else ''}"
