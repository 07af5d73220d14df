"""Texts as vectors, from the `/embeddings` of an OpenAI-compatible endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfimprove.foreign.bounded_json import number
from selfimprove.inference.endpoint import Endpoint, Tally

PART = 64
"""Texts per request: their vectors of up to 8,192 numbers are within the largest answer."""


def embedded(endpoint: Endpoint, model: str, texts: Sequence[str]) -> Any:
    """(texts, width) in float32, pooled by the endpoint's model; (0, 0) without texts.

    Raises:
        EngineError: the endpoint refuses, or some text gets no embedding in any attempt.
    """
    import numpy

    parts = [list(texts[i : i + PART]) for i in range(0, len(texts), PART)]
    found: dict[int, Any] = {}

    def read(place: int, answer: dict[str, Any]) -> Any:
        rows = {one["index"]: one["embedding"] for one in answer["data"]}
        if set(rows) != set(range(len(parts[place]))) or len(answer["data"]) != len(rows):
            raise ValueError("not as many embeddings as texts")
        made = numpy.array([[number(value) for value in rows[i]] for i in range(len(rows))], dtype=numpy.float64)
        if (
            made.ndim != 2
            or not made.shape[1]
            or {made.shape[1]} != {one.shape[1] for one in found.values()} | {made.shape[1]}
        ):
            raise ValueError("embeddings of different lengths")
        if numpy.abs(made).max() > numpy.finfo(numpy.float32).max:
            raise ValueError("too large a number")
        return made.astype(numpy.float32)

    endpoint.ask([{"model": model, "input": part} for part in parts], read, Tally(), found.__setitem__)
    return numpy.concatenate([found[i] for i in range(len(parts))]) if parts else numpy.zeros((0, 0), "float32")
