"""Turn requests into jobs without duplicates, and results back into rollouts; used by the local engines."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from selfimprove.errors import RecipeError
from selfimprove.inference.chat import closing, end_of, ending, prefilled_ids, prompts_ids
from selfimprove.inference.decoding import Draw, Row
from selfimprove.inference.drawn import messages_of
from selfimprove.inference.opened import is_open, said_by
from selfimprove.interfaces import Ask, Engine, Sampling
from selfimprove.records import Message, Rollout

Key = tuple[int, Sampling, int, int]
"""The key of a completion among those of one prompt: number, sampling, limit and seed."""


@dataclass
class Job:
    """All completions that one policy draws for one prompt."""

    prompt: tuple[int, ...]
    places: dict[Key, int] = field(default_factory=dict)
    drawn: list[Draw] = field(default_factory=list)
    """The completions in the order of `places`, once they are drawn."""
    heard: dict[Key, list[Callable[[int, int], object]]] = field(default_factory=dict)
    """Who hears the tokens of a completion while it is drawn, see `Ask.hear`."""

    @property
    def rows(self) -> list[Row]:
        return [Row(self.prompt, *key, hear=tuple(self.heard.get(key, ()))) for key in self.places]

    def leave(self) -> None:
        """Leave the job without completions, because the prompt fills the context."""
        self.drawn = [Draw([], 0.0, 0, None) for _ in self.places]


def refuse(engine: Engine, samplings: Iterable[Sampling]) -> None:
    """Check requests before anything is drawn.

    Raises:
        RecipeError: a sampling needs an ability that the engine lacks.
    """
    for sampling in {id(one): one for one in samplings}.values():
        wanted = {"stop": sampling.stop, "tops": sampling.tops or sampling.note}
        wanted |= {"pattern": sampling.pattern, "shape": sampling.shape}
        for ability in (name for name, asked in wanted.items() if asked):
            if ability not in engine.can:
                what = {"stop": "stop strings", "tops": "notes on tokens"}.get(ability, f"{ability}s")
                raise RecipeError(f"engine.{type(engine).__name__.lower()} has no {what}: use engine=transformers")


def policies(asks: Sequence[Ask]) -> list[list[int]]:
    """The positions of the asks, grouped by weights and by the policies beside them."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, ask in enumerate(asks):
        shape = ask.sampling.shape
        names = shape.beside if shape else ()
        if missing := [name for name in names if name not in ask.beside]:
            raise RecipeError(f"{type(shape).__name__} needs the policy {missing[0]!r} beside the one that draws")
        beside = tuple((name, ask.beside[name].path) for name in sorted(names))
        groups.setdefault((ask.checkpoint.path, beside), []).append(i)
    return list(groups.values())


def jobs_of(asks: Sequence[Ask], tokenizer: Any, limit: int) -> tuple[list[Job], list[Job]]:
    """The job of each ask, and the different jobs by the length of their prompts.

    Args:
        limit: tokens per completion, unless the sampling has its own limit.
    """
    known: dict[tuple[int, ...], Job] = {}
    mine, asks = [], _stopped(asks, tokenizer)
    for ask, ids in zip(asks, prompts_ids(tokenizer, [ask.prompt.prompt for ask in asks]), strict=True):
        one = tuple(ids)
        job = known.setdefault(one, Job(one))
        for key in keys_of(ask, limit):
            job.places.setdefault(key, len(job.places))
        if ask.hear is not None:
            job.heard.setdefault(keys_of(ask, limit)[0], []).append(ask.hear)
        mine.append(job)
    return mine, sorted(known.values(), key=lambda job: (len(job.prompt), job.prompt))


def keys_of(ask: Ask, limit: int) -> list[Key]:
    """The keys of an ask's completions in its job; greedy samples of one prompt are equal."""
    sampling, limit = ask.sampling, ask.sampling.max_completion_length or limit
    if sampling.temperature == 0:
        return [(0, sampling, limit, 0)]
    return [(sample, sampling, limit, ask.seed) for sample in range(ask.first, ask.first + ask.n)]


def answers(asks: Sequence[Ask], jobs: Sequence[Job], tokenizer: Any, limit: int) -> list[list[Rollout]]:
    """The rollouts of each ask, from the completions of its job."""
    asks, usual, groups = _stopped(asks, tokenizer), end_of(tokenizer), list[list[Rollout]]()
    for ask, job, messages in zip(asks, jobs, _said(asks, jobs, tokenizer), strict=True):
        places = [job.places[key] for key in keys_of(ask, limit)]
        drawn = [(messages[place], job.drawn[place]) for place in places]
        groups.append([_rollout(ask, *drawn[i % len(drawn)], tokenizer, usual) for i in range(ask.n)])
    return groups


def _said(asks: Sequence[Ask], jobs: Sequence[Job], tokenizer: Any) -> list[list[Message]]:
    """The messages of each ask's job, made by two calls of the tokenizer; asks with one job and one beginning share."""
    ids = prefilled_ids(tokenizer, [ask.prompt.prompt for ask in asks])
    heads = [(ask.prompt.prompt[-1]["content"] if own else "", own) for ask, own in zip(asks, ids, strict=True)]
    keys = [(id(job), text, len(own)) for job, (text, own) in zip(jobs, heads, strict=True)]
    different = {key: (job, head) for key, job, head in zip(keys, jobs, heads, strict=True)}
    lines = [draw.tokens for job, _ in different.values() for draw in job.drawn]
    prefills = [head for job, head in different.values() for _ in job.drawn] if any(ids) else None
    made = iter(messages_of(tokenizer, lines, prefills))
    known = {key: [next(made) for _ in job.drawn] for key, (job, _) in different.items()}
    opens = {key for ask, key in zip(asks, keys, strict=True) if is_open(ask.prompt.prompt)}
    if opens:
        mark = closing(tokenizer)
        known |= {key: [said_by(tokenizer, draw.tokens, mark) for draw in different[key][0].drawn] for key in opens}
    return [known[key] for key in keys]


def _stopped(asks: Sequence[Ask], tokenizer: Any) -> Sequence[Ask]:
    """The asks, with a stop string for those with an open message, if the template closes it with a text."""
    if not any(is_open(ask.prompt.prompt) for ask in asks) or not (text := closing(tokenizer)[1]):
        return asks
    return [
        replace(ask, sampling=replace(ask.sampling, stop=(*ask.sampling.stop, text)))
        if is_open(ask.prompt.prompt)
        else ask
        for ask in asks
    ]


def _rollout(ask: Ask, message: Message, draw: Draw, tokenizer: Any, usual: int) -> Rollout:
    stopped = {"finish_reason": "stop", "stop_string": draw.stop} if draw.stop else None
    return Rollout(
        prompt=ask.prompt,
        completion=[message],
        logprobs={"sum": round(draw.logprob, 4), "count": draw.count},
        info=stopped or ending(tokenizer, usual, draw.end),
        ids=array("i", draw.tokens),
        noted=draw.noted,
        tops=[_texts(line, tokenizer) for line in draw.tops],
    )


def _texts(line: Sequence[tuple[int, float]], tokenizer: Any) -> dict[str, float]:
    """Texts of tokens with their log-probabilities, most likely first; the more likely of two equal texts counts."""
    found: dict[str, float] = {}
    for token, value in line:
        found.setdefault(tokenizer.decode([token]), value)
    return found
