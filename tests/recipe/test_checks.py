"""What the methods of a recipe declare is compared with engines and packages before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.errors import EngineError, RecipeError
from selfimprove.methods.engine.openai import OpenAI
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.engine.vllm import Vllm
from selfimprove.methods.evaluation.lm_eval import LmEval
from selfimprove.methods.refinement.greedy import Greedy
from selfimprove.methods.task.code import CodeTask
from selfimprove.needs import Needs
from selfimprove.recipe import checks, compose


class Shaped(Greedy):
    def needs(self) -> Needs:
        return Needs(engine=("shape",), roles=("judge",))


def judging(**engines: Any) -> Any:
    """The default loop with a refinement that needs a shape and asks a judge."""
    return replace(compose.load("quickstart")[0], engine=engines, refinement={"shaped": Shaped()})


def refused(recipe: Any) -> str:
    with pytest.raises(EngineError) as caught:
        checks.preflight(recipe)
    return str(caught.value)


@pytest.mark.long
def test_an_ability_that_the_engine_lacks_is_said_before_the_engine_is_looked_at() -> None:
    said = "refinement.shaped needs shape of its engine, and engine.vllm has no shape; engines that have: "
    assert refused(judging(vllm=Vllm())).startswith(said)
    assert "transformers" in refused(judging(vllm=Vllm()))
    checks.preflight(judging(transformers=Transformers(device="cpu")))
    assert EngineError.code == 69


@pytest.mark.long
def test_the_engine_of_a_role_must_have_what_its_requests_use() -> None:
    own = Transformers(device="cpu")
    assert "engine.vllm has no shape" in refused(judging(transformers=own, vllm=Vllm(roles=["judge"])))
    plain = compose.load("quickstart", ["reward=sequence_logprob"])[0]
    remote = OpenAI(base_url="http://127.0.0.1:9", model="x")
    said = refused(replace(plain, engine={"openai": remote}))
    assert said.startswith("reward.sequence_logprob needs logprobs of its engine, and engine.openai has no logprobs")
    checks.preflight(replace(judging(transformers=own, other=replace(own, roles=["judge"])), reward={}))


def test_a_policy_that_no_run_has_is_refused() -> None:
    class Elsewhere(Greedy):
        def needs(self) -> Needs:
            return Needs(policies=("start", "teacher"))

    recipe = replace(compose.load("quickstart")[0], refinement={"elsewhere": Elsewhere()})
    said = "refinement.elsewhere draws from 'teacher', and a run has no such policy; it has start, champion, before"
    with pytest.raises(RecipeError, match=said):
        checks.preflight(recipe)


def test_a_package_of_an_extra_is_named_with_it(monkeypatch: pytest.MonkeyPatch, make_recipe: Callable) -> None:
    monkeypatch.setattr("selfimprove.needs.find_spec", lambda name: None)
    recipe = replace(compose.load("quickstart")[0], evaluation={"lm_eval": LmEval(tasks=["x"])})
    assert refused(recipe) == (
        "evaluation.lm_eval needs the package lm_eval, which is not installed: pip install 'selfimprove[eval]'"
    )


def test_a_tool_that_the_task_lacks_is_refused() -> None:
    recipe = compose.load("quickstart", ["refinement=critic"])[0]
    with pytest.raises(
        RecipeError, match="refinement.critic calls the tool 'calculator', and task.chain_sums has no tools"
    ):
        checks.preflight(recipe)
    checks.preflight(compose.load("word_problems", ["refinement=critic"])[0])
    assert CodeTask(path="x.jsonl", test_tool=True).offers() == ["tests"] and not CodeTask(path="x.jsonl").offers()


def test_training_that_draws_without_the_budget_for_thoughts_is_told_of() -> None:
    for name, told in (("ttrl", 1), ("quickstart", 0)):
        recipe = compose.load(name, ["engine.transformers.device=cpu"])[0]
        assert not [note for note in checks.preflight(recipe) if "thinking_budget" in note]
        recipe.engine["transformers"].thinking_budget = 64  # type: ignore[attr-defined]
        notes = [note for note in checks.preflight(recipe) if "thinking_budget=64" in note]
        assert len(notes) == told and all("optimization.grpo.max_completion_length=" in note for note in notes)
        if told:
            recipe.optimization["grpo"].thinking_budget = 32  # type: ignore[attr-defined]
            assert not [note for note in checks.preflight(recipe) if "thinking_budget" in note]
