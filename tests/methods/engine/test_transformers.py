"""The transformers engine against `generate`, against a plain forward pass and against exact probabilities."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError, DeviceError, EngineError, RecipeError, UserError
from selfimprove.inference.chat import completion_ids, prompt_ids
from selfimprove.interfaces import GREEDY, Sampling
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.records import Checkpoint, Prompt, Rollout

TEXTS = ["3", "what is 12 - 7?", "a", "x" * 40]
ENDS = list(range(60, 90))
"""Token ids that also end a completion where a test wants samples to end at different places."""


def load(checkpoint: Checkpoint):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(checkpoint.path).eval()
    return model, AutoTokenizer.from_pretrained(checkpoint.path)


def with_ends(checkpoint: Checkpoint, folder: Path, ends: list[int]) -> Checkpoint:
    """The same model with a list of end tokens in its generation config, as chat models have."""
    shutil.copytree(checkpoint.path, folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": [1, *ends]}))
    return Checkpoint(path=str(folder))


def texts_of(groups: list[list[Rollout]]) -> list[list[tuple]]:
    return [[(r.text, r.info["finish_reason"], r.logprobs["count"]) for r in group] for group in groups]


def generated(checkpoint: Checkpoint, prompts, length: int) -> list[list[int]]:
    """The tokens that `generate` draws for each prompt by itself, the end token included."""
    import torch

    model, tokenizer = load(checkpoint)
    made = []
    for prompt in prompts:
        ids = torch.tensor([prompt_ids(tokenizer, prompt.prompt)])
        mask = torch.ones_like(ids)
        out = model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=length, pad_token_id=0)
        made.append(out[0, ids.shape[1] :].tolist())
    return made


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "template"),
    [("llama", False), ("llama", True), ("gpt2", False), ("gpt2", True), ("mistral", True), ("gemma3", False)],
)
def test_greedy_text_is_that_of_generate(kind, template, small, ask, quiet_log, tmp_path):
    prompts, length = [ask(text) for text in TEXTS], 36 if kind == "llama" else 20  # from 33 on, the cache has grown
    lines = generated(small(kind, template=template), prompts, length)
    # Let a token that stands within some of the completions and not in others end them, so that rows leave the batch.
    end = next(token for line in lines for token in line[3:15] if not all(token in other for other in lines))
    checkpoint = with_ends(small(kind, template=template), tmp_path / "model", [end])
    ended = [end in line or line[-1] == 1 for line in lines]
    shown = [line[: line.index(end)] if end in line else line for line in lines]
    texts = load(checkpoint)[1].batch_decode(shown, skip_special_tokens=True)
    assert set(ended) == {True, False}
    for batch_size in (1, 3, 1024):
        engine = Transformers(batch_size=batch_size, max_completion_length=length, device="cpu")
        groups = engine.sample(checkpoint, prompts, 1, GREEDY, 0, quiet_log)
        assert [group[0].text for group in groups] == texts
        assert [group[0].info["finish_reason"] == "stop" for group in groups] == ended


def test_greedy_text_is_that_of_generate_on_a_batch_padded_on_the_left(small, ask, quiet_log, tmp_path):
    import torch

    checkpoint = with_ends(small(template=True), tmp_path / "model", ENDS)
    prompts = [ask(text) for text in TEXTS]
    model, tokenizer = load(checkpoint)
    ids = [prompt_ids(tokenizer, prompt.prompt) for prompt in prompts]
    width = max(map(len, ids))
    tokens = torch.tensor([[0] * (width - len(one)) + one for one in ids])
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in ids])
    out = model.generate(tokens, attention_mask=mask, do_sample=False, max_new_tokens=20, pad_token_id=0)
    lines = [[token for token in line if token not in (0, 1, *ENDS)] for line in out[:, width:].tolist()]
    groups = Transformers(max_completion_length=20).sample(checkpoint, prompts, 1, GREEDY, 0, quiet_log)
    assert [group[0].text for group in groups] == tokenizer.batch_decode(lines, skip_special_tokens=True)
    assert {group[0].info["finish_reason"] for group in groups} == {"stop", "length"}


@pytest.mark.long
@pytest.mark.parametrize("kind", ["llama", "mistral"])
def test_samples_do_not_depend_on_the_batch_or_the_order(kind, small, ask, quiet_log, tmp_path):
    checkpoint = with_ends(small(kind), tmp_path / "model", ENDS)
    prompts = [ask(text) for text in TEXTS]
    engine = Transformers(max_completion_length=20)
    together = texts_of(engine.sample(checkpoint, prompts, 6, Sampling(), 5, quiet_log))
    reasons = Counter(reason for group in together for _, reason, _ in group)
    assert reasons["stop"] >= 12 and reasons["length"] >= 1, "rows must leave the batch on the way"
    alone = [texts_of(engine.sample(checkpoint, [prompt], 6, Sampling(), 5, quiet_log))[0] for prompt in prompts]
    assert alone == together
    for batch_size in (6, 13):
        engine.batch_size = batch_size
        backwards = engine.sample(checkpoint, prompts[::-1], 6, Sampling(), 5, quiet_log)
        assert texts_of(backwards)[::-1] == together


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_neighbour_that_nearly_fills_the_context_shortens_only_itself(kind, small, ask, quiet_log):
    checkpoint, engine = small(kind), Transformers(max_completion_length=60)
    alone = texts_of(engine.sample(checkpoint, [ask("3")], 3, Sampling(), 5, quiet_log))
    both = texts_of(engine.sample(checkpoint, [ask("x" * 120), ask("3")], 3, Sampling(), 5, quiet_log))
    assert both[1] == alone[0]
    assert all(count <= 8 for _, _, count in both[0]), "120 of the 128 positions are taken"


def test_more_samples_keep_the_first_ones(small, ask, quiet_log):
    engine, prompts = Transformers(max_completion_length=8), [ask("a")]
    few = texts_of(engine.sample(small(), prompts, 2, Sampling(), 5, quiet_log))
    many = texts_of(engine.sample(small(), prompts, 5, Sampling(), 5, quiet_log))
    assert many[0][:2] == few[0]


@pytest.fixture
def short_of_memory(monkeypatch):
    """`short_of_memory(rows)`: a device on which only so many completions fit together; the sizes that were tried."""
    import torch

    from selfimprove.methods.engine import transformers as engine

    tried, plain = [], engine.decode_rows

    def decode_rows(model, tokenizer, rows, *rest):
        tried.append(len(rows))
        if tried[-1] > most[0]:
            raise next(errors)
        return plain(model, tokenizer, rows, *rest)

    most = [0]
    errors = itertools.cycle(
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ..."),
            RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
            MemoryError("Unable to allocate 7 GiB"),
        )
    )
    monkeypatch.setattr(engine, "decode_rows", decode_rows)
    return lambda rows: most.__setitem__(0, rows) or tried


@pytest.mark.long
@pytest.mark.parametrize("fits", [7, 6, 4, 1])
def test_where_memory_runs_out_smaller_batches_give_the_same_completions(
    fits, small, ask, quiet_log, tmp_path, short_of_memory
):
    checkpoint = with_ends(small(), tmp_path / "model", ENDS)
    prompts, samples = [ask(text) for text in (*TEXTS, "3")], 6
    tried = short_of_memory(24)
    whole = Transformers(max_completion_length=20).sample(checkpoint, prompts, samples, Sampling(), 5, quiet_log)
    assert tried == [24] and quiet_log.notes == []
    short_of_memory(fits)
    engine = Transformers(max_completion_length=20)
    again = engine.sample(checkpoint, prompts, samples, Sampling(), 5, quiet_log)
    assert texts_of(again) == texts_of(whole)
    sizes = {7: [12, 6, 6, 6, 6], 6: [12, 6, 6, 6, 6], 4: [12, 6, *[3] * 8], 1: [12, 6, 3, *[1] * 24]}[fits]
    assert tried[1:] == [24, *sizes]
    [note] = quiet_log.notes
    assert note.endswith(f"set engine.transformers.batch_size={sizes[-1]}") and "1024 completions at a time" in note
    assert quiet_log.marks[-1] == (24, 24, "samples")
    engine.sample(checkpoint, prompts[:1], samples, Sampling(), 6, quiet_log)
    assert max(tried[len(sizes) + 2 :]) == sizes[-1] and len(quiet_log.notes) == 1, "what fits is remembered"


def test_a_completion_that_does_not_fit_alone_is_one_clear_line(small, ask, quiet_log, short_of_memory):
    tried = short_of_memory(0)
    with pytest.raises(EngineError, match="no memory left for a single completion after a prompt of 1 tokens") as error:
        Transformers().sample(small(), [ask("3"), ask("a")], 2, Sampling(), 0, quiet_log)
    assert tried == [4, 2, 1] and "\n" not in str(error.value) and error.value.code == 69


def test_seeds_and_samples_differ_and_repeat(small, ask, quiet_log):
    engine, prompts = Transformers(max_completion_length=12), [ask("3"), ask("a")]
    first = texts_of(engine.sample(small(), prompts, 8, Sampling(), 1, quiet_log))
    assert all(len(set(group)) == 8 for group in first)
    assert texts_of(engine.sample(small(), prompts, 8, Sampling(), 1, quiet_log)) == first
    assert texts_of(engine.sample(small(), prompts, 8, Sampling(), 2, quiet_log)) != first


def test_equal_prompts_are_decoded_once_and_get_equal_samples(small, ask, quiet_log):
    prompts = [ask("3"), ask("a"), ask("3")]
    groups = texts_of(Transformers(max_completion_length=6).sample(small(), prompts, 4, Sampling(), 1, quiet_log))
    assert groups[0] == groups[2] != groups[1]
    assert quiet_log.marks[-1] == (8, 8, "samples"), "two prompts with four samples each were decoded"


def test_rollouts_keep_their_prompts(small, ask, quiet_log):
    prompts = [ask("bb"), ask("a"), ask("bb")]
    groups = Transformers(max_completion_length=2).sample(small(), prompts, 2, Sampling(), 1, quiet_log)
    assert [[rollout.prompt for rollout in group] for group in groups] == [[prompt] * 2 for prompt in prompts]


def test_temperature_zero_gives_equal_samples_and_decodes_one(small, ask, quiet_log):
    groups = texts_of(Transformers(max_completion_length=6).sample(small(), [ask("3")], 3, GREEDY, 1, quiet_log))
    assert len(groups[0]) == 3 and len(set(groups[0])) == 1
    assert quiet_log.marks[-1] == (1, 1, "samples")


def test_only_the_likeliest_token_is_greedy(small, ask, quiet_log):
    engine, prompts = Transformers(max_completion_length=8), [ask(text) for text in TEXTS]
    greedy = texts_of(engine.sample(small(), prompts, 1, GREEDY, 0, quiet_log))
    for sampling in (Sampling(top_k=1), Sampling(top_p=1e-9), Sampling(min_p=1.0), Sampling(temperature=1e-3)):
        assert texts_of(engine.sample(small(), prompts, 1, sampling, 3, quiet_log)) == greedy


def filtered(probabilities: list[float], sampling: Sampling) -> list[float]:
    """The distribution after the filters, by their definitions, one after the other as transformers applies them."""
    kept = dict(sorted(enumerate(probabilities), key=lambda item: -item[1]))
    if sampling.top_k:
        kept = dict(list(kept.items())[: sampling.top_k])
    if sampling.top_p < 1:
        total, sofar, nucleus = sum(kept.values()), 0.0, {}
        for token, probability in kept.items():
            if sofar >= sampling.top_p * total:
                break
            nucleus[token] = probability
            sofar += probability
        kept = nucleus
    highest = max(kept.values())
    kept = {token: probability for token, probability in kept.items() if probability >= sampling.min_p * highest}
    return [kept.get(token, 0.0) / sum(kept.values()) for token in range(len(probabilities))]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=0.6),
        Sampling(temperature=2.0, top_k=7),
        Sampling(top_p=0.8),
        Sampling(temperature=0.7, top_p=0.5),
        Sampling(min_p=0.1),
        Sampling(temperature=1.5, top_k=20, top_p=0.7, min_p=0.05),
        Sampling(temperature=3.0, top_k=2, top_p=0.5),
    ],
    ids=str,
)
def test_first_tokens_are_drawn_from_the_filtered_distribution(sampling, tiny, ask, quiet_log):
    import torch

    draws, model_and_tokenizer = 4000, load(tiny)
    model, tokenizer = model_and_tokenizer
    prompt = ask("S:3+5+8=")
    with torch.inference_mode():
        logits = model(torch.tensor([prompt_ids(tokenizer, prompt.prompt)])).logits[0, -1].double()
    exact = filtered((logits / sampling.temperature).softmax(-1).tolist(), sampling)
    share = Counter[tuple[str, str]]()
    for token, probability in enumerate(exact):
        ended = token == tokenizer.eos_token_id
        share[tokenizer.decode([token], skip_special_tokens=True), "stop" if ended else "length"] += probability
    engine = Transformers(batch_size=draws, max_completion_length=1)
    [group] = engine.sample(tiny, [prompt], draws, sampling, 11, quiet_log)
    seen = Counter((rollout.text, rollout.info["finish_reason"]) for rollout in group)
    assert {token for token in seen if share[token] == 0} == set(), "a token that the filters drop was drawn"
    often = [token for token, probability in share.items() if probability * draws >= 20]
    expected = {token: share[token] for token in often}
    counted = {token: seen[token] / draws for token in often}
    for token, p in expected.items():
        assert abs(counted[token] - p) <= 4 * (p * (1 - p) / draws) ** 0.5, token
    rest, counted_rest = 1 - sum(expected.values()), 1 - sum(counted.values())
    assert abs(counted_rest - rest) <= 4 * (max(rest, 1e-3) * (1 - rest) / draws) ** 0.5


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral"])
def test_score_is_the_log_probability_of_a_plain_forward_pass(kind, small, ask):
    import torch

    checkpoint = small(kind, template=True)
    model, tokenizer = load(checkpoint)
    rollouts = [
        Rollout(prompt=ask(prompt), completion=[{"role": "assistant", "content": text}], info={"finish_reason": reason})
        for prompt, text, reason in [
            ("3", "Answer: 8.", "stop"),
            ("what is 12 - 7?", "5", "length"),
            ("x" * 30, "", "stop"),
            ("a", "the quick brown fox jumps", "stop"),
        ]
    ]
    expected = []
    for rollout in rollouts:
        prompt = prompt_ids(tokenizer, rollout.prompt.prompt)
        completion = completion_ids(tokenizer, rollout.completion, not rollout.truncated)
        with torch.inference_mode():
            logprobs = model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
        places = range(len(prompt) - 1, len(prompt) + len(completion) - 1)
        expected.append([float(logprobs[place, token]) for place, token in zip(places, completion, strict=True)])
    assert [len(one) for one in expected][1:3] == [1, 1], "no end token after a truncated text, only that after none"
    for batch_size in (8, 1024):
        scores = Transformers(batch_size=batch_size).logprobs_of(checkpoint, rollouts)
        for score, one in zip(scores, expected, strict=True):
            assert score == pytest.approx(one, abs=1e-3)


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(), Sampling(temperature=0.7, top_k=5)], ids=str)
def test_score_is_what_sampling_reported(sampling, tiny, ask, quiet_log):
    engine = Transformers(max_completion_length=20)
    talk = Prompt(prompt=[{"role": "system", "content": "say a digit"}, {"role": "user", "content": "what is 2+2?"}])
    prompts = [*(ask(text) for text in ("S:3+5+8=", "S:1+2=", "J:1+2=3|")), talk]
    rollouts = [r for group in engine.sample(tiny, prompts, 16, sampling, 2, quiet_log) for r in group]
    pairs = list(zip(rollouts, engine.logprobs_of(tiny, rollouts), strict=True))
    whole = [(r, score) for r, score in pairs if len(score) == r.logprobs["count"]]
    assert len(whole) >= len(pairs) // 2, "only texts without a padding or unknown token can be read back"
    for rollout, score in whole:
        assert sum(score) == pytest.approx(rollout.logprobs["sum"], abs=1e-3)


def test_a_completion_is_scored_with_the_end_token_that_was_drawn(two_ends, ask, quiet_log):
    engine = Transformers(max_completion_length=40)
    prompts = [ask(f"S:{i}+5=") for i in range(6)]
    rollouts = [r for group in engine.sample(two_ends, prompts, 8, Sampling(), 0, quiet_log) for r in group]
    usual, other = {"finish_reason": "stop"}, {"finish_reason": "stop", "stop_token": "<eos>"}
    assert all(r.info in (usual, other) or r.truncated for r in rollouts)
    for info in (usual, other):
        pairs = [
            (r, row) for r, row in zip(rollouts, engine.logprobs_of(two_ends, rollouts), strict=True) if r.info == info
        ]
        whole = [(r, row) for r, row in pairs if len(row) == r.logprobs["count"]]
        assert len(whole) >= 5, "only texts without a padding or unknown token can be read back"
        for rollout, row in whole:
            assert sum(row) == pytest.approx(rollout.logprobs["sum"], abs=1e-3)


def test_statistics_of_the_distribution_are_those_of_a_plain_forward_pass(small, ask):
    import torch

    checkpoint = small("llama", template=True)
    model, tokenizer = load(checkpoint)
    texts = [("3", "Answer: 8."), ("what is 12 - 7?", "5"), ("a", "the quick brown fox jumps")]
    rollouts = [Rollout(prompt=ask(p), completion=[{"role": "assistant", "content": text}]) for p, text in texts]
    engine = Transformers()
    found = {name: engine.logprobs_of(checkpoint, rollouts, name) for name in ("logprob", "entropy", "self_certainty")}
    for i, rollout in enumerate(rollouts):
        prompt = prompt_ids(tokenizer, rollout.prompt.prompt)
        completion = completion_ids(tokenizer, rollout.completion)
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1].double()
        said = torch.distributions.Categorical(logits=logits)
        assert found["logprob"][i] == pytest.approx(said.log_prob(torch.tensor(completion)).tolist(), abs=1e-3)
        assert found["entropy"][i] == pytest.approx(said.entropy().tolist(), abs=1e-3)
        uniform = torch.distributions.Categorical(logits=torch.zeros_like(logits))
        divergence = torch.distributions.kl_divergence(uniform, said)
        assert found["self_certainty"][i] == pytest.approx(divergence.tolist(), abs=1e-3)
    with pytest.raises(RecipeError, match=r"no statistic 'surprise'; it has logprob"):
        engine.logprobs_of(checkpoint, rollouts, "surprise")


def test_what_the_statistics_say_of_known_logits():
    import torch

    from selfimprove.inference.token_scores import number

    def both(logits):
        logprobs, tokens = torch.tensor([logits]).log_softmax(-1), torch.zeros(1, 1, dtype=torch.long)
        return [number(logprobs, tokens, name).item() for name in ("self_certainty", "entropy")]

    assert both([[2.0, 2.0, 2.0, 2.0]]) == pytest.approx([0.0, math.log(4)], abs=1e-6)  # uniform
    assert both([[1.0, 0.0, 0.0, 3.0]]) == pytest.approx(both([[6.0, 5.0, 5.0, 8.0]]), abs=1e-6)
    logits = torch.tensor([1.0, 0.0, 0.0, 3.0])
    by_hand = (logits.logsumexp(0) - logits.mean() - math.log(4)).item()
    assert both([[1.0, 0.0, 0.0, 3.0]])[0] == pytest.approx(by_hand, abs=1e-6)
    rising = [both([[1.0, 0.0, 0.0, top]])[0] for top in (1.0, 2.0, 4.0, 8.0)]
    assert rising == sorted(rising) and rising[0] < rising[-1]
    assert both([[0.0, 0.0, float("-inf"), float("-inf")]])[1] == pytest.approx(math.log(2), abs=1e-6)  # a closed token


def test_the_length_limit_of_a_method_goes_before_that_of_the_engine(tiny, ask, quiet_log):
    engine = Transformers(max_completion_length=9)
    for limit, length in ((None, 9), (4, 4), (30, 30)):
        sampling = Sampling(temperature=0.0, max_completion_length=limit)
        [[rollout]] = engine.sample(tiny, [ask("S:3+5=")], 1, sampling, 0, quiet_log)
        assert (rollout.logprobs["count"], rollout.info["finish_reason"]) == (length, "length")
        assert rollout.truncated


def test_an_end_token_is_counted_but_not_shown(tiny, ask, quiet_log, tmp_path):
    checkpoint = with_ends(tiny, tmp_path / "model", ENDS)
    letters = load(checkpoint)[1].decode(ENDS)
    assert len(letters) == len(ENDS)
    [group] = Transformers(max_completion_length=60).sample(checkpoint, [ask("S:3+5=")], 40, Sampling(), 0, quiet_log)
    ended = [rollout for rollout in group if rollout.info["finish_reason"] == "stop"]
    assert len(ended) >= 20
    assert not any(letter in rollout.text for rollout in group for letter in letters)
    plain = [rollout for rollout in ended if len(rollout.text) + 1 == rollout.logprobs["count"]]
    assert len(plain) >= len(ended) // 2, "the others drew a padding or unknown token, which is not shown either"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_prompt_as_long_as_the_context_stays_unanswered_beside_others(kind, small, ask, quiet_log):
    engine, long = Transformers(), ask("x" * 128)
    short = engine.sample(small(kind), [ask("3")], 2, Sampling(), 0, quiet_log)
    both, [one, other] = engine.sample(small(kind), [ask("3"), long], 2, Sampling(), 0, quiet_log)
    assert [both] == short and one == other
    assert (one.text, one.truncated, one.logprobs) == ("", True, {"sum": 0.0, "count": 0})
    assert "1 prompts fill the model's context of 128 tokens and stay unanswered" in quiet_log.notes
    assert engine.logprobs_of(small(kind), [one]) == [[]]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_prompts_that_are_all_as_long_as_the_context_are_an_error(kind, small, ask, quiet_log):
    engine, long = Transformers(), ask("x" * 128)
    with pytest.raises(DataError, match="128"):
        engine.sample(small(kind), [long, ask("x" * 129)], 1, GREEDY, 0, quiet_log)
    with pytest.raises(DataError, match="128"):
        engine.logprobs_of(small(kind), [Rollout(prompt=long, completion=[{"role": "assistant", "content": "y"}])])


def test_a_prompt_one_token_short_of_the_context_gets_one_token(small, ask, quiet_log):
    [[rollout]] = Transformers().sample(small(), [ask("x" * 127)], 1, GREEDY, 0, quiet_log)
    assert rollout.logprobs["count"] == 1


def test_only_so_many_models_are_kept(small, ask, quiet_log):
    engine = Transformers(cached_models=2, max_completion_length=1)
    checkpoints = [small(seed=seed) for seed in (0, 1, 2)]
    first = [texts_of(engine.sample(c, [ask("3")], 1, GREEDY, 0, quiet_log)) for c in checkpoints]
    assert list(engine._loaded) == [checkpoints[1].path, checkpoints[2].path]
    engine.sample(checkpoints[1], [ask("3")], 1, GREEDY, 0, quiet_log)
    engine.sample(checkpoints[0], [ask("3")], 1, GREEDY, 0, quiet_log)
    assert list(engine._loaded) == [checkpoints[1].path, checkpoints[0].path], "the one not used for longest goes"
    engine.close()
    assert not engine._loaded
    assert [texts_of(engine.sample(c, [ask("3")], 1, GREEDY, 0, quiet_log)) for c in checkpoints] == first


def test_a_model_whose_folder_was_removed_pushes_no_other_one_out(small, ask, quiet_log, tmp_path):
    engine = Transformers(cached_models=2, max_completion_length=1)
    engine.sample(small(), [ask("3")], 1, GREEDY, 0, quiet_log)
    for look in ("10", "20", "30"):
        looked = Checkpoint(path=shutil.copytree(small(seed=1).path, str(tmp_path / look)))
        engine.sample(looked, [ask("3")], 1, GREEDY, 0, quiet_log)
        assert list(engine._loaded) == [small().path, looked.path]
        shutil.rmtree(looked.path)


def test_the_number_type_can_be_chosen(small, ask, quiet_log):
    import torch

    engine = Transformers(dtype="bfloat16", max_completion_length=4)
    [[rollout]] = engine.sample(small(), [ask("3")], 1, GREEDY, 0, quiet_log)
    model, _ = engine._loaded[small().path]
    assert model.dtype == torch.bfloat16 and rollout.logprobs["count"] >= 1


def broken(checkpoint: Checkpoint, folder: Path, how: str) -> Checkpoint:
    shutil.copytree(checkpoint.path, folder)
    weights, config = folder / "model.safetensors", folder / "config.json"
    values = json.loads(config.read_text())
    if how == "cut weights":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif how == "empty weights":
        weights.write_bytes(b"")
    elif how == "missing weights":
        config.write_text(json.dumps({**values, "num_hidden_layers": 3}))
    elif how == "other shapes":
        config.write_text(json.dumps({**values, "vocab_size": 999}))
    elif how == "unknown type":
        config.write_text(json.dumps({**values, "model_type": "nonesuch"}))
    else:
        (folder / "tokenizer.json").write_text("{}")
    return Checkpoint(path=str(folder))


@pytest.mark.parametrize(
    "how", ["cut weights", "empty weights", "missing weights", "other shapes", "unknown type", "broken tokenizer"]
)
def test_a_damaged_folder_is_one_clear_line(how, small, ask, quiet_log, tmp_path):
    damaged = broken(small(), tmp_path / "model", how)
    with pytest.raises(DataError) as caught:
        Transformers().sample(damaged, [ask("3")], 1, GREEDY, 0, quiet_log)
    assert damaged.path in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("option", "value"), [("device", "gpu"), ("dtype", "float99")])
def test_a_device_or_number_type_that_does_not_exist_is_one_clear_line(option, value, small, ask, quiet_log):
    with pytest.raises(UserError) as caught:
        Transformers(**{option: value}).sample(small(), [ask("3")], 1, GREEDY, 0, quiet_log)
    assert value in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(RecipeError) as before:
        Transformers(**{option: value}).preflight()
    assert value in str(before.value) and "\n" not in str(before.value)


def test_what_is_there_passes():
    for options in ({}, {"device": "cpu"}, {"device": "cpu:0"}, {"dtype": "bfloat16"}):
        assert Transformers(**options).preflight() == []
    with pytest.raises(DeviceError, match=r"has 1 cpu devices, the recipe asks for 'cpu:7'"):
        Transformers(device="cpu:7").preflight()


def test_a_model_without_a_plain_cache_is_one_clear_line(small, ask, quiet_log, tmp_path):
    with pytest.raises(UserError, match="mamba"):
        Transformers().sample(small("mamba"), [ask("3")], 1, GREEDY, 0, quiet_log)


@pytest.mark.long
def test_with_fixed_shapes_a_text_in_16_bits_does_not_depend_on_its_neighbours(small, ask, quiet_log):
    checkpoint, prompts = small(), [ask(text) for text in (*TEXTS, "zz", "hello there", "1+1", "x" * 20)]

    def unlike(**options: Any) -> int:
        """How many of the completions with their log-probabilities are different alone."""
        engine = Transformers(dtype="bfloat16", max_completion_length=20, **options)
        together = engine.sample(checkpoint, prompts, 2, Sampling(), 5, quiet_log)
        alone = [engine.sample(checkpoint, [prompt], 2, Sampling(), 5, quiet_log)[0] for prompt in prompts]
        pairs = [pair for groups in zip(together, alone, strict=True) for pair in zip(*groups, strict=True)]
        return sum((one.text, one.logprobs) != (other.text, other.logprobs) for one, other in pairs)

    assert unlike() > 0
    assert unlike(fixed_shapes=True, batch_size=16) == 0


def test_with_fixed_shapes_a_batch_that_does_not_fit_is_refused(small, ask, quiet_log, short_of_memory):
    short_of_memory(7)
    engine = Transformers(fixed_shapes=True, batch_size=8)
    with pytest.raises(EngineError, match="start anew with engine.transformers.batch_size=4"):
        engine.sample(small(), [ask("3")], 8, Sampling(), 0, quiet_log)


@pytest.mark.long
@pytest.mark.parametrize("draft", ["ngram", "earlier"])
def test_with_drafts_500_of_500_texts_stay_greedy_and_sampled(tiny, ask, quiet_log, tmp_path, draft):
    """The earlier model is the same one with a little noise, as the weights of a round before."""
    import torch

    from selfimprove import training

    model, tokenizer = training.load(tiny)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.002 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    earlier = training.save(model, tokenizer, tmp_path / "earlier")
    prompts = [ask(f"{i}+{i % 7}=") for i in range(500)]
    for sampling in (GREEDY, Sampling()):
        plain, drafted = (
            Transformers(device="cpu", max_completion_length=12, batch_size=250, draft=how).sample(
                tiny, prompts, 1, sampling, 3, quiet_log
            )
            for how in ("", draft if draft == "ngram" else earlier.path)
        )
        assert sum(a.text == b.text for [a], [b] in zip(plain, drafted, strict=True)) == 500


def test_drafts_with_fixed_shapes_or_other_tokens_are_refused(tiny, small, ask, quiet_log):
    with pytest.raises(RecipeError, match="either draft or fixed_shapes"):
        Transformers(draft="ngram", fixed_shapes=True)
    with pytest.raises(RecipeError, match="has other tokens, so it cannot guess"):
        Transformers(device="cpu", draft=small().path).sample(tiny, [ask("3")], 1, GREEDY, 0, quiet_log)
