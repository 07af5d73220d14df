"""What to run first on a machine with a GPU: `scripts/gpu_check.sh`. One table in at most ten minutes, no download.

  first_token  seconds until a fresh process has drawn its first token from a model with 0.6 billion random weights
  own, fast    tokens per second of the engines transformers and vllm, beside bare `generate`, `generate_batch` and bare
               vLLM; the seconds that new weights take; how far vLLM's log-probabilities are from transformers'
  sleep        the memory that vLLM gives back asleep, against ending its process, and what both take
  trained      tokens per second and model FLOPs utilisation of SFT
  rounds       three rounds of ReST-EM and of GRPO on the tiny model: what was gained
  memory       what the whole device holds before each step of five rounds, with vLLM where it is: whether a run leaks
  resume       a run that is killed and goes on ends with the weights of one that was not

Each check is a process of its own, which is ended when the time is over. What is not there (a GPU, vLLM) is said in the
table. `--cpu-smoke` runs the same code with small sizes, on any machine; its speeds mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PEAKS = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "4090": 165e12,
    "A10": 125e12,
}
"""Dense bfloat16 FLOPs per second that the makers name, by a part of the device's name."""
QWEN3_06B = {
    "vocab_size": 151_936,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "tie_word_embeddings": False,
}
"""The shape of Qwen3-0.6B, whose own embeddings are tied: then vLLM starts anew for new weights."""
SMALL = {**QWEN3_06B, "vocab_size": 400, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
SMALL |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}  # vLLM on a CPU takes no smaller heads
ROUNDS = ("gate_problems=200", "sealed_problems=200", "audit_problems=0", "control_problems=0", "gate=always")
TINY = ("model.tiny.max_steps=20", "model.tiny.check_every=20", "model.tiny.probes=20", "gate_problems=20")
TINY += ("sealed_problems=20", "probe_problems=0", "acquisition.seed_prompts.problems=20", "reward=random")
TINY += ("engine.transformers.max_completion_length=12",)
"""What makes a run of the tiny model small enough to try this script."""
SERVED = ("engine=vllm", "engine.vllm.enforce_eager=true", "engine.vllm.gpu_memory_utilization=0.3")
SERVED += ("engine.vllm.max_completion_length=60", "model.tiny.num_attention_heads=2")
"""The tiny model in vLLM, which on a CPU takes no heads of 16."""
SFT = ("optimization.sft.max_steps=4",)
GRPO = ("optimization.grpo.max_steps=2", "optimization.grpo.max_completion_length=12")
NO_VLLM = ("not installed", "pip install 'selfimprove[vllm]'")
Row = tuple[str, str, str]


@dataclass
class Sizes:
    """How much is measured."""

    smoke: bool
    shape: dict[str, Any]
    prompts: int
    samples: int
    tokens: int
    rows: int
    length: int
    steps: int


@dataclass
class Quiet:
    """A log that shows nothing, keeps notes and metrics, and notes when training steps end."""

    times: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    at: Callable[[int, str], None] = lambda number, stage: None

    def progress(self, done: int, total: int, unit: str = "") -> None:
        if unit == "steps":
            self.times.append(time.perf_counter())

    def metric(self, name: str, value: float) -> None:
        self.metrics[name] = value

    def note(self, text: str) -> None:
        self.notes.append(text)

    def goal(self, rounds: int) -> None: ...

    def round(self, line: dict[str, Any]) -> None: ...

    def confirmation(self, line: dict[str, Any]) -> None: ...

    def step(self, number: int, stage: str) -> None:
        self.at(number, stage)


