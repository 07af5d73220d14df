"""Every trainer learns the tokens that were drawn, where their text would give others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from selfimprove.interfaces import Context
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.records import Checkpoint

pytestmark = pytest.mark.long

pytest.importorskip("torch")
WAYS = (
    *("sft", "weighted_sft", "dpo", "kto", "simpo", "trr_plus_plus", "tree_search", "math_shepherd"),
    *("grpo", "rloo", "ppo", "score", "pag"),
)


@pytest.mark.parametrize("way", WAYS)
def test_what_was_drawn_is_what_is_trained(
    way: str, trained: ModuleType, start: Checkpoint, make_context: Callable[..., Context], tmp_path: Path
) -> None:
    """Random weights draw random bytes, which are seldom text that comes back."""
    assert set(WAYS) == set(trained.WAYS)
    given: Any = make_context(Transformers(device="cpu", max_completion_length=trained.LENGTH))
    given = replace(given, start=start, policy=replace(given.policy, checkpoint=start))
    lines = trained.trained(way, given, given.problems(6, 0))
    assert lines.kept == len(lines.trained) >= 8 and len(set(lines.trained)) >= 6
