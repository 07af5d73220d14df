"""A small random Llama for the methods that train, and a context that starts from it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfimprove.interfaces import Context
from selfimprove.records import Checkpoint, Prompt, Rollout


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A small Llama with random weights, a byte-level tokenizer and a chat template."""
    place = importlib.util.spec_from_file_location("small_llama", Path(__file__).parents[1] / "small_llama.py")
    assert place and place.loader
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return Checkpoint(path=str(module.build(tmp_path_factory.mktemp("small") / "llama", template=True)))


@pytest.fixture
def questions() -> list[Prompt]:
    """Twelve problems of different lengths."""
    texts = ["what is " + " + ".join(map(str, range(n, 2 * n))) + "?" for n in range(1, 13)]
    return [Prompt(prompt=[{"role": "user", "content": text}], answer="8", key=text) for text in texts]


@pytest.fixture
def say() -> Callable[..., Rollout]:
    """`say(prompt, "text", score=1.0)`: a rollout that came to its end."""

    def make(prompt: Prompt, text: str, **changes: Any) -> Rollout:
        return Rollout(prompt=prompt, completion=[{"role": "assistant", "content": text}], **changes)

    return make


@pytest.fixture
def setting(small: Checkpoint, make_context: Callable[..., Context], tmp_path: Path) -> Callable[..., Context]:
    """`setting("name", reward=...)`: a context that trains from the small model, in a folder of its own."""

    def make(name: str = "here", **changes: Any) -> Context:
        given = make_context()
        folder = tmp_path / name
        folder.mkdir()
        policy = replace(given.policy, checkpoint=small)
        return replace(given, policy=policy, start=small, folder=folder, **changes)

    return make