# ---- what is measured on -----------------------------------------------------------------------------------------
def build(folder: Path, shape: dict[str, Any], seed: int) -> Path:
    """A Qwen3 with random weights in the number type of the device, and a tokenizer with one token for each word.

    So what random weights say is read back as the tokens that they were.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    from selfimprove.inference.agreement import TEXTS

    checked = sorted({word for text in TEXTS for word in text.split()})  # the texts that engines are compared with
    names = ["<pad>", "<end>", *(f"w{i}" for i in range(2, shape["vocab_size"] - len(checked))), *checked]
    words = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<end>")
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    torch.manual_seed(seed)
    model: Any = Qwen3ForCausalLM(Qwen3Config(**shape, **ends, max_position_embeddings=4096))
    model.to(torch.bfloat16 if torch.cuda.is_available() else torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def problems(n: int) -> list[Any]:
    """n prompts of fifty tokens."""
    from selfimprove.records import Prompt

    texts = [" ".join(f"w{2 + (i * 37 + j * 91) % 290}" for j in range(50)) for i in range(n)]
    return [Prompt(prompt=[{"role": "user", "content": text}], key=text) for text in texts]


def used() -> float:
    """MiB that are taken on the whole GPU, whoever holds them; without one, of this process and those it started."""
    gc.collect()
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        free, total = torch.cuda.mem_get_info()
        return (total - free) / 2**20
    import psutil

    here = psutil.Process()
    return sum(one.memory_info().rss for one in (here, *here.children(recursive=True))) / 2**20


def timed(work: Callable[[], Any]) -> float:
    """The seconds that something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# ---- engines -----------------------------------------------------------------------------------------------------
