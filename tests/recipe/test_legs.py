"""The legs of a round: who acquires data for itself, who learns where, and whose record it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfimprove.errors import RecipeError
from selfimprove.recipe import compose
from selfimprove.recipe.cost import estimate
from selfimprove.recipe.legs import Leg, legs_of
from selfimprove.records import Document, Preference, Prompt, Rollout

BOTH = "parts=[propose]"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], [("", ["propose"], ["solve"])]),
        ([BOTH], [("", ["propose"], ["propose", "solve"])]),
        (
            [BOTH, "legs=[propose.propose,solve.propose]"],
            [("propose", ["propose"], ["propose"]), ("", ["propose"], ["solve"])],
        ),
        ([BOTH, "legs=[propose.propose]"], [("", ["propose"], ["propose", "solve"])]),
        (
            [BOTH, "legs=[solve.propose,propose.propose]"],
            [("propose", ["propose"], ["propose"]), ("", ["propose"], ["solve"])],
        ),
    ],
)
def test_who_learns_in_which_leg(overrides: list[str], expected: list) -> None:
    found = legs_of(compose.load("r_zero", overrides)[0])
    assert [(leg.name, list(leg.acquisition), list(leg.roles)) for leg in found] == expected
    assert [leg.step("selection") for leg in found][-1] == "selection"


def test_whose_record_it_is(make_rollout: Callable[..., Rollout], make_prompt: Callable[..., Prompt]) -> None:
    """What has no role is for the owner of the leg; a role without weights of its own is that of who solves."""
    said, plain = make_rollout(role="propose"), [make_prompt(), Document(text="x")]
    own, main = Leg("propose", {}, ["propose", "solve"], ["propose"]), Leg("", {}, ["propose", "solve"], ["solve"])
    other = Leg("", {}, ["judge", "solve"], ["judge", "solve"])
    assert own.part_of(said) == main.part_of(said) == own.part_of(Preference.of(said, said)) == "propose"
    assert other.part_of(said) == "solve"
    assert [own.part_of(one) for one in plain] == ["propose"] * 2 and [main.part_of(one) for one in plain] == [
        "solve"
    ] * 2
    assert own.own([said, make_rollout(), *plain]) == [said, *plain]
    assert main.own([said, make_rollout(), *plain]) == [make_rollout(), *plain]


@pytest.mark.parametrize(
    ("legs", "said"),
    [
        ("[judge.propose]", "legs: 'judge' of 'judge.propose' has no weights of its own"),
        ("[propose.proposes]", "no acquisition 'proposes' for 'propose.proposes'. Did you mean 'propose'"),
        ("[propose]", "no acquisition '' for 'propose'"),
        ("[]", "no leg has the acquisition 'propose'; add solve.propose"),
    ],
)
def test_legs_that_a_recipe_cannot_have(legs: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        compose.load("r_zero", [BOTH, f"legs={legs}"])


def test_each_leg_is_checked_from_its_own_acquisitions_on() -> None:
    """`seed_prompts` gives prompts, which `threshold` does not take."""
    both = [BOTH, "acquisition=[propose,seed_prompts]", "legs=[propose.propose,solve.seed_prompts]"]
    with pytest.raises(RecipeError, match="'seed_prompts' gives Prompt records, but selection 'threshold' takes"):
        compose.load("r_zero", both)


@pytest.mark.long
def test_each_part_and_each_leg_counts() -> None:
    one, parts, legs = (
        estimate(compose.load("r_zero", [*changes, "null_round=true"])[0])
        for changes in ([], [BOTH], [BOTH, "legs=[propose.propose,solve.propose]"])
    )
    assert parts.parts["training"] == legs.parts["training"] == 2 * one.parts["training"]
    assert legs.parts["data"] == 2 * parts.parts["data"] == 2 * one.parts["data"]
    assert parts.parts["exam"].steps == legs.parts["exam"].steps == 2 * one.parts["exam"].steps, "the null round"
    assert "training steps of each part, at most: propose 120, solve 120" in parts.remarks
    assert one.disk and parts.disk
    weights = compose.load("r_zero", [])[0].the("model").weights()
    trained, records = 3 + 1, parts.run.completions - one.run.completions  # rounds and the null round
    assert parts.disk - one.disk == trained * weights and not records
