"""IFD by hand: losses after the problem and alone, rows above 1 go, the highest stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.selection.ifd import Ifd
from selfimprove.records import Checkpoint, Rollout


@dataclass
class Pairs(Fake):
    """A row named `a/b` has a loss of a on each token after its problem, and of b alone."""

    start: bool = True

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        if statistic == "unprompted" and not self.start:
            raise DataError("the tokenizer has no start token")
        alone = [statistic == "unprompted" or one.prompt.prompt[-1]["content"] == "S:=" for one in rollouts]
        return [
            [-float(one.text.split("/")[own])] * 3 if one.text else [] for one, own in zip(rollouts, alone, strict=True)
        ]


ROWS = ("1/4", "2/4", "3/4", "", "5/4", "3.6/4")
"""An IFD of .25, .5, .75, none, 1.25 and .9."""


@pytest.mark.parametrize("alone", ["start", "form"])
@pytest.mark.parametrize(("share", "kept"), [(1.0, "1/4 2/4 3/4 3.6/4"), (0.34, "3/4 3.6/4"), (0.0, "")])
def test_by_hand(alone: str, share: float, kept: str, make_context: Callable, make_rollout: Callable) -> None:
    context = make_context(Pairs())
    method = Ifd(share=share, alone=alone)
    found = method.select([make_rollout(text) for text in ROWS], context.held(method))
    assert [one.text for one in found] == kept.split()
    assert context.log.metrics["ifd/mean"] == pytest.approx((0.25 + 0.5 + 0.75 + 1.25 + 0.9) / 5)
    assert context.log.metrics["ifd/above"] == pytest.approx(0.2)


def test_a_tokenizer_without_a_start_token_is_told_the_way_out(make_context: Callable, make_rollout: Callable) -> None:
    with pytest.raises(DataError, match=r"no start token: set selection\.ifd\.alone=form"):
        Ifd().select([make_rollout("1/4")], make_context(Pairs(start=False)))
    with pytest.raises(RecipeError, match="alone=words is none of start, form"):
        Ifd(alone="words")
