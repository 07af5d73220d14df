"""Thin, lazy calls into TRL: the one place that touches it. One kind of trainer per file.

Rows are tokenized here, with the functions that the engines use, so the trainer sees the tokens that were sampled.
"""

from __future__ import annotations

from selfimprove.training.likelihood import sft
from selfimprove.training.lora import Lora
from selfimprove.training.online import Tally, policy_gradient
from selfimprove.training.options import Adapted, Referenced, Sampled, Trained, one_of, reference_of, start_of
from selfimprove.training.peak import Check, Peak
from selfimprove.training.preference import Pairs, dpo, pairs
from selfimprove.training.schedule import Schedule, schedule_of
from selfimprove.training.unpaired import kto
from selfimprove.training.weights import blend, load, save

__all__ = [
    "Adapted",
    "Check",
    "Lora",
    "Pairs",
    "Peak",
    "Referenced",
    "Sampled",
    "Schedule",
    "Tally",
    "Trained",
    "blend",
    "dpo",
    "kto",
    "load",
    "one_of",
    "pairs",
    "policy_gradient",
    "reference_of",
    "save",
    "schedule_of",
    "sft",
    "start_of",
]
