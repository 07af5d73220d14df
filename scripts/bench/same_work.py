"""The rounds of the quickstart, three ways, from one start checkpoint, with the same problems and the same sizes.

  selfimprove  the recipe through the runner, with the gate `always`: the seconds of acquisition, selection and
               optimization of each round. What the gate measures is off the clock in all three.
  TRL          as its documentation shows it: `model.generate` with left padding and num_return_sequences, a data set
               of prompt and completion strings, and SFTTrainer, in one process that never reloads the model.
  bare         no library but PyTorch: the Llama as one function on plain tensors, prompts in buckets of equal length,
               a prompt prefilled once for all its samples, a preallocated cache, and a plain AdamW loop.

Each draws samples, keeps the right ones once each, and trains on what all rounds kept, from the last model on. The two
rivals stop a completion after 64 tokens (no right answer has more than 32); selfimprove's limit is the recipe's own.
Everything is imported beforehand, and a short round of each runs before the clock starts. The goal: not slower than
TRL, and near the bare loop.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench

from selfimprove.logs import Silent

LIMIT = 64
"""Tokens per completion of the two rivals."""
ROWS = 1024
"""Completions that are decoded together, as in selfimprove's engine."""


@dataclass
class Work:
    """What is the same for all three."""

    start: Path
    rounds: int
    prompts: list[list[tuple[str, str]]]
    """For each round the problems, as (prompt, answer)."""
    samples: int
    temperature: float
    steps: int
    batch: int
    learning_rate: float
    warmup: int


@dataclass
class Result:
    """How long the two halves took, and where the weights are."""

    generate: float
    train: float
    model: Path

    @property
    def total(self) -> float:
        """All seconds on the clock."""
        return self.generate + self.train


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("overrides", nargs="*", help="changes to the recipe, for example rounds=2")
    options = parser.parse_args()
    machine = bench.machine()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        changes = ["gate=always", "gate_problems=20", "sealed_problems=20", f"seed={options.seed}", *options.overrides]
        short = [*changes, "rounds=1", "acquisition.seed_prompts.problems=20", "optimization.sft.max_steps=2"]
        for name, list_of_changes, repeats in (("warm", short, 1), ("timed", changes, options.repeats)):
            for repeat in range(repeats):
                place = root / f"{name}-{repeat}"
                first = selfimprove_rounds(list_of_changes, place / "selfimprove")
                work = same(place / "selfimprove")
                timed = {
                    "selfimprove": first,
                    "TRL": trl_rounds(work, place / "trl", options.seed),
                    "bare": bare_rounds(work, place / "bare", options.seed),
                }
                if name == "timed":
                    rows += [measured(way, result, repeat) for way, result in timed.items()]
                    for row in rows[-3:]:
                        print(f"repeat {repeat}, {row['way']}: {row['total']:.1f} s", flush=True)
    table = []
    for way in ("selfimprove", "TRL", "bare"):
        own = [row for row in rows if row["way"] == way]
        table.append(
            {"way": way} | {n: statistics.median(r[n] for r in own) for n in own[0] if n not in ("way", "repeat")}
        )
    ours = table[0]["total"]
    bench.show(
        ["way", "generate s", "train s", "total s", "times selfimprove", "accuracy after"],
        [
            [
                r["way"],
                f"{r['generate']:.1f}",
                f"{r['train']:.1f}",
                f"{r['total']:.1f}",
                r["total"] / ours,
                r["accuracy"],
            ]
            for r in table
        ],
    )
    bench.save(options.json, machine, rows=rows, median=table)


def measured(way: str, result: Result, repeat: int) -> dict[str, Any]:
    """The row of one way, with the greedy accuracy of its last model on 500 selection problems."""
    from selfimprove.studies.evaluate import examine

    accuracy = examine(result.model, "chain_sums", "greedy", ["sealed_problems=500"], Silent())
    times = {"generate": result.generate, "train": result.train, "total": result.total}
    return {"way": way, "repeat": repeat, **times, "accuracy": accuracy["metrics"]["accuracy"]["value"]}


def selfimprove_rounds(changes: Sequence[str], folder: Path) -> Result:
    """The recipe through the runner."""
    from selfimprove.loop import begin, loop

    lines = loop.Runner(begin.create("quickstart", changes, folder), Silent()).run()["per_round"][1:]
    generate = sum(line["seconds"]["acquisition"] + line["seconds"]["selection"] for line in lines)
    train = sum(line["seconds"]["optimization"] for line in lines)
    return Result(generate, train, folder / f"round_{lines[-1]['round']:03d}" / "optimization" / "model")


