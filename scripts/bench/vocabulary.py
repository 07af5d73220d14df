"""What a published vocabulary costs the engine `transformers`: time of a token with filters and without, and memory.

The model is random and small (two layers of 64), so that nearly all of the time and memory belongs to the vocabulary.
`time`: completions that nothing ends, drawn in three ways that take turns in one process: the engine at temperature 1,
the engine with top_k 40, and `model.generate` with top_k 40. CPU milliseconds per token and row, medians. Goals: top_k
costs at most 1.1 of the engine without it, and less than `generate`.
`memory`: the largest resident memory of a process of its own that draws 1,024 completions in one batch with top_k 40.
Goals: 3.5 GB with 151,936 tokens (Qwen3), 5 GB with 262,144 (Gemma 3).
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bench

PROMPT = 16
"""Tokens of a prompt."""


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--vocabulary", type=int, nargs="+", default=[151936, 262144], help="sizes for a random model")
    parser.add_argument("--model", type=Path, help="a model folder to take instead")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rows", type=int, default=1024, help="completions of the batch whose memory is measured")
    parser.add_argument("--timed-rows", type=int, default=64, help="completions of a batch whose time is measured")
    parser.add_argument("--tokens", type=int, default=12, help="tokens of a completion")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peak", action="store_true", help="only draw the batch, and print the memory as JSON")
    options = parser.parse_args()
    if options.peak:
        print(json.dumps(peak(options)))
        return
    machine = bench.machine()
    found = []
    for vocabulary in [0] if options.model else options.vocabulary:
        options.vocabulary = [vocabulary]
        row: dict[str, Any] = {**timed(options), **measured(options)}
        print(json.dumps(row), flush=True)
        found.append(row)
    columns = ("vocabulary", "plain", "top_k", "generate", "top_k_over_plain", "top_k_over_generate", "peak", "loaded")
    bench.show(columns, [[row[name] for name in columns] for row in found])
    print(f"CPU ms per token and row, {options.timed_rows} rows; GB of {options.rows} rows, and with the model alone")
    bench.save(options.json, machine, rows=found)


def timed(options: Any) -> dict[str, Any]:
    """The three ways in turn: the median of each, and of the ratios within a repeat."""
    import torch

    from selfimprove.inference.decoding import decode
    from selfimprove.interfaces import Sampling

    model, tokenizer = loaded(options)
    prompts = prompts_of(model, options.timed_rows)
    given = torch.tensor(prompts)

    def generate() -> None:
        with torch.inference_mode():
            model.generate(
                given,
                attention_mask=torch.ones_like(given),
                do_sample=True,
                top_k=40,
                top_p=1.0,
                temperature=1.0,
                max_new_tokens=options.tokens,
                eos_token_id=None,
                pad_token_id=0,
            )

    ways = {
        "plain": lambda: decode(model, tokenizer, prompts, 1, Sampling(), options.tokens, 0),
        "top_k": lambda: decode(model, tokenizer, prompts, 1, Sampling(top_k=40), options.tokens, 0),
        "generate": generate,
    }
    names, rows = list(ways), []
    for repeat in range(-1, options.repeats):  # the first one warms up
        row: dict[str, float] = {}
        for name in [*names[repeat % 3 :], *names[: repeat % 3]]:
            began = time.process_time()
            ways[name]()
            row[name] = (time.process_time() - began) * 1e3 / (options.timed_rows * options.tokens)
        row["top_k_over_plain"] = row["top_k"] / row["plain"]
        row["top_k_over_generate"] = row["top_k"] / row["generate"]
        rows.append(row)
    middle = {name: statistics.median(row[name] for row in rows[1:]) for name in rows[0]}
    return {"vocabulary": model.config.get_text_config().vocab_size, **middle}


def measured(options: Any) -> dict[str, float]:
    """The memory of a process of its own."""
    given = ["--model", str(options.model)] if options.model else ["--vocabulary", str(options.vocabulary[0])]
    sizes = ["--rows", str(options.rows), "--tokens", str(options.tokens), "--dtype", options.dtype]
    command = [sys.executable, str(Path(__file__)), "--peak", *given, *sizes]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def peak(options: Any) -> dict[str, float]:
    """GB of resident memory at most, with the model alone and while the batch was drawn."""
    from selfimprove.inference.decoding import decode
    from selfimprove.interfaces import Sampling

    model, tokenizer = loaded(options)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decode(model, tokenizer, prompts_of(model, options.rows), 1, Sampling(top_k=40), options.tokens, 0)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"loaded": before * 1024 / 1e9, "peak": most * 1024 / 1e9}


def loaded(options: Any) -> tuple[Any, Any]:
    """A model without end tokens, and what stands for its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    kind = getattr(torch, options.dtype)
    if options.model:
        model: Any = AutoModelForCausalLM.from_pretrained(options.model, dtype=kind)
    else:
        config = LlamaConfig(
            vocab_size=options.vocabulary[0],
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        )
        model = LlamaForCausalLM(config).to(kind)
    model.eval().generation_config.eos_token_id = None
    return model, SimpleNamespace(eos_token_id=None, chat_template=None)


def prompts_of(model: Any, rows: int) -> list[tuple[int, ...]]:
    """Different prompts of equal length."""
    import random

    numbers, size = random.Random(0), model.config.get_text_config().vocab_size
    return [tuple(numbers.randrange(size) for _ in range(PROMPT)) for _ in range(rows)]


if __name__ == "__main__":
    main()
