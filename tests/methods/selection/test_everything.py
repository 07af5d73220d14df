"""No selection: what comes in goes out, of any kind."""

from __future__ import annotations

from collections.abc import Callable

from selfimprove.methods.selection.everything import Everything
from selfimprove.records import Document, Record


def test_what_comes_in_goes_out(make_context: Callable, make_rollout: Callable, make_prompt: Callable) -> None:
    offered = [
        make_rollout(reward=None),
        make_rollout(reward=0.0),
        make_rollout(reward=0.0),
        make_prompt(),
        Document(text=""),
    ]
    assert list(Everything().select(offered, make_context())) == offered
    assert Everything.consumes is Everything.produces is Record
