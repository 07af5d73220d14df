"""What `--methods` reads."""

from __future__ import annotations

import pytest

from selfimprove.errors import RecipeError
from selfimprove.studies.chains import chains


def test_chains_options_and_grids() -> None:
    one, two, three = chains(["greedy", "revise:turns=2+best_of_n:samples=4/8"])
    assert (one.name, one.methods, one.options) == ("greedy", ("greedy",), {})
    assert two.name == "revise:turns=2+best_of_n:samples=4" and three.name.endswith("samples=8")
    assert two.overrides(["refinement.best_of_n.per_token=false", "refinement.debate.rounds=2"]) == [
        "refinement=[revise,best_of_n]",
        "refinement.best_of_n.per_token=false",
        "refinement.revise.turns=2",
        "refinement.best_of_n.samples=4",
    ]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["gredy"], "greedy"),
        (["greedy", "greedy"], "greedy twice"),
        (["greedy+greedy"], "a method twice"),
        (["best_of_n:samples"], "best_of_n:option=value"),
    ],
)
def test_mistakes(texts: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        chains(texts)
