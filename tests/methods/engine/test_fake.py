"""The fake engine must itself be trusted: known probabilities, and the same draws in any batch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.interfaces import GREEDY, Sampling
from selfimprove.methods.engine.fake import Fake
from selfimprove.records import Checkpoint

TABLE = {"S:1+2=": {"#3": 0.5, "#4": 0.3, "#5": 0.2}, "S:3+5=": {"#8": 2.0, "#9": 6.0}}


@pytest.fixture
def sample(make_prompt: Callable, quiet_log: Any) -> Callable[..., list[list[str]]]:
    """`sample(["1+2"], n, sampling, seed)`: the texts drawn for these problems."""

    def run(keys: list[str], n: int = 1, sampling: Sampling = Sampling(), seed: int = 0) -> list[list[str]]:
        prompts = [make_prompt(key) for key in keys]
        groups = Fake(TABLE).sample(Checkpoint(path="x"), prompts, n, sampling, seed, quiet_log)
        assert [[rollout.prompt for rollout in group] for group in groups] == [[prompt] * n for prompt in prompts]
        return [[rollout.text for rollout in group] for group in groups]

    return run


def test_draws_follow_the_weights(sample: Callable) -> None:
    [group] = sample(["1+2"], 4000)
    for text, share in TABLE["S:1+2="].items():
        assert abs(Counter(group)[text] / 4000 - share) < 4 * math.sqrt(share * (1 - share) / 4000)


def test_temperature_sharpens_and_zero_takes_the_heaviest(sample: Callable) -> None:
    assert sample(["1+2", "3+5"], 3, GREEDY) == [["#3"] * 3, ["#9"] * 3]
    [cold] = sample(["3+5"], 2000, Sampling(temperature=0.5))
    assert abs(Counter(cold)["#9"] / 2000 - 0.9) < 4 * math.sqrt(0.09 / 2000)  # 36 to 4


def test_a_draw_depends_on_seed_prompt_and_sample_and_not_on_the_batch(sample: Callable) -> None:
    alone, [_, together] = sample(["1+2"], 40), sample(["3+5", "1+2"], 40)
    assert alone == [together] == sample(["1+2"], 40)
    assert sample(["1+2"], 60)[0][:40] == together
    assert sample(["1+2"], 40, seed=1) != alone


def test_prompts_draw_independently_of_each_other(sample: Callable) -> None:
    one, two = sample(["1+2", "3+5"], 400)
    both = sum(a == "#3" and b == "#8" for a, b in zip(one, two, strict=True)) / 400
    assert abs(both - 0.5 * 0.25) < 4 * math.sqrt(0.125 * 0.875 / 400)


def test_an_unknown_prompt_gets_the_default(sample: Callable) -> None:
    assert sample(["9+9"], 2) == [["?", "?"]]


def test_log_probabilities_are_those_of_the_table(
    make_prompt: Callable, make_rollout: Callable, quiet_log: Any
) -> None:
    engine, here = Fake(TABLE), Checkpoint(path="x")
    [[drawn]] = engine.sample(here, [make_prompt("3+5")], 1, GREEDY, 0, quiet_log)
    assert drawn.logprobs == {"sum": pytest.approx(math.log(0.75)), "count": 1} and not drawn.truncated
    scores = engine.logprobs_of(here, [make_rollout("#8", "3+5"), make_rollout("#9", "3+5"), make_rollout("#0", "3+5")])
    assert scores == [[pytest.approx(math.log(0.25))], [pytest.approx(math.log(0.75))], [-100.0]]


def test_statistics_of_the_whole_table(make_rollout: Callable) -> None:
    engine, here = Fake(TABLE), Checkpoint(path="x")
    rollouts = [make_rollout("#8", "3+5"), make_rollout("#9", "3+5"), make_rollout("?", "9+9")]
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert engine.logprobs_of(here, rollouts, "entropy") == [[pytest.approx(entropy)]] * 2 + [[0.0]]
    divergence = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert engine.logprobs_of(here, rollouts, "self_certainty") == [[pytest.approx(divergence)]] * 2 + [[0.0]]
    with pytest.raises(RecipeError, match=r"no statistic 'surprise'; it has logprob"):
        engine.logprobs_of(here, rollouts, "surprise")


def test_an_embedding_is_the_direction_of_a_text_s_letter_counts() -> None:
    here = Checkpoint(path="x")
    listen, silent, aab, xy, empty = Fake().embed(here, ["listen", "silent", "aab", "xy", ""])
    assert listen.tolist() == silent.tolist() and listen.dtype == "float32"
    assert (aab[ord("a") % 64], aab[ord("b") % 64]) == pytest.approx((2 / math.sqrt(5), 1 / math.sqrt(5)))
    assert float(aab @ aab) == pytest.approx(1) and float(aab @ xy) == 0.0 and not empty.any()
    assert Fake().embed(here, []).shape == (0, 64)


def test_progress_counts_samples_up_to_the_whole(make_prompt: Callable, quiet_log: Any) -> None:
    Fake().sample(Checkpoint(path="x"), [make_prompt("1+2"), make_prompt("3+5")], 3, GREEDY, 0, quiet_log)
    assert quiet_log.marks == [(3, 6, "samples"), (6, 6, "samples")]
