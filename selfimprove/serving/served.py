"""What is served: weights with their engine and refinements, and whether an exam has measured just that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from selfimprove import foreign, training
from selfimprove.errors import DataError, MissingError, RecipeError
from selfimprove.inference.desk import Sessions
from selfimprove.interfaces import Log, Policy, Remote
from selfimprove.loop import steps
from selfimprove.loop.given import context_of, policy_of
from selfimprove.loop.history import Stored
from selfimprove.loop.target import last_round
from selfimprove.needs import OTHERS
from selfimprove.recipe import checks, compose
from selfimprove.recipe.schema import Recipe, Settings
from selfimprove.records import Checkpoint, Rollout
from selfimprove.safety.model_files import check_folder
from selfimprove.store.run_folder import RunDir
from selfimprove.store.run_place import is_run
from selfimprove.store.seal import damage, is_signed, sha256

NONE = "none"
"""In the place of a refinement: plain samples, as a request asks for them."""
WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")
"""Files that hold weights."""
MEASURED = ("refinement", "engine", "answer_tokens", "answer_calls")
"""The keys of a recipe that change what is answered, beside the weights."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """A policy, its name, and what is known of it."""

    name: str
    """The name that clients give in `model`."""
    policy: Policy
    """With its refinements; `policy.plain()` draws plain samples."""
    recipe: Recipe
    hashes: Mapping[str, str]
    """The sha256 of each file of weights."""
    exam: Mapping[str, Any] | None = None
    """The sealed part of summary.json with its `verdict`; None if nothing was examined."""
    differs: tuple[str, ...] = ()
    """How what runs differs from what was examined; () if it does not."""
    path: Path = field(default_factory=Path)
    """The folder of the weights."""

    @property
    def refinements(self) -> list[str]:
        """The names of its refinements in order."""
        return list(self.recipe.refinement) if self.policy.chain else []

    @property
    def examined(self) -> bool:
        """Whether an exam has measured these weights, answered with this engine and these refinements."""
        return self.exam is not None and not self.differs

    def told(self) -> str:
        """What was examined, in one sentence."""
        if self.exam is None:
            return f"not examined: {'; '.join(self.differs)}"
        said = f"examined: {self.exam['verdict']}"
        return said if self.examined else f"{said}; what runs is something else: {'; '.join(self.differs)}"

    def facts(self) -> dict[str, Any]:
        """The same for programs."""
        exam = self.exam or {}
        return {
            "refinement": self.refinements,
            "weights_sha256": dict(self.hashes),
            "examined": self.examined,
            "verdict": exam.get("verdict"),
            "accuracy": exam.get("champion"),
            "gain": exam.get("delta"),
            "gain_interval_95": exam.get("ci"),
            "problems": exam.get("n"),
            "champion_round": exam.get("champion_round"),
            "differs": list(self.differs),
        }


def served(
    target: str,
    refinement: str | None,
    overrides: Sequence[str],
    scratch: Path,
    log: Log,
    name: str | None = None,
    weigh: Callable[[Path], Mapping[str, str]] | None = None,
) -> Served:
    """Find the weights of a target, and put its engine and refinements around them.

    Args:
        target: a run folder, whose champion is served, or a model folder.
        refinement: its names joined by commas, or `none`; None takes the run's own, for a model folder none.
        overrides: changes to the recipe.
        scratch: an empty folder.
        weigh: gives the hashes of the weights in a folder; None reads the files.

    Raises:
        MissingError: there is no such folder, or the run has no model yet.
        DataError: it is neither a run nor a model, or it is damaged.
        RecipeError: the refinement or the engine cannot be served.
    """
    folder, hashes = Path(target), weigh or hashes_of
    if not folder.is_dir():
        raise MissingError(f"{target} is no folder of a run or a model; a run makes one: selfimprove run RECIPE")
    around = _Run.of(folder) if is_run(folder) else _Model(folder)
    recipe, settings = around.composed(refinement, overrides)
    steps.threads(recipe)
    engine = recipe.the("engine")
    if isinstance(engine, Remote):
        raise RecipeError("the engine asks another endpoint, so there are no weights to serve; name that one instead")
    if joint := [one for one, method in recipe.refinement.items() if method.joint]:
        raise RecipeError(f"refinement {joint[0]} sees all problems of a set before the first, so it cannot be served")
    checks.check_needs(recipe)
    plain = refinement == NONE or (refinement is None and isinstance(around, _Model))
    policy = _policy(recipe, around, scratch, log)
    weights = Path(around.weights.path)
    return Served(
        name=name or around.name,
        policy=policy.plain() if plain else policy,
        recipe=recipe,
        hashes=hashes(weights),
        exam=around.exam,
        differs=tuple(around.differences(settings, plain)),
        path=weights,
    )


def hashes_of(folder: Path) -> dict[str, str]:
    """The sha256 of each file of weights in a model folder."""
    return {path.name: sha256(path) for kind in WEIGHTS for path in sorted(folder.glob(kind))}


@dataclass(frozen=True)
class _Model:
    """A model folder; nothing is known of it."""

    folder: Path
    exam: None = None
    learned: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def weights(self) -> Checkpoint:
        check_folder(self.folder, thorough=True)
        return Checkpoint(path=str(self.folder.resolve()))

    @property
    def others(self) -> dict[str, Checkpoint]:
        return dict.fromkeys(OTHERS, self.weights)

    def composed(self, refinement: str | None, overrides: Sequence[str]) -> tuple[Recipe, Settings]:
        check_folder(self.folder, thorough=True)
        return compose.load("quickstart", [*_named(refinement), *overrides])

    def differences(self, settings: Settings, plain: bool) -> list[str]:
        return ["a model folder has no exam; serve the folder of the run instead"]


@dataclass(frozen=True)
class _Run:
    """A run with its champion."""

    stored: Stored
    last: int
    """The last decided round."""
    champion: int
    """The round that made the champion."""
    exam: Mapping[str, Any] | None
    weights: Checkpoint

    @classmethod
    def of(cls, folder: Path) -> _Run:
        stored = Stored(RunDir.open(folder))
        if not stored.folder.step(0, "model").exists():
            raise MissingError(f"{folder} has no model yet; make it: selfimprove resume {folder}")
        last = last_round(folder, "gate")
        champion = stored.standing(last + 1).champion
        step = stored.folder.step(champion, "optimization" if champion else "model")
        if wrong := damage(step):
            raise DataError(f"{step} is damaged: {wrong}. Redo it: selfimprove resume {folder}")
        weights = stored.checkpoint(champion)
        check_folder(Path(weights.path), thorough=True)
        return cls(stored, last, champion, _exam(folder, champion), weights)

    @property
    def name(self) -> str:
        return self.stored.folder.root.resolve().name

    @property
    def others(self) -> dict[str, Checkpoint]:
        stored = self.stored
        before = stored.standing(self.champion).incumbent if self.champion else 0
        return dict(zip(OTHERS, (stored.checkpoint(0), self.weights, stored.checkpoint(before)), strict=True))

    @property
    def learned(self) -> Mapping[str, dict[str, Any]]:
        return self.stored.learned(self.champion)

    def composed(self, refinement: str | None, overrides: Sequence[str]) -> tuple[Recipe, Settings]:
        if refinement is None and not overrides:
            return self.stored.at(self.last)
        changes = [*_named(refinement), *overrides]
        return compose.load(self.stored.folder.root / "recipe.yaml", changes)

    def differences(self, settings: Settings, plain: bool) -> list[str]:
        if self.exam is None:
            return [f"the run has not held its exam; finish it: selfimprove resume {self.stored.folder.root}"]
        measured = self.stored.at(self.last)[1]
        found = [f"{key} is {_brief(settings[key])}" for key in MEASURED if settings[key] != measured[key]]
        return ["answers are plain samples", *found] if plain else found


def _exam(folder: Path, champion: int) -> dict[str, Any] | None:
    """What the sealed exam of a finished run says of its champion; None if it says nothing.

    Raises:
        DataError: summary.json was changed.
    """
    path = folder / "summary.json"
    if not path.is_file():
        return None
    summary = foreign.json_in(path)
    if not isinstance(summary, dict) or not is_signed(summary):
        raise DataError(f"{path} is damaged: it was changed. Write it again: selfimprove resume {folder}")
    sealed = summary.get("sealed", {})
    if sealed.get("champion_round") != champion:
        return None  # rounds were added since then
    return {**sealed, "verdict": summary["verdict"]}


def _named(refinement: str | None) -> list[str]:
    """The override that a choice of refinements stands for."""
    if refinement in (None, NONE):
        return []
    names = [name.strip() for name in refinement.strip("[]").split(",")]
    return [f"refinement=[{','.join(names)}]"]


def _brief(value: Any) -> str:
    return ", ".join(value) if isinstance(value, dict) else str(value)


def _policy(recipe: Recipe, around: _Run | _Model, scratch: Path, log: Log) -> Policy:
    """The policy of the weights; its refinements may ask for rewards of the recipe, copies and other policies."""
    weights, others = around.weights, around.others

    def other(name: str) -> Policy:
        return replace(policy.plain(), checkpoint=others[name])

    def rated(name: str, groups: Sequence[Sequence[Rollout]], judge: Policy) -> list[list[float | None]]:
        reward = recipe.reward[name]
        given = context_of(
            recipe,
            judge.held(reward),
            others["start"],
            number=0,
            rounds=recipe.rounds,
            seed=recipe.seed,
            train_seed=lambda number: recipe.seed + number,
            selection_seed=recipe.seed,
            folder=scratch,
            previous=None,
            log=log,
        )
        return reward.rate(groups, given)

    policy = policy_of(
        recipe,
        weights,
        recipe.seed,
        log,
        around.learned,
        helpers=recipe.helpers,
        copies=training.Copies(scratch / "copies", log),
        desk=Sessions(recipe.the("task"), rated, recipe.budget, other),
    )
    return policy
