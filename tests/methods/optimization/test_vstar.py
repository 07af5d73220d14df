"""`vstar`: the generator imitates what is right, the verifier beside it tells right from wrong, `best_of_n` asks it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.optimization.vstar import Vstar
from selfimprove.methods.refinement.best_of_n import BestOfN
from selfimprove.records import Checkpoint, Preference, Prompt, Rollout

QUICK: dict[str, Any] = {"learning_rate": 1e-3, "max_steps": 4, "verifier_learning_rate": 2e-3, "verifier_max_steps": 8}


@pytest.fixture
def marked(questions: list[Prompt], say: Callable) -> list[Rollout]:
    """Of four problems two right and two wrong solutions each."""
    texts = {"Answer: 8.": 1.0, "8": 1.0, "the quick": 0.0, "12": 0.0}
    return [say(prompt, text, reward=score) for prompt in questions[:4] for text, score in texts.items()]


def likelihood(rollouts: Sequence[Rollout], checkpoint: Checkpoint) -> list[float]:
    return [sum(row) for row in Transformers().logprobs_of(checkpoint, rollouts)]


@pytest.mark.runs
def test_generator_and_verifier(marked: list[Rollout], setting: Callable, small: Checkpoint) -> None:
    given = setting()
    made = Vstar(**QUICK).optimize(marked, given)
    verifier = Checkpoint(path=str(Path(made.path) / "verifier"))
    right = [place for place, rollout in enumerate(marked) if rollout.reward]
    before, after, judged = (likelihood(marked, one) for one in (small, made, verifier))
    assert sum(after[i] for i in right) > sum(before[i] for i in right) + 5
    pulls = [new - old for new, old in zip(judged, before, strict=True)]
    lead = [max(pulls[i : i + 2]) - max(pulls[i + 2 : i + 4]) for i in range(0, 16, 4)]
    assert all(one > 0.5 for one in lead)
    assert given.log.metrics["vstar/pairs"] == 16
    assert given.log.metrics["train/steps"] == 4, "the verifier's numbers are not the generator's"


def test_best_of_n_asks_the_verifier(
    marked: list[Rollout],
    small: Checkpoint,
    tmp_path: Path,
    make_policy: Callable,
    make_context: Callable,
    given_engine: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Checkpoint(path=str(tmp_path / "model"))
    for place in (made.path, f"{made.path}/verifier"):
        shutil.copytree(small.path, place)
    engine = given_engine([[replace(one, logprobs={"sum": -1.0, "count": 1}) for one in marked[:4]]])
    judge, seen = Transformers(), list[str]()

    def score(checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob") -> list[list[float]]:
        seen.append(checkpoint.path)
        return judge.logprobs_of(checkpoint, rollouts, statistic)

    monkeypatch.setattr(engine, "logprobs_of", score, raising=False)
    method = BestOfN(scorer="verifier", per_token=False)
    policy = make_policy(engine, method, checkpoint=made)
    state = method.fit(replace(make_context(), policy=policy))
    assert state == {"verifier": "verifier"}
    [chosen] = replace(policy, states=(state,)).answer([marked[0].prompt])
    marks = likelihood(marked[:4], Checkpoint(path=str(Path(made.path) / "verifier")))
    assert chosen.text == marked[marks.index(max(marks))].text
    assert seen == [str(Path(made.path) / "verifier")]


def test_weights_without_a_verifier_are_scored_by_themselves(
    marked: list[Rollout], small: Checkpoint, make_policy: Callable, make_context: Callable, given_engine: Callable
) -> None:
    group = [replace(one, logprobs={"sum": -float(place), "count": 1}) for place, one in enumerate(marked[:4])]
    method = BestOfN(scorer="verifier")
    policy = make_policy(given_engine([group]), method, checkpoint=small)
    assert method.fit(replace(make_context(), policy=policy)) == {}
    assert policy.answer([group[0].prompt])[0].text == group[0].text


def test_pairs_are_each_with_each_and_capped(marked: list[Rollout], setting: Callable) -> None:
    groups = {
        p.key: {r.text: r for r in marked if r.prompt == p} for p in {r.prompt.key: r.prompt for r in marked}.values()
    }
    pairs = Vstar()._pairs(groups, setting())
    assert len(pairs) == 16 and all(isinstance(pair, Preference) for pair in pairs)
    assert {pair.chosen[0]["content"] for pair in pairs} == {"8", "Answer: 8."}
    assert {pair.rejected[0]["content"] for pair in pairs} == {"12", "the quick"}
    assert len({(p.prompt.key, p.chosen[0]["content"], p.rejected[0]["content"]) for p in pairs}) == 16
    assert len(Vstar(pairs=3)._pairs(groups, setting("capped"))) == 12
    cut = {
        key: {t: replace(r, info={"finish_reason": "length"}) for t, r in own.items()} for key, own in groups.items()
    }
    assert {side.ended for pair in Vstar()._pairs(cut, setting("cut")) for side in pair.sides} == {False}


@pytest.mark.slow
def test_rounds_add_up_and_equal_texts_count_once(marked: list[Rollout], setting: Callable) -> None:
    still = {**QUICK, "max_steps": 1, "verifier_max_steps": 1}
    first, second = setting("first"), setting("second")
    Vstar(**still).optimize(marked, first)
    again = [replace(one, prompt=replace(one.prompt, source="seed_prompts@2")) for one in marked[:4]]
    Vstar(**still).optimize(again, replace(second, previous=first.folder))
    assert second.log.metrics["vstar/pairs"] == 16


def test_without_right_ones_it_stops_and_without_wrong_ones_there_is_no_verifier(
    marked: list[Rollout], setting: Callable
) -> None:
    with pytest.raises(DataError, match="none of 8 rollouts"):
        Vstar().optimize([one for one in marked if not one.reward], setting("wrong"))
    given = setting("right")
    made = Vstar(**QUICK).optimize([one for one in marked if one.reward], given)
    assert not (Path(made.path) / "verifier").exists() and "no verifier" in given.log.notes[0]


@pytest.mark.parametrize("options", [{"right": 0.0}, {"restart": "best"}])
def test_what_cannot_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        Vstar(**options)


def test_an_unknown_scorer_is_refused() -> None:
    with pytest.raises(RecipeError):
        BestOfN(scorer="jury")
