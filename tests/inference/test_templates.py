"""Chat templates with a run's arguments and date in their text."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from jinja2 import Environment

from selfimprove.errors import DataError
from selfimprove.inference.templates import check_arguments, filled

TEMPLATE = (
    "{% macro effort() %}{{ effort_name | default('medium') }}{% endmacro %}{{ strftime_now('%d %b %Y') }}"
    "{% if think is defined and think is false %}quiet{% endif %}"
    "{% for one in names %}[{{ one }}{{ effort() }}]{% endfor %}"
)
DAY = datetime.date(2026, 2, 3)


def shown(template: str, **given: Any) -> str:
    environment = Environment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["strftime_now"] = lambda form: "today"
    return environment.from_string(template).render(**given)


@pytest.mark.parametrize(
    ("arguments", "given", "text"),
    [
        ({}, {"names": ["a"]}, "03 Feb 2026[amedium]"),
        ({"think": False, "effort_name": "low"}, {"names": ["a"]}, "03 Feb 2026quiet[alow]"),
        ({"think": False}, {"think": True, "names": []}, "03 Feb 2026"),  # who passes an argument still has his way
        ({"names": ["it's", 'a "b"', None, {"k": [1, True]}]}, {}, None),
    ],
)
def test_arguments_become_defaults_and_the_date_stands_still(arguments: Any, given: Any, text: str | None) -> None:
    made = shown(filled(TEMPLATE, arguments, DAY), **given)
    assert made == (text or shown(TEMPLATE, **arguments).replace("today", "03 Feb 2026"))


def test_without_arguments_and_date_a_template_stays_as_it_is() -> None:
    assert filled(TEMPLATE, {}, None) == TEMPLATE


def test_an_argument_that_a_template_does_not_read_is_named() -> None:
    check_arguments(TEMPLATE, {"think": True}, "option")
    for name, template in (("thinks", TEMPLATE), ("a b", "a b"), ("think", "")):
        with pytest.raises(DataError, match=f"option: .* reads no argument '{name}'"):
            check_arguments(template, {name: True}, "option")
