"""Removes secrets from output: values of variables whose names look secret, and strings in the form of a key.

Nothing here logs or returns a secret. A recipe with a secret is refused; all other text is redacted.
"""

from __future__ import annotations

import json
import math
import os
import re
import unicodedata
from functools import lru_cache
from typing import Any

SHORTEST = 12
"""Shortest value of a variable that is redacted, in characters; shorter ones are words such as `true`."""
_NAMED = re.compile(r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(?:_|$)", re.IGNORECASE)
_FORMS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"hf_[A-Za-z0-9]{16,}"  # Hugging Face
    r"|sk-[A-Za-z0-9_-]{20,}"  # OpenAI, Anthropic and others
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}"  # Amazon
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}"  # GitHub, GitLab
    r"|xox[abprs]-[A-Za-z0-9-]{10,}"  # Slack
    r"|AIza[A-Za-z0-9_-]{30,}"  # Google
    r"|nvapi-[A-Za-z0-9_-]{20,}"  # NVIDIA
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+"  # JSON web tokens
    r")|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^\"]*?-----END [A-Z ]*PRIVATE KEY-----)?"
    r"|(?<=://)[^\s/:@'\"]+:[^\s/@'\"]+(?=@)"  # user:password in a URL
)


_MARKS = (
    *("hf_", "sk-", "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "AIza"),
    *("nvapi-", "eyJ", "-----BEGIN ", "://"),
)
"""Each of these forms has one of these texts, which are found far sooner than a form."""


def shown(text: str) -> str:
    """Foreign text for the screen: without secrets and without terminal control sequences."""
    return printable(redact(text))


def dumps(value: Any, **how: Any) -> str:
    """A value as standard JSON: null for NaN and infinity, and without secrets; `how` goes to json.dumps."""
    try:
        return redact(_json(value, **how))
    except ValueError:  # a number that JSON does not have
        return redact(_json(_finite(value), **how))


def _json(value: Any, indent: int | None = None, **how: Any) -> str:
    return json.dumps(value, allow_nan=False, **how) if indent is None else _indented(value, indent, "\n")


def _indented(value: Any, indent: int, line: str) -> str:
    """`json.dumps(value, indent=indent)`, which encodes in Python: here C encodes whatever holds plain values only.

    Args:
        line: what begins a line at this depth.
    """
    within = line + " " * indent
    if not value or not isinstance(value, dict | list | tuple):
        return json.dumps(value, allow_nan=False)
    inner = value.values() if isinstance(value, dict) else value
    if not any(isinstance(one, dict | list | tuple) for one in inner):
        flat = json.dumps(value, allow_nan=False, separators=(f",{within}", ": "))
        return f"{flat[0]}{within}{flat[1:-1]}{line}{flat[-1]}"
    if isinstance(value, dict):
        keys = (json.dumps({key: 0})[1:-2] for key in value)
        parts = [f"{key}{_indented(one, indent, within)}" for key, one in zip(keys, inner, strict=True)]
    else:
        parts = [_indented(one, indent, within) for one in inner]
    opened, closed = "{}" if isinstance(value, dict) else "[]"
    return f"{opened}{within}{f',{within}'.join(parts)}{line}{closed}"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def holds_key(text: str) -> bool:
    """Whether a text contains a string in the form of a key."""
    return any(mark in text for mark in _MARKS) and _FORMS.search(text) is not None


def redact(text: str) -> str:
    """A text with `***` in place of each key, and `***NAME***` for each secret value of an environment variable."""
    # The dictionary itself: a table asks for each of its cells, and os.environ decodes each name and value anew.
    for name, value in _known(tuple(os.environ._data.items())):  # pyright: ignore[reportAttributeAccessIssue]
        for form in {value, json.dumps(value)[1:-1]}:  # as it is, and as JSON and YAML quote it
            text = text.replace(form, f"***{name}***")
    return _FORMS.sub("***", text) if any(mark in text for mark in _MARKS) else text


@lru_cache(maxsize=1)
def _known(environment: tuple[tuple[bytes, bytes], ...]) -> list[tuple[str, str]]:
    """The secrets in the environment, long ones first, because one may be part of another."""
    found = [
        (name, value)
        for name, value in ((os.fsdecode(name), os.fsdecode(value)) for name, value in environment)
        if _NAMED.search(name) and len(value) >= SHORTEST and not os.path.exists(value)  # noqa: PTH110  a file's name
    ]
    return sorted(found, key=lambda item: -len(item[1]))


def printable(text: str) -> str:
    """Foreign text made safe for a terminal: control characters other than newline and tab are dropped."""
    if text.isprintable():  # nearly all texts are
        return text
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c)[0] != "C")
