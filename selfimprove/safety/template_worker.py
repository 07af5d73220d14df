"""Tests an untrusted chat template on short conversations, in a separate process with little memory and time.

A chat template is a program. jinja's sandbox blocks access to Python; the limits here stop a template that uses too
much memory or does not end. Its behaviour in other conversations stays untested.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

SECONDS, MEMORY, LONGEST = 2, 1 << 30, 200_000
"""Limits of one template: seconds of CPU time, bytes of memory, characters of output."""
_USER = {"role": "user", "content": "What is 3 + 5?"}
_TALKS: list[list[dict[str, str]]] = [
    [_USER],
    [{"role": "system", "content": "Be brief."}, _USER],
    [_USER, {"role": "assistant", "content": "8"}, _USER],
]
_GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
"""A mark of transformers that jinja does not know; it prints nothing."""


def objection(template: str) -> str:
    """What is wrong with a chat template, in words; "" if it can be used."""
    command = [sys.executable, "-P", str(Path(__file__))]
    quiet = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
    try:
        done = subprocess.run(
            command, input=template.encode(errors="replace"), capture_output=True, timeout=20 * SECONDS, env=quiet
        )
    except subprocess.TimeoutExpired:
        return f"takes more than {20 * SECONDS} seconds"
    if done.returncode == 0:
        return str(json.loads(done.stdout))
    ended = done.returncode in (-9, -24)  # SIGKILL, SIGXCPU
    return f"takes more than {SECONDS} seconds or {MEMORY >> 30} GiB" if ended else "cannot be rendered"


# ---- the worker --------------------------------------------------------------------------------------------------
def _try(template: str) -> str:
    """The same, in the worker: it imports nothing of this package."""
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **_: json.dumps(value)
    environment.globals |= {"raise_exception": _refuse, "strftime_now": lambda _: "01 Jan 2026"}
    problems = []
    for talk in _TALKS:
        try:
            made, size = environment.from_string(_GENERATION.sub("", template)), 0
            for piece in made.generate(messages=talk, add_generation_prompt=True, bos_token="", eos_token=""):
                size += len(piece)
                if size > LONGEST:
                    return f"makes more than {LONGEST} characters of a short conversation"
            problems.append("")
        except SecurityError as error:
            return f"uses something that it must not: {error}"
        except MemoryError:
            return f"takes more than {MEMORY >> 30} GiB"
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
            problems.append(f"cannot be rendered: {str(error)[:80]}")  # a template may refuse a role
    return "" if "" in problems else problems[0]


def _refuse(message: str) -> Any:
    raise ValueError(message)


if __name__ == "__main__":
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # macOS has no limit of memory
            resource.setrlimit(kind, (most, most))
    print(json.dumps(_try(sys.stdin.buffer.read().decode(errors="replace"))))
