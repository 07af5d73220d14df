"""The stages of a round, in order."""

from __future__ import annotations

FIRST = ("model", "refinement", "evaluation", "audit")
"""The steps of round 0, which measures the start."""
HELD_OUT = ("evaluation", "audit", "confirmation", "sealed")
"""The steps that read held-out problems."""
STAGES = ("acquisition", "selection", "optimization", "refinement", "evaluation", "audit", "gate", "controller")
"""The steps of every other round."""
