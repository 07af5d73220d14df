"""Sample with vLLM, on one or several GPUs: paged memory, batches that stay full, prefixes computed once.

Idea: the fast engine for models that need a GPU. New weights go into the running process where that is known to work;
what it then computes is compared with transformers every time, because a wrong reload makes no noise.
Survey: inference engines, section 5.2.4.
Paper: arXiv:2309.06180 (PagedAttention), Kwon et al., 2023.
Algorithm:
  1. Score eight fixed texts with a checkpoint by a forward pass in transformers, while vLLM sleeps.
  2. Same architecture: reload the weights and empty the prefix cache; tied embeddings are served untied. A PEFT adapter
     on the base that is loaded: serve it with the next requests. Anything else: a new process.
  3. Score the texts with vLLM. A difference past the bound: a new process; if that differs too, EngineError. The same
     if a process went on and its numbers lie nearer to those before. Weights within the noise of those last told go on.
  4. All asks to the same weights are one call, each different prompt, sampling and seed once, with seeds of its own.
  5. With a budget for thoughts, draw as far as a thought may go, close those that go on, draw their replies.
  6. The first request with stop strings starts vLLM anew with its tokenizer: without, it has no text to look at.
Differs: the random numbers of a completion follow from (seed, prompt, sample), but the last bits of the logits depend
  on the batch: where two tokens are nearly equal, a completion can change with its neighbours. Measured on vLLM's CPU
  build only; on a GPU neither sleep mode nor tensor parallelism was run, and the bound for 16 bits is our guess.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.errors import EngineError, RecipeError
from selfimprove.inference import agreement, embeddings, token_scores, vllm_process, vllm_requests
from selfimprove.inference import weights as forward
from selfimprove.inference.asks import answers, jobs_of, policies, refuse
from selfimprove.inference.vllm_thoughts import Budgeted
from selfimprove.interfaces import GREEDY, Ask, Engine, Log
from selfimprove.records import Checkpoint, Prompt, Rollout
from selfimprove.registry import register

ROWS, KNOWN = 128, 4
"""Completions in a batch that transformers scores; checkpoints of which tokenizer and reference are kept in a round."""


@register("vllm", paper="2309.06180")
@dataclass
class Vllm(Engine):
    can: ClassVar[frozenset[str]] = frozenset({"stop", "tops", "pattern", "logprobs", "embed", "copies", "open"})
    max_completion_length: int = bounded(512, 1)
    """Tokens per completion, unless the method that samples sets its own limit."""
    tensor_parallel_size: int = 1
    """GPUs that share one model."""
    gpu_memory_utilization: float = 0.9
    """Share of each GPU's memory that vLLM takes for weights and cache."""
    max_model_len: int | None = None
    """Tokens of a prompt with its completion at most; null is the model's context, for which memory may not suffice."""
    dtype: str = "auto"
    """Weights' number type; `auto` takes what the checkpoint was saved in."""
    enforce_eager: bool = False
    """Start sooner and run slower: nothing is compiled, no CUDA graphs."""
    thinking_budget: int | None = bounded(None, 0)
    """Most tokens of a thought, after which it is closed in the model's own form; null: as many as the model likes."""
    draft: str = ""
    """`ngram` guesses tokens from the text itself, and one forward pass checks several; see the engines page."""
    draft_tokens: int = bounded(4, 1)
    """Most guesses at a time."""
    sleep_level: int = 1
    """On a GPU, what becomes of its memory between calls: 0 is kept, 1 moves the weights to the host, 2 drops them."""
    max_difference: float | None = None
    """Mean difference to transformers that is let pass, in nats per token; null: 0.001 in float32, 0.1 in 16 bits."""

    def __post_init__(self) -> None:
        if self.sleep_level not in (0, 1, 2):
            raise RecipeError(f"engine.vllm.sleep_level is {self.sleep_level}; it must be 0, 1 or 2")
        self._drafting = vllm_process.drafting(self.draft, self.draft_tokens)
        self._process: vllm_process.Process | None = None
        self._known: OrderedDict[str, tuple[vllm_process.Weights, agreement.Reference]] = OrderedDict()
        self._served, self._agreed, self._near = "", agreement.Agreed(), False  # the folder that vLLM was found to run
        self._device = "spread" if self.tensor_parallel_size > 1 else "auto"

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        refuse(self, (ask.sampling for ask in asks))
        if any(ask.sampling.tops > vllm_requests.RIVALS for ask in asks):
            raise RecipeError(
                f"engine.vllm notes the {vllm_requests.RIVALS} likeliest tokens at most: use engine=transformers"
            )
        groups: list[list[Rollout]] = [[] for _ in asks]
        for places in policies(asks):
            for i, group in zip(places, self._drawn([asks[i] for i in places], log), strict=True):
                groups[i] = group
        return groups

    def _drawn(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        """The completions of asks to the same weights, all by one call of vLLM."""
        checkpoint, process = asks[0].checkpoint, self._vllm()
        _, known = self._know(checkpoint)
        context = min(known.context, self.max_model_len or known.context)
        mine, jobs = jobs_of(asks, known.tokenizer, self.max_completion_length)
        short, full = vllm_requests.fitting(jobs, context)
        wanted, budget = [request for job in short for request in vllm_requests.requests_of(job)], self.thinking_budget
        budgeted = None if budget is None else Budgeted(wanted, known, budget, context)
        if any(one.sampling.stop for one in wanted):
            process.reads_text()
        self._serve(checkpoint, log)
        if budgeted:
            budgeted.draw(process, log)
        elif wanted:
            vllm_requests.draw(process, wanted, known, context, log)
        process.rest()
        for job in full:
            job.leave()
        if full:
            log.note(f"{len(full)} prompts fill the model's context of {context} tokens and stay unanswered")
        return answers(asks, mine, known.tokenizer, self.max_completion_length)

    def sharing(self) -> int:
        return self.tensor_parallel_size

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        """vLLM gives `logprob`; transformers other statistics, texts that fill the context, and all with adapters."""
        tokenizer = self._know(checkpoint)[1].tokenizer
        return token_scores.of_replies(tokenizer, rollouts, statistic, partial(self._scored, checkpoint))

    def _scored(self, checkpoint: Checkpoint, pairs: Sequence[token_scores.Pair], statistic: str) -> list[list[float]]:
        process, (weights, known) = self._vllm(), self._know(checkpoint)
        context = min(known.context, self.max_model_len or known.context)
        mine = statistic == "logprob" and not weights.rank
        fits = [mine and len(prompt) + len(said) < context for prompt, said in pairs]
        here = [pair for pair, fit in zip(pairs, fits, strict=True) if fit]
        there = [pair for pair, fit in zip(pairs, fits, strict=True) if not fit]
        if here:
            self._serve(checkpoint, None)
        short = iter(process.logprobs_of(here))
        process.rest()
        long = iter(())
        if there:
            model, _ = forward.load(checkpoint.path, self._device, weights.dtype)
            long = iter(token_scores.score(model, there, statistic, ROWS))
        return [next(short) if fit else next(long) for fit in fits]

    def embed(self, checkpoint: Checkpoint, texts: Sequence[str]) -> Any:
        """By a forward pass in transformers, while vLLM sleeps."""
        self._vllm().rest()
        weights, known = self._know(checkpoint)
        return embeddings.embed(forward.load(checkpoint.path, self._device, weights.dtype)[0], known.tokenizer, texts)

    def certificate(
        self, checkpoint: Checkpoint, problems: Callable[[int], Sequence[Prompt]], log: Log
    ) -> dict[str, Any]:
        how = replace(GREEDY, max_completion_length=min(agreement.TOKENS, self.longest()), note=("logprob",))
        drawn = [one for [one] in self.sample(checkpoint, problems(agreement.PROMPTS), 1, how, 0, log)]
        weights, known = self._know(checkpoint)
        model, _ = forward.load(checkpoint.path, self._device, weights.dtype)
        own = {"dtype": weights.dtype, "engine": f"vllm {vllm_process.installed()}"}
        return agreement.certificate(model, known.tokenizer, drawn) | own

    def close(self) -> None:
        if self._process is not None:
            self._process.close()
        self._served = ""

    def preflight(self) -> list[str]:
        vllm_process.look()
        return []

    def _vllm(self) -> vllm_process.Process:
        """The process, which starts when weights are loaded; what stands in the way is said before that."""
        if self._process is None:
            vllm_process.check()
            import torch

            names = ("tensor_parallel_size", "gpu_memory_utilization", "max_model_len", "enforce_eager")
            options: dict[str, Any] = {name: getattr(self, name) for name in names}
            options |= {"enable_sleep_mode": True} if torch.cuda.is_available() and self.sleep_level else {}
            self._process = vllm_process.Process(options | self._drafting, self.sleep_level)
        return self._process

    def _know(self, checkpoint: Checkpoint) -> tuple[vllm_process.Weights, agreement.Reference]:
        """What transformers says of these weights."""
        if checkpoint.path not in self._known:
            self._vllm().rest()
            weights = vllm_process.weights_of(checkpoint, self.dtype)
            self._known[checkpoint.path] = weights, agreement.reference(checkpoint.path, weights.dtype, self._device)
        self._known.move_to_end(checkpoint.path)
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return self._known[checkpoint.path]

    def _serve(self, checkpoint: Checkpoint, log: Log | None) -> None:
        """Have vLLM run these weights, and be sure that it does.

        Raises:
            EngineError: vLLM cannot run them, or computes something else than transformers.
        """
        process, path, (weights, known) = self._vllm(), checkpoint.path, self._know(checkpoint)
        if self._served != path or process.llm is None:
            agreed, before, self._served = self._agreed, self._served, ""
            bound = self.max_difference or (1e-3 if weights.dtype == "float32" else 0.1)
            anew = process.load(weights, anew=not before)  # after a failure nobody knows what a process holds
            standing = agreed.take(known, process.logprobs_of(known.pairs), anew)
            doubt = agreed.doubt(standing, bound)
            if doubt and (not anew or process.tie()):
                if log:
                    log.note(f"{doubt}; restarting it")
                process.load(weights, anew=True)
                agreed.take(known, process.logprobs_of(known.pairs), anew=True)
            if not agreed.difference <= bound:
                self.close()
                raise EngineError(
                    f"engine.vllm differs by {agreed.difference:.3g} nats a token from transformers on {path}, more "
                    f"than {bound:g}: set engine=transformers, or engine.vllm.max_difference if you know why"
                )
            self._served = path
            if standing is agreement.Standing.NEAR and not doubt and log and not self._near:
                self._near = True  # said once
                log.note("the new weights are nearer to those before than the noise of their numbers; vLLM goes on")
        if log:
            for line in process.told():
                log.note(line)
            log.metric("vllm/difference", self._agreed.difference)
