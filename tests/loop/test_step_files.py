"""Records that are passed on in memory are those that the next step would read."""

from __future__ import annotations

from array import array
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.loop.step_files import as_read
from selfimprove.records import Document, Preference, Prompt, Record, Rollout, dumps, loads

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
infos = st.dictionaries(st.text(max_size=4), plain | st.tuples(plain) | st.dictionaries(st.integers(), plain))
SAID = [{"role": "assistant", "content": "#6"}]


@given(infos, infos, infos, st.booleans())
@settings(max_examples=60)
@pytest.mark.long
def test_what_is_passed_on_is_what_would_be_read(a: Any, b: Any, c: Any, rated: bool) -> None:
    prompt = Prompt(prompt=[{"role": "user", "content": "3+3"}], answer="6", key="3+3", info=a, given=b)
    records: list[Record] = [
        Rollout(prompt=prompt, completion=SAID, reward=1.0, info=c, ids=array("i", [7]), rated=rated),
        Preference(prompt=prompt, chosen=SAID, rejected=SAID, info=c),
        Document(text="6", info=c),
        prompt,
    ]
    for record in records:
        passed, read = as_read([record]), loads(dumps(record))
        assert passed is None or (passed == [read] and repr(passed) == repr([read]))
        if isinstance(read, Rollout) and passed:
            [one] = passed
            assert isinstance(one, Rollout) and (one.ids, one.rated) == (read.ids, read.rated)


@pytest.mark.parametrize("info", [{"pair": (1, 2)}, {"by": {1: "one"}}, {"deep": [{"pair": (1,)}]}])
def test_what_json_changes_has_to_be_read(make_rollout: Any, info: Any) -> None:
    assert as_read([make_rollout(info=info)]) is None
    assert as_read([make_rollout(info={"pair": [1, 2]})]) is not None
