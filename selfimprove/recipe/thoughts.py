"""What a budget for thoughts does not hold for."""

from __future__ import annotations

from selfimprove.recipe.schema import Recipe


def unclosed(recipe: Recipe) -> list[str]:
    """Say of training that draws its completions itself that the engine's budget for thoughts ends there."""
    engine = next((name for name, one in recipe.engine.items() if not one.roles), "")
    budget = vars(recipe.the("engine")).get("thinking_budget") if engine else None
    return [
        f"optimization.{name} draws its completions itself, without engine.{engine}.thinking_budget={budget}: its "
        f"thoughts may take all of optimization.{name}.max_completion_length={vars(method)['max_completion_length']}"
        + (f"; set optimization.{name}.thinking_budget too" if "thinking_budget" in vars(method) else "")
        for name, method in recipe.optimization.items()
        if budget is not None
        and "max_completion_length" in vars(method)
        and vars(method).get("thinking_budget") is None
    ]
