"""Tests an untrusted chat template on short conversations, in a separate process with little memory and time.

A chat template is a program. jinja's sandbox blocks access to Python; the limits here stop a template that uses too
much memory or does not end. Its behaviour in other conversations stays untested.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # the worker imports nothing of this package but its limits, by their file
    sys.path.insert(0, str(Path(__file__).parent))
    import limited  # pyright: ignore[reportMissingImports]
else:
    from selfimprove.safety import limited

SECONDS, LONGEST = 2, 200_000
"""Limits of one template: seconds of CPU time, characters of output."""
_USER = {"role": "user", "content": "What is 3 + 5?"}
_TALKS: list[list[dict[str, str]]] = [
    [_USER],
    [{"role": "system", "content": "Be brief."}, _USER],
    [_USER, {"role": "assistant", "content": "8"}, _USER],
]
_GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
"""A mark of transformers that jinja does not know; it prints nothing."""


@functools.cache
def objection(template: str) -> str:
    """What is wrong with a chat template, in words; "" if it can be used."""
    try:
        return str(limited.ask(Path(__file__), template.encode(errors="replace"), SECONDS))
    except limited.Ended as ended:
        return str(ended)


# ---- the worker --------------------------------------------------------------------------------------------------
def _try(template: str) -> str:
    """The same, in the worker."""
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **_: json.dumps(value)
    environment.globals |= {"raise_exception": _refuse, "strftime_now": lambda _: "01 Jan 2026"}
    problems, sizes = [], [0]
    for talk in _TALKS:
        try:
            made, size = environment.from_string(_GENERATION.sub("", template)), 0
            for piece in made.generate(messages=talk, add_generation_prompt=True, bos_token="", eos_token=""):
                size += len(piece)
                if size > LONGEST:
                    return f"makes more than {LONGEST} characters of a short conversation"
            problems.append("")
            sizes.append(size)
        except SecurityError as error:
            return f"uses something that it must not: {error}"
        except MemoryError:
            return f"takes more than {limited.MEMORY >> 30} GiB"
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
            said = " ".join(str(error).split())
            problems.append(f"cannot be rendered: {said[:200]}")  # a template may refuse a role
    if "" in problems and not max(sizes):
        return "makes nothing of a conversation"
    return "" if "" in problems else problems[0]


def _refuse(message: str) -> Any:
    raise ValueError(message)


if __name__ == "__main__":
    limited.limit()
    print(json.dumps(_try(sys.stdin.buffer.read().decode(errors="replace"))))
