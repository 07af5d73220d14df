"""Small real models for the engine tests."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from selfimprove.records import Checkpoint, Prompt


@pytest.fixture(scope="session")
def small(small_llama: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Checkpoint]:
    """`small("gpt2", template=True)`: a checkpoint with random weights, made once; see small_llama.build."""
    root, made = tmp_path_factory.mktemp("small"), dict[str, Checkpoint]()

    def make(kind: str = "llama", **options: Any) -> Checkpoint:
        name = repr((kind, sorted(options.items())))
        if name not in made:
            made[name] = Checkpoint(path=str(small_llama.build(root / str(len(made)), kind, **options)))
        return made[name]

    return make


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The tiny model before its bootstrap: one token per character, so text and tokens correspond."""
    from selfimprove.methods.model.tiny import Tiny

    return Tiny()._untrained(tmp_path_factory.mktemp("tiny"), seed=0)


@pytest.fixture
def ask() -> Callable[[str], Prompt]:
    """`ask(text)`: a prompt with one user message."""
    return lambda text: Prompt(prompt=[{"role": "user", "content": text}], key=text)
