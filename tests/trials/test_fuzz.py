"""The fuzzer of borders: a few inputs in each quick suite, more in CI, 10,000 of each border in `make test-full`."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.errors import DataError, UserError
from selfimprove.recipe import compose
from selfimprove.trials import fuzz
from selfimprove.trials.borders import recipes


@pytest.mark.long
@pytest.mark.parametrize("name", fuzz.names())
def test_the_first_inputs(name: str) -> None:
    """The same ones each time: a new crash should be found by `make test-full`, not by somebody else's change."""
    count = fuzz.border(name).in_ci
    found = fuzz.fuzz(name, count)
    assert not found.wrong, found.wrong[0]
    assert sum(found.ended.values()) == count


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[[fuzz.Try], None]:
    """`only(attempt)`: this is what the border does."""

    def make(attempt: fuzz.Try) -> None:
        @contextlib.contextmanager
        def opened(scratch: Path) -> Iterator[fuzz.Try]:
            yield attempt

        monkeypatch.setattr(fuzz, "border", lambda name: fuzz.Border(promise="", open=opened))

    return make


def test_how_inputs_ended_is_counted_and_a_bug_is_shown_with_its_input(only: Callable[[fuzz.Try], None]) -> None:
    def attempt(draw: random.Random) -> str:
        number = draw.randrange(10)
        with fuzz.shown({"given": number}):
            assert 1 / (number % 5) > 0
        return "used"

    only(attempt)
    found = fuzz.fuzz("mine", 40, seed=3)
    assert found.ended["used"] + len(found.wrong) == 40 and "ZeroDivisionError" in found.wrong[0]
    assert "mine 3:" in found.wrong[0] and "input: {'given': " in found.wrong[0]
    number = int(found.wrong[0].partition("mine 3:")[2].split()[0])
    assert len(fuzz.fuzz("mine", 1, seed=3, first=number).wrong) == 1, "a failure is repeated by its number"


def test_an_input_that_hangs_is_a_failure(only: Callable[[fuzz.Try], None], monkeypatch: pytest.MonkeyPatch) -> None:
    def attempt(draw: random.Random) -> str:
        with contextlib.suppress(Exception):
            while True:
                time.sleep(0.01)
        return "never"

    monkeypatch.setattr(fuzz, "SECONDS", 0.02)
    only(attempt)
    found = fuzz.fuzz("mine", 2)
    assert len(found.wrong) == 2 and "TooSlow" in found.wrong[0] and 0.02 <= found.slowest < 5


def test_a_machine_that_others_keep_busy_gives_an_input_longer(
    only: Callable[[fuzz.Try], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempt(draw: random.Random) -> str:
        began = time.monotonic()
        while time.monotonic() - began < 0.05:
            pass
        return "done"

    monkeypatch.setattr(fuzz, "SECONDS", 0.02)
    monkeypatch.setattr("os.getloadavg", lambda: (0.5, 99, 99))
    only(attempt)
    assert len(fuzz.fuzz("mine", 1).wrong) == 1
    monkeypatch.setattr("os.getloadavg", lambda: (10_000.0, 0, 0))
    assert fuzz.fuzz("mine", 1).ended == {"done": 1}


@pytest.mark.long
def test_slices_beside_each_other_try_the_same_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SLICE", 1)
    beside = fuzz.fuzz_beside("model_folders", 2, seed=5)
    assert beside.ended == fuzz.fuzz("model_folders", 2, seed=5).ended and not beside.wrong


def test_memory_that_inputs_take_is_a_failure(only: Callable[[fuzz.Try], None], monkeypatch: pytest.MonkeyPatch):
    peaks = iter([100.0, 700.0])
    monkeypatch.setattr(fuzz, "_peak", lambda: next(peaks))
    only(lambda draw: "used")
    assert fuzz.fuzz("mine", 1).wrong == ["mine 0: the process grew by 600 MB"]


@pytest.mark.parametrize("error", [UserError(""), UserError("\x1b"), MemoryError()])
def test_a_refusal_is_a_short_line_with_a_documented_code(error: Exception) -> None:
    assert fuzz.refused(UserError("wrong"), (2,)) == "refused with 2"
    with pytest.raises(AssertionError):
        fuzz.refused(error, (2, 65))
    with pytest.raises(AssertionError, match="exit code 65"):
        fuzz.refused(DataError("wrong"), (2,))
    with pytest.raises(KeyError):
        fuzz.refused(KeyError("a bug"), (2, 65))
    assert len(str(DataError("x" * 5000 + "what to type next"))) < fuzz.LONGEST
    assert str(DataError("x" * 5000 + "what to type next")).endswith("what to type next")


def test_a_recipe_follows_from_its_number() -> None:
    text = compose.find("quickstart").read_text(encoding="utf-8")
    made = [recipes.mutated(text, ["gate", "seed"], random.Random(f"0:{n}")) for n in (1, 2, 1)]
    assert made[0] == made[2] != made[1] != text


@pytest.mark.slow
@settings(max_examples=300)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_recipe_or_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    assert recipes.tried(data, tmp_path_factory.mktemp("any") / "mine.yaml").startswith(("composed", "refused"))
