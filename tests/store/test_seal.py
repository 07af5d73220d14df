"""Signatures: a line of JSON that is signed in one go says what `signed` says."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.store.seal import is_signed, signed, signed_line

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text().filter(lambda name: name != "sha256"), values, max_size=4))
def test_a_signed_line_is_the_signed_values(found: dict[str, Any]) -> None:
    line = signed_line({"name": "one", **found})
    assert json.loads(line) == signed({"name": "one", **found})
    assert is_signed(json.loads(line)) and not is_signed(json.loads(line) | {"name": "two", "value": 1})


def test_secrets_are_left_out_of_a_signed_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "a-very-secret-value")
    line = signed_line({"said": "with a-very-secret-value"})
    assert "very-secret" not in line and is_signed(json.loads(line))
