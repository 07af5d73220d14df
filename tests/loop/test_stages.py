"""The table of stages fits the recipe, the work and the ledger."""

from __future__ import annotations

from dataclasses import fields

from selfimprove.loop import stages, steps
from selfimprove.recipe.schema import Recipe


def test_every_stage_but_the_first_weights_has_its_work_and_nothing_else_has() -> None:
    assert {*steps.WORK, "model"} == set(stages.NAMED)
    assert len(stages.NAMED) == len(stages.TABLE)


def test_a_stage_depends_on_keys_of_a_recipe() -> None:
    keys = {field.name for field in fields(Recipe)}
    for stage in stages.TABLE:
        assert set(stage.depends or (stage.name,)) <= keys, stage.name


def test_the_rounds_have_the_stages_that_the_table_says() -> None:
    assert stages.of_round(0) == ("model", "refinement", "evaluation", "audit")
    first = ("acquisition", "selection", "optimization", "refinement", "evaluation", "audit", "gate", "controller")
    assert stages.of_round(1) == stages.of_round(7) == first
    assert stages.END == ("confirmation", "null", "sealed")
    assert {*stages.of_round(0), *stages.of_round(1), *stages.END} == set(stages.NAMED)


def test_what_decides_is_measured_by_the_runs_own_recipe() -> None:
    """A controller or an accepted change must not move a yardstick."""
    for stage in stages.TABLE:
        if stage.held_out or stage.spends:
            assert stage.recipe == "run" and not stage.trains, stage.name
