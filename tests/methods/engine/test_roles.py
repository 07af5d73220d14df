"""A second engine answers in the roles that the recipe gives it, and in no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.loop import loop
from selfimprove.methods.refinement.revise import Revise
from selfimprove.needs import Needs
from selfimprove.recipe.compose import load

JUDGED = ("reward=judge", "reward.judge.trust=true", "reward.judge.samples=1", "rounds=1")
TWO = ("engine=[transformers,fake]", "engine.fake.roles=[judge]")


@pytest.mark.runs
def test_the_judge_is_asked_there_and_the_solver_here(
    make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, list[str]] = {"student": [], "fake": []}

    def note(name: str, engine: Any) -> None:
        plain = type(engine).draw

        def draw(self: Any, asks: Any, log: Any) -> Any:
            if self is engine:
                asked[name] += [ask.prompt.prompt[-1]["content"] for ask in asks]
            return plain(self, asks, log)

        monkeypatch.setattr(type(engine), "draw", draw)

    folder, log = make_run(*JUDGED, "engine=[student,fake]", "engine.fake.roles=[judge]", 'engine.fake.default="#y"')
    run = loop.Runner(folder, log)
    for name, engine in run.stored.recipe.engine.items():
        note(name, engine)
    run.run()
    assert asked["fake"] and all(text.startswith("J:") for text in asked["fake"])
    assert asked["student"] and not any(text.startswith("J:") for text in asked["student"])
    scores = {r.reward for group in run.stored.audit(1) for r in group}
    assert scores == {1.0}, "the judge that says yes to everything was heard"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("engine=[transformers,fake]",), "2 of 2 engines have no roles"),
        (("engine=fake", "engine.fake.roles=[judge]"), "0 of 1 engines have no roles"),
        ((*TWO,), "no method of this recipe asks in the role 'judge'; those that do: .*judge"),
        (("reward=judge", *TWO, "engine.fake.roles=[jugde]"), "no role is called 'jugde'. Did you mean 'judge'"),
        (("reward=judge", *TWO, "engine.fake.roles=[solve]"), "no role is called 'solve'"),
        (
            (
                "reward=judge",
                "engine=[transformers,fake,vllm]",
                "engine.fake.roles=[judge]",
                "engine.vllm.roles=[judge]",
            ),
            "is given to two engines, fake and vllm",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load("quickstart", overrides)


def test_the_weights_are_run_by_the_engine_without_roles() -> None:
    recipe, _ = load("quickstart", ("reward=judge", *TWO))
    assert recipe.the("engine") is recipe.engine["transformers"]
    assert recipe.helpers == {"judge": recipe.engine["fake"]}


def test_a_role_that_only_a_method_has_words_for_can_be_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Revise, "needs", lambda self: Needs(roles=("critique", "solve")))
    given = ("refinement=revise", "engine=[transformers,fake]")
    recipe, _ = load("quickstart", (*given, "engine.fake.roles=[critique]"))
    assert list(recipe.helpers) == ["critique"]
    with pytest.raises(RecipeError, match="no role is called 'solve'. Choose from: propose, hint, .*, critique"):
        load("quickstart", (*given, "engine.fake.roles=[solve]"))
    with pytest.raises(RecipeError, match="no method of this recipe asks in .* 'critique'; those that do: revise"):
        load("quickstart", (*TWO[:1], "engine.fake.roles=[critique]"))
