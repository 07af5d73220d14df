"""Completions that the weights in training draw for problems, with the recipe's reward: all, or those of a sampler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from selfimprove.interfaces import Context
from selfimprove.records import Prompt
from selfimprove.training.native.loop import Drawn, Live
from selfimprove.training.native.policy_gradient import Play
from selfimprove.training.native.turns import Turn, batches
from selfimprove.training.steering import Steered, steered


def answers(method: Drawn, prompts: Sequence[Prompt], context: Context) -> Play:
    """Draws of `num_generations` completions of each prompt, side by side, with the recipe's reward."""

    def play(live: Live) -> Iterator[Sequence[Turn]]:
        for asked in live.copies(prompts, method.num_generations):
            yield rewarded(live.draw(asked), asked, context)

    guide = steered(prompts, context)
    return play if guide is None else partial(_steered_answers, guide, prompts, context, method.num_generations)


def _steered_answers(
    guide: Steered, prompts: Sequence[Prompt], context: Context, each: int, live: Live
) -> Iterator[Sequence[Turn]]:
    """The same for the prompts that a sampler chooses; completions of groups that do not count lose their reward."""

    def drawn(places: Sequence[int]) -> tuple[list[list[Turn]], list[bool]]:
        asked = [prompts[place] for place in places for _ in range(each)]
        groups = batches(rewarded(live.draw(asked), asked, context), each)
        return groups, guide.seen(places, [[turn.reward for turn in group] for group in groups])

    try:
        while True:
            groups, counted = drawn(guide.step(live.rows_per_step // each))
            for _ in range(guide.again):
                stale = [place for place, counts in enumerate(counted) if not counts]
                if not stale:
                    break
                fresh, verdicts = drawn(guide.more(len(stale)))
                for place, group, counts in zip(stale, fresh, verdicts, strict=True):
                    groups[place], counted[place] = group, counts
            yield [
                turn if counts else replace(turn, reward=None)
                for group, counts in zip(groups, counted, strict=True)
                for turn in group
            ]
    finally:
        guide.report()


def rewarded(turns: Sequence[Turn], problems: Sequence[Prompt], context: Context) -> list[Turn]:
    """The turns with the recipe's reward as answers to these problems, whatever their own prompts are."""
    given = [replace(turn.rollout, prompt=problem) for turn, problem in zip(turns, problems, strict=True)]
    scores = [one.reward for one in context.reward(given)]
    return [
        replace(turn, rollout=replace(turn.rollout, reward=score), reward=score)
        for turn, score in zip(turns, scores, strict=True)
    ]
