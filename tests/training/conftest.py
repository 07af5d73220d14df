"""A small random Llama to train, and rows for it."""

from __future__ import annotations

from types import ModuleType

import pytest

from selfimprove.records import Checkpoint, Preference, Prompt, Rollout

TEXTS = [("what is 3 + 5?", "Answer: 8."), ("what is 12 - 7?", "Answer: 5."), ("3", "the quick brown fox jumps")]


@pytest.fixture(scope="session")
def start(small_llama: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A small Llama with random weights and a chat template."""
    return Checkpoint(path=str(small_llama.build(tmp_path_factory.mktemp("start") / "llama", template=True)))


@pytest.fixture
def rollouts() -> list[Rollout]:
    """Three completions of different lengths."""
    prompts = [Prompt(prompt=[{"role": "user", "content": asked}], key=asked) for asked, _ in TEXTS]
    said = [[{"role": "assistant", "content": text}] for _, text in TEXTS]
    return [Rollout(prompt=prompt, completion=text) for prompt, text in zip(prompts, said, strict=True)]


@pytest.fixture
def couples(rollouts: list[Rollout]) -> list[Preference]:
    """Each of them against the next one's text."""
    turned = [*rollouts[1:], rollouts[0]]
    return [
        Preference(prompt=one.prompt, chosen=one.completion, rejected=other.completion)
        for one, other in zip(rollouts, turned, strict=True)
    ]
