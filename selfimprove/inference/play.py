"""One episode: an environment and its players, each of which sees only its own conversation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from selfimprove.episodes import Episode, Played, Turn
from selfimprove.inference.outside import Told
from selfimprove.inference.routines import Step
from selfimprove.records import Message, Prompt, Rollout, changed

Speak = Callable[[Prompt, str], Awaitable[Rollout]]
"""(what a player was told so far, the player) -> what it says."""


async def play(world: Episode, turns: int, speak: Speak) -> Played:
    """Let players act in an environment until the episode is over, or for at most `turns` messages.

    A transcript with one reply keeps its log-probability; one with several replies, or with a reply drawn under another
    prompt, has none.
    """
    asked, talks = dict[str, Prompt](), dict[str, list[Message]]()
    ends = dict[str, list[int]]()
    replies, earned = dict[str, list[Rollout]](), dict[str, list[float]]()
    rewards, noted, turn = dict[str, float](), dict[str, Any](), Turn(None)
    said: Message | None = None
    heard = Told(world) if world.slow else None
    for number in range(turns + 1):
        if heard is None:
            turn = world.step(said)
        else:
            heard.said.append(said)
            turn = await Step(heard)
        noted |= turn.noted
        for name, value in turn.rewards.items():
            rewards[name] = rewards.get(name, 0.0) + value
            if name in earned:
                earned[name][-1] += value
        who = turn.player
        if who is None or number == turns:
            break
        if who in talks:
            talks[who] += turn.news
        else:
            talks[who], asked[who] = [], Prompt(prompt=list(turn.news))
        told = asked[who]
        talk = changed(told, prompt=[*told.prompt, *talks[who]]) if talks[who] else told
        reply = await speak(talk, who)
        talks[who] += reply.completion
        ends.setdefault(who, []).append(len(talks[who]) - 1)
        replies.setdefault(who, []).append(reply)
        earned.setdefault(who, []).append(0.0)
        said = {"role": "assistant", "content": reply.text}  # the world can tell a reply that was cut off
    made = {}
    for who, own in replies.items():
        last, several = own[-1], len(own) > 1
        same = not several and last.prompt.prompt == asked[who].prompt
        made[who] = changed(
            last,
            prompt=asked[who],
            completion=_noted(talks[who], zip(ends[who][:-1], own[:-1], strict=True)),
            reward=rewards.get(who),
            logprobs=last.logprobs if same else None,
            info={**last.info, "earned": earned[who]} if several else last.info,
        )
    return Played(said=made, over=turn.player is None, noted=noted)


def _noted(talk: list[Message], earlier: Iterable[tuple[int, Rollout]]) -> list[Message]:
    """A transcript in which the earlier replies say how they ended, where it was without the usual end token."""
    for place, reply in earlier:
        if reply.ended is not True:
            talk[place] = {**talk[place], "ended": reply.ended}
    return talk
