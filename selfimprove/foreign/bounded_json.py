"""JSON from strangers: counted before it is built, with text that can be stored and no number that JSON lacks."""

from __future__ import annotations

import json
import math
import re
from typing import Any

VALUES = 2_000_000
"""Most values of a JSON text; each takes up to 80 bytes of memory."""
DEEPEST = 200
"""Most levels of JSON; deeper nesting ends the interpreter, or other programs, without a word."""
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_LONE = re.compile("[\ud800-\udfff]")


def parsed(raw: bytes, **how: Any) -> Any:
    """The value of a JSON text in UTF-8.

    Args:
        how: what else json.loads is told.

    Raises:
        ValueError: it is not JSON, or `excess` says what it has too much of.
    """
    if wrong := excess(raw):
        raise ValueError(wrong)
    try:
        return json.loads(raw.decode(), **how)  # in UTF-8 only, as those who read it later do
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def loads(data: bytes) -> Any:
    """The value of a JSON text in UTF-8, UTF-16 or UTF-32; what is no character there becomes U+FFFD.

    Raises:
        ValueError: it is not JSON, holds NaN, or `excess` says what it has too much of.
    """
    raw = data.decode(json.detect_encoding(data), errors="replace").encode()
    found = parsed(raw, parse_constant=_no_number)
    return whole(found) if b"\\ud" in raw or b"\\uD" in raw else found


def excess(raw: bytes) -> str:
    """What JSON has too much of, levels or values, in words; "" if nothing. It is looked at before it is parsed."""
    opens = raw.count(b"[") + raw.count(b"{")
    if opens + raw.count(b",") > VALUES:
        return f"it has more than {VALUES:,} values"
    return f"it has more than {DEEPEST} levels" if opens > DEEPEST and deeper(raw, DEEPEST) else ""


def deeper(raw: bytes, levels: int) -> bool:
    """Whether JSON is nested deeper than so many levels."""
    depth = 0
    outside = raw.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]  # every second part is a text
    for byte in b"".join(outside).translate(None, _NO_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        if depth > levels:
            return True
    return False


def whole(value: Any) -> Any:
    """A JSON value in whose texts U+FFFD stands for each half of a character, which no file could hold."""
    if isinstance(value, str):
        return value if value.isascii() else _LONE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {whole(name): whole(part) for name, part in value.items()}
    if isinstance(value, list):
        return [whole(part) for part in value]
    return value


def number(value: Any) -> float:
    """A finite number of a JSON value.

    Raises:
        ValueError: it is none.
    """
    if type(value) not in (int, float):
        raise ValueError("not a number")
    try:
        found = float(value)
    except OverflowError as error:
        raise ValueError("too large a number") from error
    if not math.isfinite(found):
        raise ValueError("too large a number")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
