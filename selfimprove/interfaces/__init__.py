"""The contract of methods: one abstract class per slot of a recipe, and the objects that a method gets.

A method is a dataclass: its fields are its options, its one main function is the algorithm. Read this file first.
Order of a round: acquisition -> reward -> selection -> optimization, with a sampler inside -> refinement ->
evaluation -> gate -> controller.
"""

from __future__ import annotations

from selfimprove.interfaces.engine import ABILITIES, ROLES, Engine, Remote
from selfimprove.interfaces.model import Model
from selfimprove.interfaces.policy import Budget, Context, Copies, Desk, Playing, Policy, Refinement, Session, Spent
from selfimprove.interfaces.portions import Arrays, Choice, Pool, Portioned, chosen
from selfimprove.interfaces.requests import GREEDY, REQUIRED, Ask, Log, Sampling, Shape, numbered
from selfimprove.interfaces.sampler import PROMPTS, ROWS, Sampler, SamplerPool, Weights
from selfimprove.interfaces.stages import (
    Acquisition,
    Alarm,
    Controller,
    Evaluation,
    Gate,
    Grading,
    Judging,
    Launcher,
    Optimization,
    Reward,
    Selection,
)
from selfimprove.interfaces.task import Roles, Task
from selfimprove.interfaces.tracker import Tracked, Tracker

__all__ = [
    "ABILITIES",
    "GREEDY",
    "PROMPTS",
    "REQUIRED",
    "ROLES",
    "ROWS",
    "Acquisition",
    "Alarm",
    "Arrays",
    "Ask",
    "Budget",
    "Choice",
    "Context",
    "Controller",
    "Copies",
    "Desk",
    "Engine",
    "Evaluation",
    "Gate",
    "Grading",
    "Judging",
    "Launcher",
    "Log",
    "Model",
    "Optimization",
    "Playing",
    "Policy",
    "Pool",
    "Portioned",
    "Refinement",
    "Remote",
    "Reward",
    "Roles",
    "Sampler",
    "SamplerPool",
    "Sampling",
    "Selection",
    "Session",
    "Shape",
    "Spent",
    "Task",
    "Tracked",
    "Tracker",
    "Weights",
    "chosen",
    "numbered",
]
