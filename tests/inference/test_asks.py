"""Mixed requests with real weights: each is answered as if it were alone, by stop strings, limits, notes and shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import pytest

from selfimprove.errors import RecipeError
from selfimprove.inference.weights import load
from selfimprove.interfaces import GREEDY, Ask, Sampling, Shape
from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.model.tiny import Tiny
from selfimprove.records import Checkpoint, Prompt


@dataclass(frozen=True)
class Contrast(Shape):
    """Contrastive decoding (arXiv:2210.15097), in the form of arXiv:2309.09117."""

    beside: ClassVar[tuple[str, ...]] = ("start",)
    alpha: float = 0.1
    beta: float = 0.5

    def apply(self, logprobs: Mapping[str, Any]) -> Any:
        expert, amateur = logprobs[""], logprobs["start"]
        made = (1 + self.beta) * expert - self.beta * amateur
        likely = expert >= expert.max(-1, keepdim=True).values + math.log(self.alpha)
        return made.masked_fill(~likely, -math.inf)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Tiny()._untrained(tmp_path_factory.mktemp("tiny"), seed=0)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Tiny()._untrained(tmp_path_factory.mktemp("other"), seed=1)


def asked(text: str, begun: list[int] | None = None) -> Prompt:
    said = [{"role": "user", "content": text}]
    more: Any = [{"role": "assistant", "content": "", "ids": begun}] if begun else []
    return Prompt(prompt=[*said, *more])


def grid(tiny: Checkpoint, other: Checkpoint) -> list[Ask]:
    samplings = [
        Sampling(max_completion_length=24),
        Sampling(max_completion_length=24, stop=("#", "=1")),
        Sampling(max_completion_length=9, temperature=0.7, top_k=9, top_p=0.9),
        Sampling(max_completion_length=24, temperature=0.0, stop=("5",)),
        Sampling(max_completion_length=12, note=("entropy",), tops=3),
        Sampling(max_completion_length=12, shape=Contrast()),
    ]
    asks = []
    for i, text in enumerate(["S:3+5=", "S:1+2+9=", "3", "S:3+5="]):
        for j, sampling in enumerate(samplings):
            beside = {"start": other} if sampling.shape else {}
            weights = other if (i + j) % 5 == 4 and not beside else tiny
            asks.append(
                Ask(
                    checkpoint=weights,
                    prompt=asked(text),
                    n=1 + (i + j) % 3,
                    first=j % 2,
                    sampling=sampling,
                    seed=i % 2,
                    beside=beside,
                )
            )
    return asks


def told(groups: Any) -> list[list[tuple[Any, ...]]]:
    return [[(one.text, list(one.ids), one.info, one.logprobs["count"]) for one in group] for group in groups]


@pytest.mark.long
def test_mixed_asks_are_answered_as_each_alone_in_batches_of_any_size(tiny, other, quiet_log):
    engine, asks = Transformers(device="cpu"), grid(tiny, other)
    together = engine.draw(asks, quiet_log)
    alone = [engine.draw([ask], quiet_log)[0] for ask in asks]
    assert told(together) == told(alone)
    assert told(Transformers(device="cpu", batch_size=5).draw(asks[::-1], quiet_log)[::-1]) == told(alone)
    assert len({one.text for group in together for one in group}) > 20
    sums = [[one.logprobs["sum"] for one in group] for group in together]
    assert sums == [pytest.approx([one.logprobs["sum"] for one in group], abs=2e-3) for group in alone]


def test_four_samples_and_four_more_are_the_eight_of_one_call(tiny, quiet_log):
    engine, prompt, sampling = Transformers(device="cpu"), asked("S:3+5="), Sampling(max_completion_length=12)
    [eight] = engine.sample(tiny, [prompt], 8, sampling, 3, quiet_log)
    parts = [Ask(checkpoint=tiny, prompt=prompt, n=4, first=i, sampling=sampling, seed=3) for i in (4, 0)]
    last, first = engine.draw(parts, quiet_log)
    assert told([[*first, *last]]) == told([eight]) and len({one.text for one in eight}) == 8


@pytest.mark.parametrize("sampling", [Sampling(), GREEDY, Sampling(temperature=0.8, top_k=8)], ids=str)
def test_a_stopped_draw_is_the_beginning_of_the_whole_one_up_to_the_first_stop_string(tiny, quiet_log, sampling):
    stops = ("12", "=", "7#")  # a token of this model is a character: two of these end across tokens
    prompts = [asked(f"S:{a}+{b}=") for a in range(6) for b in range(2)]
    engine, long = Transformers(device="cpu"), Sampling(**{**vars(sampling), "max_completion_length": 40})
    whole = engine.sample(tiny, prompts, 8, long, 1, quiet_log)
    stopped = engine.sample(tiny, prompts, 8, Sampling(**{**vars(long), "stop": stops}), 1, quiet_log)
    ended = 0
    for one, cut in zip(chain(*whole), chain(*stopped), strict=True):
        ends = sorted((one.text.index(stop) + len(stop), stop) for stop in stops if stop in one.text)
        if not ends:
            assert (cut.text, cut.info) == (one.text, one.info)
            continue
        ended += 1
        end, stop = ends[0]
        assert (cut.text, cut.info) == (one.text[:end], {"finish_reason": "stop", "stop_string": stop})
        assert cut.logprobs["count"] == len(cut.ids) and list(cut.ids) == list(one.ids)[: len(cut.ids)]
        assert cut.ended is False and not cut.truncated
    assert ended >= (1 if sampling.temperature == 0 else 10)


def test_a_begun_answer_goes_on_from_its_own_tokens(tiny, quiet_log):
    engine = Transformers(device="cpu")
    nine, five = (Sampling(temperature=0.0, max_completion_length=limit) for limit in (9, 5))
    [[whole]] = engine.sample(tiny, [asked("S:3+5=")], 1, nine, 0, quiet_log)
    begun = asked("S:3+5=", list(whole.ids)[:4])
    [[rest]] = engine.sample(tiny, [begun], 1, five, 0, quiet_log)
    assert [*list(whole.ids)[:4], *rest.ids] == list(whole.ids)


def test_notes_and_tops_are_those_of_a_forward_pass(tiny, quiet_log):
    import torch

    engine, prompt = Transformers(device="cpu"), asked("S:3+5=")
    sampling = Sampling(max_completion_length=10, note=("logprob", "entropy"), tops=4)
    [group] = engine.sample(tiny, [prompt], 3, sampling, 0, quiet_log)
    model, tokenizer = load(tiny.path, "cpu", "auto")
    [start] = tokenizer(["S:3+5="])["input_ids"]
    for one in group:
        with torch.inference_mode():
            logprobs = model(torch.tensor([[*start, *one.ids]])).logits[0, len(start) - 1 :].log_softmax(-1)
        count = len(one.noted["entropy"])
        assert count == one.logprobs["count"] == len(one.tops)
        entropy = -(logprobs.exp() * logprobs).sum(-1)[:count]
        assert one.noted["entropy"] == pytest.approx(entropy.tolist(), abs=1e-4)
        assert sum(one.noted["logprob"]) == pytest.approx(one.logprobs["sum"], abs=1e-3)
        best = logprobs.max(-1).values[:count].tolist()
        assert [max(top.values()) for top in one.tops] == pytest.approx(best, abs=1e-4)
        assert list(one.tops[0]) == [tokenizer.decode([i]) for i in logprobs[0].topk(4).indices.tolist()]


def test_a_shape_draws_what_full_forwards_of_both_models_say(tiny, other, quiet_log):
    import torch

    shape, engine = Contrast(), Transformers(device="cpu")
    sampling = Sampling(temperature=0.0, max_completion_length=14, shape=shape)
    prompts = ["S:3+5=", "3", "S:9+9+9=", "abc"]
    asks = [Ask(checkpoint=tiny, prompt=asked(one), sampling=sampling, beside={"start": other}) for one in prompts]
    drawn = [group[0] for group in engine.draw(asks, quiet_log)]
    (model, tokenizer), (amateur, _) = load(tiny.path, "cpu", "auto"), load(other.path, "cpu", "auto")
    for text, one in zip(prompts, drawn, strict=True):
        line = list(tokenizer([text])["input_ids"][0])
        for token in one.ids:
            with torch.inference_mode():
                both = {
                    name: each(torch.tensor([line])).logits[:, -1].log_softmax(-1)
                    for name, each in (("", model), ("start", amateur))
                }
            assert int(shape.apply(both).argmax()) == token
            line.append(token)
    alone = Sampling(temperature=0.0, max_completion_length=14)
    plain = engine.sample(tiny, [asked(one) for one in prompts], 1, alone, 0, quiet_log)
    assert [one.text for one in drawn] != [group[0].text for group in plain]


def test_what_an_engine_or_an_ask_lacks_is_one_line(tiny, quiet_log):
    ask = Ask(checkpoint=tiny, prompt=asked("3"), sampling=Sampling(shape=Contrast()))
    with pytest.raises(RecipeError, match="Contrast needs the policy 'start' beside the one that draws"):
        Transformers().draw([ask], quiet_log)
    with pytest.raises(RecipeError, match="engine.fake has no shapes: use engine=transformers"):
        Fake().draw([ask], quiet_log)


def test_embeddings_are_the_mean_of_the_last_hidden_states(tiny):
    import torch

    texts = ["S:3+5=", "1", "abc#1+2+3", "1", ""]
    found = Transformers(device="cpu").embed(tiny, texts)
    model, tokenizer = load(tiny.path, "cpu", "auto")
    for text, row in zip(texts[:4], found, strict=False):
        with torch.inference_mode():
            states = model(torch.tensor([tokenizer([text])["input_ids"][0]]), output_hidden_states=True).hidden_states
        assert row.tolist() == pytest.approx(states[-1][0].mean(0).tolist(), abs=1e-5)
    assert found.dtype == "float32" and len(found) == 5
