"""Numbers in words, as the page writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

THIN = "\N{NARROW NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
"""What stands for a number that there is none of."""
TIMES = "\N{MULTIPLICATION SIGN}"


def count(n: float) -> str:
    """`521 784`, with narrow spaces."""
    return f"{n:,.0f}".replace(",", THIN)


def share(value: float) -> str:
    """`0.515`."""
    return f"{value:.3f}"


def half(metric: Mapping[str, Any]) -> str:
    """`± 0.044`: half the width of the interval."""
    return f"± {(metric['high'] - metric['low']) / 2:.3f}"


def signed(value: float) -> str:
    """`+33.1`, or with a real minus sign `-0.5`: a difference of shares in points."""
    return f"{100 * value:+.1f}".replace("-", MINUS)


def interval(ends: Sequence[float]) -> str:
    """`+30.0 to +36.2`."""
    return f"{signed(ends[0])} to {signed(ends[1])}"


def p_value(p: float) -> str:
    """`p < 1e-6` or `p = 0.00053`."""
    return "p < 1e-6" if p < 1e-6 else f"p = {p:.2g}"


def percent(value: float) -> str:
    """`71 %`; only what is all is `100 %`."""
    return f"{min(99.0, 100 * value) if value < 1 else 100:.0f} %"


def time(seconds: float) -> str:
    """`54 s`, `12 min`, `3.2 h`."""
    if seconds < 600:
        return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
