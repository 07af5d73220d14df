"""The colours of the page can be read: contrast as WCAG 2.2 computes it (success criterion 1.4.3), light and dark."""

from __future__ import annotations

import re
from importlib import resources

import pytest

CSS = resources.files("selfimprove.report.page").joinpath("page.css").read_text(encoding="utf-8")
TEXTS = ("ink", "dim", "champion", "candidate", "start", "trial", "good", "bad", "warn")
PAIRS = [
    *((text, "back") for text in TEXTS),
    *(("ink", "mark"), ("ink", "soft"), ("dim", "soft"), ("champion", "soft")),
    *(("good", "good-soft"), ("bad", "bad-soft"), ("trial", "trial-soft")),
]


def luminance(colour: str) -> float:
    digits = colour if len(colour) == 6 else "".join(2 * one for one in colour)
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_is_21_to_1() -> None:
    assert contrast("000", "ffffff") == pytest.approx(21.0)


@pytest.mark.parametrize("place", [0, 1], ids=["light", "dark"])
def test_every_text_has_a_contrast_of_4_5_to_1(place: int) -> None:
    block = re.findall(r":root \{(.*?)\}", CSS, re.S)[place]
    colours = dict(re.findall(r"--([\w-]+): #([0-9a-f]+);", block))
    low = {pair: round(ratio, 2) for pair in PAIRS if (ratio := contrast(*(colours[one] for one in pair))) < 4.5}
    assert not low
