"""Tree search over the steps of a solution; for data stages and for answering."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from selfimprove.interfaces import Sampling, Session
from selfimprove.records import Message, Prompt, Rollout, changed
from selfimprove.text import joined, prefilled, steps_of

Value = Callable[[Sequence[Rollout], Sequence[Rollout]], Awaitable[Sequence[tuple[Rollout, float]]]]
"""(ends that were drawn, the solutions that they make) -> the solutions as they are kept, and what each is worth."""


@dataclass
class Node:
    """The first steps of a solution."""

    text: str = ""
    said: Message | None = None
    """A drawn solution that begins so."""
    above: Node | None = None
    closed: bool = False
    """Whether it is a complete solution, or has no open node below."""
    visits: int = 0
    total: float = 0.0
    below: dict[str, Node] = field(default_factory=dict)

    def leaf(self, explore: float) -> Node | None:
        """The open leaf to expand next; None if all are closed."""
        node = self
        while node.below:
            open_ = [child for child in node.below.values() if not child.closed]
            if not open_:
                node.closed = True
                return None if node.above is None else self.leaf(explore)
            visits = node.visits
            node = max(
                open_,
                key=lambda one: one.total / one.visits + explore * math.sqrt(math.log(visits) / one.visits),
            )
        return None if node.closed else node

    def add(self, step: str, value: float, whole: bool, said: Message | None = None) -> None:
        """Add a simulation with this value to a child, which is created if needed.

        Args:
            said: the solution that it makes.
        """
        node: Node | None = self.below.setdefault(step, Node(text=self.text + step, said=said, above=self))
        self.below[step].closed |= whole
        while node is not None:
            node.visits, node.total, node = node.visits + 1, node.total + value, node.above


async def search(
    prompt: Prompt,
    session: Session,
    *,
    iterations: int,
    samples: int,
    separator: str,
    explore: float,
    sampling: Sampling,
    value: Value,
    enough: Callable[[Collection[Rollout]], bool],
    root: Node | None = None,
    step_tokens: int = 0,
) -> list[Rollout]:
    """The different solutions found by a search with upper confidence bounds, in the order found.

    Args:
        iterations: most leaves to expand.
        samples: completions per leaf; the first step of each is a child, the rest is its simulation.
        enough: whether these solutions are enough to stop.
        step_tokens: if above 0, a step is that many tokens and is drawn first, the rest of its simulation afterwards;
            `separator` is not used then.
        root: the tree to grow further; None begins one. Its first completions are attempts, so another method in the
            chain may make them.
    """
    root, found = root or Node(), dict[str, Rollout]()
    for _ in range(iterations):
        leaf = None if enough(found.values()) else root.leaf(explore)
        if leaf is None:
            break
        how = replace(sampling, max_completion_length=step_tokens) if step_tokens else sampling
        if leaf is root:
            ends = await session.attempts(prompt, samples, how)
        else:
            ends = await session.draw(prefilled(prompt, leaf.text, leaf.said), samples, how)
        first = [_first(end, separator, step_tokens) for end in ends]
        if step_tokens:
            ends = await session.all([_continued(end, prompt, leaf, session, sampling) for end in ends])
        solved = await value(ends, [_whole(end, prompt, leaf) for end in ends])
        for (step, whole), (solution, worth) in zip(first, solved, strict=True):
            leaf.add(step, worth, whole=whole, said=solution.completion[-1])
            found.setdefault(solution.text, solution)
    return list(found.values())


def _first(end: Rollout, separator: str, step_tokens: int) -> tuple[str, bool]:
    """The first step of what was drawn, and whether it ends the solution."""
    if step_tokens:  # all of it; an attempt of another method in the chain is one step
        return str(end.text), not end.truncated
    steps = steps_of(end.text, separator)
    return steps[0] if steps else "", len(steps) < 2


async def _continued(step: Rollout, prompt: Prompt, leaf: Node, session: Session, sampling: Sampling) -> Rollout:
    """A step with the rest of its simulation; as it is if it ends the solution."""
    if not step.truncated:
        return step
    text, said = str(step.text), joined(leaf.text, step.completion[-1])
    [rest] = await session.draw(prefilled(prompt, leaf.text + text, said), 1, sampling)
    end = rest.completion[-1]
    message = {**end, "content": text + end["content"]} if leaf.text else joined(text, end)  # with the tokens of both
    known = [one.logprobs or {"sum": 0.0, "count": 0} for one in (step, rest)]
    both = {name: known[0][name] + known[1][name] for name in ("sum", "count")}
    return changed(rest, completion=[message], logprobs=both, ids=())


def _whole(end: Rollout, prompt: Prompt, leaf: Node) -> Rollout:
    """The solution of a simulation, without a log-probability, because its parts were drawn separately."""
    return replace(end, prompt=prompt, completion=[joined(leaf.text, end.completion[-1])], logprobs=None)
