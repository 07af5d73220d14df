"""Round 0: the start weights."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import replace
from pathlib import Path

from selfimprove.inference import memory
from selfimprove.logs import MetricLog
from selfimprove.loop import start_cache
from selfimprove.loop.history import Stored
from selfimprove.loop.provenance import environment
from selfimprove.loop.step_files import write_checkpoint
from selfimprove.problems.gold import check_gold
from selfimprove.recipe.schema import Recipe
from selfimprove.records import digest
from selfimprove.training import Adapted, Referenced, Trained

GOLD = 100
"""Number of problems whose reference answer must be marked right before anything else happens."""
WORKERS = tuple(
    f"selfimprove.{room}.{name}".replace("..", ".")
    for room, names in {
        "": ("logs", "records", "text"),
        "foreign": ("bounded_json", "free_memory", "plain_files"),
        "interfaces": ("engine", "requests"),
        "inference": (
            "asks",
            "cache",
            "chat",
            "choosing",
            "decoding",
            "described",
            "drawn",
            "early_layers",
            "foreign",
            "opened",
            "rows",
            "stops",
            "thinking",
            "token_scores",
            "tokenizers",
            "weights",
        ),
        "problems": (
            "answers",
            "around",
            "expressions",
            "list_language",
            "splits",
            "stories",
            "story_lessons",
            "story_words",
            "story_work",
            "story_writing",
        ),
        "safety": ("chat_templates", "limited", "model_files", "tokenizer_worker", "weight_files"),
        "training": (
            "best_weights",
            "companions",
            "generators",
            "job",
            "lora",
            "model_io",
            "options",
            "trl.batches",
            "trl.curves",
            "trl.resume",
            "trl.sft",
            "trl.trainer",
        ),
    }.items()
    for name in names
)
"""Modules whose code, besides that of the methods, affects the result of a bootstrap."""


def build(stored: Stored, folder: Path, log: MetricLog) -> None:
    """Round 0: the start weights, from the cache if the same model was built before.

    Raises:
        EngineError: pretrained weights do not fit into memory.
    """
    task, engine, method = (stored.recipe.the(slot) for slot in ("task", "engine", "model"))
    seed = stored.seed("model")
    if said := check_gold(task, task.problems("selection", GOLD, seed)):
        log.note(said)
    if not method.cached:
        found = method.build(task, engine, folder, seed, log)
        if said := memory.check(found.path, memory.need(Path(found.path)), plan(stored.recipe), memory.free()):
            log.note(said)
        write_checkpoint(found, folder)
        return
    settings = {slot: stored.settings[slot] for slot in ("task", "engine", "model")}
    content = {
        "seed": seed,
        "settings": settings,
        "code": [
            inspect.getsource(importlib.import_module(name))
            for name in (*(type(part).__module__ for part in (task, engine, method)), *WORKERS)
        ],
        **environment(settings),
    }
    name = digest([content, "with metrics"])[:32]
    if not start_cache.take(name, folder, log):
        write_checkpoint(method.build(task, engine, folder, seed, log), folder)
        start_cache.keep(name, folder, digest(content), log)


def plan(recipe: Recipe) -> memory.Plan:
    """The memory plan of a recipe: how it uses the weights."""
    sharing, launcher, tokens = recipe.the("engine").sharing(), recipe.the("launcher"), recipe.the("engine").longest()
    trained = [(name, method) for name, method in recipe.optimization.items() if isinstance(method, Trained)]
    if not trained or not recipe.rounds:
        return memory.Plan(sharing=sharing, tokens=tokens)
    [(name, method), *_] = trained  # later methods in the chain work on existing weights
    made = memory.Plan(
        sharing=sharing,
        trainer=f"optimization.{name}",
        adapts=False,
        elsewhere=launcher.elsewhere,
        reference=isinstance(method, Referenced),
        tokens=tokens,
    )
    if not isinstance(method, Adapted):
        return made
    adapter = "4bit" if method.lora.load_in_4bit else "adapter"
    spread = launcher.together() if method.fsdp_config or method.deepspeed else 1
    frozen = made.reference and not method.lora.r  # below an adapter lies the reference
    return replace(made, adapts=True, way=adapter if method.lora.r else "weights", spread=spread, reference=frozen)
