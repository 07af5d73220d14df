"""Signatures of lines of JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.records import digest
from selfimprove.store.seal import from_line, is_signed, signed_line

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values, max_size=4), st.data())
def test_a_signed_line_has_its_values_in_order_and_a_change_shows(found: dict[str, Any], data: st.DataObject) -> None:
    line = signed_line(found)
    assert json.dumps(from_line(line)) == json.dumps(found)
    place = data.draw(st.integers(0, len(line) - 1))
    assert from_line(line[:place]) is None
    assert from_line(f"{line[:place]}~{line[place + 1 :]}") is None


def test_a_line_signed_before_lines_kept_their_order_is_read() -> None:
    content = {"name": "one", "value": {"a": [1, None]}}
    sorted_line = json.dumps(content, sort_keys=True, separators=(",", ":"))
    old = f'{{"sha256":"{digest(content)}",{sorted_line[1:]}'
    assert from_line(old) == content and is_signed(json.loads(old))


def test_secrets_are_left_out_of_a_signed_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "a-very-secret-value")
    line = signed_line({"said": "with a-very-secret-value"})
    assert "very-secret" not in line and from_line(line) is not None