def device(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """What this is measured on."""
    import torch

    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    yield "device", name, f"torch {torch.__version__}{', small sizes' if sizes.smoke else ''}"


def first_token(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """How long a user waits for the first token: a fresh process, the model on disk."""
    model = build(folder / "model", sizes.shape, 0)
    for name in ("transformers", "vllm"):
        if name == "vllm" and find_spec("vllm") is None:
            yield "vllm first token", *NO_VLLM
            continue
        began = time.perf_counter()
        command = [sys.executable, __file__, "--draw", name, str(model)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout and process.stderr
            threading.Thread(target=process.stderr.read, daemon=True).start()
            drawn = any(line.startswith("drawn") for line in process.stdout)
            seconds = time.perf_counter() - began
        if not drawn:
            raise RuntimeError(f"{' '.join(command)} ended with code {process.returncode} and drew nothing")
        yield f"{name} first token", f"{seconds:.1f} s", "of a fresh process, goal 60 s"


def draw(name: str, folder: str) -> None:
    """Draw one token with an engine, and say so: the process that `first_token` starts."""
    from selfimprove.interfaces import Sampling
    from selfimprove.records import Checkpoint

    engine = (
        _vllm(1)
        if name == "vllm"
        else importlib.import_module("selfimprove.methods.engine.transformers").Transformers()
    )
    engine.sample(Checkpoint(path=folder), problems(1), 1, Sampling(max_completion_length=1), 0, Quiet())
    print("drawn", flush=True)
    engine.close()


def _vllm(tokens: int) -> Any:
    from selfimprove.methods.engine.vllm import Vllm

    return Vllm(max_completion_length=tokens, **vllm_options())


def vllm_options() -> dict[str, Any]:
    """What vLLM is started with here. On a CPU it compiles for minutes, so there it does not."""
    import torch

    return {"max_model_len": 1024, "gpu_memory_utilization": 0.5, "enforce_eager": not torch.cuda.is_available()}


def own(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """The engine transformers, beside what the library itself offers."""
    from selfimprove.methods.engine.transformers import Transformers

    first, second = (build(folder / name, sizes.shape, seed) for seed, name in enumerate(("first", "second")))
    engine = Transformers(max_completion_length=sizes.tokens, batch_size=sizes.prompts * sizes.samples)
    yield from _engine("transformers", engine, first, second, sizes)
    engine.close()
    yield _bare_generate(first, sizes)
    yield _continuous(first, sizes)


def fast(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """The engine vllm, beside bare vLLM."""
    if find_spec("vllm") is None:
        yield "vllm engine", *NO_VLLM
        return
    first, second = (build(folder / name, sizes.shape, seed) for seed, name in enumerate(("first", "second")))
    engine = _vllm(sizes.tokens)
    yield from _engine("vllm", engine, first, second, sizes)
    engine.close()
    yield _bare_vllm(first, sizes)


def sleep(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Memory between two calls: vLLM asleep, against vLLM ended and started again."""
    if find_spec("vllm") is None:
        yield "vllm sleep", *NO_VLLM
        return
    import torch

    from selfimprove.inference import vllm_process
    from selfimprove.records import Checkpoint

    vllm_process.check()
    weights = vllm_process.weights_of(Checkpoint(path=str(build(folder / "model", sizes.shape, 0))), "auto")
    before, gpu = used(), torch.cuda.is_available()
    for level in (1, 2) if gpu else ():
        process = vllm_process.Process({**vllm_options(), "enable_sleep_mode": True}, level)
        process.load(weights, anew=True)
        awake = used()
        down = timed(process.rest)
        asleep = used()
        up = timed(process.wake)
        kept = f"keeps {asleep - before:,.0f} of {awake - before:,.0f} MiB"
        yield f"vllm sleep {level}", f"{down:.2f} s and {up:.2f} s to wake", kept
        process.close()
    if not gpu:
        yield "vllm sleep", "not measured", "vLLM has no sleep mode on a CPU"
    process = vllm_process.Process(vllm_options(), 0)
    started = timed(lambda: process.load(weights, anew=True))
    awake = used()
    down = timed(process.close)
    kept = f"keeps {used() - before:,.0f} of {awake - before:,.0f} MiB"
    yield "vllm ended and started again", f"{down:.2f} s and {started:.1f} s to start", kept


def _engine(name: str, engine: Any, first: Path, second: Path, sizes: Sizes) -> Iterator[Row]:
    from selfimprove.interfaces import Sampling
    from selfimprove.records import Checkpoint

    one, other = Checkpoint(path=str(first)), Checkpoint(path=str(second))
    prompts, how, log = problems(sizes.prompts), Sampling(temperature=1.0), Quiet()
    engine.sample(one, prompts[:1], 1, how, 0, log)  # loading and compiling are not the speed
    began = time.perf_counter()
    groups = engine.sample(one, prompts, sizes.samples, how, 1, log)
    seconds = time.perf_counter() - began
    rollouts = [rollout for group in groups for rollout in group]
    tokens = sum(rollout.logprobs["count"] for rollout in rollouts)
    yield f"{name} engine", f"{tokens / seconds:,.0f} tokens/s", f"{tokens:,.0f} tokens in {seconds:.1f} s"

    def once(checkpoint: Checkpoint) -> float:
        return timed(lambda: engine.sample(checkpoint, prompts[:1], 1, how, 0, log))

    unknown, known = once(other), once(one)  # the first time, transformers scores the texts of the comparison as well
    alone = once(one)
    anew = any("restarting it" in note for note in log.notes)
    way = f"untied embeddings, {unknown - alone:.2f} s the first time"
    if name == "vllm":
        way += "; not a reload, a new process was started" if anew else "; goal 1 s"
    yield f"{name} weight change", f"{max(0.0, known - alone):.2f} s", way
    if "vllm/difference" in log.metrics:
        found, kind = log.metrics["vllm/difference"], "on average, from transformers' forward pass, per token"
        yield f"{name} log-probabilities", f"{found:.2g} nats off", kind
        return
    some = rollouts[:: max(1, len(rollouts) // 32)][:32]
    gaps = [
        abs(sum(scores) - rollout.logprobs["sum"]) / max(1, rollout.logprobs["count"])
        for rollout, scores in zip(some, engine.logprobs_of(one, some), strict=True)
    ]
    yield f"{name} log-probabilities", f"{max(gaps):.2g} nats off", "at most, sampled against scored, per token"


def _bare_generate(folder: Path, sizes: Sizes) -> Row:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    model.to(device)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    texts = [prompt.prompt[0]["content"] for prompt in problems(sizes.prompts)]
    given = tokenizer(texts, return_tensors="pt", padding=True).to(device)
    options = {"do_sample": True, "max_new_tokens": sizes.tokens, "num_return_sequences": sizes.samples}
    with torch.inference_mode():
        model.generate(**given, do_sample=True, max_new_tokens=2)
        began = time.perf_counter()
        drawn = model.generate(**given, **options)[:, given["input_ids"].shape[1] :]
        if device == "cuda":
            torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    tokens = int((drawn != tokenizer.pad_token_id).sum())
    return "bare generate", f"{tokens / seconds:,.0f} tokens/s", f"{tokens:,} tokens in {seconds:.1f} s"


def _continuous(folder: Path, sizes: Sizes) -> Row:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    lines = [tokenizer(prompt.prompt[0]["content"])["input_ids"] for prompt in problems(sizes.prompts)]
    given = [line for line in lines for _ in range(sizes.samples)]  # of several samples it hands out the first only
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    how = GenerationConfig(do_sample=True, max_new_tokens=sizes.tokens, **ends)
    model.generate_batch(given[:1], generation_config=how)
    began = time.perf_counter()
    outputs = model.generate_batch(given, generation_config=how)
    seconds = time.perf_counter() - began
    if len(outputs) < len(given):
        raise RuntimeError(f"generate_batch answered {len(outputs)} of {len(given)} prompts")
    tokens = sum(len(output.generated_tokens) for output in outputs.values())
    return "bare generate_batch", f"{tokens / seconds:,.0f} tokens/s", f"{tokens:,} tokens in {seconds:.1f} s"


def _bare_vllm(folder: Path, sizes: Sizes) -> Row:
    vllm: Any = importlib.import_module("vllm")
    model = vllm.LLM(str(folder), **vllm_options())
    texts = [prompt.prompt[0]["content"] for prompt in problems(sizes.prompts)]
    how = vllm.SamplingParams(n=sizes.samples, temperature=1.0, max_tokens=sizes.tokens)
    model.generate(texts[:1], how, use_tqdm=False)
    began = time.perf_counter()
    outputs = model.generate(texts, how, use_tqdm=False)
    seconds = time.perf_counter() - began
    tokens = sum(len(one.token_ids) for output in outputs for one in output.outputs)
    return "bare vllm", f"{tokens / seconds:,.0f} tokens/s", f"{tokens:,} tokens in {seconds:.1f} s"


# ---- training ----------------------------------------------------------------------------------------------------
def trained(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Tokens per second of SFT, and what share of the device's arithmetic that is."""
    import torch

    from selfimprove import training
    from selfimprove.records import Checkpoint, Prompt, Rollout

    start, source = Checkpoint(path=str(build(folder / "start", sizes.shape, 0))), random.Random(0)
    ask = Prompt(prompt=[{"role": "user", "content": "w2"}], key="x")
    texts = [
        " ".join(f"w{source.randrange(2, sizes.shape['vocab_size'])}" for _ in range(sizes.length - 2))
        for _ in range(sizes.rows * sizes.steps)
    ]
    rollouts = [Rollout(prompt=ask, completion=[{"role": "assistant", "content": text}]) for text in texts]
    plan = training.Schedule(learning_rate=1e-5, max_steps=sizes.steps, per_device_train_batch_size=sizes.rows)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    log = Quiet()
    training.sft(training.Job(start, folder / "out", plan, log), rollouts)
    seconds = (log.times[-1] - log.times[2]) / (len(log.times) - 3)  # the first steps compile and allocate
    tokens, shape = sizes.rows * sizes.length, sizes.shape
    attention = shape["num_attention_heads"] * shape["head_dim"] * shape["num_hidden_layers"]
    per_token = (
        6 * _multiplied(shape) + 6 * attention * sizes.length
    )  # of each token with half of those before it, twice
    speed = f"{tokens / seconds:,.0f} tokens/s"
    yield (
        "SFT",
        speed,
        f"{sizes.rows} rows of {sizes.length} tokens a step, {_multiplied(shape) / 1e9:.2f} billion weights",
    )
    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    peak = next((peak for part, peak in PEAKS.items() if part in name), None)
    if peak:
        share = per_token * tokens / seconds / peak
        yield (
            "SFT model FLOPs utilisation",
            f"{100 * share:.1f} %",
            f"of {peak / 1e12:.0f} TFLOPs/s in bfloat16, {name}",
        )
    else:
        yield "SFT model FLOPs utilisation", "unknown", f"no peak is known for {name}"
    if torch.cuda.is_available():
        yield (
            "SFT peak memory",
            f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB",
            "weights, gradients and Adam in float32",
        )


def _multiplied(shape: dict[str, Any]) -> int:
    """Weights that each token is multiplied with: the matrices of the layers, and the output matrix."""
    heads = (2 * shape["num_attention_heads"] + 2 * shape["num_key_value_heads"]) * shape["head_dim"]
    layer = shape["hidden_size"] * (heads + 3 * shape["intermediate_size"])
    return shape["num_hidden_layers"] * layer + shape["vocab_size"] * shape["hidden_size"]


# ---- runs --------------------------------------------------------------------------------------------------------
def rounds(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Three rounds of ReST-EM and of GRPO on the tiny model."""
    from selfimprove.loop.begin import create
    from selfimprove.loop.loop import Runner
    from selfimprove.store.run_folder import RunDir

    for recipe, options in (("rest_em", SFT), ("dr_grpo", GRPO)):
        changes = [*ROUNDS, "rounds=3", *((*TINY, *options) if sizes.smoke else ())]
        began = time.perf_counter()
        root = create(recipe, changes, folder / recipe).root
        summary = Runner(RunDir(root), Quiet()).run()
        start, end = summary["sealed"]["start"], summary["sealed"]["champion"]
        yield (
            f"three rounds of {recipe}",
            f"{start:.3f} -> {end:.3f}",
            f"sealed accuracy, {time.perf_counter() - began:.0f} s",
        )


def memory(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """What is held when a step begins, over five rounds. After the fifth it must be what it was after the first."""
    import torch

    from selfimprove.loop.begin import create
    from selfimprove.loop.loop import Runner
    from selfimprove.store.run_folder import RunDir

    seen: list[tuple[int, str, float]] = []
    log = Quiet(at=lambda number, stage: seen.append((number, stage, used())))
    changes = [*ROUNDS, "rounds=5", *((*TINY, *SFT) if sizes.smoke else ())]
    if find_spec("vllm") is not None:
        changes = [one for one in changes if not one.startswith("engine.")] + list(SERVED)
    Runner(RunDir(create("quickstart", changes, folder / "memory").root), log).run()
    who = "the engine vllm" if find_spec("vllm") is not None else "the engine transformers, vLLM is not installed"
    yield from held(seen, who, torch.cuda.is_available())


def held(seen: list[tuple[int, str, float]], who: str, judged: bool) -> Iterator[Row]:
    """The rows of memory, from (round, stage, MiB) of each step; 2 % more than after round one is a failure."""
    stages = list(dict.fromkeys(stage for number, stage, _ in seen if number))
    for stage in stages:
        at = [mib for number, name, mib in seen if name == stage and number]
        if len(at) > 1:
            note = f"rounds 1 to {len(at)}; most {max(at):,.0f}"
            yield f"memory at {stage}", f"{at[0]:,.0f} -> {at[-1]:,.0f} MiB", note
    after = [mib for number, name, mib in seen if name == "controller" and number]  # a round's heavy steps are over
    more = after[-1] / after[0] - 1
    found = f"{100 * more:+.1f} % from round 1 to {len(after)}"
    where = "of the whole device" if judged else "of these processes, not judged without a GPU"
    bad = "FAILED: " if judged and more > 0.02 else ""
    yield "memory growth", bad + found, f"{where}, {who}; goal 2 % at most"


def resume(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Kill a run in the middle, let it go on, and compare its weights with those of a run that was left alone."""
    changes = [*ROUNDS, "rounds=2", *((*TINY, *SFT) if sizes.smoke else ())]
    command = [sys.executable, "-m", "selfimprove"]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*command, "run", "quickstart", "--out", str(folder / "whole"), *changes], check=True, **quiet)
    killed = subprocess.Popen([*command, "run", "quickstart", "--out", str(folder / "killed"), *changes], **quiet)
    while killed.poll() is None and not (folder / "killed" / "round_001" / "acquisition").exists():
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    subprocess.run([*command, "resume", str(folder / "killed")], check=True, **quiet)
    sums = [
        hashlib.sha256(
            (folder / name / "round_002" / "optimization" / "model" / "model.safetensors").read_bytes()
        ).hexdigest()
        for name in ("whole", "killed")
    ]
    same = "the same weights" if sums[0] == sums[1] else "other weights"
    yield "killed and resumed", same, "same is expected on a CPU; on a GPU sums may differ in their last bits"


CHECKS = (device, first_token, own, fast, sleep, trained, rounds, memory, resume)


def main() -> int:
    """Run the checks, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu-smoke", action="store_true", help="small sizes, on any machine")
    parser.add_argument("--minutes", type=float, default=10.0, help="what is not done by then is ended")
    parser.add_argument("--json", type=Path, help="write the table here as well")
    parser.add_argument("--only", choices=[check.__name__ for check in CHECKS], help="a single check")
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)  # a child: write the rows here
    parser.add_argument("--draw", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if given.draw:
        draw(*given.draw)
        return 0
    if given.rows:
        return _carry_out(next(check for check in CHECKS if check.__name__ == given.only), given.cpu_smoke, given.rows)
    if find_spec("torch") is None:
        print(f"{sys.executable} has no torch. Run `make run` first, or name a Python that has it with PYTHON=...")
        return 69
    import torch

    if not torch.cuda.is_available() and not given.cpu_smoke:
        print("no CUDA device was found: `selfimprove doctor` says what torch sees; --cpu-smoke runs small sizes here")
        return 69
    rows: list[Row] = []
    end = time.monotonic() + 60 * given.minutes
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        os.environ["SELFIMPROVE_CACHE"] = f"{scratch}/cache"
        for check in CHECKS:
            if given.only in (None, check.__name__):
                late = f"{given.minutes:g} minutes were over"
                some = _watched(check.__name__, given.cpu_smoke, Path(scratch) / check.__name__, end, late)
                print(*("  ".join(row) for row in some), sep="\n", file=sys.stderr, flush=True)
                rows += some
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    print("\n".join(f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}".rstrip() for row in rows))
    if given.json:
        given.json.write_text(
            json.dumps([dict(zip(("what", "found", "note"), row, strict=True)) for row in rows], indent=1)
        )
    return int(any(found.startswith("FAILED") for _, found, _ in rows))


def _watched(name: str, smoke: bool, folder: Path, end: float, late: str) -> list[Row]:
    """The rows of a check, which is a process of its own and has ended, with all that it started, when the time is."""
    if time.monotonic() >= end:
        return [(name, "left out", late)]
    folder.mkdir()
    out = folder / "rows.jsonl"
    command = [sys.executable, __file__, "--only", name, "--rows", str(out), *(["--cpu-smoke"] if smoke else [])]
    with (folder / "said.txt").open("wb") as said:
        child = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
    try:
        code: int | None = child.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        code = None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    rows: list[Row] = [tuple(json.loads(line)) for line in out.read_text().splitlines()] if out.exists() else []
    if code is None:
        rows.append((name, "not finished", late))
    elif code and not any(found == "FAILED" for _, found, _ in rows):
        last = (folder / "said.txt").read_text(errors="replace").strip().splitlines()[-1:]
        rows.append((name, "FAILED", f"its process ended with code {code}: {' '.join(last)[:200]}"))
    return rows


def _carry_out(check: Callable[[Sizes, Path], Iterator[Row]], smoke: bool, out: Path) -> int:
    """Write the rows of a check as they come; one that fails says so in its last row."""
    large = Sizes(False, QWEN3_06B, prompts=64, samples=8, tokens=256, rows=8, length=1024, steps=20)
    sizes = Sizes(True, SMALL, 4, 2, 8, rows=2, length=32, steps=6) if smoke else large
    with out.open("a") as rows:
        try:
            for row in check(sizes, out.parent):
                print(json.dumps(row), file=rows, flush=True)
        except Exception as error:  # the other checks go on
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            print(json.dumps((check.__name__, "FAILED", said)), file=rows, flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
