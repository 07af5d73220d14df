"""The replay arena: a method's own code on stored samples gives what it gives with the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType

import pytest

from selfimprove.inference.arena import Deal, play
from selfimprove.inference.pool import ORDERS, Beyond, Hand, Pool, Sample
from selfimprove.interfaces import GREEDY, Budget, Refinement, Sampling, Session
from selfimprove.methods.refinement.best_of_n import BestOfN
from selfimprove.methods.refinement.greedy import Greedy
from selfimprove.methods.refinement.revise import Revise
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.records import Prompt, Rollout

WARM = Sampling(temperature=0.7)


def sample(prompt: Prompt, answer: str, tokens: int = 3, logprob: float = -1.0, right: str = "4") -> Sample:
    said = Rollout(
        prompt=prompt,
        completion=[{"role": "assistant", "content": f"so #{answer}"}],
        logprobs={"sum": logprob, "count": tokens},
    )
    return Sample(said, answer, float(answer == right))


@pytest.fixture
def stored(make_prompt: Callable[..., Prompt]) -> Callable[..., Pool]:
    """An arena of one problem with these answers at temperature 0.7; `4` is right."""

    def make(*answers: str, tokens: int = 3, logprobs: Sequence[float] = ()) -> Pool:
        prompt = make_prompt().blind()
        odds = logprobs or [-1.0] * len(answers)
        group = [sample(prompt, one, tokens, odd) for one, odd in zip(answers, odds, strict=True)]
        return Pool([prompt], 0, {WARM: [group], GREEDY: [[sample(prompt, "5")]]})

    return make


def chain(*methods: Refinement) -> tuple[list[Refinement], list[dict[str, str]]]:
    return list(methods), [{} for _ in methods]


def test_a_vote_of_all_samples_is_the_same_in_every_order(stored: Callable[..., Pool]) -> None:
    [most] = play(stored("4", "5", "4"), *chain(SelfConsistency(samples=3)))
    assert (most.mark, most.tokens, most.completions, most.cut) == (1.0, 9.0, 3.0, 0.0)
    [few] = play(stored("4", "5", "5"), *chain(SelfConsistency(samples=3)))
    assert few.mark == 0.0


def test_one_sample_has_the_share_of_right_ones(stored: Callable[..., Pool]) -> None:
    [one] = play(stored("4", "5", "5", "5"), *chain(SelfConsistency(samples=1)))
    assert one.mark == pytest.approx(0.25, abs=3 * (0.25 * 0.75 / ORDERS) ** 0.5) and one.tokens == 3.0


def test_the_most_likely_is_chosen_and_a_chain_takes_its_attempts_from_the_method_before(
    stored: Callable[..., Pool],
) -> None:
    arena = stored("5", "4", "5", "5", logprobs=[-3, -1, -2, -4])
    assert play(arena, *chain(BestOfN(samples=4)))[0].mark == 1.0
    [two] = play(arena, *chain(SelfConsistency(samples=2), BestOfN(samples=2)))
    assert (two.completions, two.mark) == (4.0, 1.0)  # best of two winners, of which the most likely is always one


def test_other_refinements_answer_within_one_as_they_do_alone(stored: Callable[..., Pool]) -> None:
    class Asking(Refinement):
        async def answer(self, prompt: Prompt, session: Session) -> Rollout:
            return await session.through(prompt, methods)

    arena = stored("5", "4", "5", "5", logprobs=[-3, -1, -2, -4])
    for methods in ([SelfConsistency(samples=3)], [SelfConsistency(samples=2), BestOfN(samples=2)]):
        assert play(arena, *chain(Asking())) == play(arena, *chain(*methods))
    methods = [BestOfN(samples=2)]
    behind = play(arena, *chain(SelfConsistency(samples=2), Asking()))
    assert behind == play(arena, *chain(SelfConsistency(samples=2), BestOfN(samples=2)))


def test_greedy_is_one_stored_completion(stored: Callable[..., Pool]) -> None:
    assert play(stored("4"), *chain(Greedy()))[0].mark == 0.0


@pytest.mark.parametrize(("tokens", "taken", "cut"), [(7, 3, 1), (6, 2, 1), (3, 1, 1), (100, 4, 0)])
def test_a_budget_ends_a_method_to_the_token(tokens: int, taken: int, cut: int, stored: Callable[..., Pool]) -> None:
    [one] = play(stored("4", "4", "4", "4"), *chain(SelfConsistency(samples=4)), Budget(tokens=tokens))
    assert (one.tokens, one.completions, one.cut, one.mark) == (min(12, tokens), taken, cut, 1.0)


def test_a_budget_that_pays_for_the_stored_samples_only_needs_no_more(stored: Callable[..., Pool]) -> None:
    arena = stored("4", "5")
    with pytest.raises(Beyond, match="more than the 2 stored samples"):
        play(arena, *chain(SelfConsistency(samples=3)))
    assert play(arena, *chain(SelfConsistency(samples=3)), Budget(tokens=6))[0].completions == 2


def test_what_needs_the_model_is_told(stored: Callable[..., Pool]) -> None:
    with pytest.raises(Beyond, match="the words of the role refine"):
        play(stored("4"), *chain(Revise()))
    with pytest.raises(Beyond) as other:
        play(stored("4"), *chain(SelfConsistency(samples=1, temperature=1.0)))
    assert other.value.sampling == Sampling(temperature=1.0)


def test_a_deal_has_all_that_a_session_has(stored: Callable[..., Pool]) -> None:
    arena = stored("4")
    deal = Deal(Hand(arena, 0, 0, Budget()), (), (), 0)
    names = {name for name in (*vars(Session), *Session.__annotations__) if not name.startswith("_")}
    assert names - vars(Deal).keys() - vars(deal).keys() == set()


@pytest.mark.parametrize("budget", [Budget(), Budget(tokens=20), Budget(tokens=7)])
def test_the_first_order_is_what_the_method_answers_with_the_model(budget: Budget, table_model: ModuleType) -> None:
    task, table = table_model.Quiz(), {f"q{i}": {"so #4": 0.5, "it is #5": 0.3, "#6": 0.2} for i in range(6)}
    problems = task.problems("selection", 6, 0)
    method, engine = SelfConsistency(samples=5), table_model.TableModel(table=table)
    live = table_model.answered(method, problems, engine, budget=budget)
    drawn = table_model.policy_of((), engine).sample(problems, 64, WARM)
    groups = [[Sample(r, task.answer_of(r.text), 0.0) for r in group] for group in drawn]
    arena = Pool([one.blind() for one in problems], 0, {WARM: groups})
    for place, answer in enumerate(live):
        hand = Hand(arena, place, 0, budget)
        replayed = Deal(hand, (method,), ({},), 1).answered(problems[place].blind())
        spent = answer.info["spent"]
        assert replayed and (replayed.text == answer.text or spent.get("cut"))  # a cut one is unreadable in a replay
        assert (hand.tokens, hand.completions) == (spent["tokens"], spent["completions"])