def same(folder: Path) -> Work:
    """The work of a finished run: its start, its problems and its sizes."""
    from selfimprove.loop.history import Stored
    from selfimprove.store.run_folder import RunDir

    stored = Stored(RunDir.open(folder))
    recipe, sft = stored.recipe, stored.recipe.the("optimization")
    chain: dict[str, Any] = {**recipe.acquisition}
    seeds, draw = chain["seed_prompts"], chain["rejection_sampling"]
    drawn = [
        recipe.the("task").problems("train", seeds.problems, stored.seed("train", number))
        for number in range(1, recipe.rounds + 1)
    ]
    return Work(
        start=Path(stored.checkpoint(0).path),
        rounds=recipe.rounds,
        prompts=[[(problem.prompt[0]["content"], str(problem.answer)) for problem in part] for part in drawn],
        samples=draw.samples,
        temperature=draw.temperature,
        steps=sft.max_steps,
        batch=sft.per_device_train_batch_size,
        learning_rate=sft.learning_rate,
        warmup=sft.warmup_steps,
    )


def right(problems: Sequence[tuple[str, str]], texts: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """The right completions, each once, as (prompt, completion)."""
    kept = [
        (prompt, text)
        for (prompt, answer), group in zip(problems, texts, strict=True)
        for text in group
        if text.endswith(f"#{answer}")
    ]
    return list(dict.fromkeys(kept))


def trl_rounds(work: Work, folder: Path, seed: int) -> Result:
    """TRL's trainer and transformers' `generate`."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.trainer_callback import PrinterCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(work.start, padding_side="left")
    model: Any = AutoModelForCausalLM.from_pretrained(work.start)
    clock, data = [0.0, 0.0], list[tuple[str, str]]()
    for problems in work.prompts:
        began = time.perf_counter()
        texts: list[list[str]] = []
        size = ROWS // work.samples
        for i in range(0, len(problems), size):
            given = tokenizer([prompt for prompt, _ in problems[i : i + size]], padding=True, return_tensors="pt")
            given.pop("token_type_ids", None)
            drawn = model.generate(
                **given,
                do_sample=True,
                temperature=work.temperature,
                top_k=0,
                num_return_sequences=work.samples,
                max_new_tokens=LIMIT,
            )
            lines = tokenizer.batch_decode(drawn[:, given["input_ids"].shape[1] :], skip_special_tokens=True)
            texts += [lines[j : j + work.samples] for j in range(0, len(lines), work.samples)]
        data += right(problems, texts)
        between = time.perf_counter()
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                output_dir=str(folder),
                max_steps=work.steps,
                per_device_train_batch_size=work.batch,
                learning_rate=work.learning_rate,
                warmup_steps=work.warmup,
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                seed=seed,
            ),
            train_dataset=Dataset.from_list([{"prompt": prompt, "completion": text} for prompt, text in data]),
            processing_class=tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        model.eval()
        clock[0] += between - began
        clock[1] += time.perf_counter() - between
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Result(clock[0], clock[1], folder)


def bare_rounds(work: Work, folder: Path, seed: int) -> Result:
    """PyTorch alone; the library is used before and after the clock only, to read and to write the weights."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(work.start)
    model = AutoModelForCausalLM.from_pretrained(work.start)
    ids = tokenizer.get_vocab()
    llama = Llama(model, ids[tokenizer.eos_token])
    llama.compare(model)
    letters = {number: token for token, number in ids.items() if len(token) == 1}
    clock, data = [0.0, 0.0], list[tuple[list[int], list[int]]]()
    for problems in work.prompts:
        began = time.perf_counter()
        prompts = [[ids[letter] for letter in prompt] for prompt, _ in problems]
        drawn = llama.draw(prompts, work.samples, work.temperature)
        texts = [["".join(letters.get(token, "") for token in line) for line in group] for group in drawn]
        for prompt, text in right(problems, texts):
            data.append(([ids[letter] for letter in prompt], [*(ids[letter] for letter in text), llama.end]))
        between = time.perf_counter()
        llama.train(data, work, random.Random(seed))
        clock[0] += between - began
        clock[1] += time.perf_counter() - between
    model.load_state_dict(llama.weights)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Result(clock[0], clock[1], folder)


class Llama:
    """A Llama as one function on a dictionary of tensors."""

    def __init__(self, model: Any, end: int) -> None:
        import torch

        config = model.config
        self.weights = {name: tensor.detach().clone().requires_grad_() for name, tensor in model.state_dict().items()}
        self.layers, self.heads = config.num_hidden_layers, config.num_attention_heads
        self.width, self.epsilon, self.end = config.hidden_size // config.num_attention_heads, config.rms_norm_eps, end
        rates = config.rope_parameters["rope_theta"] ** -(torch.arange(0, self.width, 2) / self.width)
        angles = torch.arange(config.max_position_embeddings)[:, None] * torch.cat([rates, rates])
        self.cos, self.sin = angles.cos(), angles.sin()

    def compare(self, model: Any) -> None:
        """End the bench if this is not the same function as the library's model."""
        import torch

        tokens = torch.arange(20)[None] + 3
        with torch.no_grad():
            difference = (self.logits(tokens) - model(tokens).logits).abs().max()
        assert difference < 1e-3, f"the bare model differs from the checkpoint by {difference}"

    def logits(self, tokens: Any, cache: list[Any] | None = None, place: int = 0) -> Any:
        """Logits of all positions. With a cache, keys and values go into it from `place` on and are read from it."""
        import torch
        from torch.nn.functional import linear, scaled_dot_product_attention, silu

        def norm(values: Any, name: str) -> Any:
            return values * torch.rsqrt(values.pow(2).mean(-1, keepdim=True) + self.epsilon) * self.weights[name]

        def turn(values: Any) -> Any:
            half = values.shape[-1] // 2
            turned = torch.cat([-values[..., half:], values[..., :half]], -1)
            return values * self.cos[place : place + length] + turned * self.sin[place : place + length]

        rows, length = tokens.shape
        state = self.weights["model.embed_tokens.weight"][tokens]
        for layer in range(self.layers):
            own = f"model.layers.{layer}."
            read = norm(state, own + "input_layernorm.weight")
            query, key, value = (
                linear(read, self.weights[f"{own}self_attn.{name}_proj.weight"])
                .view(rows, length, -1, self.width)
                .transpose(1, 2)
                for name in "qkv"
            )
            query, key = turn(query), turn(key)
            if cache is not None:
                cache[layer][0][:, :, place : place + length] = key
                cache[layer][1][:, :, place : place + length] = value
                key, value = (part[:, :, : place + length] for part in cache[layer])
            mixed = scaled_dot_product_attention(query, key, value, is_causal=length > 1)
            mixed = mixed.transpose(1, 2).reshape(rows, length, -1)
            state = state + linear(mixed, self.weights[own + "self_attn.o_proj.weight"])
            read = norm(state, own + "post_attention_layernorm.weight")
            gate, up = (linear(read, self.weights[f"{own}mlp.{name}_proj.weight"]) for name in ("gate", "up"))
            state = state + linear(silu(gate) * up, self.weights[own + "mlp.down_proj.weight"])
        return linear(norm(state, "model.norm.weight"), self.weights["lm_head.weight"])

    def draw(self, prompts: Sequence[list[int]], samples: int, temperature: float) -> list[list[list[int]]]:
        """`samples` completions of each prompt."""
        import torch

        buckets: dict[int, list[int]] = {}
        for i, prompt in enumerate(prompts):
            buckets.setdefault(len(prompt), []).append(i)
        drawn: list[list[list[int]]] = [[] for _ in prompts]
        size = ROWS // samples
        with torch.inference_mode():
            for length, members in buckets.items():
                for i in range(0, len(members), size):
                    batch = members[i : i + size]
                    lines = self._continue(torch.tensor([prompts[j] for j in batch]), length, samples, temperature)
                    for row, line in enumerate(lines):
                        drawn[batch[row // samples]].append(line)
        return drawn

    def _continue(self, tokens: Any, length: int, samples: int, temperature: float) -> list[list[int]]:
        import torch

        shape = (len(tokens) * samples, self.heads, length + LIMIT, self.width)
        first = [[torch.empty(len(tokens), *shape[1:]) for _ in range(2)] for _ in range(self.layers)]
        logits = self.logits(tokens, first)[:, -1].repeat_interleave(samples, 0)
        cache = [[part.repeat_interleave(samples, 0) for part in layer] for layer in first]
        alive = torch.arange(shape[0])
        out = torch.full((shape[0], LIMIT), self.end)
        for place in range(LIMIT):
            chosen = torch.multinomial((logits / temperature).softmax(-1), 1)
            out[alive, place] = chosen[:, 0]
            going = (chosen[:, 0] != self.end).nonzero()[:, 0]
            if not len(going) or place + 1 == LIMIT:
                break
            if len(going) * 2 <= len(alive):
                alive, chosen = alive[going], chosen[going]
                cache = [[part[going] for part in layer] for layer in cache]
            logits = self.logits(chosen, cache, length + place)[:, -1]
        lines = out.tolist()
        return [line[: line.index(self.end)] if self.end in line else line for line in lines]

    def train(self, data: Sequence[tuple[list[int], list[int]]], work: Work, order: random.Random) -> None:
        """AdamW with a warm-up and a linear decay, on batches of similar length, the loss on completions only."""
        import torch
        from torch.nn.functional import cross_entropy

        weights = list(self.weights.values())
        optimizer = torch.optim.AdamW(weights, lr=work.learning_rate, weight_decay=0.0)
        batches: list[list[tuple[list[int], list[int]]]] = []
        for step in range(work.steps):
            if not batches:
                rows = sorted(order.sample(list(data), len(data)), key=lambda row: len(row[0]) + len(row[1]))
                batches = [rows[i : i + work.batch] for i in range(0, len(rows), work.batch)]
                order.shuffle(batches)
            batch = batches.pop()
            width = max(len(prompt) + len(text) for prompt, text in batch)
            tokens = torch.tensor([p + t + [self.end] * (width - len(p) - len(t)) for p, t in batch])
            wanted = torch.tensor([[-100] * len(p) + t + [-100] * (width - len(p) - len(t)) for p, t in batch])
            rate = min((step + 1) / work.warmup if work.warmup else 1, (work.steps - step) / (work.steps - work.warmup))
            for group in optimizer.param_groups:
                group["lr"] = work.learning_rate * rate
            loss = cross_entropy(self.logits(tokens)[:, :-1].flatten(0, 1), wanted[:, 1:].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad()


if __name__ == "__main__":
    main()
