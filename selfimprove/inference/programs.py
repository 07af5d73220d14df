"""Functions that a model writes as tools, and its calls of them."""

from __future__ import annotations

import ast

from selfimprove.problems.program_text import last_block, program_of

LONGEST = 8000
"""Characters of a tool, and of a call."""


def functions_in(text: str) -> str:
    """The program in a reply, if it is Python that defines a function; else ""."""
    code = program_of(text) or ""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    return code if len(code) <= LONGEST and any(isinstance(one, ast.FunctionDef) for one in body) else ""


def call_in(text: str) -> str:
    """The expression in a reply: its last block, or the last line of that; "" if there is none that calls anything."""
    said = (last_block(text) or "").strip()
    for tried in (said, said.splitlines()[-1].strip() if said else ""):
        bare = tried.removeprefix("print(").removesuffix(")") if tried.startswith("print(") else tried
        try:
            body = ast.parse(bare, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if len(bare) <= LONGEST and any(isinstance(one, ast.Call) for one in ast.walk(body)):
            return bare
    return ""


def printing(code: str, call: str) -> str:
    """A program that prints what a call gives."""
    return f"{code}\n\nprint({call})\n"
