"""A small random Llama for the methods that train, and a context that starts from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from selfimprove.interfaces import Context
from selfimprove.records import Checkpoint, Preference, Prompt, Rollout


@pytest.fixture(scope="session")
def llama_like(small_llama: ModuleType) -> Callable[..., Path]:
    """`llama_like(folder, kind="llama", template=True)`: the folder of a small model with random weights."""
    return small_llama.build


@pytest.fixture(scope="session")
def small(llama_like: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A small Llama with random weights, a byte-level tokenizer and a chat template."""
    return Checkpoint(path=str(llama_like(tmp_path_factory.mktemp("small") / "llama", template=True)))


@pytest.fixture
def questions() -> list[Prompt]:
    """Twelve problems of different lengths."""
    texts = ["what is " + " + ".join(map(str, range(n, 2 * n))) + "?" for n in range(1, 13)]
    return [Prompt(prompt=[{"role": "user", "content": text}], answer="8", key=text) for text in texts]


@pytest.fixture
def say() -> Callable[..., Rollout]:
    """`say(prompt, "text", reward=1.0)`: a rollout that came to its end."""

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


@pytest.fixture
def couples(questions: list[Prompt]) -> list[Preference]:
    """Four pairs of completions of different lengths."""
    texts = [("8", "no"), ("Answer: 8.", "9"), ("the quick", "what is 12 - 7?"), ("yes", "Question")]
    return [
        Preference(
            prompt=prompt,
            chosen=[{"role": "assistant", "content": better}],
            rejected=[{"role": "assistant", "content": worse}],
        )
        for prompt, (better, worse) in zip(questions, texts, strict=False)
    ]


@pytest.fixture
def cut(couples: list[Preference]) -> list[tuple[Rollout, Rollout]]:
    """The sides of the same pairs, of which the first rejected and the last chosen ran into the length limit."""
    sides = [pair.sides for pair in couples]
    (best, worst), *between, (good, bad) = sides
    length = {"finish_reason": "length"}
    return [(best, replace(worst, info=length)), *between, (replace(good, info=length), bad)]


@pytest.fixture
def scores_of(small: Checkpoint) -> Callable[..., tuple[list[list[float]], list[list[float]]]]:
    """`scores_of(pairs, checkpoint)`: the log-probabilities of the tokens of the chosen and of the rejected texts."""

    def score(
        pairs: list[Preference], checkpoint: Checkpoint | None = None
    ) -> tuple[list[list[float]], list[list[float]]]:
        from selfimprove.methods.engine.transformers import Transformers

        chosen = [Rollout(prompt=pair.prompt, completion=pair.chosen) for pair in pairs]
        rejected = [Rollout(prompt=pair.prompt, completion=pair.rejected) for pair in pairs]
        engine = Transformers()
        return engine.logprobs_of(checkpoint or small, chosen), engine.logprobs_of(checkpoint or small, rejected)

    return score


@pytest.fixture
def margins_of(scores_of: Callable) -> Callable[..., list[float]]:
    """`margins_of(pairs, checkpoint)`: log p(chosen) - log p(rejected) of each pair."""

    def margins(pairs: list[Preference], checkpoint: Checkpoint | None = None) -> list[float]:
        return [sum(one) - sum(other) for one, other in zip(*scores_of(pairs, checkpoint), strict=True)]

    return margins


@pytest.fixture
def one_step(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """`Dpo(**one_step)`: a training of one step that changes nothing, and logs its loss."""
    from selfimprove.training.trl import trainer

    monkeypatch.setattr(trainer, "LOGGED", 1)
    return {"learning_rate": 0.0, "max_steps": 1}
