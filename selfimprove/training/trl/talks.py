"""Episodes that the weights in training play, as rows for TRL's GRPO: all that was said, and what of it the model said.

TRL calls `rollout_func` for a batch of prompts and takes from it the tokens of each row and, as `env_mask`, which of
them count in the loss. A later reply is drawn after the very tokens of the earlier ones, so that a row is what was
seen. Where an engine words earlier turns otherwise (a chat template that drops thoughts, a model without template), the
exam's prompts differ from the row by that.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from selfimprove.costs import Cost, count
from selfimprove.episodes import Episode, Turn
from selfimprove.errors import RecipeError
from selfimprove.inference.chat import end_of, ending, prompts_ids
from selfimprove.inference.decoding import Draw
from selfimprove.inference.drawn import messages_of
from selfimprove.inference.rows import between
from selfimprove.inference.weights import context_of
from selfimprove.interfaces import Sampling
from selfimprove.records import Cut, Message, Prompt, Rollout, digest
from selfimprove.training.drawing import draw_each

World = Callable[[Prompt], Episode]
"""Opens the world of a problem."""
Drawn = Callable[[list[tuple[int, ...]]], Sequence[Draw]]
"""(tokens so far of each talk) -> a reply to each."""


@dataclass
class Talk:
    """An episode in tokens, as far as it has come."""

    problem: Prompt
    world: Episode
    turn: Turn
    prompt: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    """All after the prompt: replies with their end tokens, and what the world said between them."""
    said: list[int] = field(default_factory=list)
    """For each of them 1 where the model drew it, else 0: what the world said, and what closed a thought."""
    messages: list[Message] = field(default_factory=list)
    info: Mapping[str, Any] = field(default_factory=dict)
    reward: float | None = None
    """The sum of what the world gave; None: nothing so far."""

    def rollout(self, asked: Sequence[Message]) -> Rollout:
        """The transcript, an answer to the problem."""
        prompt = self.problem if asked == self.problem.prompt else replace(self.problem, prompt=[*asked])
        return Rollout(prompt=prompt, completion=self.messages, info=dict(self.info), reward=self.reward)


@dataclass
class Once(Episode):
    """Asks a problem once, and leaves the reward to the recipe."""

    problem: Prompt

    def step(self, said: Message | None) -> Turn:
        """First the problem, then the end."""
        return Turn("solve", self.problem.prompt) if said is None else Turn(None)


def played(
    problems: Sequence[Prompt], world: World, turns: int, tokenizer: Any, draw: Drawn, context: int
) -> tuple[list[Talk], list[Rollout]]:
    """One episode with each problem, with at most so many replies, and the transcript of each.

    Args:
        context: tokens that fit into the model; a talk that fills it ends there.

    Raises:
        RecipeError: a world has several players.
    """
    worlds = [world(problem) for problem in problems]
    talks = [Talk(*each) for each in zip(problems, worlds, _stepped(worlds, [None] * len(worlds)), strict=True)]
    opened = [[*talk.turn.news] for talk in talks]
    for talk, ids in zip(talks, prompts_ids(tokenizer, opened), strict=True):
        talk.prompt = ids
    players, usual = {talk.turn.player for talk in talks}, end_of(tokenizer)
    for number in range(turns):
        going = [talk for talk in talks if talk.turn.player and len(talk.prompt) + len(talk.ids) < context]
        if not going:
            break
        made = draw([(*talk.prompt, *talk.ids) for talk in going])
        said = messages_of(tokenizer, [one.tokens for one in made])
        for talk, one, message in zip(going, made, said, strict=True):
            own = one.tokens if one.end is None else [*one.tokens, one.end]
            talk.ids += own
            talk.said += [int(place not in one.closed) for place in range(len(own))]
            talk.messages.append(message)
            talk.info = ending(tokenizer, usual, one.end)
        heard: list[Message] = [
            {"role": "assistant", "content": (Cut if one.end is None else str)(message["content"])}
            for one, message in zip(made, said, strict=True)
        ]
        answers = _stepped([talk.world for talk in going], heard)
        for talk, one, turn in zip(going, made, answers, strict=True):
            talk.turn = turn
            for value in turn.rewards.values():
                talk.reward = (talk.reward or 0.0) + value
            if turn.player is None or number + 1 == turns:
                continue
            if turn.player not in players:
                raise RecipeError("optimization.grpo.turns is for worlds with one player; this one has several")
            news = [*([] if one.end is not None else [usual]), *between(tokenizer, turn.news)]
            talk.ids += news
            talk.said += [0] * len(news)
            talk.messages += turn.news
    return talks, [talk.rollout(asked) for talk, asked in zip(talks, opened, strict=True)]


def _stepped(worlds: Sequence[Episode], said: Sequence[Message | None]) -> list[Turn]:
    """The turn of each world; slow ones are stepped side by side."""
    if not any(world.slow for world in worlds):
        return [world.step(one) for world, one in zip(worlds, said, strict=True)]
    with ThreadPoolExecutor() as threads:
        return list(threads.map(lambda world, one: world.step(one), worlds, said))


def rollout_func(
    problems: Callable[[Any, list[str]], list[Prompt]],
    world: World,
    turns: int,
    tokenizer: Any,
    sampling: Sampling,
    scored: Callable[[Any, list[Rollout]], None],
    seed: int,
    thinking_budget: int | None = None,
) -> Callable[[list[str], Any], dict[str, Any]]:
    """What GRPOTrainer takes as `rollout_func`; a row's `prompt` is the place of its problem.

    Args:
        problems: (trainer, prompts of the rows) -> the problem of each row.
        scored: told of the transcripts, with what the world has given as reward.
    """
    calls = itertools.count()

    def play(places: list[str], trainer: Any) -> dict[str, Any]:
        import torch

        model, device = trainer.accelerator.unwrap_model(trainer.model), trainer.accelerator.device.type

        def draw(asked: list[tuple[int, ...]]) -> list[Draw]:
            place = int(digest([seed, "episodes", next(calls), trainer.accelerator.process_index])[:8], 16)
            rows = trainer.args.per_device_train_batch_size
            made = draw_each(
                model,
                tokenizer,
                asked,
                sampling,
                rows,
                place,
                lambda: torch.autocast(device, dtype=torch.bfloat16, enabled=trainer.args.bf16),
                thinking_budget,
            )
            spent = Cost(completions=len(made), tokens=sum(one.count for one in made), calls=len(made))
            count(spent * trainer.accelerator.num_processes)
            return made

        asked = problems(trainer, places)
        talks, rollouts = played(asked, world, turns, tokenizer, draw, context_of(model))
        scored(trainer, rollouts)
        return {
            "prompt_ids": [talk.prompt for talk in talks],
            "completion_ids": [talk.ids for talk in talks],
            "env_mask": [talk.said for talk in talks],
            "logprobs": None,
        }

    return play
