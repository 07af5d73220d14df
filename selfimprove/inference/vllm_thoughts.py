"""Completions of vLLM whose thoughts have a budget, drawn piece by piece. Used by `vllm`.

vLLM draws on as far as a thought may go, all completions in one call. A thought that has spent its budget is cut there
and closed by the tokens of `thought_budget`, which vLLM is made to take, so that they have log-probabilities as drawn
ones have; then the reply is drawn after them. The prefix cache has what came before, so that nothing is computed twice.
vLLM's own budget (`thinking_token_budget`) takes a parser for each kind of model, and knows none that has no tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from selfimprove.inference.agreement import Reference
from selfimprove.inference.asks import Job, Key
from selfimprove.inference.decoding import Draw
from selfimprove.inference.thought_budget import Thoughts
from selfimprove.inference.vllm_process import Process, parameters
from selfimprove.inference.vllm_requests import Request, draw_of
from selfimprove.interfaces import Log


@dataclass
class Line:
    """A completion as far as it is drawn, with the fields of vLLM's own `CompletionOutput`."""

    prompt: tuple[int, ...]
    key: Key
    room: int
    """Most tokens."""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    """Of each token: token -> what vLLM says of it, for the token and the likeliest ones."""
    cumulative_logprob: float = 0.0
    stop_reason: Any = None
    over: bool = False

    def piece(self, free: int | None) -> Request:
        """The request for its next tokens: `free` at most. A later piece has random numbers of its own."""
        sample, sampling, _, seed = self.key
        left = self.room - len(self.token_ids)
        limit = left if free is None or sampling.pattern else min(left, free)
        return Request(Job((*self.prompt, *self.token_ids)), [(sample, sampling, limit, seed)])

    def take(self, output: Any, count: int, ends: Sequence[int]) -> None:
        """Go on with the first tokens of an output."""
        taken, whole = list(output.token_ids[:count]), count == len(output.token_ids)
        said = [output.logprobs[i] for i in range(count)]
        self.token_ids += taken
        self.logprobs += said
        self.cumulative_logprob += sum(place[token].logprob for place, token in zip(said, taken, strict=True))
        self.stop_reason = output.stop_reason if whole else None
        ended = whole and any(token in ends for token in taken[-1:])
        self.over = ended or isinstance(self.stop_reason, str) or len(self.token_ids) >= self.room


class Budgeted:
    """The completions of requests, whose thoughts have at most `budget` tokens.

    A reply that must match a pattern has no thought: the pattern begins with its first token.

    Raises:
        RecipeError: the model has no thoughts that can be closed.
    """

    def __init__(self, requests: Sequence[Request], known: Reference, budget: int, context: int) -> None:
        self._requests, self._known, self._context = requests, known, context
        self._lines = [
            Line(job.prompt, key, min(key[2], context - len(job.prompt)))
            for job, keys in ((one.job, one.keys) for one in requests)
            for key in keys
        ]
        self._thoughts = Thoughts(known.tokenizer, [line.prompt for line in self._lines], budget)

    def draw(self, process: Process, log: Log) -> None:
        """Draw them, and store them in their requests."""
        told: Log | None = log  # of the first pieces: there are as many as completions
        going = range(len(self._lines))
        while going:
            self._close(process, {row: due for row in going if (due := self._due(row))})
            going = [row for row in going if not self._lines[row].over]
            pieces = [self._lines[row].piece(self._thoughts.free(row)) for row in going]
            asked = [parameters(**one.options(self._known, self._context - len(one.job.prompt))) for one in pieces]
            outputs = process.generate([list(one.job.prompt) for one in pieces], asked, told) if pieces else []
            for row, output in zip(going, outputs, strict=True):
                [own] = output.outputs
                self._lines[row].take(own, self._follow(row, own.token_ids), self._known.ends)
            going, told = [row for row in going if not self._lines[row].over], None
        ready = iter(self._lines)
        for one in self._requests:
            one.keep([self._draw(next(ready)) for _ in one.keys])

    def _draw(self, line: Line) -> Draw:
        return draw_of(line, line.key[1], self._known)

    def _due(self, row: int) -> list[int]:
        line = self._lines[row]
        return [] if line.key[1].pattern else self._thoughts.due(row)[: line.room - len(line.token_ids)]

    def _follow(self, row: int, tokens: Sequence[int]) -> int:
        """How many of these tokens a row gets before its thought is closed."""
        for place, token in enumerate(tokens):
            if self._due(row):
                return place
            self._thoughts.take([row], [token])
        return len(tokens)

    def _close(self, process: Process, closing: dict[int, list[int]]) -> None:
        """Have vLLM take the tokens that close these rows' thoughts, all in one call."""
        places = [(row, i) for row, due in closing.items() for i in range(len(due))]
        if not places:
            return
        prompts = [[*self._lines[row].prompt, *self._lines[row].token_ids, *closing[row][:i]] for row, i in places]
        asked = [
            parameters(
                max_tokens=1,
                temperature=0.0,
                allowed_token_ids=[closing[row][i]],
                logprobs=self._lines[row].key[1].tops,
                detokenize=False,
            )
            for row, i in places
        ]
        for (row, i), output in zip(places, process.generate(prompts, asked, None), strict=True):
            self._lines[row].take(output.outputs[0], 1, ())
            self._thoughts.take([row], [closing[row][i]])
