"""The rows of a band of perplexity stay, in their order."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.selection.perplexity import Perplexity
from selfimprove.records import Checkpoint, Rollout


@dataclass
class Losses(Fake):
    """A row named by a number has that loss on each of two tokens; one without text has no token."""

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        return [[-float(one.text)] * 2 if one.text else [] for one in rollouts]


@pytest.mark.parametrize(("band", "kept"), [("low", ["1", "0.5"]), ("medium", ["2", "1"]), ("high", ["3", "2"])])
def test_bands_by_hand(band: str, kept: list[str], make_context: Callable, make_rollout: Callable) -> None:
    context = make_context(Losses())
    offered = [make_rollout(text) for text in ("3", "", "2", "1", "0.5")]
    assert [one.text for one in Perplexity(band=band).select(offered, context)] == kept
    assert context.log.metrics["perplexity/kept"] == pytest.approx(math.exp(sum(map(float, kept)) / 2))


def test_each_level_has_its_own_ranks(make_context: Callable, make_rollout: Callable) -> None:
    offered = [make_rollout(text, key) for key in ("1+2", "1+2+3") for text in ("1", "2")]
    offered += [make_rollout("8", "1+2+3")] * 2
    kept = Perplexity(band="low", by_level=True).select(offered, make_context(Losses()))
    assert [(one.text, one.prompt.info["level"]) for one in kept] == [("1", 2), ("1", 3), ("2", 3)]
    assert [one.text for one in Perplexity(band="low").select(offered, make_context(Losses()))] == ["1", "2", "1"]


def test_empty_and_wrong() -> None:
    with pytest.raises(RecipeError, match="band=middle is none of low, medium, high"):
        Perplexity(band="middle")
