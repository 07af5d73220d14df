"""The measures on examples worked by hand, their errors on simulated models, and one test for each rule of a verdict."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.measures.diagnosis import (
    Diagnosis,
    Estimate,
    Fit,
    Sample,
    Verdict,
    any_of,
    auroc,
    by_threshold,
    by_tuned_threshold,
    compare,
    dynamics,
    estimate,
    gap,
    labels,
    ladder,
    majority_of,
    marked,
    measure,
    of_audit,
    self_scores,
    sharpening,
    summary,
    verdicts,
)

# Two prompts with four completions. A is right twice, with one voice; B once, and sure of it.
A = [Sample(True, "1", -0.1, 5), Sample(True, "1", -0.2, 5), Sample(False, "2", -0.3, 5), Sample(False, "3", -0.4, 5)]
B = [Sample(False, "5", -0.1, 5), Sample(False, "5", -0.2, 5), Sample(False, "6", -0.3, 5), Sample(True, "7", -0.05, 5)]
C = [Sample(True, "9", -0.1, 5)] * 4


def drawn(
    problems: int,
    samples: int,
    right: float | Callable[[random.Random], float],
    *,
    knows: float = 0.0,
    wrong: int = 9,
    seed: int = 0,
) -> list[list[Sample]]:
    """A simulated model: right with a probability of its own for each prompt; wrong answers are equally likely.

    Its score is noise, plus `knows` where it is right.
    """
    source, groups = random.Random(seed), []
    for _ in range(problems):
        p = right(source) if callable(right) else right
        group = []
        for _ in range(samples):
            good = source.random() < p
            answer = "right" if good else f"wrong {source.randrange(wrong)}"
            group.append(Sample(good, answer, -1 + 0.1 * source.gauss(0, 1) + knows * good, 10))
        groups.append(group)
    return groups


def constant(answer: str, right: int, problems: int = 40, samples: int = 8, score: float = -0.01) -> list[list[Sample]]:
    """A collapsed model: one answer to everything, which is right on the first few prompts."""
    return [[Sample(i < right, answer, score, 10)] * samples for i in range(problems)]


def found(diagnosis: Diagnosis, *others: Any) -> dict[str, Verdict]:
    """The verdicts by name."""
    return {f"{v.name}({v.by})" if v.by else v.name: v for v in verdicts(diagnosis, *others)}


# ---- measures by hand --------------------------------------------------------------------------------------------
def test_the_ladder_for_all_completions() -> None:
    top = ladder([A, B], 4)
    assert (top.single.value, top.majority.value, top.any.value) == (0.375, 0.5, 1.0)
    assert {name: best.value for name, best in top.best.items()} == {"votes": 0.5, "logprob": 1.0}
    assert (top.consensus.value, top.oracle.value) == (0.125, 0.625)
    assert {name: share and share.value for name, share in top.efficiency.items()} == {
        "votes": pytest.approx(0.2),
        "logprob": pytest.approx(1.0),
    }


def test_the_ladder_for_two_of_four_completions() -> None:
    rung = ladder([A, B], 2)
    assert rung.any.value == pytest.approx((5 / 6 + 1 / 2) / 2)
    assert rung.best["logprob"].value == pytest.approx((5 / 6 + 1 / 2) / 2)  # both rank their right ones first
    assert rung.majority.value == pytest.approx((3 / 6 + 1.5 / 6) / 2)  # of two tied answers chance takes one
    assert rung.best["votes"].value == pytest.approx((5 / 6 + 0.5 / 6) / 2)


@given(st.integers(0, 10**6), st.integers(1, 8))
def test_no_choice_beats_the_reference(seed: int, k: int) -> None:
    rung = ladder(drawn(5, 8, 0.4, knows=0.1, wrong=3, seed=seed), k)
    for chosen in (rung.single, rung.majority, *rung.best.values()):
        assert -1e-9 <= chosen.value <= rung.any.value + 1e-9
    if k == 1:
        assert all(
            one.value == pytest.approx(rung.single.value) for one in (rung.majority, *rung.best.values(), rung.any)
        )


def test_a_ladder_without_headroom_has_no_efficiency() -> None:
    assert ladder([C, C], 4).efficiency == {"votes": None, "logprob": None}


@pytest.mark.parametrize("k", [0, 5])
def test_a_ladder_needs_k_completions(k: int) -> None:
    with pytest.raises(ValueError, match=f"k = {k} needs as many completions of each prompt, there are 4"):
        ladder([A, [*B, *B]], k)


def test_completions_without_an_answer_have_no_votes() -> None:
    mute = [Sample(False, None, -0.1, 5)] * 3 + [Sample(True, "1", -0.9, 5)]
    assert self_scores([mute])["votes"] == [[0.0, 0.0, 0.0, 0.25]]
    assert majority_of([mute, mute[:3]], 3)[1] == 0 and majority_of([mute], 4) == [1.0]
    assert labels([mute, A], 0.5, 4).kept.value == 0.5


def test_an_engine_without_log_probabilities_leaves_their_score_out() -> None:
    bare = [[Sample(s.right, s.answer, None, 5) for s in group] for group in (A, B)]
    found = measure(bare)
    assert [score.name for score in found.scores] == ["votes"] and set(found.ladder.best) == {"votes"}
    assert found.token_entropy is None and found.sharpening is None


def test_the_gap_by_hand() -> None:
    kept = gap([A, B, C], [[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    assert kept.absolute.value == pytest.approx((0.5 + 0 + 0) / 3) and kept.idle == pytest.approx(1 / 3)
    assert kept.relative and kept.relative.n == 2  # C is always solved and has no room
    assert kept.relative.value == pytest.approx((0.5 / 0.5 + 0 / 0.75) / 2)
    assert kept.overall and kept.overall.value == pytest.approx(0.5 / (0.5 + 0.75))


def test_weights_need_not_be_zero_or_one() -> None:
    assert gap([A, B], [[3, 0, 1, 0], [1, 1, 1, 1]]).absolute.value == pytest.approx((0.75 - 0.5) / 2)


def test_the_filter_by_votes_keeps_a_majority_of_one_half() -> None:
    score = by_threshold("votes", [A, B], self_scores([A, B])["votes"], 0.5)
    assert score.gap.absolute.value == pytest.approx((0.5 - 0.25) / 2) and score.gap.idle == 0


def test_each_half_is_filtered_at_the_threshold_of_the_other() -> None:
    low = [[Sample(True, "1", -0.1), Sample(False, "2", -0.2)]] * 10  # best kept from -0.1 on
    high = [[Sample(True, "1", -1.1), Sample(False, "2", -1.2)]] * 10  # best kept from -1.1 on
    mixed = [group for pair in zip(low, high, strict=True) for group in pair]
    score = by_tuned_threshold("logprob", mixed, self_scores(mixed)["logprob"])
    assert score.thresholds == (-1.1, -0.1)
    assert score.gap.absolute.value == 0  # at -1.1 the even prompts keep all, at -0.1 the odd ones nothing
    assert score.auroc and score.auroc.value == 1


def test_auroc_counts_pairs_of_the_same_prompt() -> None:
    scores = [[0.9, 0.3, 0.3, 0.1], [0.2, 0.2, 0.2, 0.1], [1.0, 1.0, 1.0, 1.0]]
    measured = auroc([A, B, C], scores)  # A: 4 pairs, 3.5 won; B: 3 pairs, none won; C: no pair
    assert measured and measured.value == pytest.approx(3.5 / 7) and measured.n == 2
    assert auroc([C, C], scores[:2]) is None


def test_what_a_reward_could_not_score_is_neither_kept_nor_compared() -> None:
    scores = [[1.0, None, 0.0, None], [None, None, None, None]]
    score = by_threshold("reward", [A, B], scores, 1.0)
    assert score.gap.absolute.value == pytest.approx(0.25) and score.gap.idle == 0.5
    assert score.auroc and (score.auroc.value, score.auroc.n) == (1.0, 1)


def test_labels_of_the_prompts_that_a_filter_keeps() -> None:
    tied = [Sample(True, "1"), Sample(False, "2")] * 2
    every, half, most = (labels([A, B, C, tied], agreement, 4) for agreement in (0.0, 0.5, 0.75))
    assert (every.kept.value, half.kept.value, most.kept.value) == (0.75, 0.75, 0.25)
    assert every.accuracy and every.accuracy.value == pytest.approx(2 / 3)
    assert most.accuracy and most.accuracy.value == 1
    assert labels([A, B], 0.9, 4).accuracy is None


def test_labels_of_a_run_that_draws_fewer() -> None:
    pairs = labels([A, B], 0.5, 2)  # the votes of A: 1 1, then 2 3, a tie; of B: 5 5, then 6 7, a tie
    assert pairs.kept.value == 0.5 and pairs.accuracy and pairs.accuracy.value == 0.5
    singles = labels([A, B], 0.5, 1)
    assert singles.kept.value == 1 and singles.accuracy and singles.accuracy.value == pytest.approx(0.375)
    threes = labels([A, B], 0.5, 3)  # one vote of three; the fourth completion is left over
    assert threes.kept.value == 1 and threes.accuracy and threes.accuracy.value == 0.5


def test_what_a_majority_knows_beyond_the_likeliest_answer() -> None:
    greedy, drawn_only = measure([A, B], greedy=[False, True]), measure([A, B])
    assert greedy.beyond and greedy.beyond.value == pytest.approx(0.5 - 0.5)
    assert drawn_only.beyond and drawn_only.beyond.value == pytest.approx(0.5 - 1.0)
    bare = [[Sample(s.right, s.answer) for s in group] for group in (A, B)]
    assert measure(bare).beyond is None


def test_sharpening_by_hand() -> None:
    sharp = sharpening([A, B])  # the most likely: exp(-0.5), right; exp(-0.25), right
    assert sharp and sharp.accuracy.value == 1 and sharp.gain.value == pytest.approx(0.625)
    assert sharp.probability.value == pytest.approx((math.exp(-0.5) + math.exp(-0.25)) / 2)
    assert 10**sharp.coverage == pytest.approx((math.exp(0.5) + math.exp(0.25)) / 2)


def test_coverage_of_long_completions_does_not_overflow() -> None:
    long = [[Sample(True, "1", -2.0, 5000), Sample(False, "2", -3.0, 5000)]] * 2
    sharp = sharpening(long)
    assert sharp and sharp.coverage == pytest.approx(10000 / math.log(10))


def test_the_other_measures_by_hand() -> None:
    group = [Sample(True, "1", -0.5, 4), Sample(False, "2", -1.0, 8, True), Sample(False, None, -2.0, 2)]
    found = measure([group, group], greedy=[True, False], keys=["a", "b"])
    assert (found.problems, found.samples, found.ladder.k) == (2, 3, 3)
    assert found.greedy and found.greedy.value == 0.5
    assert found.length.value == pytest.approx(14 / 3) and found.truncated.value == pytest.approx(1 / 3)
    assert found.parsed.value == pytest.approx(2 / 3) and found.majority.value == pytest.approx(1 / 3)
    assert found.answer_entropy.value == pytest.approx(math.log(2)) and found.unsolved.value == 0
    assert found.token_entropy and found.token_entropy.value == pytest.approx((2 + 8 + 4) / 14)
    assert found.top_answer == ("1", pytest.approx(1 / 3)) and found.reward is None


def test_too_little_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 prompts with 2 completions"):
        measure([A])
    with pytest.raises(ValueError, match="at least 2 prompts with 2 completions"):
        measure([A, B[:1]])
    with pytest.raises(ValueError, match="at least 2 prompts, there are 1"):
        estimate([1.0])


# ---- errors ------------------------------------------------------------------------------------------------------
def test_the_error_of_a_mean_is_that_of_the_textbook() -> None:
    source = random.Random(0)
    values = [source.gauss(0, 1) for _ in range(50)]
    mean = sum(values) / 50
    exact = math.sqrt(sum((value - mean) ** 2 for value in values) / (50 * 49))
    found = estimate(values)
    assert found and found.value == pytest.approx(mean) and found.error == pytest.approx(exact, rel=0.08)
    assert found.low < mean - exact and found.high > mean + exact


def test_the_interval_of_a_ratio_covers() -> None:
    source, hits, trials = random.Random(1), 0, 300
    for _ in range(trials):
        bottom = [source.random() + 0.5 for _ in range(60)]
        found = estimate([b * (0.4 + source.gauss(0, 0.3)) for b in bottom], bottom)
        assert found
        hits += found.low <= 0.4 <= found.high
    assert 0.90 <= hits / trials <= 0.99


def test_nothing_to_divide_by_is_no_estimate() -> None:
    assert estimate([0.0, 0.0], [0.0, 0.0]) is None


@pytest.mark.long
@pytest.mark.parametrize("score", ["votes", "logprob"])
def test_a_score_that_knows_nothing_is_rarely_called_possible(score: str) -> None:
    hits, mean = 0, 0.0
    for seed in range(100):
        groups = drawn(40, 16, 0.1, seed=seed)  # right by chance only: all ten answers are equally likely
        scores = self_scores(groups)[score]
        judge = by_threshold if score == "votes" else by_tuned_threshold
        one = judge(score, groups, scores, *([0.5] if score == "votes" else []))
        assert one.auroc
        hits, mean = hits + one.possible, mean + one.auroc.value / 100
    assert hits <= 4 and mean == pytest.approx(0.5, abs=0.01)


def test_a_score_that_knows_is_called_possible() -> None:
    for seed in range(20):
        groups = drawn(40, 16, 0.3, knows=0.1, seed=seed)
        assert by_tuned_threshold("logprob", groups, self_scores(groups)["logprob"]).possible


# ---- verdicts on one model ---------------------------------------------------------------------------------------
def test_a_model_that_knows_its_errors_is_possible_and_safe() -> None:
    named = found(measure(drawn(60, 8, 0.5, knows=0.05)))
    assert set(named) == {"POSSIBLE(votes)", "POSSIBLE(logprob)", "CONSENSUS-SAFE"}
    assert "of 2 votes agree" in named["CONSENSUS-SAFE"].because
    numbers = named["POSSIBLE(logprob)"].numbers
    assert numbers["gap"] > 2 * numbers["gap_error"] and numbers["auroc"] > 0.5 + 2 * numbers["auroc_error"]
    assert str(named["POSSIBLE(logprob)"]).startswith("POSSIBLE(by logprob): what it keeps is right more often by +0.")


def test_a_model_that_guesses_needs_gold() -> None:
    named = found(measure(drawn(60, 8, 0.1)))
    assert set(named) == {"NEEDS-GOLD"}
    assert "pass@8 - pass@1 is +0.5" in str(named["NEEDS-GOLD"])


def test_a_true_reward_does_not_hide_that_gold_is_needed() -> None:
    groups = [[Sample(s.right, s.answer, s.score, 10, False, float(s.right)) for s in g] for g in drawn(60, 8, 0.1)]
    assert set(found(measure(groups))) == {"POSSIBLE(reward)", "NEEDS-GOLD"}


def test_a_reward_that_flips_a_coin_is_not_possible() -> None:
    coin = random.Random(0)
    groups = [
        [Sample(s.right, s.answer, None, 10, False, float(coin.random() < 0.5)) for s in g] for g in drawn(60, 8, 0.3)
    ]
    measured = measure(groups)
    assert measured.reward and measured.reward.value == pytest.approx(0.5, abs=0.05)
    assert "POSSIBLE(reward)" not in found(measured)


def test_headroom_with_mostly_wrong_majorities_is_not_safe() -> None:
    groups = drawn(30, 8, 0.7) + drawn(40, 8, 0.15, wrong=1, seed=1)
    measured = measure(groups)
    assert measured.ladder.majority.value < 0.5 and measured.labels[1].accuracy
    assert measured.labels[1].accuracy.value < 0.5 and "CONSENSUS-SAFE" not in found(measured)
    assert "CONSENSUS-SAFE" in found(measure(groups[:30]))


def test_a_majority_that_only_repeats_the_greedy_answer_is_not_safe() -> None:
    groups = drawn(60, 8, 0.5, knows=0.1)
    assert "CONSENSUS-SAFE" in found(measure(groups, greedy=[i % 2 == 0 for i in range(60)]))
    assert "CONSENSUS-SAFE" not in found(measure(groups, greedy=[True] * 60))


def test_no_signal_where_most_prompts_are_never_solved() -> None:
    hopeless = drawn(90, 8, 0.0)
    named = found(measure(hopeless + drawn(10, 8, 0.5)))
    assert "90% of 100 prompts have no right completion among 8" in named["NO-SIGNAL"].because
    assert "NO-SIGNAL" not in found(measure(hopeless[:40] + drawn(10, 8, 1.0)))  # 80 % is not more than 80 %


def test_a_model_that_is_always_right_gets_no_verdict() -> None:
    assert found(measure([C] * 10)) == {}


# ---- verdicts between rounds -------------------------------------------------------------------------------------
def test_more_agreement_and_less_accuracy_is_a_collapse() -> None:
    keys = [str(i) for i in range(40)]
    start = measure(drawn(40, 8, 0.4), keys=keys)
    verdict = found(measure(constant("7", 4), keys=keys), start)["COLLAPSING"]
    assert (
        "the majority ratio rose by +0." in verdict.because
        and "one answer, '7', is 100% of all, +1.000" in verdict.because
    )
    assert "the majority ratio is 1.000 and pass@1 has not risen" in verdict.because
    assert verdict.numbers["accuracy"] < 0 < verdict.numbers["majority"]


def test_more_agreement_on_what_is_wrong_is_a_collapse_before_accuracy_falls() -> None:
    def voting(wrong_share: float, seed: int) -> list[list[Sample]]:
        source, groups = random.Random(seed), []
        for place in range(60):  # a third is always clear; of the others 3 of 10 are right, and the rest comes to agree
            kinds = ["right"] * 3 + ["wrong"] * round(7 * wrong_share) + list("abcdefg")[round(7 * wrong_share) :]
            said = [source.choice(kinds) if place % 3 else "right" for _ in range(8)]
            groups.append([Sample(answer == "right", answer) for answer in said])
        return groups

    keys = [str(i) for i in range(60)]
    start, now = measure(voting(0.0, 0), keys=keys), measure(voting(1.0, 1), keys=keys)
    assert abs(compare(now, start).single.value) < 0.05
    verdict = found(now, start)["COLLAPSING"]
    assert "the majority ratio rose by +0." in verdict.because and verdict.numbers["majority_right"] < -0.2
    assert "COLLAPSING" not in found(measure(voting(0.0, 2), keys=keys), start)


def test_a_reward_that_rises_while_accuracy_falls_is_a_collapse() -> None:
    def rewarded(groups: list[list[Sample]], reward: float) -> list[list[Sample]]:
        return [[Sample(s.right, s.answer, s.score, s.length, False, reward) for s in group] for group in groups]

    start, now = rewarded(drawn(60, 8, 0.5), 0.2), rewarded(drawn(60, 8, 0.2, seed=1), 0.6)
    verdict = found(measure(now), measure(start))["COLLAPSING"]
    assert "the reward rose from 0.200 to 0.600 while pass@1 changed by -0." in verdict.because
    assert "COLLAPSING" not in found(measure(rewarded(drawn(60, 8, 0.2, seed=1), 0.1)), measure(start))


def test_a_model_that_came_to_agree_on_what_is_right_has_not_collapsed() -> None:
    start = measure(drawn(40, 8, 0.4))
    now = measure([[Sample(True, str(i), -0.001, 10)] * 8 for i in range(40)])
    assert now.majority.value == 1 and now.token_entropy and start.token_entropy
    assert now.token_entropy.value < 0.2 * start.token_entropy.value
    assert "COLLAPSING" not in found(now, start)


def test_lost_entropy_without_a_gain_is_a_collapse() -> None:
    start, calm = drawn(40, 8, 0.4), drawn(40, 8, 0.4, seed=3)
    sure = [[Sample(s.right, s.answer, -0.1, 10) for s in group] for group in calm]
    assert "token entropy fell from 0.9" in found(measure(sure), measure(start))["COLLAPSING"].because
    assert "COLLAPSING" not in found(measure(calm), measure(start))


def test_a_task_with_two_answers_is_not_a_collapse() -> None:
    def letters(seed: int) -> list[list[Sample]]:
        source, groups = random.Random(seed), []
        for gold in "yn" * 20:
            said = [source.choice("yn") for _ in range(8)]
            groups.append([Sample(letter == gold, letter, -1.0, 1) for letter in said])
        return groups

    start, now = measure(letters(0)), measure(letters(1))
    assert now.top_answer and now.top_answer[1] > 0.3
    assert "COLLAPSING" not in found(now, start)


def test_fewer_prompts_solved_in_many_tries_is_a_loss_of_diversity() -> None:
    keys = [str(i) for i in range(40)]
    start = measure(drawn(40, 8, 0.3), keys=keys)
    sharper = measure([[Sample(i < 24, "1", -0.1, 10)] * 8 for i in range(40)], keys=keys)
    verdict = found(sharper, start)["DIVERSITY-LOSS"]
    assert "pass@8 changed by -0." in verdict.because and verdict.numbers["k"] == 8
    assert "DIVERSITY-LOSS" not in found(start, start)
    assert compare(sharper, start).word == "sharpening"


def test_learning_solves_what_many_tries_did_not() -> None:
    start = measure(drawn(60, 8, lambda source: 0.3 * (source.random() < 0.5)))
    assert compare(measure(drawn(60, 8, 0.4, seed=1)), start).word == "learning"
    assert compare(start, start).word == "no gain"
    assert compare(measure(drawn(60, 8, 0.02, seed=1)), start).word == "loss"


def test_models_are_compared_at_the_smaller_number_of_samples() -> None:
    few, many = measure(drawn(40, 8, 0.3)), measure(drawn(40, 16, 0.3))
    between = compare(many, few)
    assert between.k == 8 and abs(between.any.value) < 0.1


def test_equal_prompts_are_compared_in_pairs() -> None:
    hard = [i / 45 for i in range(40)]
    keys = [str(i) for i in range(40)]
    one = [[Sample(j < 20 * p, "1", -1, 1) for j in range(20)] for p in hard]
    other = [[Sample(j < 20 * p + 1, "1", -1, 1) for j in range(20)] for p in hard]
    paired = compare(measure(other, keys=keys), measure(one, keys=keys))
    apart = compare(measure(other), measure(one))
    assert paired.single.value == pytest.approx(apart.single.value) == pytest.approx(0.05)
    assert paired.single.error < 0.01 < apart.single.error
    assert (paired.word, apart.word) == ("sharpening", "no gain")


def test_two_rounds_without_a_gap_are_saturated() -> None:
    blind = measure(drawn(60, 8, 0.1))
    knowing = measure(drawn(60, 8, 0.5, knows=0.1))
    verdict = found(blind, None, measure(drawn(60, 8, 0.1, seed=1)))["SATURATED"]
    assert "twice" in verdict.because and "a true reward could still bring +0." in verdict.advice
    for rounds in ((blind, None, knowing), (knowing, None, blind), (blind, None, None)):
        assert "SATURATED" not in found(*rounds)
    assert "take harder problems" in found(measure([C] * 10), None, measure([C] * 10))["SATURATED"].advice


def test_a_reached_ceiling_is_saturated() -> None:
    knowing = measure(drawn(60, 8, 0.5, knows=0.1))
    near, far = Fit(0.6, 0.01, -0.3, 1.0, 6), Fit(0.9, 0.01, -0.5, 0.1, 6)
    assert "the fitted ceiling 0.600 is within 1 standard error of 0.598" in str(
        found(knowing, None, knowing, near)["SATURATED"]
    )
    assert "SATURATED" not in found(knowing, None, knowing, far)


# ---- stored samples ----------------------------------------------------------------------------------------------
def test_rollouts_become_samples(make_rollout: Callable[..., Any]) -> None:
    good = make_rollout("#6", info={"finish_reason": "stop"}, logprobs={"sum": -1.5, "count": 3}, reward=0.7)
    cut = make_rollout("#", info={"finish_reason": "length"}, logprobs={"sum": -4.0, "count": 4})
    asked: list[str] = []

    def mark(rollout: Any) -> float:
        asked.append(rollout.text)
        return float(rollout.text == "#6")

    groups, keys = marked([[good, cut, good]], mark, lambda r: r.text[1:] or None)
    assert keys == ("3+5+8",) and asked == ["#6", "#"]  # equal completions are marked once
    assert groups[0][0] == groups[0][2] == Sample(True, "6", -0.5, 3, False, 0.7)
    assert groups[0][1] == Sample(False, None, -1.0, 4, True, None)


def test_a_prompt_whose_reference_cannot_be_read_is_left_out(make_rollout: Callable[..., Any]) -> None:
    pair = [[make_rollout("#1")], [make_rollout("#2", "1+1")]]
    assert marked(pair, lambda r: None if r.text == "#1" else 1.0, lambda r: r.text)[1] == ("1+1",)


def test_an_engine_without_log_probabilities_gives_lengths_in_characters(make_rollout: Callable[..., Any]) -> None:
    [[sample]], _ = marked([[make_rollout("#12345")]], lambda r: 0.0, lambda r: None)
    assert sample.length == 6 and sample.score is None


def test_a_round_is_diagnosed_from_its_audits(make_rollout: Callable[..., Any]) -> None:
    def audit(groups: list[list[Sample]]) -> list[list[Any]]:
        return [
            [
                make_rollout(
                    f"{i}", f"{i}+1", reward=float(s.right), info={"truth": float(s.right), "answer": s.answer}
                )
                for i, s in enumerate(group)
            ]
            for group in groups
        ]

    start = audit(drawn(30, 8, 0.5))
    first, now = of_audit(start), of_audit(audit(constant("7", 2, 30)))
    assert first and now and now.problems == 30 and now.scores[-1].name == "reward" and now.keys[0] == "0+1"
    said = verdicts(now, first, first)
    assert {"COLLAPSING", "DIVERSITY-LOSS"} <= {verdict.name for verdict in said}
    kept = json.loads(json.dumps(summary(now, said, first)))
    assert list(kept["ladder"]) == ["pass@1", "maj@8", "best_of_8/votes", "pass@8"] and kept["change"] == "loss"
    assert kept["ladder"]["pass@8"] == now.ladder.any.value and kept["verdicts"][0]["text"] == str(said[0])
    assert of_audit([row[:1] for row in start]) is None and of_audit(start[:1]) is None and of_audit([]) is None


# ---- dynamics ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rounds", [4, 8])
def test_the_dynamics_of_a_curve_are_recovered(rounds: int) -> None:
    fit = dynamics([0.8 - 0.4 * math.exp(-0.5 * t) for t in range(rounds)], 0.0, 1.0)
    assert fit and fit.ceiling == pytest.approx(0.8, abs=1e-4) and fit.rate == pytest.approx(0.5, abs=1e-3)
    assert fit.distance == pytest.approx(-0.4, abs=1e-4) and fit.rounds == rounds
    assert fit.rounds_to(0.01) == pytest.approx(math.log(40) / 0.5, rel=1e-3) and fit.rounds_to(0.5) == 0


def test_a_falling_curve_is_fitted_too() -> None:
    fit = dynamics([0.3 + 0.2 * 0.5**t for t in range(6)])
    assert fit and fit.ceiling == pytest.approx(0.3, abs=1e-4) and fit.rate == pytest.approx(math.log(2), abs=1e-3)


def test_a_flat_curve_is_at_its_ceiling() -> None:
    fit = dynamics([0.5] * 5)
    assert fit and (fit.ceiling, fit.distance, fit.rounds_to(0.01)) == (0.5, 0.0, 0.0)


def test_a_straight_line_does_not_tell_its_ceiling() -> None:
    fit = dynamics([0.1, 0.2, 0.3, 0.4, 0.5], 0.0, 1.0)
    assert fit and fit.ceiling > 0.9 and fit.rounds_to(0.01) > 10


def test_noise_moves_the_ceiling_by_about_its_error() -> None:
    misses = 0
    for seed in range(40):
        source = random.Random(seed)
        fit = dynamics([0.8 - 0.4 * math.exp(-0.7 * t) + source.gauss(0, 0.02) for t in range(8)], 0.0, 1.0)
        assert fit
        misses += abs(fit.ceiling - 0.8) > 3 * fit.error
    assert misses <= 6


def test_three_rounds_are_too_few() -> None:
    with pytest.raises(ValueError, match="at least 4 rounds, there are 3"):
        dynamics([0.1, 0.2, 0.3])


def test_estimates_are_two_errors_away_or_not() -> None:
    one = Estimate(0.1, 0.04, 0.0, 0.2, 10)
    assert (
        one.above(0) and not one.above(0.03) and one.below(0.2) and not one.below(0.17) and str(one) == "0.100 ±0.040"
    )
    assert any_of([A, B], 4) == [1.0, 1.0]
