"""Solved problems as worked examples: kept as JSON in a method's state, found by likeness, shown before a problem."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from selfimprove.inference.retrieval import Bm25
from selfimprove.interfaces import Context, Sampling, Session
from selfimprove.records import Message, Prompt, Rollout, changed
from selfimprove.text import quoted

Example = dict[str, Any]
"""{"key": the problem's, "prompt": its messages, "text": a right reply}, and what a method counts of it."""


def example_of(rollout: Rollout) -> Example:
    """A completion as an example."""
    return {"key": rollout.prompt.key, "prompt": list(rollout.prompt.prompt), "text": str(rollout.text)}


def row_of(example: Example, beside: Sequence[Example] = ()) -> Rollout:
    """An example as a completion to train on, with other examples shown before its problem."""
    asked = shown(Prompt(prompt=example["prompt"], key=example["key"]), beside)
    return Rollout(prompt=asked, completion=[{"role": "assistant", "content": example["text"]}])


def shown(prompt: Prompt, examples: Sequence[Example]) -> Prompt:
    """The problem after examples, each as a turn of the talk; its own system message stays first."""
    if not examples:
        return prompt
    led = [message for message in prompt.prompt[:1] if message["role"] == "system"]
    turns = list[Message]()
    for one in examples:
        turns += [message for message in one["prompt"] if message["role"] != "system"]
        turns.append({"role": "assistant", "content": one["text"]})
    return changed(prompt, prompt=[*led, *turns, *prompt.prompt[len(led) :]], parents=(prompt.id,))


class Nearest:
    """Finds the examples that are near a problem; never one of the problem itself."""

    def __init__(self, examples: Iterable[Example]) -> None:
        self._examples = list(examples)
        self._index = Bm25([quoted(one["prompt"]) for one in self._examples])

    def of(self, prompt: Prompt, k: int) -> list[Example]:
        """The k nearest ones, the nearest first."""
        places = self._index.nearest(quoted(prompt.prompt), len(self._examples) if k else 0)
        near = (self._examples[place] for place in places)
        return [one for one in near if one["key"] != prompt.key or not prompt.key][:k]


def solved(context: Context, problems: Sequence[Prompt], samples: int, temperature: float) -> list[Rollout]:
    """Right attempts, the likeliest one of each problem that has any."""

    async def one(prompt: Prompt, session: Session) -> Rollout | None:
        drawn = await session.attempts(prompt, samples, Sampling(temperature=temperature))
        return best_right(drawn, [session.mark(made) or 0.0 for made in drawn])

    return [made for made in context.run(one, problems) if made is not None]


def best_right(drawn: Sequence[Rollout], marks: Sequence[float]) -> Rollout | None:
    """The completion with the full mark that is likeliest per token; None if there is none."""
    right = [made for made, mark in zip(drawn, marks, strict=True) if mark == 1.0 and made.ended]
    return max(right, key=_likely, default=None)


def _likely(rollout: Rollout) -> float:
    said = rollout.logprobs or {}
    return said.get("sum", 0.0) / max(1.0, said.get("count", 1.0))
