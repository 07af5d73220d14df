"""The contract of methods: one abstract class per slot of a recipe, and the objects that a method gets.

A method is a dataclass: its fields are its options, its one main function is the algorithm. Read this file first.
Order of a round: acquisition -> reward -> selection -> optimization -> refinement -> evaluation -> gate -> controller.
"""

from __future__ import annotations

from selfimprove.interfaces.engine import ABILITIES, ROLES, Engine, Remote
from selfimprove.interfaces.model import Model
from selfimprove.interfaces.policy import Budget, Context, Copies, Desk, Playing, Policy, Refinement, Session, Spent
from selfimprove.interfaces.portions import Arrays, Choice, Pool, Portioned, chosen
from selfimprove.interfaces.requests import GREEDY, REQUIRED, Ask, Log, Sampling, Shape, numbered
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
    Tracked,
    Tracker,
)
from selfimprove.interfaces.task import Roles, Task

__all__ = [
    "ABILITIES",
    "GREEDY",
    "REQUIRED",
    "ROLES",
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
    "Sampling",
    "Selection",
    "Session",
    "Shape",
    "Spent",
    "Task",
    "Tracked",
    "Tracker",
    "chosen",
    "numbered",
]
