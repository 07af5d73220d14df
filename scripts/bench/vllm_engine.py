"""What the engine `vllm` costs beside a bare `LLM.generate` with the same prompts, in one process.

Each repeat draws the same samples twice with the running vLLM, in turn first by the engine and by a bare call: token
ids in, token ids out, with the engine's own sampling parameters. So the ratio is all that the engine adds: tokenizing,
merging equal prompts, seeds, text, records. The goal is 0.97 of the bare throughput. Beside it stands a bare call
without seeds and log-probabilities, which vLLM answers faster: what repeatable samples cost.

It needs vLLM; on a machine without a GPU its CPU build, see `make test-vllm`.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import bench

from selfimprove.logs import Silent


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=40, help="completion tokens at most")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    machine = bench.machine()
    from selfimprove.interfaces import Sampling
    from selfimprove.methods.engine.vllm import Vllm
    from selfimprove.methods.model.tiny import Tiny
    from selfimprove.methods.task.chain_sums import ChainSums

    prompts = [prompt.blind() for prompt in ChainSums().problems("train", options.prompts, 0)]
    sampling = Sampling(max_completion_length=options.tokens)
    engine, log = Vllm(enforce_eager=True), Silent()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Tiny(num_attention_heads=2)._untrained(Path(folder) / "model", 0)  # 4 are too small for the CPU
        asked = watch(engine, lambda: engine.sample(checkpoint, prompts, options.samples, sampling, 0, log))
        for repeat in range(options.repeats):
            calls = {
                "engine": lambda: engine.sample(checkpoint, prompts, options.samples, sampling, 0, log),
                "bare": lambda: generate(engine, asked),
                "plain": lambda: generate(engine, plain(asked)),
            }
            order = ("engine", "bare", "plain") if repeat % 2 else ("bare", "engine", "plain")
            seconds = {name: timed(calls[name]) for name in order}
            rows.append({"ratio": seconds["bare"] / seconds["engine"], **seconds})
            print(
                f"repeat {repeat}: " + ", ".join(f"{name} {value:.3f}" for name, value in rows[-1].items()), flush=True
            )
        tokens = sum(len(one.token_ids) for output in generate(engine, asked) for one in output.outputs)
    engine.close()
    median = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    bench.show(
        ["call", "seconds", "tokens/s"],
        [[name, median[name], round(tokens / median[name])] for name in ("engine", "bare", "plain")],
    )
    print(f"{tokens} tokens; the engine has {median['ratio']:.3f} of the bare throughput (median of {len(rows)})")
    bench.save(options.json, machine, tokens=tokens, rows=rows, **median)


def watch(engine: Any, call: Any) -> Any:
    """What the engine hands to vLLM in a call; starts it on the way."""
    call()
    seen: list[Any] = []
    generate = engine._process.generate
    engine._process.generate = lambda *given: (seen.append(given[:2]), generate(*given))[1]
    call()
    engine._process.generate = generate
    return seen[0]


def generate(engine: Any, asked: Any) -> Any:
    """The bare call."""
    prompts, parameters = asked
    return engine._process.llm.generate([{"prompt_token_ids": ids} for ids in prompts], parameters, use_tqdm=False)


def plain(asked: Any) -> Any:
    """The same without seeds and log-probabilities."""
    from selfimprove.inference.vllm_process import parameters as sampling_parameters

    prompts, parameters = asked
    one = parameters[0]
    return prompts, sampling_parameters(
        n=one.n, max_tokens=one.max_tokens, stop_token_ids=one.stop_token_ids, detokenize=False
    )


def timed(call: Any) -> float:
    """Seconds of a call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
