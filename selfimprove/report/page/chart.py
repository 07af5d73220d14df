"""Line charts as SVG. Each is drawn twice, wide and narrow: one picture scaled to a phone has letters of 5 px."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfimprove.report.page.markup import Html, joined, tag

WIDE, NARROW = (700, 300), (350, 260)
"""Width and height in pixels."""
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 44


@dataclass(frozen=True)
class Frame:
    """The place of a chart's values in its picture."""

    size: tuple[int, int]
    columns: int
    low: float
    high: float

    def x(self, column: float) -> float:
        """The pixel of a column."""
        wide = self.size[0] - LEFT - RIGHT
        return round(LEFT + wide * (column + 0.5) / self.columns, 1)

    def y(self, value: float) -> float:
        """The pixel of a value."""
        tall = self.size[1] - TOP - BOTTOM
        return round(TOP + tall * (self.high - value) / (self.high - self.low), 1)


def charts(label: str, names: Sequence[str], values: Sequence[float], draw: Callable[[Frame], Sequence[str]]) -> Html:
    """A chart with a column for each name, at both sizes.

    Args:
        label: what it shows, for those who do not see it.
        values: all values in it; they decide its range.
        draw: (frame) -> its marks.
    """
    return joined(_chart(size, kind, label, names, values, draw) for size, kind in ((WIDE, "wide"), (NARROW, "narrow")))


def _chart(
    size: tuple[int, int],
    kind: str,
    label: str,
    names: Sequence[str],
    values: Sequence[float],
    draw: Callable[[Frame], Sequence[str]],
) -> Html:
    ticks = _ticks(min(values), max(values))
    frame = Frame(size, max(1, len(names)), ticks[0], ticks[-1])
    lines = list[str]()
    for value in ticks:
        y = frame.y(value)
        lines.append(line(LEFT - 4, y, size[0] - RIGHT, y, "grid"))
        lines.append(text(LEFT - 10, y + 4, f"{value:g}", "tick", "end"))
    every = max(1, math.ceil(len(names) * 34 / (size[0] - LEFT - RIGHT)))
    shown = [place for place in range(len(names)) if not place % every or place == len(names) - 1]
    if len(shown) > 1 and shown[-1] - shown[-2] < every:
        del shown[-2]
    lines += [text(frame.x(place), size[1] - BOTTOM + 20, names[place], "tick", "middle") for place in shown]
    box = {"viewBox": f"0 0 {size[0]} {size[1]}", "width": str(size[0]), "height": str(size[1])}
    return tag("svg", *lines, *draw(frame), class_=f"chart {kind}", role="img", aria_label=label, **box)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    """A straight line."""
    return Html(f'<line class="{class_}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')


def text(x: float, y: float, words: str, class_: str, anchor: str = "start") -> Html:
    """A word in the picture."""
    return tag("text", words, class_=class_, x=f"{x:g}", y=f"{y:g}", text_anchor=anchor)


def path(points: Sequence[tuple[float, float]], class_: str) -> Html:
    """A line through points."""
    return Html(f'<polyline class="{class_}" points="{_points(points)}"/>')


def area(points: Sequence[tuple[float, float]], class_: str) -> Html:
    """A filled area."""
    return Html(f'<polygon class="{class_}" points="{_points(points)}"/>')


def dot(x: float, y: float, class_: str, title: str = "", radius: float = 4.5) -> Html:
    """A point, with words for whoever points at it."""
    return Html(f'<circle class="{class_}" cx="{x}" cy="{y}" r="{radius}">{tag("title", title)}</circle>')


def diamond(x: float, y: float, class_: str, title: str = "") -> Html:
    """A point of another kind."""
    corners = _points([(x, y - 6), (x + 6, y), (x, y + 6), (x - 6, y)])
    return Html(f'<polygon class="{class_}" points="{corners}">{tag("title", title)}</polygon>')


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _ticks(low: float, high: float) -> list[float]:
    """Round values that hold a range: four to eight of them."""
    if high - low < 0.02:
        low, high = low - 0.01, high + 0.01
    step = next(
        step for step in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 50, 1e6) if (high - low) / step <= 6
    )
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(place * step, 6) for place in range(first, last + 1)]
