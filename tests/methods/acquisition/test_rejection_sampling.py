"""Many completions of each prompt from the current policy, none of them dropped here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from selfimprove.interfaces import Sampling
from selfimprove.methods.acquisition.rejection_sampling import RejectionSampling


def test_every_prompt_gets_its_completions_in_order_and_none_is_judged(
    make_context: Callable, make_prompt: Callable, make_engine: Callable, classroom: Callable
) -> None:
    prompts = [make_prompt("3+5+8"), make_prompt("1+2")]
    context = make_context(make_engine(classroom(prompts)), round=2)
    made = RejectionSampling(samples=3).acquire(prompts, context)
    assert [rollout.prompt for rollout in made] == [prompts[0]] * 3 + [prompts[1]] * 3
    assert {rollout.reward for rollout in made} == {None}
    assert all(rollout.logprobs for rollout in made)


def test_options_reach_the_engine_and_answers_do_not(
    make_context: Callable, make_prompt: Callable, make_engine: Callable
) -> None:
    engine = make_engine()
    method = RejectionSampling(samples=5, temperature=0.8, top_p=0.9, top_k=7, max_completion_length=11)
    method.acquire([make_prompt("3+5+8")], make_context(engine))
    [(n, sampling, _)] = engine.calls
    assert n == 5
    assert sampling == Sampling(temperature=0.8, top_p=0.9, top_k=7, max_completion_length=11)
    assert [prompt.answer for prompt in engine.seen] == [None]


def test_the_share_of_right_samples_is_that_of_the_policy(
    make_context: Callable, make_engine: Callable, classroom: Callable, task: object
) -> None:
    context = make_context()
    prompts = context.problems(200, 1)
    made = RejectionSampling(samples=10).acquire(prompts, make_context(make_engine(classroom(prompts, 0.3))))
    right = sum(context.verify(rollout.prompt, rollout.text) for rollout in made) / len(made)
    assert abs(right - 0.3) < 4 * (0.3 * 0.7 / len(made)) ** 0.5
    per_prompt = Counter(rollout.prompt.key for rollout in made)
    assert set(per_prompt.values()) == {10}


def test_samples_of_one_prompt_differ(make_context: Callable, make_prompt: Callable, make_engine: Callable) -> None:
    prompt = make_prompt("3+5+8")
    words = {str(i): 1.0 for i in range(1000)}
    context = make_context(make_engine({"S:3+5+8=": words}))
    texts = [rollout.text for _ in range(2) for rollout in RejectionSampling(samples=8).acquire([prompt], context)]
    assert len(set(texts)) >= 14  # a second call of the same step draws anew
