"""Training: thin, lazy wrappers of TRL's trainers (`trl`), one kind per file, and our own loop (`native`).

`native` is for what TRL has no trainer for: conversations, critics, rewards of several roles.

Rows are tokenized here with the engines' functions, so the trainer sees the tokens that were sampled.
"""

from __future__ import annotations

from selfimprove.training.best_weights import Check, Peak
from selfimprove.training.copies import Copies
from selfimprove.training.job import Job, job_of
from selfimprove.training.lora import Lora
from selfimprove.training.model_io import blend, load, save
from selfimprove.training.native.acting import acting
from selfimprove.training.native.answers import answers, rewarded
from selfimprove.training.native.loop import Drawn, Live
from selfimprove.training.native.policy_gradient import (
    Clipped,
    Draws,
    generalized_advantages,
    lead,
    reinforce,
    to_go,
    whiten,
)
from selfimprove.training.native.turns import Turn, batches, passes
from selfimprove.training.options import (
    Adapted,
    PolicyGradient,
    Referenced,
    Sampled,
    Schedule,
    Trained,
    one_of,
    online_cost,
    planned_steps,
)
from selfimprove.training.replay import replayed
from selfimprove.training.sequence import in_turn
from selfimprove.training.steering import Steered, steered, steered_rows
from selfimprove.training.trl.kto import kto
from selfimprove.training.trl.online import Tally, policy_gradient
from selfimprove.training.trl.pairs import Pairs, Places, Tokens, dpo, pairs, win_rates
from selfimprove.training.trl.resume import resumable, saves_soon
from selfimprove.training.trl.sft import sft
from selfimprove.training.trl.talks import Once

__all__ = [
    "Adapted",
    "Check",
    "Clipped",
    "Copies",
    "Drawn",
    "Draws",
    "Job",
    "Live",
    "Lora",
    "Once",
    "Pairs",
    "Peak",
    "Places",
    "PolicyGradient",
    "Referenced",
    "Sampled",
    "Schedule",
    "Steered",
    "Tally",
    "Tokens",
    "Trained",
    "Turn",
    "acting",
    "answers",
    "batches",
    "blend",
    "dpo",
    "generalized_advantages",
    "in_turn",
    "job_of",
    "kto",
    "lead",
    "load",
    "one_of",
    "online_cost",
    "pairs",
    "passes",
    "planned_steps",
    "policy_gradient",
    "reinforce",
    "replayed",
    "resumable",
    "rewarded",
    "save",
    "saves_soon",
    "sft",
    "steered",
    "steered_rows",
    "to_go",
    "whiten",
    "win_rates",
]
