"""The selections of a recipe, as far as a pool outside a loop can have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfimprove.costs import NOTHING, Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Engine, Log, Remote, Selection
from selfimprove.loop.given import context_of, policy_of
from selfimprove.recipe import compose
from selfimprove.recipe.layers import layers
from selfimprove.recipe.schema import Recipe
from selfimprove.records import Checkpoint, Preference, Prompt, Record
from selfimprove.registry import SLOTS
from selfimprove.studies.subject import subject_of


@dataclass(frozen=True)
class Chain:
    """A recipe's selections, with what else it names."""

    name: str
    overrides: Sequence[str]
    recipe: Recipe
    named: frozenset[str]
    """The slots that the recipe, or an override, names methods for."""

    @property
    def methods(self) -> Mapping[str, Selection]:
        """The selections by name, in order."""
        return self.recipe.selection

    def scores(self, name: str) -> bool:
        """Whether a selection asks a model."""
        return asks_a_model(self.methods[name])

    def cost(self, rows: int) -> list[tuple[str, Flow, Cost]]:
        """For each selection how many rows come at most, and what it takes at most."""
        flow, found = Flow(rows, rows), list[tuple[str, Flow, Cost]]()
        length = max(engine.longest() for engine in self.recipe.engine.values())
        task = self.recipe.the("task")
        most = (task.size("selection") or task.unbounded) if "task" in self.named else 0
        for name, method in self.methods.items():
            given = Given(flow=flow, length=length, selection=most)
            found.append((name, flow, method.cost(given)))
            flow = method.gives(given)
        return found


def chain_of(name: str, overrides: Sequence[str], model: bool = True) -> Chain:
    """The selections of a recipe.

    Args:
        model: whether those that ask a model are refused where the recipe names none.

    Raises:
        RecipeError: it names no selection, or one that a pool outside a loop cannot have.
    """
    found = layers(compose.find(name), compose.shipped())
    named = {slot for layer in found for item in layer.methods for slot in item}
    named |= {slot for slot, equals, _ in (one.partition("=") for one in overrides) if equals and slot in SLOTS}
    if "selection" not in named:
        raise RecipeError(f"{name} names no selection; add one, such as `selection: [dedup, minhash_dedup]`")
    made = Chain(name, overrides, compose.load(name, overrides)[0], frozenset(named))
    if not made.methods:
        raise RecipeError(f"{name}: its selection is empty; add a method, such as `selection: [dedup, minhash_dedup]`")
    for own, method in made.methods.items():
        if method.looped:
            raise RecipeError(
                f"selection.{own} goes by rewards, references or several attempts at a problem, which only a loop has; "
                "leave it out here, or run the recipe: selfimprove run"
            )
        if method.produces not in (Record, method.consumes) or method.produces in (Prompt, Preference):
            raise RecipeError(f"selection.{own} makes other records than it is given; a pool's rows stay what they are")
        if model and asks_a_model(method) and not {"model", "engine"} & named:
            raise RecipeError(
                f"selection.{own} asks a model, and {name} names none; add `model: pretrained` and its path, "
                "or model=pretrained model.pretrained.path=FOLDER"
            )
    return made


def asks_a_model(method: Selection) -> bool:
    """Whether a selection asks a model, by what it declares."""
    needs, some = method.needs(), Given(flow=Flow(1000, 1000), selection=1000)
    return bool(needs.engine or needs.statistics or needs.roles or needs.policies) or method.cost(some) != NOTHING


@contextmanager
def contexts(chain: Chain, scratch: Path, log: Log, kept: Callable[[Engine], Engine]) -> Any:
    """Gives `context_of(step folder, log)`; a model is built once, and only if a selection asks it.

    Args:
        scratch: an empty folder.
        kept: keeps what an engine says, so that a resume does not ask again.
    """
    from selfimprove import training

    recipe, weights, copies = chain.recipe, Checkpoint(path=""), None
    if any(map(chain.scores, chain.methods)):
        weights = subject_of(chain.name, chain.overrides, scratch, log).checkpoint
        local = not isinstance(recipe.the("engine"), Remote)
        copies = training.Copies(scratch / "copies", log) if local else None

    def refused(*_: Any) -> Any:
        raise RecipeError(
            f"a selection asks for problems of a task, and {chain.name} names none; add `task:`, or the method's own "
            "file, such as selection.dsir.target=FILE or selection.ngram_decontamination.against=FILE"
        )

    def of(folder: Path, its: Log) -> Context:
        engine = {"engine": kept(recipe.the("engine")), "copies": copies}
        helpers = {role: kept(one) for role, one in recipe.helpers.items()}
        policy = policy_of(recipe, weights, recipe.seed, its, **engine, helpers=helpers)
        made = context_of(
            recipe,
            policy,
            weights,
            number=1,
            rounds=1,
            seed=recipe.seed,
            train_seed=lambda of_round: recipe.seed + of_round,
            selection_seed=recipe.seed,
            folder=folder,
            previous=None,
            log=its,
        )
        if "task" in chain.named:
            return made
        from dataclasses import replace

        return replace(made, selection=refused, problems=refused, held_out=None)

    yield of
