"""Ask a model behind an OpenAI-compatible endpoint: a hosted one, or a server of vLLM, llama.cpp or Ollama.

Idea: a strong remote model as teacher or judge. It is the same in every round: whatever checkpoint a recipe has
trained, the endpoint's model answers, so a run with this engine for its policy shows no gain.
Survey: inference engines, section 5.2.4.
Paper: none.
Algorithm:
  1. One request for each different prompt and sample, with a seed of its own; at temperature 0 one for each prompt.
     Equal requests of a step are sent once. Each answer is kept as it comes, so a resumed step asks for the rest only.
  2. `concurrency` requests at a time; a failed one is tried again after backoff * 2^tries seconds, with jitter, or
     after what Retry-After says (`endpoint.py` has what is worth another try).
  3. The tokens that the endpoint says it has used are counted and priced, also those of answers that could not be used.
Differs: nothing to compare with. A prompt is sent once for each sample, so that a failed sample is asked for alone and
  the seed belongs to it; its tokens are billed as often. Whether a seed is honoured, and what log-probabilities mean
  away from temperature 1, is the endpoint's choice; vLLM's server gives the model's own. No text that is given can be
  scored.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any
from urllib.parse import urlsplit

from selfimprove.errors import EngineError, RecipeError
from selfimprove.inference.endpoint import Endpoint, Tally
from selfimprove.interfaces import REQUIRED, Log, Remote, Sampling
from selfimprove.records import Checkpoint, Prompt, Rollout, digest
from selfimprove.registry import register
from selfimprove.text import plain

HERE = ("localhost", "127.0.0.1", "::1")
ALLOWED = "SELFIMPROVE_ENDPOINTS"
"""The environment variable with the other hosts that may be sent prompts and keys: no recipe can allow itself one."""
TALLY = "tally"
"""Beside the answers: what all requests of the step have come to, those of former attempts included."""


@register("openai")
@dataclass
class OpenAI(Remote):
    base_url: str = REQUIRED
    """Where the endpoint is, its version included: `https://api.openai.com/v1`, `http://127.0.0.1:8000/v1`."""
    model: str = REQUIRED
    """The model, as the endpoint names it."""
    api_key_env: str = ""
    """The NAME of the environment variable that holds the key, for example OPENAI_API_KEY; empty: no key is sent."""
    chat: bool = True
    """Ask `/chat/completions` with messages, or `/completions` with their joined text."""
    continue_final_message: bool = False
    """Have an answer that has begun gone on with, by fields of vLLM's and SGLang's servers; others ignore them."""
    max_completion_length: int = 512
    """Tokens per completion, unless the method that samples sets its own limit."""
    length_name: str = "max_tokens"
    """How the endpoint calls that limit; OpenAI's newer models want `max_completion_tokens`."""
    logprobs: bool = False
    """Ask for log-probabilities; not every endpoint gives them."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of each request, for example {reasoning_effort: low}."""
    concurrency: int = 16
    """Requests at a time."""
    timeout: float = 120.0
    """Seconds that an answer may take."""
    retries: int = 6
    """Further tries of a request that failed."""
    backoff: float = 1.0
    """Seconds before the first further try; each next one waits twice as long, up to a minute."""
    prompt_price: float = 0.0
    """Price of a million prompt tokens."""
    completion_price: float = 0.0
    """Price of a million completion tokens; where both are 0, no cost is reported."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"([A-Z_][A-Z0-9_]*)?", self.api_key_env):
            raise RecipeError(
                "engine.openai.api_key_env must be the name of an environment variable in capitals, such as "
                "OPENAI_API_KEY, and never a key: recipes are kept in the run folder"
            )
        address = urlsplit(self.base_url)
        if self.base_url != REQUIRED and (address.scheme not in ("http", "https") or address.username):
            raise RecipeError("engine.openai.base_url must be an http or https address, without a name or password")
        if min(self.concurrency, self.retries + 1, self.timeout, self.backoff) <= 0:
            raise RecipeError("engine.openai needs concurrency, timeout and backoff above 0, and retries of 0 or more")
        self._log: Log | None = None
        self._answers: MutableMapping[str, Any] = {}

    def sample(
        self, checkpoint: Checkpoint, prompts: Sequence[Prompt], n: int, sampling: Sampling, seed: int, log: Log
    ) -> list[list[Rollout]]:
        if log is not self._log:  # each step has a log of its own
            self._log, self._answers = log, {}
        return self.ask(prompts, n, sampling, seed, log, self._answers)

    def ask(
        self,
        prompts: Sequence[Prompt],
        n: int,
        sampling: Sampling,
        seed: int,
        log: Log,
        answers: MutableMapping[str, Any],
    ) -> list[list[Rollout]]:
        rows = n if sampling.temperature > 0 else 1  # greedy samples of one prompt are equal
        bodies = [[self._body(prompt, sampling, _seed(seed, prompt, i)) for i in range(rows)] for prompt in prompts]
        names = [[digest(body) for body in group] for group in bodies]
        different = dict(zip(chain(*names), chain(*bodies), strict=True))
        wanted = [name for name in different if name not in answers]
        tally, before = Tally(**answers.get(TALLY, {})), len(different) - len(wanted)
        endpoint = Endpoint(
            url=f"{self.base_url.rstrip('/')}/{'chat/completions' if self.chat else 'completions'}",
            key=self._key(),
            concurrency=self.concurrency,
            timeout=self.timeout,
            retries=self.retries,
            backoff=self.backoff,
        )
        arrivals = count(before + 1)

        def arrived(place: int, answer: dict[str, Any]) -> None:
            answers[wanted[place]], answers[TALLY] = answer, dict(vars(tally))
            log.progress(next(arrivals), len(different), "samples")

        try:
            endpoint.ask([different[name] for name in wanted], self._read, tally, arrived)
        finally:
            answers[TALLY] = dict(vars(tally))
            self._report(tally, log)
        return [
            [Rollout(prompt=prompt, **answers[group[i % rows]]) for i in range(n)]
            for prompt, group in zip(prompts, names, strict=True)
        ]

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        raise RecipeError(
            f"engine.openai has no statistic {statistic!r}, an endpoint does not score given texts: "
            "use engine=transformers or engine=vllm, or a method that does without"
        )

    def preflight(self) -> list[str]:
        self._key()
        return []

    def _key(self) -> str:
        host = urlsplit(self.base_url).hostname or ""
        if host not in (*HERE, *os.environ.get(ALLOWED, "").replace(",", " ").split()):
            raise EngineError(
                f"engine.openai would send prompts and a key to {host!r}, because the recipe says so. Where you trust "
                f"that host, allow it: {ALLOWED}={host}"
            )
        if not self.api_key_env:
            return ""
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise EngineError(
                f"engine.openai: the environment variable {self.api_key_env} is not set; put the key there"
            )
        return key

    def _body(self, prompt: Prompt, sampling: Sampling, seed: int) -> dict[str, Any]:
        """A request; filters that stand at their default are left out, because not every endpoint knows them."""
        body: dict[str, Any] = {"model": self.model, "temperature": sampling.temperature, "seed": seed}
        body[self.length_name] = sampling.max_completion_length or self.max_completion_length
        for name, default in (("top_p", 1.0), ("top_k", 0), ("min_p", 0.0)):
            if getattr(sampling, name) != default:
                body[name] = getattr(sampling, name)
        if self.chat:
            body |= {"messages": prompt.prompt} | ({"logprobs": True} if self.logprobs else {})
            if prompt.prompt[-1]["role"] == "assistant":
                if not self.continue_final_message:
                    raise EngineError(
                        "engine.openai: an answer that has begun cannot be gone on with by messages: set "
                        "engine.openai.continue_final_message=true for a server of vLLM or SGLang, else chat=false"
                    )
                body |= {"continue_final_message": True, "add_generation_prompt": False}
        else:
            body |= {"prompt": plain(prompt.prompt)}
            body |= {"logprobs": 0} if self.logprobs else {}
        return body | self.extra

    def _read(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The fields of a rollout; any exception but a refusal means that the answer cannot be used."""
        choice = answer["choices"][0]
        text = choice["message"]["content"] if self.chat else choice["text"]
        reason = choice.get("finish_reason") or "stop"
        if text is None and reason in ("length", "content_filter"):  # cut off while it was thinking, or withheld
            text = ""
        if not isinstance(text, str):
            raise ValueError("no text")
        numbers = None
        if self.logprobs:
            given = choice.get("logprobs") or {}
            found = [one["logprob"] for one in given.get("content") or ()] if self.chat else given.get("token_logprobs")
            if not found:
                raise EngineError(f"{self.base_url} gives no log-probabilities; set engine.openai.logprobs=false")
            numbers = {"sum": round(float(sum(found)), 4), "count": len(found)}
        return {
            "completion": [{"role": "assistant", "content": text}],
            "logprobs": numbers,
            "info": {"finish_reason": reason},
        }

    def _report(self, tally: Tally, log: Log) -> None:
        """What the step has cost so far, with what former attempts at it have cost."""
        for name, value in vars(tally).items():
            log.metric(f"openai/{name}", value)
        if self.prompt_price or self.completion_price:
            spent = tally.prompt_tokens * self.prompt_price + tally.completion_tokens * self.completion_price
            log.metric("openai/cost", spent / 1e6)


def _seed(seed: int, prompt: Prompt, sample: int) -> int:
    """31 bits that depend on the prompt and the sample; some servers take no more."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{prompt.prompt!r}:{sample}".encode()).digest()[:4], "big") >> 1
