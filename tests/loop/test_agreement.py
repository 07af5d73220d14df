"""An engine's agreement with transformers in one line."""

from __future__ import annotations

from selfimprove.loop.agreement import told


def test_the_line_rounds_differences_to_two_digits() -> None:
    found = {
        "engine": "vllm",
        "dtype": "bfloat16",
        "prompts": 64,
        "same_texts": 41,
        "same_tokens": 4120,
        "tokens": 4500,
        "mean_difference": 0.012345,
        "largest_difference": 1.26,
    }
    assert told(found) == (
        "vllm against transformers, bfloat16, 64 prompts of the task: 41 greedy texts equal, 4120 of 4500 tokens; "
        "log-probabilities differ by 0.012 nats on average, 1.3 at most"
    )
