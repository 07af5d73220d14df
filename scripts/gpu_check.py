"""What to run first on a machine with a GPU: `scripts/gpu_check.sh`. One table in at most ten minutes, no download.

  engines   tokens per second of the transformers engine, of the vLLM engine, of bare `generate` and of bare vLLM; the
            seconds that new weights take; how far the sampler's log-probabilities are from a forward pass
  training  tokens per second and model FLOPs utilisation of SFT on a model with 0.6 billion random weights
  rounds    three rounds of ReST-EM and of GRPO on the tiny model: what was gained
  memory    what is allocated before and after each step of five rounds: whether a run leaks
  resume    a run that is killed and goes on ends with the weights of one that was not

What is not there (a GPU, vLLM) is said in the table. `--cpu-smoke` runs the same code with small sizes, on any machine;
its speeds mean nothing.
"""

from __future__ import annotations

import argparse
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
    "tie_word_embeddings": True,
}
"""The shape of Qwen3-0.6B."""
SMALL = {**QWEN3_06B, "vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
SMALL |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}  # vLLM on a CPU takes no smaller heads
ROUNDS = ("gate_problems=200", "sealed_problems=200", "audit_problems=0", "control_problems=0", "gate=always")
TINY = ("model.tiny.max_steps=20", "model.tiny.check_every=20", "model.tiny.probes=20", "gate_problems=20")
TINY += ("sealed_problems=20", "probe_problems=0", "acquisition.seed_prompts.problems=20", "reward=random")
TINY += ("engine.transformers.max_completion_length=12",)
"""What makes a run of the tiny model small enough to try this script."""
SFT = ("optimization.sft.max_steps=4",)
GRPO = ("optimization.grpo.max_steps=2", "optimization.grpo.max_completion_length=12")
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
    """A log that shows nothing, keeps the notes, and notes when training steps end."""

    times: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    at: Callable[[int, str], None] = lambda number, stage: None

    def progress(self, done: int, total: int, unit: str = "") -> None:
        if unit == "steps":
            self.times.append(time.perf_counter())

    def metric(self, name: str, value: float) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)

    def round(self, line: dict[str, Any]) -> None: ...

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

    names = ["<pad>", "<end>", *(f"w{i}" for i in range(2, shape["vocab_size"]))]
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


# ---- engines -----------------------------------------------------------------------------------------------------
def engines(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Speed, weight change and agreement of each engine, beside the bare libraries."""
    from selfimprove.engine.transformers import Transformers

    first, second = (build(folder / name, sizes.shape, seed) for seed, name in enumerate(("first", "second")))
    own = Transformers(max_completion_length=sizes.tokens, batch_size=sizes.prompts * sizes.samples)
    yield from _engine("transformers", own, first, second, sizes)
    own.close()
    yield _bare_generate(first, sizes)
    if find_spec("vllm") is None:
        yield "vllm", "not installed", "pip install 'selfimprove[vllm]'"
        return
    from selfimprove.engine.vllm import Vllm

    fast = Vllm(max_completion_length=sizes.tokens, max_model_len=1024, gpu_memory_utilization=0.5)
    yield from _engine("vllm", fast, first, second, sizes)
    fast.close()
    yield _bare_vllm(first, sizes)


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
    began = time.perf_counter()
    engine.sample(other, prompts[:1], 1, how, 0, log)
    changed = time.perf_counter() - began
    began = time.perf_counter()
    engine.sample(other, prompts[:1], 1, how, 0, log)
    again = time.perf_counter() - began
    yield f"{name} weight change", f"{max(0.0, changed - again):.2f} s", "; ".join(log.notes)[:200]
    some = rollouts[:: max(1, len(rollouts) // 32)][:32]
    gaps = [
        abs(sum(scores) - rollout.logprobs["sum"]) / max(1, rollout.logprobs["count"])
        for rollout, scores in zip(some, engine.score(one, some), strict=True)
    ]
    kind = "sampled against a forward pass of the same engine, per token"
    yield f"{name} log-probabilities", f"{max(gaps):.2g} nats off at most", kind


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


def _bare_vllm(folder: Path, sizes: Sizes) -> Row:
    vllm: Any = importlib.import_module("vllm")
    model = vllm.LLM(str(folder), max_model_len=1024, gpu_memory_utilization=0.5)
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
    training.sft(start, rollouts, folder / "out", plan, log)
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
    from selfimprove.rundir import RunDir
    from selfimprove.runner import Runner, create

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
    """What is allocated when a step begins, over five rounds."""
    from selfimprove.rundir import RunDir
    from selfimprove.runner import Runner, create

    seen: list[tuple[int, str, float]] = []
    log = Quiet(at=lambda number, stage: seen.append((number, stage, _allocated())))
    root = create("quickstart", [*ROUNDS, "rounds=5", *((*TINY, *SFT) if sizes.smoke else ())], folder / "memory").root
    Runner(RunDir(root), log).run()
    stages = list(dict.fromkeys(stage for number, stage, _ in seen if number))
    for stage in stages:
        at = [mib for number, name, mib in seen if name == stage and number]
        if len(at) > 1:
            yield (
                f"memory at {stage}",
                f"{at[0]:,.0f} -> {at[-1]:,.0f} MiB",
                f"rounds 1 to {len(at)}; most {max(at):,.0f}",
            )


def _allocated() -> float:
    """MiB on the GPU, or of this process where there is none."""
    gc.collect()
    import torch

    if torch.cuda.is_available():
        return torch.cuda.memory_allocated() / 2**20
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), 0.0)


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


CHECKS = (engines, trained, rounds, memory, resume)


def main() -> int:
    """Run the checks, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu-smoke", action="store_true", help="small sizes, on any machine")
    parser.add_argument("--minutes", type=float, default=10.0, help="checks that have not begun by then are left out")
    parser.add_argument("--json", type=Path, help="write the table here as well")
    given = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if find_spec("torch") is None:
        print(f"{sys.executable} has no torch. Run `make run` first, or name a Python that has it with PYTHON=...")
        return 69
    import torch

    gpu = torch.cuda.is_available()
    if not gpu and not given.cpu_smoke:
        print("no CUDA device was found: `selfimprove doctor` says what torch sees; --cpu-smoke runs small sizes here")
        return 69
    large = Sizes(False, QWEN3_06B, prompts=64, samples=8, tokens=256, rows=8, length=1024, steps=20)
    sizes = Sizes(True, SMALL, 4, 2, 8, rows=2, length=32, steps=6) if given.cpu_smoke else large
    device = torch.cuda.get_device_name(0) if gpu else "cpu"
    rows: list[Row] = [("device", device, f"torch {torch.__version__}{', small sizes' if sizes.smoke else ''}")]
    began, failed = time.monotonic(), False
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["SELFIMPROVE_CACHE"] = f"{scratch}/cache"
        for check in CHECKS:
            if time.monotonic() - began > 60 * given.minutes:
                rows.append((check.__name__, "left out", f"{given.minutes:g} minutes were over"))
                continue
            folder = Path(scratch) / check.__name__
            folder.mkdir()
            try:
                for row in check(sizes, folder):
                    rows.append(row)
                    print(*row, sep="  ", file=sys.stderr, flush=True)
            except Exception as error:  # one check that fails says so, and the others go on
                failed = True
                rows.append((check.__name__, "FAILED", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"))
                print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
            gc.collect()
            if gpu:
                torch.cuda.empty_cache()
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    print("\n".join(f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}".rstrip() for row in rows))
    if given.json:
        given.json.write_text(
            json.dumps([dict(zip(("what", "found", "note"), row, strict=True)) for row in rows], indent=1)
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
