"""Texts as vectors, from the `/embeddings` of an OpenAI-compatible endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfimprove.inference.endpoint import Endpoint, Tally

PART = 256
"""Texts per request."""


def embedded(endpoint: Endpoint, model: str, texts: Sequence[str]) -> Any:
    """(texts, width) in float32, pooled by the endpoint's model; (0, 0) without texts.

    Raises:
        EngineError: the endpoint refuses, or some text gets no embedding in any attempt.
    """
    import numpy

    parts = [list(texts[i : i + PART]) for i in range(0, len(texts), PART)]
    found: dict[int, Any] = {}

    def read(place: int, answer: dict[str, Any]) -> Any:
        rows = sorted(answer["data"], key=lambda one: one["index"])
        if len(rows) != len(parts[place]):
            raise ValueError("not as many embeddings as texts")
        return numpy.array([one["embedding"] for one in rows], dtype=numpy.float32)

    endpoint.ask([{"model": model, "input": part} for part in parts], read, Tally(), found.__setitem__)
    return numpy.concatenate([found[i] for i in range(len(parts))]) if parts else numpy.zeros((0, 0), "float32")
