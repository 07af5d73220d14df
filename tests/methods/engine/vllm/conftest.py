"""The real vLLM, as its CPU build: these tests run in an environment of their own, `make test-vllm`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from selfimprove.logs import Silent
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.engine.vllm import Vllm
from selfimprove.methods.model.tiny import Tiny
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.records import Checkpoint, Prompt

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")  # a thread that is bound to a busy core takes minutes


HEADS = 2
"""vLLM's CPU build has no attention for heads of 16, which the tiny model has with its 4."""


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The tiny model after its bootstrap: it ends its completions, which random weights seldom do."""
    return Tiny(max_steps=300, probes=100, num_attention_heads=HEADS).build(
        ChainSums(), Transformers(), tmp_path_factory.mktemp("taught"), 0, Silent()
    )


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The same before its bootstrap."""
    return Tiny(num_attention_heads=HEADS)._untrained(tmp_path_factory.mktemp("tiny"), seed=0)


@pytest.fixture(scope="session")
def engine() -> Iterator[Vllm]:
    """One engine for all tests that do not count its starts."""
    engine = Vllm(enforce_eager=True, max_completion_length=60)
    yield engine
    engine.close()


@pytest.fixture
def fresh() -> Iterator[Callable[..., Vllm]]:
    """`fresh(max_completion_length=30)`: an engine of its own, which is ended whatever happens."""
    made: list[Vllm] = []

    def make(**options: Any) -> Vllm:
        made.append(Vllm(**{"enforce_eager": True, **options}))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture(scope="session")
def problems() -> list[Prompt]:
    """500 problems of the sums task, without their answers."""
    return [prompt.blind() for prompt in ChainSums().problems("train", 500, 0)]


@pytest.fixture
def adapters(tmp_path: Path, taught: Checkpoint) -> Callable[[int, int], Checkpoint]:
    """`adapters(seed, rank)`: a random PEFT adapter on the taught model."""

    def make(seed: int, rank: int) -> Checkpoint:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.manual_seed(seed)
        model: Any = AutoModelForCausalLM.from_pretrained(taught.path)
        layers = ["q_proj", "v_proj", "down_proj"]
        folder = tmp_path / f"adapter-{seed}"
        get_peft_model(model, LoraConfig(r=rank, target_modules=layers, init_lora_weights=False)).save_pretrained(
            folder
        )
        AutoTokenizer.from_pretrained(taught.path).save_pretrained(folder)
        return Checkpoint(path=str(folder), base=taught.path, adapter=True)

    return make
