"""What is kept shrinks with the temperature, and a limit of 0 is plain sampling."""

from __future__ import annotations

from types import ModuleType

from selfimprove.methods.refinement.min_p import MinP

SAYS = {"a": 0.5, "b": 0.3, "c": 0.15, "d": 0.05}


def kept(module: ModuleType, **options: float) -> set[str]:
    problems = [module.Quiz().question(f"q{i}") for i in range(200)]
    return {one.text for one in module.answered(MinP(**options), problems, lambda messages: SAYS)}


def test_the_kept_tokens_by_hand(table_model: ModuleType) -> None:
    """At temperature 1 a share of 0.2 of 0.5 keeps what has 0.1; at 2 the shares are roots: 0.05 / 0.5 becomes 0.32."""
    assert kept(table_model, min_p=0.2) == {"a", "b", "c"}
    assert kept(table_model, min_p=0.2, temperature=0.5) == {"a", "b"}  # (0.15 / 0.5) ** 2 = 0.09
    assert kept(table_model, min_p=0.2, temperature=2.0) == set("abcd")
    assert kept(table_model, min_p=0.0) == set("abcd")
    assert kept(table_model, min_p=1.0) == {"a"}
