"""The keys of a recipe."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.errors import RecipeError
from selfimprove.interfaces import (
    Acquisition,
    Alarm,
    Budget,
    Controller,
    Engine,
    Evaluation,
    Gate,
    Launcher,
    Model,
    Optimization,
    Refinement,
    Reward,
    Sampler,
    Selection,
    Task,
    Tracker,
)

KEEP = re.compile(r"all|needed|champion|best:([1-9]\d{0,5})")
"""The values of `keep`."""
ONE = ("task", "model", "gate", "launcher", "tracker")
FEW = ("sampler",)
SOME = ("engine", "acquisition", "optimization", "refinement", "evaluation", "controller")
DEFAULTS = {
    "task": ["chain_sums"],
    "model": ["tiny"],
    "engine": ["transformers"],
    "acquisition": ["seed_prompts", "rejection_sampling"],
    "reward": ["verifier"],
    "selection": ["threshold"],
    "sampler": [],
    "optimization": ["sft"],
    "refinement": ["greedy"],
    "evaluation": ["accuracy", "probes"],
    "alarm": [
        *("reward_hacking", "majority_collapse", "entropy", "diversity", "large_k"),
        *("length", "forgetting", "reversal", "contamination", "judge", "honeypots"),
    ],
    "gate": ["ratchet"],
    "controller": ["fixed"],
    "launcher": ["inline"],
    "tracker": ["none"],
}
"""The method of each slot that a recipe does not name."""


@dataclass
class Recipe:
    """One entry per slot; a slot maps the names of its methods to the methods, in order."""

    rounds: int = bounded(3, 0)
    """Rounds of improvement; round 0 only measures the start."""
    seed: int = 0
    """Every random choice of the run follows from it."""
    autonomy: int = bounded(3, 0, 3)
    """What the loop may do on its own: 0 measures and keeps the start, 1 proposes and waits for a person, 2 decides but
    does not change the recipe, 3 also changes the recipe as its controllers say. A controller may always stop."""
    preflight_samples: int = bounded(8, 0)
    """Completions of a published start model that are looked at before it is scored; 0 looks at none, and stops at
    none."""
    gate_problems: int = bounded(500, 1)
    """Fresh problems for each gate decision."""
    probe_problems: int = bounded(100, 0)
    """Fresh problems of each of the task's probes for each gate decision; 0 disables probes."""
    audit_problems: int = bounded(100, 0)
    """Fresh problems for the audit of each round; 0 disables the audit."""
    audit_samples: int = bounded(8, 1)
    """Samples of each audit problem."""
    variant_problems: int = bounded(0, 0)
    """Audit problems of which a counterfactual variant is answered as well, for the memorization gap; 0 measures none.
    A task without such variants has no gap."""
    sealed_problems: int = bounded(1000, 1)
    """Problems of the final exam, on which only the start and the champion are scored, once."""
    control_problems: int = bounded(200, 0)
    """Number of these problems that the start also answers with self-consistency, as a control; 0 disables it."""
    control_samples: int = bounded(16, 1)
    """Most completions per control problem; the control draws as many as the loop drew per sealed problem."""
    answer_tokens: int | None = bounded(None, 1)
    """Most tokens that refinements may draw for one answer in an exam, a probe or an audit; null sets no limit."""
    answer_calls: int | None = bounded(None, 0)
    """Most tool calls for one answer; null sets no limit."""
    null_round: bool = False
    """Train the first round once more on shuffled rewards, to show how far chance alone changes accuracy."""
    keep: str = "all"
    """Which rounds keep their weights while the run goes on: all; needed, what a resume may use; champion, the start,
    the champion, the model on trial, the last and its origin; or best:K, what is needed and the K best candidates."""
    parts: list[str] | None = None
    """Roles with their own weights, such as propose, hint, judge or refine; each trains on the records of its role.
    null: one model has all roles."""
    legs: list[str] | None = None
    """Acquisitions of parts that acquire data for themselves, as ROLE.ACQUISITION, for example
    `[propose.propose, solve.propose]`. In each round those parts acquire, select and train one after the other, with
    the newest weights of the others; `solve` comes last. null: all acquisitions run once, and each part learns from
    what was said in its role."""
    task: dict[str, Task] = field(default_factory=dict)
    model: dict[str, Model] = field(default_factory=dict)
    engine: dict[str, Engine] = field(default_factory=dict)
    acquisition: dict[str, Acquisition] = field(default_factory=dict)
    reward: dict[str, Reward] = field(default_factory=dict)
    selection: dict[str, Selection] = field(default_factory=dict)
    sampler: dict[str, Sampler] = field(default_factory=dict)
    optimization: dict[str, Optimization] = field(default_factory=dict)
    refinement: dict[str, Refinement] = field(default_factory=dict)
    evaluation: dict[str, Evaluation] = field(default_factory=dict)
    alarm: dict[str, Alarm] = field(default_factory=dict)
    gate: dict[str, Gate] = field(default_factory=dict)
    controller: dict[str, Controller] = field(default_factory=dict)
    launcher: dict[str, Launcher] = field(default_factory=dict)
    tracker: dict[str, Tracker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not KEEP.fullmatch(self.keep):
            raise RecipeError(f"keep is {self.keep!r}; it takes all, needed, champion, or best:K such as best:3")

    def the(self, slot: str) -> Any:
        """The method of a slot that takes one method; for `engine`, the one that runs the weights."""
        [method] = (method for method in getattr(self, slot).values() if slot != "engine" or not method.roles)
        return method

    @property
    def sampling(self) -> Sampler | None:
        """The sampler of its training steps, if it names one."""
        return next(iter(self.sampler.values()), None)

    @property
    def budget(self) -> Budget:
        """What one answer may take."""
        tokens, calls = (math.inf if most is None else most for most in (self.answer_tokens, self.answer_calls))
        return Budget(tokens=tokens, calls=calls)

    @property
    def helpers(self) -> dict[str, Engine]:
        """The engines that answer in a role, by role."""
        return {role: engine for engine in self.engine.values() for role in engine.roles}


Settings = dict[str, Any]
"""A recipe as plain values: {"rounds": 5, "task": {"chain_sums": {...}}, ...}."""
