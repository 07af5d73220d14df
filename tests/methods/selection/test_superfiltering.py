"""The weights that score are others, perplexities are compared, and what is left is spread out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.selection.superfiltering import Superfiltering
from selfimprove.records import Checkpoint, Rollout


@dataclass
class Small(Fake):
    """The loss after a problem is the number before the slash, alone it is 4; only the weights `small` know it."""

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        assert checkpoint.path == "small"
        return [[-4.0 if statistic == "unprompted" else -float(one.text.partition("/")[0])] for one in rollouts]


def test_difficult_rows_that_differ_stay(make_context: Callable, make_rollout: Callable) -> None:
    """exp(3 - 4) = .37 and exp(2 - 4) = .14 are below 1, exp(5 - 4) is not; of two like texts one stays."""
    texts = ("1/xx", "3/aaaaaaaa", "3/aaaaaaab", "2/zyxwvuts", "5/bad")
    method = Superfiltering(by="small", first=0.6, share=0.4)
    found = [one.text for one in method.select([make_rollout(text) for text in texts], make_context(Small()))]
    assert len(found) == 2 and "2/zyxwvuts" in found and "5/bad" not in found
    every = Superfiltering(by="small", first=1.0, share=1.0)
    assert len(every.select([make_rollout(text) for text in texts], make_context(Small()))) == 4
    with pytest.raises(RecipeError, match=r"share=0\.5 exceeds first=0\.2"):
        Superfiltering(share=0.5)
