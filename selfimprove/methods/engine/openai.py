"""Ask a model behind an OpenAI-compatible endpoint: a hosted one, or a server of vLLM, llama.cpp or Ollama.

Idea: use a strong remote model as teacher or judge. The endpoint's model answers in every round, whatever checkpoint
was trained, so a run with this engine for its policy cannot show a gain.
Survey: inference engines, section 5.2.4.
Paper: none.
Algorithm:
  1. One request for each different prompt and sample, with a seed of its own; at temperature 0 one for each prompt.
     Equal requests of a step are sent once. Each answer is kept as it comes, so a resumed step asks for the rest only.
  2. `concurrency` requests at a time; a failed one is tried again after backoff * 2^tries seconds, with jitter, or
     after what Retry-After says (`endpoint.py` has what is worth another try).
  3. A stop string ends the text behind it. vLLM's server ends there; of any other the whole answer is drawn, and paid.
  4. The tokens that the endpoint says it has used are counted and priced, also those of answers that could not be used.
Differs: nothing to compare with. A prompt is sent once for each sample, so that a failed sample is asked for alone and
  the seed belongs to it; its tokens are billed as often. Whether a seed is honoured, and what log-probabilities mean
  away from temperature 1, is the endpoint's choice; vLLM's server gives the model's own. No text that is given can be
  scored.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.errors import EngineError, RecipeError
from selfimprove.inference.asks import refuse
from selfimprove.inference.chat import shown
from selfimprove.inference.endpoint import Endpoint, Tally
from selfimprove.inference.endpoint_address import check, key_for
from selfimprove.inference.endpoint_answers import (
    is_answer,
    is_detailed,
    rollout_of,
    said,
    samples,
    seed_of,
    thought,
    tokens_of,
)
from selfimprove.inference.endpoint_embeddings import embedded
from selfimprove.interfaces import REQUIRED, Ask, Log, Remote
from selfimprove.records import Checkpoint, Rollout, digest
from selfimprove.registry import register
from selfimprove.text import plain

TALLY = "tally"
"""Beside the answers: what all requests of the step have come to, those of former attempts included."""


@register("openai")
@dataclass
class OpenAI(Remote):
    can: ClassVar[frozenset[str]] = frozenset({"stop", "tops", "embed"})
    base_url: str = REQUIRED
    """URL of the endpoint with its version: `https://api.openai.com/v1`, `http://127.0.0.1:8000/v1`."""
    model: str = REQUIRED
    """The endpoint's name of the model."""
    api_key_env: str = ""
    """The NAME of the environment variable that holds the key, for example OPENAI_API_KEY; empty: no key is sent."""
    embedding_model: str = ""
    """The model that embeds texts, as the endpoint names it; empty: the same one."""
    chat: bool = True
    """Ask `/chat/completions` with messages, or `/completions` with their joined text."""
    continue_final_message: bool = False
    """Continue a prefilled answer, with fields of vLLM's and SGLang's servers; other servers ignore them."""
    max_completion_length: int = bounded(512, 1)
    """Tokens per completion, unless the method that samples sets its own limit."""
    include_stop_str_in_output: bool = False
    """Have the server end an answer at a stop string and say which, by fields of vLLM's server. Without it an answer is
    drawn to its end and cut here: others do not say whether an answer ended at a stop string."""
    length_name: str = "max_tokens"
    """The endpoint's name of that limit; OpenAI's newer models need `max_completion_tokens`."""
    logprobs: bool = False
    """Ask for log-probabilities; not every endpoint gives them."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of each request, for example {reasoning_effort: low}."""
    concurrency: int = bounded(16, 1)
    """Concurrent requests."""
    timeout: float = bounded(120.0, above=0)
    """Timeout of a request in seconds."""
    retries: int = bounded(6, 0)
    """Retries of a failed request."""
    backoff: float = bounded(1.0, above=0)
    """Seconds before the first retry; each further one waits twice as long, up to a minute."""
    prompt_price: float = bounded(0.0, 0)
    """Price of a million prompt tokens."""
    completion_price: float = bounded(0.0, 0)
    """Price of a million completion tokens; if both are 0, no cost is reported."""

    def __post_init__(self) -> None:
        check(self.base_url, self.api_key_env, self.extra)
        self._log: Log | None = None
        self._answers: MutableMapping[str, Any] = {}

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        if log is not self._log:  # each step has a log of its own
            self._log, self._answers = log, {}
        return self.ask(asks, log, self._answers)

    def ask(self, asks: Sequence[Ask], log: Log, answers: MutableMapping[str, Any]) -> list[list[Rollout]]:
        refuse(self, (ask.sampling for ask in asks))
        bodies = [[self._body(ask, i) for i in samples(ask)] for ask in asks]
        names = [[digest(body) for body in group] for group in bodies]
        different = dict(zip(chain(*names), chain(*bodies), strict=True))
        for name in different:
            if name in answers and not is_answer(answers[name]):
                del answers[name]
        wanted = [name for name in different if name not in answers]
        detailed = {name for ask, group in zip(asks, names, strict=True) if is_detailed(ask) for name in group}
        if not Tally.fits(answers.get(TALLY, {})):
            del answers[TALLY]
        tally, before = Tally(**answers.get(TALLY, {})), len(different) - len(wanted)
        endpoint = self._endpoint("chat/completions" if self.chat else "completions")
        arrivals = count(before + 1)

        def read(place: int, answer: dict[str, Any]) -> dict[str, Any]:
            return self._read(different[wanted[place]], wanted[place] in detailed, answer)

        def arrived(place: int, answer: dict[str, Any]) -> None:
            answers[wanted[place]], answers[TALLY] = answer, dict(vars(tally))
            log.progress(next(arrivals), len(different), "samples")

        try:
            endpoint.ask([different[name] for name in wanted], read, tally, arrived)
        finally:
            answers[TALLY] = dict(vars(tally))
            self._report(tally, log)
        return [
            [rollout_of(ask, answers[group[i % len(group)]]) for i in range(ask.n)]
            for ask, group in zip(asks, names, strict=True)
        ]

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        raise RecipeError(
            f"engine.openai has no statistic {statistic!r}, an endpoint does not score given texts: "
            "use engine=transformers or engine=vllm, or a method that does without"
        )

    def embed(self, checkpoint: Checkpoint, texts: Sequence[str]) -> Any:
        """What the endpoint's `/embeddings` gives for `embedding_model`, whatever it pools; it is not kept."""
        return embedded(self._endpoint("embeddings"), self.embedding_model or self.model, texts)

    def preflight(self) -> list[str]:
        key_for(self.base_url, self.api_key_env)
        return []

    def _endpoint(self, path: str) -> Endpoint:
        return Endpoint(
            url=f"{self.base_url.rstrip('/')}/{path}",
            key=key_for(self.base_url, self.api_key_env),
            concurrency=self.concurrency,
            timeout=self.timeout,
            retries=self.retries,
            backoff=self.backoff,
        )

    def _body(self, ask: Ask, sample: int) -> dict[str, Any]:
        """A request; filters that stand at their default are left out, because not every endpoint knows them."""
        prompt, sampling = ask.prompt, ask.sampling
        seed = seed_of(ask.seed, prompt, sample)
        body: dict[str, Any] = {"model": self.model, "temperature": sampling.temperature, "seed": seed}
        body[self.length_name] = sampling.max_completion_length or self.max_completion_length
        if sampling.stop and self.include_stop_str_in_output:
            body |= {"stop": list(sampling.stop), "include_stop_str_in_output": True}
        if (sampling.tops or "logprob" in sampling.note) and not self.logprobs:
            raise RecipeError("engine.openai notes nothing of tokens without log-probabilities: set its logprobs=true")
        for name, default in (("top_p", 1.0), ("top_k", 0), ("min_p", 0.0)):
            if getattr(sampling, name) != default:
                body[name] = getattr(sampling, name)
        if self.chat:
            body |= {"messages": shown(prompt.prompt)}
            body |= {"logprobs": True} if self.logprobs else {}
            body |= {"top_logprobs": sampling.tops} if sampling.tops else {}
            if prompt.prompt[-1]["role"] == "assistant":
                if not self.continue_final_message:
                    raise EngineError(
                        "engine.openai: an answer that has begun cannot be gone on with by messages: set "
                        "engine.openai.continue_final_message=true for a server of vLLM or SGLang, else chat=false"
                    )
                body |= {"continue_final_message": True, "add_generation_prompt": False}
        else:
            body |= {"prompt": plain(prompt.prompt)}
            body |= {"logprobs": sampling.tops} if self.logprobs else {}
        return body | self.extra

    def _read(self, body: dict[str, Any], detailed: bool, answer: dict[str, Any]) -> dict[str, Any]:
        """The fields of a rollout; any exception but a refusal means that the answer cannot be used.

        Args:
            detailed: whether to keep the tokens, each with its log-probability and those of the likeliest ones.
        """
        choice = answer["choices"][0]
        text, reason = said(choice, self.chat, body.get("stop"), self.base_url)
        numbers, tokens = None, []
        if self.logprobs:
            tokens = tokens_of(choice.get("logprobs") or {}, self.chat)
            if not tokens:
                raise EngineError(f"{self.base_url} gives no log-probabilities; set engine.openai.logprobs=false")
            numbers = {"sum": round(float(sum(one[1] for one in tokens)), 4), "count": len(tokens)}
        said_first = {"thinking": thinking} if self.chat and (thinking := thought(choice)) else {}
        return {
            "completion": [{"role": "assistant", "content": text, **said_first}],
            "logprobs": numbers,
            "info": {"finish_reason": reason},
        } | ({"tokens": tokens} if detailed and tokens else {})

    def _report(self, tally: Tally, log: Log) -> None:
        """What the step has cost so far, with what former attempts at it have cost."""
        for name, value in vars(tally).items():
            log.metric(f"openai/{name}", value)
        if self.prompt_price or self.completion_price:
            spent = tally.prompt_tokens * self.prompt_price + tally.completion_tokens * self.completion_price
            log.metric("openai/cost", spent / 1e6)
