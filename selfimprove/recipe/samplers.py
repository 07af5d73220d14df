"""Whether the training of a recipe can be steered by its sampler."""

from __future__ import annotations

from pathlib import Path

from selfimprove import registry
from selfimprove.errors import RecipeError
from selfimprove.recipe.schema import Recipe


def check_sampler(recipe: Recipe, path: Path) -> None:
    """Check that the first optimization lets a sampler choose what this one chooses, and does not redraw by itself.

    Raises:
        RecipeError: it does not.
    """
    if recipe.sampling is None:
        return
    [name], (first, method) = recipe.sampler, next(iter(recipe.optimization.items()))
    wanted = recipe.sampling.chooses
    if method.chooses != wanted:
        registry.discover()
        able = sorted(
            entry.name
            for entry in registry.METHODS.values()
            if entry.slot == "optimization" and entry.method.chooses == wanted
        )
        raise RecipeError(
            f"{path}: sampler.{name} chooses the {wanted} of a training step, and optimization.{first} does not let "
            f"it; these do: {', '.join(able)}"
        )
    odd = method.steers_itself()
    if odd:
        raise RecipeError(f"{path}: optimization.{first}.{odd} does not go with sampler.{name}; leave one of them out")
