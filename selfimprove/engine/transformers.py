"""Sample with Hugging Face transformers, on a CPU or one GPU.

Idea: batched decoding that does equal work once: prompts are sorted by length, a prompt is prefilled once for all of
its samples, equal prompts are drawn once, rows that have ended leave the batch, the cache is preallocated.
Survey: inference engines, section 5.2.4.
Paper: none.
Algorithm:
  1. Tokenize; merge equal prompts; sort by length; cut into batches of at most `batch_size` rows.
  2. Prefill each prompt once, repeat its cache n times, move it into a preallocated cache.
  3. Draw each next token by inverting the cumulative distribution at a uniform number that depends on (seed, prompt,
     sample, position) only, so a completion does not depend on its neighbours in the batch.
  4. Drop finished rows whenever half of the batch has ended.
Differs: `generate` prefills every sample and keeps finished rows; its greedy text is the same (a test compares them).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove.decoding import Draw, context_of, decode
from selfimprove.errors import DataError, EngineError, RecipeError
from selfimprove.interfaces import Engine, Log, Sampling
from selfimprove.records import Checkpoint, Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import completions_ids, prompts_ids


@register("transformers")
@dataclass
class Transformers(Engine):
    batch_size: int = 1024
    """Completions decoded together; lower it when memory runs out."""
    max_completion_length: int = 512
    """Tokens per completion, unless the method that samples sets its own limit."""
    device: str = "auto"
    """`auto` takes a GPU if there is one; or `cpu`, `cuda`, `cuda:1`, `mps`."""
    dtype: str = "auto"
    """Weights' number type; `auto` takes what the checkpoint was saved in."""
    cached_models: int = 2
    """Checkpoints kept in memory at once."""

    def __post_init__(self) -> None:
        self._loaded: OrderedDict[str, tuple[Any, Any]] = OrderedDict()

    def sample(
        self, checkpoint: Checkpoint, prompts: Sequence[Prompt], n: int, sampling: Sampling, seed: int, log: Log
    ) -> list[list[Rollout]]:
        model, tokenizer = self._load(checkpoint)
        rows = n if sampling.temperature > 0 else 1  # greedy samples of one prompt are equal
        ids = [tuple(one) for one in prompts_ids(tokenizer, [prompt.prompt for prompt in prompts])]
        order = sorted(set(ids), key=lambda one: (len(one), one))
        size = max(1, self.batch_size // rows)
        drawn: dict[tuple[int, ...], list[Draw]] = {}
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            groups = decode(model, tokenizer, batch, rows, sampling, self.max_completion_length, seed)
            drawn.update(zip(batch, groups, strict=True))
            log.progress(len(drawn) * rows, len(order) * rows, "samples")
        texts = {
            one: tokenizer.batch_decode([draw.tokens for draw in group], skip_special_tokens=True)
            for one, group in drawn.items()
        }
        return [
            [
                Rollout(
                    prompt=prompt,
                    completion=[{"role": "assistant", "content": texts[one][i % rows]}],
                    logprobs={"sum": round(drawn[one][i % rows].logprob, 4), "count": drawn[one][i % rows].count},
                    info={"finish_reason": drawn[one][i % rows].finish_reason},
                )
                for i in range(n)
            ]
            for prompt, one in zip(prompts, ids, strict=True)
        ]

    def score(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        import torch

        if statistic not in ("logprob", "entropy", "self_certainty"):
            raise RecipeError(
                f"engine.transformers has no statistic {statistic!r}; it has logprob, entropy and self_certainty"
            )
        model, tokenizer = self._load(checkpoint)
        asked = prompts_ids(tokenizer, [rollout.prompt.prompt for rollout in rollouts])
        ended = [not rollout.truncated for rollout in rollouts]
        said = completions_ids(tokenizer, [rollout.completion for rollout in rollouts], ended)
        pairs = list(zip(asked, said, strict=True))
        longest = max((len(prompt) + len(completion) for prompt, completion in pairs), default=0)
        if longest > context_of(model):
            raise DataError(
                f"a prompt and completion of {longest} tokens exceed the model's context of {context_of(model)}"
            )
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
        scores: list[list[float]] = [[] for _ in pairs]
        size = max(1, self.batch_size // 8)  # scoring holds the logits of all positions at once
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            width = max(len(pairs[i][0]) + len(pairs[i][1]) for i in batch)
            tokens = torch.full((len(batch), width), tokenizer.pad_token_id or 0)
            mask = torch.zeros((len(batch), width), dtype=torch.long)
            for row, i in enumerate(batch):
                both = [*pairs[i][0], *pairs[i][1]]
                tokens[row, : len(both)] = torch.tensor(both)
                mask[row, : len(both)] = 1
            tokens, mask = tokens.to(model.device), mask.to(model.device)
            with torch.inference_mode():
                logits = model(input_ids=tokens, attention_mask=mask, use_cache=False).logits
                numbers = _statistic(logits[:, :-1].float().log_softmax(-1), tokens[:, 1:], statistic).cpu()
            for row, i in enumerate(batch):
                first = len(pairs[i][0]) - 1
                scores[i] = numbers[row, first : first + len(pairs[i][1])].tolist()
        return scores

    def close(self) -> None:
        self._loaded.clear()

    def _load(self, checkpoint: Checkpoint) -> tuple[Any, Any]:
        if checkpoint.path in self._loaded:
            self._loaded.move_to_end(checkpoint.path)
            return self._loaded[checkpoint.path]
        while len(self._loaded) >= self.cached_models:
            self._loaded.popitem(last=False)
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            torch.empty(0, device=device)
            dtype = self.dtype if self.dtype == "auto" else getattr(torch, self.dtype)
        except (RuntimeError, AssertionError, AttributeError) as error:
            raise EngineError(
                f"engine.transformers: device {device!r} with dtype {self.dtype!r} cannot be used here: "
                f"{str(error).splitlines()[0]}"
            ) from error
        local = Path(checkpoint.path).exists()
        try:
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.path, local_files_only=local)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                checkpoint.path,
                dtype=dtype,
                output_loading_info=True,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=local,
            )
        except Exception as error:  # a damaged folder makes transformers and safetensors raise all kinds
            raise DataError(
                f"{checkpoint.path} cannot be loaded: {(str(error) or repr(error)).splitlines()[0]}"
            ) from error
        model, report = loaded
        if report["missing_keys"]:
            raise DataError(
                f"{checkpoint.path} lacks weights that its config.json asks for: {min(report['missing_keys'])}"
            )
        self._loaded[checkpoint.path] = model.eval().to(device), tokenizer  # type: ignore[arg-type]
        return self._loaded[checkpoint.path]


def _statistic(logprobs: Any, tokens: Any, statistic: str) -> Any:
    """A number for each position: of the token there, or of the whole distribution that it was drawn from."""
    import torch

    match statistic:
        case "entropy":
            return torch.special.entr(logprobs.exp()).sum(-1)  # 0 log 0 counts 0
        case "self_certainty":
            return -logprobs.mean(-1) - math.log(logprobs.shape[-1])
        case _:
            return logprobs.gather(-1, tokens[..., None])[..., 0]
