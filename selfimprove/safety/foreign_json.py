"""JSON from strangers: counted before it is built, with text that can be stored and no number that JSON lacks."""

from __future__ import annotations

import json
import math
import re
from typing import Any

MOST = 2_000_000
"""Values of the largest JSON; each takes up to 80 bytes of memory."""
_LONE = re.compile("[\ud800-\udfff]")


def loads(data: bytes) -> Any:
    """The value of a JSON text in UTF-8, UTF-16 or UTF-32; what is no character there becomes U+FFFD.

    Raises:
        ValueError: it is not JSON, holds NaN or more than `MOST` values, or is nested more deeply than Python reads.
    """
    text = data.decode(json.detect_encoding(data), errors="replace")
    if sum(map(text.count, ",[{")) > MOST:
        raise ValueError(f"more than {MOST} values")
    try:
        found = json.loads(text, parse_constant=_no_number)
        return whole(found) if "\\ud" in text or "\\uD" in text else found
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


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
