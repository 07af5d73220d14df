"""The step is called, once, here, and its errors come through as they are."""

from __future__ import annotations

import os

import pytest

from selfimprove.errors import DataError
from selfimprove.methods.launcher.inline import Inline


def test_the_step_is_called_once_in_this_process() -> None:
    calls: list[int] = []
    Inline().launch(lambda: calls.append(os.getpid()), ["step", "no", "such", "command"])
    assert calls == [os.getpid()]


def test_errors_come_through_unchanged() -> None:
    error = DataError("damaged")

    def step() -> None:
        raise error

    with pytest.raises(DataError) as caught:
        Inline().launch(step, [])
    assert caught.value is error
