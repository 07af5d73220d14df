"""Answers the requests of routines in waves: one call per engine, reward and set of weights.

Seeds depend only on the place of a request, so no answer depends on the rest of a wave. Engines and rewards see prompts
without reference answers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from selfimprove.costs import Cost
from selfimprove.errors import Refused
from selfimprove.inference import outside
from selfimprove.inference.apportioned import Rewards, rated
from selfimprove.inference.routines import Adapt, Call, Draw, Embed, Logprobs, Rate, Request, Step, Strand
from selfimprove.interfaces import Ask, Context, Engine, Policy, Sampling, Spent, numbered
from selfimprove.records import Rollout, changed


@dataclass
class Waves:
    """Answers the requests of one run of routines."""

    policy: Policy
    call: int
    """Number of the run among all draws of the step, as `Policy.sample` counts them."""
    rewards: Rewards
    """The recipe's rewards, without the context of a data stage."""
    context: Context | None = None
    """The context of the data stage or `fit` that runs them; None while problems are answered."""
    alike: bool = False
    """Whether equal requests of a wave are drawn once, with the next number of `Policy.sample`."""
    kept: outside.Kept = field(default_factory=dict)
    """Replies of tools and slow environments in the step, including those of an earlier attempt at it."""

    def __post_init__(self) -> None:
        self._number: int | None = self.call
        self._alive = 0
        self._seeds: dict[tuple[Any, ...], int] = {}

    def serve(self, waiting: list[Strand]) -> tuple[list[Strand], list[Strand]]:
        """Answer the requests of strands: (answered strands, strands that still wait).

        All requests of an item are handled together, so its results do not depend on other items.
        """
        done, later = list[Strand](), list[Strand]()
        kinds: dict[type[Request], Callable[[list[Strand]], list[Strand]]] = {
            Draw: self._draws,
            Logprobs: self._logprobs,
            Embed: self._embeds,
            Rate: self._rates,
            Step: self._steps,
            Call: self._calls,
            Adapt: self._adapts,
        }
        for kind, work in kinds.items():
            mine = [strand for strand in waiting if isinstance(strand.waits, kind)]
            if mine:
                served = work(mine)
                done += served
                answered = {id(strand) for strand in served}
                later += [strand for strand in mine if id(strand) not in answered]
        return sorted(done, key=lambda strand: strand.order), later

    # ---- completions ----------------------------------------------------------------------------------------------
    def _draws(self, strands: list[Strand]) -> list[Strand]:
        """Draw completions; near the end of a budget a request is answered in parts, so that it is not exceeded."""
        number, self._number = self._number, None
        if self.alike and number is None:
            number = next(self.policy.calls)
        asks, done, held = list[tuple[Strand, Engine, Ask]](), list[Strand](), dict[int, Cost]()
        shortened = set[int]()
        for strand in strands:
            want: Draw = strand.waits
            engine = want.policy.helpers.get(want.role, want.policy.engine)
            n, sampling = self._affordable(want, engine, held)
            usual = want.sampling.max_completion_length or engine.longest()
            if (sampling.max_completion_length or usual) < usual:
                shortened.add(id(strand))
            if n:
                seed, first = self._place(strand, want, n, number)
                prompt = want.prompt.blind()
                weights = want.policy.checkpoint.of(want.role)
                ask = Ask(checkpoint=weights, prompt=prompt, n=n, first=first, sampling=sampling, seed=seed)
                asks.append((strand, engine, replace(ask, beside=want.beside) if want.beside else ask))
            elif id(want.account) not in held:  # otherwise its siblings may return part of their share
                strand.value, strand.error = (want.got, None) if want.got else (None, Spent())
                want.account.cut += 1
                done.append(strand)
        for engine in {id(engine): engine for _, engine, _ in asks}.values():
            mine = [(strand, ask) for strand, own, ask in asks if own is engine]
            groups = drawn(engine, [ask for _, ask in mine], self.policy.log)
            for (strand, ask), group in zip(mine, groups, strict=True):
                strand.waits.account.cut += id(strand) in shortened and group[-1].truncated
                done += [strand] if self._received(strand, ask, group) else []
        return done

    def _affordable(self, want: Draw, engine: Engine, held: dict[int, Cost]) -> tuple[int, Sampling]:
        """The number of completions that the budget pays for now, and their sampling; the last one may be truncated."""
        account, n = want.account, want.n - len(want.got)
        if account.budget.unlimited:
            return n, want.sampling
        taken = held.get(id(account), Cost())
        limit = want.sampling.max_completion_length or engine.longest()
        tokens = account.left.tokens - taken.tokens
        few = account.left.completions - taken.completions
        n = int(min(n, few, tokens // limit))
        if n < 1 and not taken.tokens and few >= 1 and tokens >= 1:
            n, limit = 1, int(tokens)
        if n < 1:
            return 0, want.sampling
        held[id(account)] = taken + Cost(completions=n, tokens=n * limit)
        return n, replace(want.sampling, max_completion_length=limit)

    def _place(self, strand: Strand, want: Draw, n: int, number: int | None) -> tuple[int, int]:
        """The seed of a request and the number of its first sample."""
        policy, episode = self.policy, strand.item[-1]
        if self.alike:
            return policy.seed_at(number), len(want.got)
        if not want.stream:
            return self._seed(*strand.item, strand.path, strand.count), len(want.got)
        prompt = want.prompt.blind().id
        first = strand.streams.get(prompt, 0)
        strand.streams[prompt] = first + n
        own = (
            [] if prompt == strand.item[0] else [strand.item[0]]
        )  # other problems may be asked the same in their worlds
        if not policy.chain and self.context is None and not strand.path:  # plain samples: number k is of episode k
            return self._seed(*own, *([first] if first else [])), episode
        place = (episode, strand.path) if episode or strand.path else ()  # the head of a chain draws as `sample` does
        return self._seed(*own, *place), first

    def _seed(self, *place: Any) -> int:
        """The seed of a place in this run of routines; most requests of a wave share one."""
        if place not in self._seeds:
            self._seeds[place] = self.policy.seed_at(self.call, *place)
        return self._seeds[place]

    def _received(self, strand: Strand, ask: Ask, group: list[Rollout]) -> bool:
        """Record the completions; returns whether the request is answered."""
        want: Draw = strand.waits
        new = [
            one
            if one.prompt is want.prompt and one.role == want.role
            else changed(one, prompt=want.prompt, role=want.role)
            for one in group
        ]
        want.got += new
        limit = ask.sampling.max_completion_length or 0
        tokens = sum(int((one.logprobs or {}).get("count", limit)) for one in group)
        want.account.spent += Cost(completions=len(group), tokens=tokens)
        want.account.drawn += [((strand.path, strand.count), one) for one in new]
        if len(want.got) < want.n and len(group) == ask.n:
            return False  # the budget pays for more in another call
        strand.value = want.got
        return True

    # ---- all else -------------------------------------------------------------------------------------------------
    def _logprobs(self, strands: list[Strand]) -> list[Strand]:
        alike: dict[Any, list[Strand]] = {}
        for strand in strands:
            want: Logprobs = strand.waits
            alike.setdefault((id(want.policy.engine), want.policy.checkpoint.path, want.statistic), []).append(strand)
        for some in alike.values():
            want = some[0].waits
            rows = iter(want.policy.logprobs_of([one for s in some for one in s.waits.rollouts], want.statistic))
            for strand in some:
                strand.value = list(itertools.islice(rows, len(strand.waits.rollouts)))
                strand.account.spent += Cost(scored=len(strand.value))
        return strands

    def _embeds(self, strands: list[Strand]) -> list[Strand]:
        alike: dict[Any, list[Strand]] = {}
        for strand in strands:
            want: Embed = strand.waits
            alike.setdefault((id(want.policy.engine), want.policy.checkpoint.path), []).append(strand)
        for some in alike.values():
            texts = list(dict.fromkeys(text for strand in some for text in strand.waits.texts))
            rows = some[0].waits.policy.engine.embed(some[0].waits.policy.checkpoint, texts)
            places = {text: place for place, text in enumerate(texts)}
            for strand in some:
                strand.value = rows[[places[text] for text in strand.waits.texts]]
        return strands

    def _rates(self, strands: list[Strand]) -> list[Strand]:
        for by in {strand.waits.by: None for strand in strands}:
            some = [strand for strand in strands if strand.waits.by == by]
            if not by:
                if self.context is None:
                    raise Refused("the recipe's whole reward may need reference answers: name one in session.rate")
                scored = iter(self.context.reward([one for s in some for one in s.waits.rollouts]))
                for strand in some:
                    strand.value = list(itertools.islice(scored, len(strand.waits.rollouts)))
                continue
            groups = [[changed(one, prompt=one.prompt.blind()) for one in strand.waits.rollouts] for strand in some]
            # A judge uses one seed, so its judgement depends on the attempt alone.
            judge = replace(self.policy, seed=self.policy.seed_at(self.call, "rate", by), calls=itertools.count())
            for strand, *made in zip(some, *rated(self.rewards, by, groups, judge), strict=True):
                strand.value = tuple(made)
        return strands

    def _steps(self, strands: list[Strand]) -> list[Strand]:
        outside.steps(strands, self.kept, self.call)
        return strands

    def _calls(self, strands: list[Strand]) -> list[Strand]:
        outside.calls(strands, self.kept, self.call)
        return strands

    def _adapts(self, strands: list[Strand]) -> list[Strand]:
        """Make as many copies as may exist; other strands wait until one is released."""
        done = list[Strand]()
        for strand in strands:
            want: Adapt = strand.waits
            if want.policy.copies is not None and self._alive >= want.policy.copies.most:
                continue
            kept = ExitStack()
            copy = kept.enter_context(want.policy.adapted(want.rows, want.schedule))
            self._alive += 1
            kept.callback(self._gone)
            strand.value = copy, kept.close
            done.append(strand)
        return done

    def _gone(self) -> None:
        self._alive -= 1


def drawn(engine: Engine, asks: Sequence[Ask], log: Any) -> list[list[Rollout]]:
    """One call of an engine for all asks; asks that differ only in their sample numbers are merged.

    Equal asks stay separate, because the engine draws them once.
    """
    alike, seen = dict[Any, list[int]](), dict[Any, int]()
    for i, (ask, kind) in enumerate(zip(asks, numbered([ask.sampling for ask in asks]), strict=True)):
        beside = tuple((name, one.path) for name, one in sorted(ask.beside.items())) if ask.beside else ()
        key = (ask.seed, ask.prompt.id, ask.checkpoint.path, beside, kind)
        again = seen[key, ask.first] = seen.get((key, ask.first), 0) + 1
        alike.setdefault((key, again), []).append(i)
    whole = list[Ask]()
    for places in alike.values():
        if len(places) == 1:
            whole.append(asks[places[0]])
            continue
        some = [asks[i] for i in places]
        first, last = min(ask.first for ask in some), max(ask.first + ask.n for ask in some)
        whole.append(replace(some[0], first=first, n=last - first))
    groups: list[list[Rollout]] = [[] for _ in asks]
    for places, one, group in zip(alike.values(), whole, engine.draw(whole, log), strict=True):
        for i in places:
            groups[i] = group[asks[i].first - one.first : asks[i].first - one.first + asks[i].n]
    return groups
