"""What vLLM has drawn of one prompt, as the fields of rollouts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from selfimprove.inference.chat import end_of, ending


def answers(outputs: Sequence[Any], tokenizer: Any, ends: Collection[int]) -> list[dict[str, Any]]:
    """Of vLLM's outputs for one prompt. The end token is counted and not shown.

    Args:
        ends: the tokens that end a completion.
    """
    usual, lines = end_of(tokenizer), [list(output.token_ids) for output in outputs]
    ended = [bool(line) and line[-1] in ends for line in lines]
    shown = [line[:-1] if end else line for line, end in zip(lines, ended, strict=True)]
    texts = tokenizer.batch_decode(shown, skip_special_tokens=True)
    return [
        {
            "completion": [{"role": "assistant", "content": text}],
            "logprobs": {"sum": round(output.cumulative_logprob, 4), "count": len(line)},
            "info": ending(tokenizer, usual, line[-1] if end else None),
        }
        for output, line, end, text in zip(outputs, lines, ended, texts, strict=True)
    ]


def unanswered() -> dict[str, Any]:
    """Of a prompt that leaves no room for a completion."""
    said = [{"role": "assistant", "content": ""}]
    return {"completion": said, "logprobs": {"sum": 0.0, "count": 0}, "info": {"finish_reason": "length"}}
