"""The code of the store as one number: a whole sweep of faults is good for the code that it was made with."""

from __future__ import annotations

import ast
from pathlib import Path

from selfimprove import store
from selfimprove.records import digest

STORE = Path(str(store.__file__)).parent


def code(folder: Path = STORE) -> str:
    """The same number for the same statements, however they are laid out and whatever is said of them."""
    return digest({str(path.relative_to(folder)): _statements(path) for path in sorted(folder.rglob("*.py"))})


def _statements(path: Path) -> str:
    """A module without comments, blank lines and texts that stand by themselves, such as docstrings."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(body := vars(node).get("body"), list):
            node.body = [one for one in body if not _is_text(one)] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
