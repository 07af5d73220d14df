"""Answers the requests of a batch: plain samples of all with one call of the engine, refined answers by sessions."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from selfimprove.episodes import Question
from selfimprove.inference.single import sampling_of
from selfimprove.interfaces import Ask, Budget, Engine, Log, Playing, Policy
from selfimprove.records import Checkpoint, Prompt, Rollout
from selfimprove.serving.requests import Asked
from selfimprove.text import plain

Hear = Callable[[int, int, int], object]
"""(answer of the request, place in it, token), called in the thread of the engine."""


@dataclass(frozen=True)
class Wanted:
    """A request and who hears its tokens while they are drawn; None: nobody."""

    asked: Asked
    hear: Hear | None = None


Coming = Callable[[], Sequence[Wanted]]
"""The requests that have come since the last call."""
Ended = Callable[[int, list[Rollout]], object]
"""(number of the request, its answers), called in the thread of the engine."""


def answer(policy: Policy, wanted: Sequence[Wanted]) -> list[list[Rollout]]:
    """The answers to each request: those of its first prompt, then those of the next.

    An answer depends on its own request only, not on what else is in the batch. Refined answers to the same messages
    are the same, as in an exam; plain samples without a seed are new each time.

    Args:
        policy: with its refinements.
    """
    groups: list[list[Rollout]] = [[] for _ in wanted]
    drawn = [place for place, one in enumerate(wanted) if one.asked.plain or _single(policy)]
    asks, owners = list[Ask](), list[int]()
    for place in drawn:
        made = _asks(policy, wanted[place])
        asks += made
        owners += [place] * len(made)
    if asks:
        engine = policy.helpers.get("solve", policy.engine)
        for place, group in zip(owners, engine.draw(asks, policy.log), strict=True):
            groups[place] += group
    refined: dict[tuple[int, int | None, int], list[int]] = {}
    for place in sorted(set(range(len(wanted))) - set(drawn)):
        asked = wanted[place].asked
        refined.setdefault((asked.limit, asked.seed, asked.n), []).append(place)
    for (limit, seed, n), places in refined.items():
        problems = [problem(talk) for place in places for talk in wanted[place].asked.talks]
        made = iter(_refined(policy, problems, limit, seed, n))
        for place in places:
            groups[place] = [next(made) for _ in range(wanted[place].asked.rows)]
    return groups


def joins(policy: Policy, wanted: Wanted) -> bool:
    """Whether a request can join others that are being drawn: its answer is one attempt, and the engine takes it."""
    return "join" in policy.helpers.get("solve", policy.engine).can and (wanted.asked.plain or _single(policy))


def draw_coming(policy: Policy, coming: Coming, ended: Ended) -> None:
    """Answer the requests that come, each as soon as its answer is drawn, until nothing is left.

    Args:
        coming: gives the requests that have come since the last call, of which all can join others.
        ended: called with the number of a request, in order of their coming from 0, and its answers.
    """
    parts, owners, count = dict[int, dict[int, Rollout]](), list[tuple[int, int, int]](), 0

    def asks() -> list[Ask]:
        nonlocal count
        made = list[Ask]()
        for wanted in coming():
            some = _asks(policy, wanted)
            owners.extend((count, place, len(some)) for place in range(len(some)))
            parts[count] = {}
            count += 1
            made += some
        return made

    def drawn(number: int, group: list[Rollout]) -> None:
        owner, place, of = owners[number]
        parts[owner][place] = group[0]
        if len(parts[owner]) == of:
            got = parts.pop(owner)
            ended(owner, [got[i] for i in range(of)])

    policy.helpers.get("solve", policy.engine).draw_coming(asks, drawn, policy.log)


def problem(talk: Sequence[Any]) -> Prompt:
    """The messages of a request as a problem without an answer."""
    return Prompt(prompt=[*talk], key=plain(talk))


def streams(policy: Policy, asked: Asked) -> bool:
    """Whether the tokens of a request's answers can be heard while they are drawn."""
    return "stream" in policy.engine.can and (asked.plain or _single(policy))


def _single(policy: Policy) -> bool:
    """Whether the refinements draw one attempt and give it as it is."""
    return bool(policy.chain) and sampling_of(policy, [], Playing(), Budget()) is not None


def _asks(policy: Policy, wanted: Wanted) -> list[Ask]:
    """The requests to the engine for a request of a client."""
    asked, made = wanted.asked, list[Ask]()
    sampling = asked.sampling
    if not asked.plain:
        own = policy.chain[0].single
        assert own is not None
        sampling = replace(own, max_completion_length=min(own.max_completion_length or asked.limit, asked.limit))
    seed = policy.seed if not asked.plain else asked.seed
    seed = secrets.randbits(62) if seed is None else seed
    for number, talk in enumerate(asked.talks):
        for k in range(asked.n):
            told = wanted.hear and partial(wanted.hear, number * asked.n + k)
            made.append(
                Ask(
                    checkpoint=policy.checkpoint.of("solve"),
                    prompt=problem(talk).blind(),
                    first=k,
                    sampling=sampling,
                    seed=seed,
                    hear=told,
                )
            )
    return made


def _refined(policy: Policy, problems: list[Prompt], limit: int, seed: int | None, n: int) -> list[Rollout]:
    """n refined answers to each problem, which is asked once and not marked."""
    if limit < policy.engine.longest():
        policy = replace(policy, engine=Capped(policy.engine, limit))
    policy = replace(policy, calls=itertools.count(), seed=policy.seed if seed is None else seed)
    how = Playing(n=n, world=lambda one: Question(one, lambda prompt, text: None))
    return [played.rollout for played in policy.desk.play(policy, problems, how)]


class Capped(Engine):
    """The same engine; each completion has at most `limit` tokens."""

    def __init__(self, engine: Engine, limit: int) -> None:
        self.engine, self.limit = engine, limit
        self.can = engine.can  # pyright: ignore[reportAttributeAccessIssue]  # its class stands for any engine

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        """See `Engine.draw`."""
        most = [min(ask.sampling.max_completion_length or self.limit, self.limit) for ask in asks]
        return self.engine.draw(
            [
                replace(ask, sampling=replace(ask.sampling, max_completion_length=length))
                for ask, length in zip(asks, most, strict=True)
            ],
            log,
        )

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        """See `Engine.logprobs_of`."""
        return self.engine.logprobs_of(checkpoint, rollouts, statistic)

    def embed(self, checkpoint: Checkpoint, texts: Sequence[str]) -> Any:
        """See `Engine.embed`."""
        return self.engine.embed(checkpoint, texts)

    def longest(self) -> int:
        """See `Engine.longest`."""
        return self.limit
