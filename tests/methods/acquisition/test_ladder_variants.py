"""Trees of easier variants: one parent each, no cycle, the roots kept."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from selfimprove.inference.easier import HEATS
from selfimprove.methods.acquisition.ladder_variants import LadderVariants
from selfimprove.methods.task.word_problems import WordProblems
from selfimprove.problems import stories
from selfimprove.problems.splits import split_of

TASK = WordProblems(min_length=4, max_length=4, asides=0)


def test_the_tree_goes_down_step_by_step(make_story_context: Callable) -> None:
    heats, source = list[float](), Random(0)

    def says(text: str, ask: Any) -> str:
        heats.append(ask.sampling.temperature)
        story = stories.read(text.removeprefix("K:")[:-1])
        assert story is not None
        key = next(stories.sums(len(story.steps) - 1, source)) if len(story.steps) > 1 else story.key
        return str(stories.told(key, 0, source))

    roots, context = TASK.problems("train", 5, 0), make_story_context(says)
    made: Any = LadderVariants(variants=3, depth=3).acquire(roots, context)
    known = {one.id: one for one in made}
    assert made[:5] == roots and len({p.key for p in made}) == len(made) > 20
    for one in made[5:]:
        [parent] = one.parents
        step, root = one.info["step"], known[one.info["root"]]
        assert root in roots and step == known[parent].info.get("step", 0) + 1 <= 3
        assert one.info["level"] < known[parent].info["level"] and split_of(one.key) == "train"
    assert sorted(heats[:15]) == sorted([*HEATS[:3]] * 5)  # three variants of each root, one wave for each
    assert context.log.metrics["ladder_variants/step_1"] == sum(p.info.get("step") == 1 for p in made)


def test_an_echo_of_the_problem_makes_no_tree(make_story_context: Callable) -> None:
    roots = TASK.problems("train", 3, 0)
    context = make_story_context(lambda text, ask: text.removeprefix("K:")[:-1])
    assert list(LadderVariants(variants=2, depth=2, roots=False).acquire(roots, context)) == []
