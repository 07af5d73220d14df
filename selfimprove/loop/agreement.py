"""An engine's agreement with transformers in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def told(found: Mapping[str, Any]) -> str:
    """What `agreement.json` says."""
    return (
        f"{found['engine']} against transformers, {found['dtype']}, {found['prompts']} prompts of the task: "
        f"{found['same_texts']} greedy texts equal, {found['same_tokens']} of {found['tokens']} tokens; "
        f"log-probabilities differ by {found['mean_difference']:.2g} nats on average, "
        f"{found['largest_difference']:.2g} at most"
    )
