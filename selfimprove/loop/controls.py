"""The controls of the sealed exam: the same compute without training, and training without a signal.

They answer three questions. Would the start do as well if the samples of the loop were spent on votes at the exam
(arXiv:2203.11171)? How much does a round change accuracy if its rewards mean nothing? And is the champion's refinement
worth its tokens, or do plain votes of the champion do as well with as many?
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product
from typing import Any

from selfimprove import registry, training
from selfimprove.interfaces import Context, Policy
from selfimprove.loop import lineage, parts
from selfimprove.loop.history import Stored
from selfimprove.loop.step_files import write_checkpoint
from selfimprove.measures import statistics
from selfimprove.measures.equal_tokens import samples_for
from selfimprove.recipe.legs import legs_of
from selfimprove.records import Prompt, Record, Report, Rollout, read_records


def shuffled(records: Sequence[Record], seed: int) -> list[Record]:
    """The same rollouts with their rewards shuffled among those that have one."""
    scored = [
        place for place, record in enumerate(records) if isinstance(record, Rollout) and record.reward is not None
    ]
    dealt = random.Random(seed).sample(scored, len(scored))
    changed = list(records)
    for place, other in zip(scored, dealt, strict=True):
        own, given = records[place], records[other]
        assert isinstance(own, Rollout) and isinstance(given, Rollout)
        changed[place] = replace(own, reward=given.reward)
    return changed


def null(stored: Stored, given: Context) -> dict[str, float]:
    """The null round: the first round's selection and training, from the start, on shuffled rewards.

    All parts of the weights are trained, leg by leg, as in a round.
    """
    recipe = stored.at(1)[0]
    policy = stored.policy(0, given.round, given.seed, given.log)
    made = replace(given, round=1, previous=None, policy=policy, sampler=recipe.sampling)
    kept, weights = 0, made.policy.checkpoint
    for leg in legs_of(recipe):
        acquired = read_records(stored.folder.step(1, leg.step("acquisition")) / "output.jsonl")
        made = replace(made, policy=replace(made.policy, checkpoint=weights))
        records = lineage.selected(recipe.selection, leg.own(shuffled(acquired, given.seed)), made)
        kept += len(records)
        if not records:
            continue
        if recipe.parts:
            weights = parts.joined(weights, parts.optimized(recipe.optimization, leg, records, made))
        else:
            weights = training.in_turn(recipe.optimization, records, made)
    if kept:
        write_checkpoint(weights, given.folder)
    else:
        given.log.note("selection kept none of the shuffled records, so there is no null round")
    return {"kept": kept}


def compare(stored: Stored, given: Context, problems: Sequence[Prompt], reports: dict[str, Report]) -> dict[str, Any]:
    """The controls on the first `control_problems` sealed problems; {} if the loop has drawn nothing.

    Returns:
        samples: completions per problem of the start with self-consistency; drawn: completions that the loop drew for
        training, per sealed problem; problems: number of marked problems; start, votes, champion: accuracy;
        over_votes: champion minus votes; null: null round minus start, if there is one.
    """
    recipe = stored.recipe
    drawn = _drawn(stored, given.round) // max(1, len(problems))
    samples = min(recipe.control_samples, drawn)
    part = problems[: recipe.control_problems]
    if not part or samples < 1:
        return {}
    start = stored.policy(0, given.round, given.seed, given.log)
    votes = registry.find("refinement", "self_consistency").method(samples=samples)
    marked = {"start": reports["start"].scores, "champion": reports["champion"].scores}
    marked["votes"] = _marks(replace(start, chain=(votes,), states=({},)), part)
    trained = stored.null(given.round)
    if trained is not None:
        marked["null"] = _marks(replace(start, checkpoint=trained), part)
    keys = [prompt.key for prompt in part if all(prompt.key in scores for scores in marked.values())]
    columns = {name: [scores[key] for key in keys] for name, scores in marked.items()}
    if not keys:
        return {}
    found: dict[str, Any] = {"samples": samples, "drawn": drawn, "problems": len(keys)}
    for name in ("start", "votes", "champion"):
        found[name] = asdict(statistics.mean(columns[name]))
    found["over_votes"] = asdict(statistics.difference(columns["champion"], columns["votes"]))
    if trained is not None:
        found["null"] = asdict(statistics.difference(columns["null"], columns["start"]))
    return found


def equal_tokens(stored: Stored, given: Context, problems: Sequence[Prompt], champion: Report) -> dict[str, Any]:
    """The champion's refinement against votes of the champion with at least as many tokens, on the control problems.

    {} if an answer is one completion, or the refinement is itself the vote.

    Returns:
        tokens, votes_tokens: mean tokens of an answer; samples: those of the vote; refined, votes, plain: accuracy;
        over_votes: refined minus votes.
    """
    part = problems[: stored.recipe.control_problems]
    known = {rollout.prompt.key: rollout for rollout in champion.rollouts}
    answers = [known[prompt.key] for prompt in part if prompt.key in known]
    vote = registry.find("refinement", "self_consistency").method
    policy = stored.policy(stored.standing(given.round + 1).champion, given.round, given.seed, given.log)
    is_vote = len(policy.chain) == 1 and isinstance(policy.chain[0], vote)
    if is_vote or not any(one.info.get("spent", {}).get("completions", 1) > 1 for one in answers):
        return {}
    plain = policy.plain().answer(part)
    tokens, one = _tokens(answers), _tokens(plain)
    samples = samples_for(tokens, one)
    voted = replace(policy, chain=(vote(samples=samples),), states=({},)).answer(part)
    marked = {"refined": champion.scores, "votes": _marked(voted), "plain": _marked(plain)}
    keys = [prompt.key for prompt in part if all(prompt.key in scores for scores in marked.values())]
    if not keys:
        return {}
    columns = {name: [scores[key] for key in keys] for name, scores in marked.items()}
    found: dict[str, Any] = {
        "samples": samples,
        "tokens": tokens,
        "votes_tokens": _tokens(voted),
        "problems": len(keys),
    }
    found |= {name: asdict(statistics.mean(column)) for name, column in columns.items()}
    return found | {"over_votes": asdict(statistics.difference(columns["refined"], columns["votes"]))}


def _tokens(rollouts: Sequence[Rollout]) -> float:
    """Mean tokens that an answer took."""
    taken = (one.info.get("spent", {}).get("tokens", (one.logprobs or {}).get("count", 0)) for one in rollouts)
    return sum(taken) / max(1, len(rollouts))


def _drawn(stored: Stored, last: int) -> int:
    """Completions that the loop drew for training, including those of an optimization that samples during training."""
    drawn = 0
    for number, leg in product(range(1, last + 1), legs_of(stored.recipe)):
        acquired, trained = (leg.step(stage) for stage in ("acquisition", "optimization"))
        drawn += int(stored.counts(number).get(f"{acquired}/records", 0))
        online = stored.folder.manifest(number, trained).get("metrics", {})
        drawn += int(online.get(f"{leg.name}/train/completions" if leg.name else "train/completions", 0))
    return drawn


def _marks(policy: Policy, problems: Sequence[Prompt]) -> dict[str, float]:
    return _marked(policy.answer(problems))


def _marked(rollouts: Sequence[Rollout]) -> dict[str, float]:
    return {one.prompt.key: one.reward for one in rollouts if one.reward is not None}
