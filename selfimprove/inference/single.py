"""One attempt at each plain problem, without sessions: most of what exams and audits draw.

The attempts, their seeds and the engine's calls equal those of the sessions in `desk`; only the bookkeeping of routines
is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from selfimprove.episodes import Episode, Played, Question
from selfimprove.inference.waves import drawn
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
    call, weights, asks = next(policy.calls), policy.checkpoint.of(SOLVE), list[Ask]()
    # A chain's head has a seed for each episode; of plain samples, number k belongs to episode k.
    seeds = [policy.seed_at(call, *((k, ()) if policy.chain and k else ())) for k in range(how.n)]
    for problem in problems:
        blind = problem.blind()
        for k, seed in enumerate(seeds):
            first = 0 if policy.chain else k
            asks.append(Ask(checkpoint=weights, prompt=blind, first=first, sampling=sampling, seed=seed))
    engine = policy.helpers.get(SOLVE, policy.engine)
    played = list[Played]()
    for i, (world, ask, [reply]) in enumerate(zip(worlds, asks, drawn(engine, asks, policy.log), strict=True)):
        problem = problems[i // how.n]
        mark = world.step({"role": "assistant", "content": reply.text}).rewards.get(SOLVE)
        made = changed(reply, prompt=problem, role=SOLVE, reward=mark)
        own = [changed(reply, prompt=ask.prompt, role=SOLVE)] if how.training else ()
        played.append(Played(said={SOLVE: made}, over=True, drawn=own))
    return played
