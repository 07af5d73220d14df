"""One attempt at each plain problem, without sessions: most of what exams and audits draw.

The attempts, their seeds and the engine's calls equal those of the sessions in `desk`; only the bookkeeping of routines
is left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from selfimprove.episodes import Episode, Played, Question
from selfimprove.interfaces import Ask, Budget, Playing, Policy, Sampling
from selfimprove.records import SOLVE, Prompt, changed


def sampling_of(policy: Policy, worlds: Sequence[Episode], how: Playing, budget: Budget) -> Sampling | None:
    """How each problem's only attempt is drawn; None if answers take more than one attempt, or have limits."""
    limited = how.opponents or how.turns < 1 or not (how.training or budget.unlimited)
    if limited or len(policy.chain) > 1 or not all(isinstance(world, Question) for world in worlds):
        return None
    sampling = policy.chain[0].single if policy.chain else how.sampling
    return None if sampling is None or sampling.shape else sampling


def play(
    policy: Policy, problems: Sequence[Prompt], worlds: Sequence[Episode], how: Playing, sampling: Sampling
) -> list[Played]:
    """The episodes of plain problems, `how.n` of each, in order.

    Args:
        worlds: the `Question` of each episode.
    """
    if policy.chain:
        policy = policy.held(policy.chain[0])
    if policy.hold is not None:
        policy.hold.use_all(sampling.needs())
    call, weights = next(policy.calls), policy.checkpoint.of(SOLVE)
    blind = [problem.blind() for problem in problems]
    # A chain's head has a seed for each episode; of plain samples, number k belongs to episode k.
    seeds = [policy.seed_at(call, *((k, ()) if k else ())) for k in range(how.n if policy.chain else 1)]
    each = how.n // len(seeds)
    asks = [
        Ask(checkpoint=weights, prompt=prompt, n=each, sampling=sampling, seed=seed)
        for prompt in blind
        for seed in seeds
    ]
    drawn = policy.helpers.get(SOLVE, policy.engine).draw(asks, policy.log)
    played = list[Played]()
    for i, (world, reply) in enumerate(zip(worlds, itertools.chain(*drawn), strict=True)):
        mark = world.step({"role": "assistant", "content": reply.text}).rewards.get(SOLVE)
        made = changed(reply, prompt=problems[i // how.n], role=SOLVE, reward=mark)
        own = [changed(reply, prompt=blind[i // how.n], role=SOLVE)] if how.training else ()
        played.append(Played(said={SOLVE: made}, over=True, drawn=own))
    return played
