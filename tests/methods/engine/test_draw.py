"""One call with many requests, each with its own number of samples, sampling and seed: the same for every engine."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from selfimprove.interfaces import Ask, Sampling
from selfimprove.logs import Silent
from selfimprove.methods.engine.fake import Fake
from selfimprove.records import Checkpoint, Prompt, Rollout, dumps, loads

HERE = Checkpoint(path="nowhere")
TABLE = {word: {f"{word}{i}": float(1 + i) for i in range(6)} for word in "abc"}


def request(word: str, **changes: Any) -> Ask:
    return Ask(checkpoint=HERE, prompt=Prompt(prompt=[{"role": "user", "content": word}]), **changes)


def texts(groups: list[list[Rollout]]) -> list[list[str]]:
    return [[rollout.text for rollout in group] for group in groups]


ASKS = st.lists(
    st.builds(
        request,
        st.sampled_from("abc"),
        n=st.integers(1, 4),
        first=st.integers(0, 3),
        sampling=st.sampled_from([Sampling(), Sampling(temperature=0.0), Sampling(temperature=0.5)]),
        seed=st.integers(0, 1),
    ),
    max_size=8,
)


@given(ASKS)
def test_an_ask_is_answered_as_if_it_were_alone(asks):
    engine = Fake(TABLE)
    assert texts(engine.draw(asks, Silent())) == [texts(engine.draw([ask], Silent()))[0] for ask in asks]


def test_four_samples_and_then_four_more_are_the_eight_of_one_call():
    engine = Fake(TABLE)
    [eight] = texts(engine.draw([request("a", n=8)], Silent()))
    assert len(set(eight)) > 2
    assert texts(engine.draw([request("a", n=4), request("a", n=4, first=4)], Silent())) == [eight[:4], eight[4:]]
    prompt = request("a").prompt
    assert texts(engine.sample(HERE, [prompt], 8, Sampling(), 0, Silent())) == [eight]


def test_what_was_noted_while_drawing_is_neither_in_the_line_of_a_rollout_nor_in_its_id():
    plain = Rollout(prompt=request("a").prompt, completion=[{"role": "assistant", "content": "x"}])
    noted = Rollout(
        prompt=plain.prompt, completion=plain.completion, ids=[3], noted={"entropy": [0.5]}, tops=[{"x": -0.1}]
    )
    assert (dumps(noted), noted.id) == (dumps(plain), plain.id) and noted == plain
    back = loads(dumps(noted))
    assert isinstance(back, Rollout) and (back.ids, back.noted, back.tops) == ((), {}, [])


def test_after_a_stop_string_no_end_token_followed():
    prompt, said = request("a").prompt, [{"role": "assistant", "content": "x\n"}]
    stopped = Rollout(prompt=prompt, completion=said, info={"finish_reason": "stop", "stop_string": "\n"})
    assert stopped.ended is False and not stopped.truncated
    assert Rollout(prompt=prompt, completion=said, info={"finish_reason": "stop"}).ended is True
