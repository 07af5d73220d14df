"""Solved problems as worked examples: kept as JSON in a method's state, found by likeness, shown before a problem."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from selfimprove.errors import RecipeError
from selfimprove.inference.retrieval import Bm25
from selfimprove.interfaces import Context, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Message, Prompt, Rollout, changed
from selfimprove.registry import nearest
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


RETRIEVALS = ("bm25", "embeddings")


class Nearest:
    """Finds the examples that are near a problem; never one of the problem itself.

    Args:
        by: what is near: by the words that both share (`bm25`), or by the model's own `embeddings`.
    """

    def __init__(self, examples: Iterable[Example], by: str = "bm25") -> None:
        self._examples, self._by = list(examples), by
        self._texts = [quoted(one["prompt"]) for one in self._examples]
        self._index = Bm25(self._texts if by == "bm25" else [])

    async def found(self, prompt: Prompt, k: int, session: Session) -> list[Example]:
        """The k nearest ones, the nearest first, of equally near ones the earlier first."""
        if self._by == "bm25":
            return self.of(prompt, k)
        others = [place for place, one in enumerate(self._examples) if one["key"] != prompt.key or not prompt.key]
        if not others or not k:
            return []
        rows = await session.embed([quoted(prompt.prompt), *(self._texts[place] for place in others)])
        near = _cosines(rows)
        return [self._examples[others[place]] for place in sorted(range(len(near)), key=lambda i: -near[i])[:k]]

    def of(self, prompt: Prompt, k: int) -> list[Example]:
        """The k nearest ones, the nearest first."""
        places = self._index.nearest(quoted(prompt.prompt), len(self._examples) if k else 0)
        near = (self._examples[place] for place in places)
        return [one for one in near if one["key"] != prompt.key or not prompt.key][:k]


def retrieval_needs(by: str) -> Needs:
    """What `Nearest.found` needs."""
    return Needs(engine=("embed",)) if by == "embeddings" else Needs()


def check_retrieval(option: str, by: str) -> None:
    """
    Raises:
        RecipeError: examples are not found so.
    """
    if by not in RETRIEVALS:
        raise RecipeError(f"refinement.{option} cannot be {by!r}.{nearest(by, RETRIEVALS)}")


def _cosines(rows: Any) -> list[float]:
    """The cosine of the first vector with each of the others; 0 where one of both is 0."""
    import numpy

    sizes = numpy.linalg.norm(rows, axis=1)
    return [float(value) for value in rows[1:] @ rows[0] / numpy.maximum(sizes[1:] * sizes[0], 1e-12)]


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
