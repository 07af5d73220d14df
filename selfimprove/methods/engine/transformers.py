"""Sample with Hugging Face transformers, on a CPU or one GPU.

Idea: batched decoding that does equal work once: prompts are sorted by length, a prompt is prefilled once for all of
its samples, equal prompts are drawn once, rows that have ended leave the batch, the cache is preallocated.
Survey: inference engines, section 5.2.4.
Paper: none.
Algorithm:
  1. Tokenize; merge equal prompts; sort by length; cut into batches of at most `batch_size` rows. Where memory runs
     out, take half as many; the completions are the same.
  2. Prefill each prompt once, repeat its cache n times, move it into a preallocated cache.
  3. Draw each next token by inverting the cumulative distribution at a uniform number that depends on (seed, prompt,
     sample, position) only, so a completion does not depend on its neighbours in the batch.
  4. Drop finished rows whenever half of the batch has ended.
Differs: `generate` prefills every sample and keeps finished rows; its greedy text is the same (a test compares them).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.errors import EngineError, RecipeError
from selfimprove.inference import embeddings, memory, token_scores, weights
from selfimprove.inference.asks import Job, answers, jobs_of, policies
from selfimprove.inference.coming import Coming
from selfimprove.inference.decoding import Draw, Row, decode_rows, width_of
from selfimprove.inference.drafts import decode_drafted, may
from selfimprove.inference.weights import context_of
from selfimprove.interfaces import ABILITIES, Ask, Engine, Log
from selfimprove.records import Checkpoint, Rollout
from selfimprove.registry import register


@register("transformers")
@dataclass
class Transformers(Engine):
    portion: ClassVar[int] = 4096
    can: ClassVar[frozenset[str]] = frozenset(ABILITIES)
    batch_size: int = bounded(1024, 1)
    """Completions decoded together; where a device's memory runs out it is halved, and a line says what fits."""
    max_completion_length: int = bounded(512, 1)
    """Tokens per completion, unless the method that samples sets its own limit."""
    device: str = "auto"
    """`auto` takes a GPU if there is one; or `cpu`, `cuda`, `cuda:1`, `mps`."""
    dtype: str = "auto"
    """Weights' number type; `auto` takes what the checkpoint was saved in."""
    thinking_budget: int | None = bounded(None, 0)
    """Most tokens of a thought, after which it is closed in the model's own form; null: as many as the model likes."""
    fixed_shapes: bool = False
    """Decode with the same shapes always: `batch_size` rows, also where fewer are asked for, and widths in steps of 32.
    A text then does not change with its neighbours in 16 bits either, except in mixtures of experts; slower, so take a
    `batch_size` of 32 or 64."""
    draft: str = ""
    """Guess tokens and check several by one forward pass: `ngram` guesses from the text itself, a model folder with the
    same tokens, such as a smaller model or an earlier round's weights, guesses by drawing. The completions stay."""
    draft_tokens: int = bounded(4, 1)
    """Most guesses at a time."""
    cached_models: int = bounded(2, 1)
    """Checkpoints kept in memory at once."""

    def __post_init__(self) -> None:
        if self.draft and self.fixed_shapes:
            raise RecipeError("engine.transformers: drafts have changing shapes; set either draft or fixed_shapes")
        self._loaded: OrderedDict[str, tuple[Any, Any]] = OrderedDict()
        self._fitting = 0  # completions that fit into the memory together, where `batch_size` did not; 0: it did

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        groups: list[list[Rollout]] = [[] for _ in asks]
        done, left = 0, sum(ask.n for ask in asks)
        for places in policies(asks):
            some = [asks[i] for i in places]
            model, tokenizer = self._load(some[0].checkpoint)
            beside = self._beside(some[0], tokenizer)
            mine, jobs = jobs_of(some, tokenizer, self.max_completion_length)
            context = min(context_of(one) for one in (model, *beside.values()))
            full = [job for job in jobs if len(job.prompt) >= context]  # a judge's prompt with an attempt that ran on
            if len(full) == len(jobs):
                full = []  # all of them: decoding says what is wrong
            for job in full:
                job.leave()
            jobs, left = [job for job in jobs if not job.drawn], left - sum(ask.n for ask in some)
            total = done + left + sum(len(job.places) for job in jobs)
            for drawn in self._decode(jobs, model, tokenizer, beside, log):
                done += drawn
                log.progress(done, total, "samples")
            if full:
                log.note(f"{len(full)} prompts fill the model's context of {context} tokens and stay unanswered")
            for i, group in zip(places, answers(some, mine, tokenizer, self.max_completion_length), strict=True):
                groups[i] = group
        return groups

    def draw_coming(
        self, coming: Callable[[], Sequence[Ask]], ended: Callable[[int, list[Rollout]], object], log: Log
    ) -> None:
        asked = Coming(self.max_completion_length, coming, ended)
        if asked.take():
            alone = bool(self.draft) or self.fixed_shapes  # the ways of drawing that take no further rows
            model = None if alone else self._load(asked.left[0].checkpoint)
            most = self._fitting or self.batch_size
            asked.draw(model, most, self.thinking_budget, lambda some: self.draw(some, log))

    def _decode(
        self, jobs: Sequence[Job], model: Any, tokenizer: Any, beside: dict[str, Any], log: Log
    ) -> Iterator[int]:
        """Draw batch by batch what the jobs want; yields how many completions a batch had."""
        wanted = [job.rows for job in jobs]
        place, tried = 0, 0
        while place < len(jobs):
            size, start = self._fitting or self.batch_size, len(jobs[place].drawn)
            batch = wanted[place][start : start + size]  # a part of one prompt's, where not all of them fit
            after = place + 1
            while after < len(jobs) and len(batch) + len(wanted[after]) <= size:
                if self.fixed_shapes and width_of(len(jobs[after].prompt)) != width_of(len(jobs[place].prompt)):
                    break
                batch += wanted[after]
                after += 1
            try:
                drawn = self._drafted(model, tokenizer, batch)
                if drawn is None:
                    fixed = size if self.fixed_shapes else 0
                    drawn = decode_rows(model, tokenizer, batch, beside, self.thinking_budget, fixed)
            except (RuntimeError, MemoryError) as error:
                if not memory.ran_out(error):
                    raise
                tried, self._fitting = tried or size, len(batch) // 2
                if self.fixed_shapes:
                    raise EngineError(
                        f"memory ran out with {size} rows, and with fixed_shapes fewer give other bytes: start anew "
                        f"with engine.transformers.batch_size={max(1, size // 2)}"
                    ) from error
                if not self._fitting:
                    raise EngineError(
                        f"the device has no memory left for a single completion after a prompt of "
                        f"{len(batch[0].prompt)} tokens: lower engine.transformers.max_completion_length, or take a "
                        "smaller model"
                    ) from error
                drawn = None
            if drawn is None:  # only here what the failed batch held is free
                memory.give_back()
                continue
            if tried:
                log.note(
                    f"memory ran out with {tried} completions at a time, {size} fit and are the same: "
                    f"set engine.transformers.batch_size={size}"
                )
                tried = 0
            yield len(drawn)
            for i in range(place, after):
                rest = len(wanted[i]) - len(jobs[i].drawn)
                jobs[i].drawn += drawn[:rest]
                drawn = drawn[rest:]
            place = after if len(jobs[after - 1].drawn) == len(wanted[after - 1]) else after - 1

    def _drafted(self, model: Any, tokenizer: Any, batch: Sequence[Row]) -> list[Draw] | None:
        """The completions of a batch with drafts; None if these rows are drawn without."""
        if not self.draft or self.thinking_budget is not None or not may(tokenizer, batch):
            return None
        if self.draft == "ngram":
            return decode_drafted(model, tokenizer, batch, None, self.draft_tokens)
        guessing, other = self._load(Checkpoint(path=self.draft))
        if other.get_vocab() != tokenizer.get_vocab():
            raise RecipeError(f"engine.transformers.draft: {self.draft} has other tokens, so it cannot guess")
        return decode_drafted(model, tokenizer, batch, guessing, self.draft_tokens)

    def _beside(self, ask: Ask, tokenizer: Any) -> dict[str, Any]:
        """The models that run in step with the one that draws, by their names in its shape."""
        models = {}
        for name in ask.sampling.shape.beside if ask.sampling.shape else ():
            models[name], other = self._load(ask.beside[name])
            if other.get_vocab() != tokenizer.get_vocab():
                raise RecipeError(
                    f"{type(ask.sampling.shape).__name__}: {ask.beside[name].path} has other tokens than "
                    f"{ask.checkpoint.path}, so they cannot run in step"
                )
        return models

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        model, tokenizer = self._load(checkpoint)
        rows = max(1, self.batch_size // 8)  # scoring holds the logits of all positions at once
        return token_scores.of_replies(
            tokenizer, rollouts, statistic, lambda pairs, kind: token_scores.score(model, pairs, kind, rows)
        )

    def embed(self, checkpoint: Checkpoint, texts: Sequence[str]) -> Any:
        return embeddings.embed(*self._load(checkpoint), texts)

    def close(self) -> None:
        self._loaded.clear()

    def preflight(self) -> list[str]:
        weights.check_place(self.device, self.dtype)
        return []

    def _load(self, checkpoint: Checkpoint) -> tuple[Any, Any]:
        if checkpoint.path in self._loaded:
            self._loaded.move_to_end(checkpoint.path)
            return self._loaded[checkpoint.path]
        for path in filter(_gone, list(self._loaded)):  # what a training had looked at on its way
            del self._loaded[path]
        while len(self._loaded) >= self.cached_models:
            self._loaded.popitem(last=False)
        self._loaded[checkpoint.path] = weights.load(checkpoint.path, self.device, self.dtype)
        return self._loaded[checkpoint.path]


def _gone(path: str) -> bool:
    """Whether it was a folder that has been removed; a hub id has two parts at most."""
    return len(Path(path).parts) > 2 and not Path(path).exists()
