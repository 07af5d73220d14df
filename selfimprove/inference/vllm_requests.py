"""Convert asks to vLLM's requests, and its outputs back. Used by `vllm`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from selfimprove.errors import DataError
from selfimprove.inference import vllm_process
from selfimprove.inference.agreement import Reference
from selfimprove.inference.asks import Job, Key
from selfimprove.inference.decoding import Draw
from selfimprove.inference.stops import first_stop
from selfimprove.interfaces import Log, Sampling

RIVALS = 20
"""Most top tokens that vLLM returns (its `max_logprobs`)."""


@dataclass
class Request:
    """Completions of one prompt with consecutive numbers, which vLLM draws as one request."""

    job: Job
    keys: list[Key]

    @property
    def sampling(self) -> Sampling:
        return self.keys[0][1]

    def options(self, known: Reference, room: int) -> dict[str, Any]:
        """The fields of `vllm.SamplingParams`.

        Args:
            room: tokens left in the context after the prompt.
        """
        first, sampling, limit, seed = self.keys[0]
        stop = [one for one in sampling.stop if one]
        options: dict[str, Any] = {name: getattr(sampling, name) for name in ("temperature", "top_p", "top_k", "min_p")}
        options |= {"n": len(self.keys), "seed": seed_of(seed, self.job.prompt) + first, "max_tokens": min(limit, room)}
        options |= {"stop_token_ids": known.ends, "logprobs": sampling.tops, "flat_logprobs": True}
        if sampling.pattern:
            kind, *said = sampling.pattern
            options["structured_outputs"] = {kind: said if kind == "choice" else said[0]}
        return (
            options | {"detokenize": bool(stop)} | ({"stop": stop, "include_stop_str_in_output": True} if stop else {})
        )

    def keep(self, drawn: list[Draw]) -> None:
        """Store the completions in the job's own order."""
        self.job.drawn = self.job.drawn or [Draw([], 0.0, 0, None) for _ in self.job.places]
        for key, draw in zip(self.keys, drawn, strict=True):
            self.job.drawn[self.job.places[key]] = draw


def fitting(jobs: Sequence[Job], context: int) -> tuple[list[Job], list[Job]]:
    """The prompts that leave room for an answer, in the order of their tokens, and those that fill the context.

    Raises:
        DataError: all of them do.
    """
    full = [job for job in jobs if len(job.prompt) >= context]  # a judge's prompt with an attempt that ran on
    short = sorted((job for job in jobs if len(job.prompt) < context), key=lambda job: job.prompt)
    if full and not short:
        least = min(len(job.prompt) for job in full)
        raise DataError(f"every prompt fills the model's context of {context} tokens: {least} or more")
    return short, full


def draw(process: vllm_process.Process, wanted: Sequence[Request], known: Reference, context: int, log: Log) -> None:
    """Draw all requests by one call, each to its own limit or the end of the context."""
    asked = [vllm_process.parameters(**one.options(known, context - len(one.job.prompt))) for one in wanted]
    outputs = process.generate([list(one.job.prompt) for one in wanted], asked, log)
    for one, output in zip(wanted, outputs, strict=True):
        one.keep([draw_of(each, one.sampling, known) for each in output.outputs])


def requests_of(job: Job) -> Iterator[Request]:
    """The requests of a prompt: runs of completions whose seeds vLLM can count up from the first."""
    kinds: dict[tuple[Any, ...], list[Key]] = {}
    for key in job.places:
        kinds.setdefault(key[1:], []).append(key)
    for keys in kinds.values():
        numbered = enumerate(sorted(keys, key=lambda key: key[0]))
        for _, run in groupby(numbered, key=lambda pair: pair[1][0] - pair[0]):
            yield Request(job, [key for _, key in run])


def seed_of(seed: int, prompt: tuple[int, ...]) -> int:
    """The seed of a prompt's first sample; later samples have consecutive seeds."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{prompt}".encode()).digest()[:7], "big")


def draw_of(output: Any, sampling: Sampling, known: Reference) -> Draw:
    """A completion from vLLM's `CompletionOutput`. The end token counts but is not part of the text.

    Stop strings are also checked here, because the process uses the tokenizer that it was started with, and a
    checkpoint loaded since may have another one.
    """
    line = list(output.token_ids)
    ended = bool(line) and line[-1] in known.ends
    tokens, stop, total = line[:-1] if ended else line, "", output.cumulative_logprob
    if sampling.stop:
        kept, stop = first_stop(known.tokenizer, tokens, sampling.stop)
        if stop:
            tokens, line, ended = tokens[:kept], line[:kept], False
            total = sum(_logprobs(output, line))
        elif isinstance(output.stop_reason, str):
            stop = output.stop_reason
    draw = Draw(tokens, total, len(line), line[-1] if ended else None, stop)
    if "logprob" in sampling.note:
        draw.noted = {"logprob": _logprobs(output, line)}
    if sampling.tops:
        found = [[(token, one.logprob) for token, one in output.logprobs[i].items()] for i in range(len(line))]
        draw.tops = [sorted(place, key=lambda pair: -pair[1])[: sampling.tops] for place in found]
    return draw


def _logprobs(output: Any, line: list[int]) -> list[float]:
    """The log-probability of each token in nats."""
    return [output.logprobs[i][token].logprob for i, token in enumerate(line)]
