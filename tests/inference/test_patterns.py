"""With random weights every reply matches its pattern, whatever else is in the batch."""

from __future__ import annotations

import json
import re
from types import ModuleType
from typing import Any

import pytest

from selfimprove.errors import EngineError, RecipeError
from selfimprove.inference import patterns
from selfimprove.interfaces import GREEDY, Ask, Sampling
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.records import Checkpoint, Prompt

pytest.importorskip("outlines_core")
SCHEMA = {"type": "object", "properties": {"sum": {"type": "integer"}, "ok": {"type": "boolean"}}, "required": ["sum"]}
PATTERNS = [
    ("regex", "[0-9]{1,3}(=|;)#[0-9]"),
    ("regex", "(é|ü)+x?"),
    ("choice", "a b", "c+d", "#4", "(x|y)"),
    ("json", json.dumps(SCHEMA)),
]


@pytest.fixture(scope="module")
def small(small_llama: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A random model with a byte-level tokenizer, so that a letter such as é is two tokens."""
    return Checkpoint(path=str(small_llama.build(tmp_path_factory.mktemp("small") / "model")))


def asks(small: Checkpoint, samplings: list[Sampling]) -> list[Ask]:
    problem = Prompt(prompt=[{"role": "user", "content": "what is 3 + 5?"}])
    return [Ask(checkpoint=small, prompt=problem, n=6, sampling=one) for one in samplings]


def test_every_reply_matches_beside_others_as_alone(small: Checkpoint, quiet_log: Any) -> None:
    engine = Transformers(device="cpu", max_completion_length=40)
    samplings = [GREEDY, Sampling(), *(Sampling(pattern=one) for one in PATTERNS)]
    groups = engine.draw(asks(small, samplings), quiet_log)
    ended = 0
    for sampling, group in zip(samplings[2:], groups[2:], strict=True):
        for one in group:
            if one.truncated:
                continue
            ended += 1
            assert re.fullmatch(patterns.expression(sampling.pattern), one.text), one.text
            if sampling.pattern[0] == "json":
                assert set(json.loads(one.text)) <= {"sum", "ok"}
    assert ended > 18
    for sampling, group in zip(samplings, groups, strict=True):
        [alone] = engine.draw(asks(small, [sampling]), quiet_log)
        assert [one.text for one in alone] == [one.text for one in group]


def test_the_logprobs_are_those_of_the_model_itself(small: Checkpoint, quiet_log: Any) -> None:
    engine = Transformers(device="cpu", max_completion_length=8)
    [group] = engine.draw(asks(small, [Sampling(pattern=("choice", "ab", "cd"))]), quiet_log)
    known = engine.logprobs_of(small, group)
    for one, row in zip(group, known, strict=True):
        assert one.logprobs == {"sum": pytest.approx(sum(row), abs=1e-3), "count": len(row)}


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (("regex", "("), "no regular expression"),
        (("regex",), "a pattern is"),
        (("json", "{"), "no JSON schema"),
        (("json", "[]"), "must be an object"),
        (("grammar", "x"), "a pattern is"),
        (("json", '{"type": "colour"}'), "cannot be followed"),
    ],
    ids=str,
)
def test_what_is_no_pattern_is_one_line(pattern: tuple[str, ...], said: str) -> None:
    with pytest.raises(RecipeError, match=said) as caught:
        patterns.expression(pattern)
    assert "\n" not in str(caught.value)


def test_a_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "outlines_core", None)
    with pytest.raises(EngineError, match=r"pip install 'selfimprove\[constrained\]'$"):
        patterns.expression(PATTERNS[3])


def test_tokens_as_bytes() -> None:
    class Pieces:
        def decode(self, ids: list[int]) -> str:
            return "plain"

    assert patterns._bytes_of(Pieces(), "\u2581one", 1) == b" one"
    assert patterns._bytes_of(Pieces(), "<0xC3>", 2) == b"\xc3"
    assert patterns._bytes_of(Pieces(), "plain", 3) == b"plain"
    assert len(patterns._letters()) == 256
