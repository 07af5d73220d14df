"""The work of each step of a round: read earlier steps, call the recipe's methods, write into the step's folder.

Each step is a function (stored run, context) -> counts; if a round runs the stage in legs, the leg is its third
argument. The runner commits the folder. examination.py has the steps of the evaluation layer, start_model.py that of
the start weights.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from selfimprove import training
from selfimprove.errors import DataError
from selfimprove.interfaces import Context, Judging, Log, Policy
from selfimprove.logs import MetricLog, Silent
from selfimprove.loop import certificate, controls, first_look, held_out, lineage, parts, stages, start_model
from selfimprove.loop import examination as layer
from selfimprove.loop.examination import Counts
from selfimprove.loop.given import context_of
from selfimprove.loop.history import Stored
from selfimprove.loop.step_files import write_checkpoint
from selfimprove.measures import judge_reliability
from selfimprove.problems.splits import split_of
from selfimprove.recipe.legs import Leg, legs_of
from selfimprove.recipe.schema import Recipe
from selfimprove.records import Preference, Prompt, Record, Rollout, write_records
from selfimprove.rounds import AuditForm, Stop
from selfimprove.store.seal import draft


def threads(recipe: Recipe) -> None:
    """Set the number of CPU threads that the model asks for, whether or not torch is already loaded."""
    wanted = recipe.the("model").cpu_threads()
    if wanted:
        os.environ["OMP_NUM_THREADS"] = str(wanted)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(wanted)


def deterministic() -> None:
    """Restrict torch to deterministic algorithms; an operation without one raises an error."""
    import torch

    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def context(stored: Stored, number: int, stage: str, folder: Path, log: Log) -> Context:
    """The context of the methods of a step."""
    before, seed = stored.folder.step(number - 1, stage), stored.seed(number, stage)
    newest = stored.newest(number, stage) if stages.stage_of(stage).each_part else None
    made = context_of(
        stored.at(number)[0],
        stored.policy(stored.standing(number).incumbent, number, seed, log, newest),
        stored.checkpoint(0),
        number=number,
        rounds=stored.recipe.rounds,
        seed=seed,
        train_seed=lambda of_round: stored.seed("train", of_round),
        selection_seed=stored.seed("selection"),
        folder=folder,
        previous=before if before.exists() else None,
        log=log,
    )
    stored.given = made
    return made


def acquisition(stored: Stored, given: Context, leg: Leg) -> Counts:
    """Run the chain, drop records of held-out problems, reward the others."""
    forms = _admitted(stored, given)
    records = lineage.acquired(leg.acquisition, given)
    task = stored.recipe.the("task")
    for note in task.notes() if given.round == 1 and task.published() else ():  # local data was told of before the run
        given.log.note(note)
    clean, dropped = held_out.without(records, stored, given)
    done = rewarded(clean, given)
    write_records(given.folder / "output.jsonl", done)
    stored.pass_on(given.round, leg.step("acquisition"), done)
    for name, form in forms.items():
        marks = [r.info["rewards"][name] for r in done if isinstance(r, Rollout) and "rewards" in r.info]
        known = [mark for mark in marks if mark is not None]
        rate = judge_reliability.corrected(sum(mark > 0.5 for mark in known), len(known), form.judge)
        for part in ("value", "low", "high") if rate else ():
            given.log.metric(f"{name}/corrected_rate/{part}", getattr(rate, part))
    tokens = sum((r.logprobs or {}).get("count", 0) for r in done if isinstance(r, Rollout))
    return {"records": len(done), **dropped, "tokens": tokens}


def rewarded(records: Sequence[Record], given: Context) -> list[Record]:
    """The records, with the recipe's reward on every rollout that was not asked for one yet."""
    asked = iter(given.reward([record for record in records if isinstance(record, Rollout) and record.unrated]))
    return [next(asked) if isinstance(record, Rollout) and record.unrated else record for record in records]


def acquired_by(stored: Stored, leg: Leg, given: Context, policy: Policy, number: int) -> list[Record]:
    """The acquisition of a leg once more, by other weights: see `Context.acquire`. It reports nothing."""
    problems = partial(_further, given.problems, number)
    now = replace(given, policy=policy, seed=policy.seed, log=Silent(), problems=problems)
    records = lineage.acquired(leg.acquisition, now)
    return rewarded(leg.own(held_out.without(records, stored, now)[0]), now)


def _further(problems: Callable[[int | None, int], list[Prompt]], number: int, n: int | None, of: int) -> list[Prompt]:
    """The training problems of draw `number` in a round; no round has so many draws that two get the same."""
    return problems(n, of + number * 10**6)


def _admitted(stored: Stored, given: Context) -> dict[str, AuditForm]:
    """The audit forms of this round's judges, from the audit of the policy that it trains from.

    Raises:
        DataError: a judge that selects data failed its form.
    """
    maker, forms = _forms(stored, given.round)
    for name, reward in stored.at(given.round)[0].reward.items():
        form = forms.get(name)
        failure = form.failure if form else "there was no audit"
        if not isinstance(reward, Judging) or not reward.weight or not failure:
            continue
        if reward.trust:
            given.log.note(f"reward {name} is trusted although it failed its audit form in round {maker}: {failure}")
            continue
        ways = ["use another reward", *(["raise audit_problems"] if form is None or form.short else [])]
        ways.append(f"start a new run with reward.{name}.trust=true to use the judge anyway")
        if given.round > 1:
            resume = f"selfimprove resume {stored.folder.root} --rounds {given.round - 1}"
            ways.append(f"end the run with its exam now: {resume}")
        raise DataError(
            f"reward {name} may not select data, because it failed its audit form in round {maker}: {failure}. "
            f"You can {', or '.join(ways)}"
        )
    return forms


def _forms(stored: Stored, number: int) -> tuple[int, dict[str, AuditForm]]:
    """The round whose policy judges in a round, and its audit forms."""
    maker = stored.standing(number).incumbent
    return maker, stored.judges(maker)


def untested(stored: Stored, number: int) -> str:
    """Why a judge cannot be tested for a round: too few right or wrong attempts are left. Else ""."""
    maker, forms = _forms(stored, number)
    for name in stored.at(number)[0].reward:
        form = forms.get(name)
        if form and form.short and form.binding:
            return f"reward {name} cannot be tested on the audit of round {maker} for round {number}: {form.failure}"
    return ""


def selection(stored: Stored, given: Context, leg: Leg) -> Counts:
    """Run the chain; also mark the kept records by the task's own rule, to report the label precision."""
    offered = leg.own(stored.records(given.round, leg.step("acquisition")))
    records = lineage.selected(stored.at(given.round)[0].selection, offered, given)
    records, left_out = held_out.without(records, stored, given)  # a selection may create records
    write_records(given.folder / "output.jsonl", records)
    stored.pass_on(given.round, leg.step("selection"), records)
    counts: Counts = {"given": len(offered), "kept": len(records), **{name: n for name, n in left_out.items() if n}}
    for name, bad in (("given", _planted(offered)), ("kept", _planted(records))):
        counts |= {f"planted/{kind}/{name}": n for kind, n in sorted(bad.items())}
    marks = [
        given.verify(record.prompt, (record if isinstance(record, Rollout) else record.sides[0]).text)
        for record in records
        if isinstance(record, Rollout | Preference)
    ]
    known = [mark for mark in marks if mark is not None]
    return counts | ({"label_precision": sum(known) / len(known)} if known else {})


def _planted(records: Sequence[Record]) -> Counter[str]:
    """How many records were spoiled on purpose, in each way: so that it can be seen what a selection finds."""
    return Counter(record.info["planted"] for record in records if "planted" in record.info)


def optimization(stored: Stored, given: Context, leg: Leg) -> Counts:
    """Train a candidate on the selected records."""
    records = stored.records(given.round, leg.step("selection"))
    recipe, given = stored.at(given.round)[0], replace(given, acquire=partial(acquired_by, stored, leg, given))
    given = replace(given, sampler=recipe.sampling)
    if not recipe.parts:
        write_checkpoint(training.in_turn(recipe.optimization, records, given), given.folder)
        return {"records": len(records)}
    made = parts.optimized(recipe.optimization, leg, records, given)
    for folder, own in made.values():
        if folder != given.folder and folder.exists():
            write_checkpoint(own, folder)
    write_checkpoint(parts.joined(given.policy.checkpoint, made), given.folder)
    counts = {f"records/{role}": sum(leg.part_of(one) == role for one in records) for role in made}
    return {"records": len(records), **counts}


def refinement(stored: Stored, given: Context) -> Counts:
    """Let the refinements learn their state for the new weights."""
    chain = stored.at(given.round)[0].refinement
    learned = stored.learned(stored.standing(given.round).incumbent)  # the state of a rejected candidate is dropped
    states = [learned.get(name, {}) for name in chain]
    newest = stored.policy(given.round, given.round, given.seed, given.log)
    for place, method in enumerate(chain.values()):
        policy = replace(newest, states=tuple(states))
        states[place] = method.fit(replace(given, policy=policy.held(method), state=states[place], place=place))
    draft(given.folder / "state.json", states if len(states) > 1 else states[0])
    return {}


def controller(stored: Stored, given: Context) -> Counts:
    """The controllers' settings for the next round: the overrides of all in order, or the first stop."""
    current, settings = stored.at(given.round)
    history, overrides = stored.history(given.round + 1), dict[str, Any]()
    for method in current.controller.values():
        said = method.next(history, settings)
        if isinstance(said, Stop):
            draft(given.folder / "next.json", {"stop": said.reason})
            return {}
        overrides |= said
    if overrides and stored.recipe.autonomy in (0, 2):
        given.log.note(f"proposed, not applied at autonomy {stored.recipe.autonomy}: {overrides}")
    draft(given.folder / "next.json", {"overrides": overrides})
    return {}


WORK: dict[str, Callable[..., Counts]] = {
    "acquisition": acquisition,
    "selection": selection,
    "optimization": optimization,
    "refinement": refinement,
    "evaluation": layer.evaluation,
    "audit": layer.audit,
    "gate": layer.gate,
    "controller": controller,
    "confirmation": layer.confirmation,
    "null": controls.null,
    "sealed": layer.sealed,
}
"""The function of each stage in `stages.TABLE`; `model` has no context, because there are no weights yet."""


def carry_out(stored: Stored, number: int, stage: str, folder: Path, log: MetricLog) -> Counts:
    """Run a step in `folder` from the earlier finished steps; returns its counts."""
    if stage == "model":
        start_model.build(stored, folder, log)
        first_look.look(stored, folder, log)
        certificate.certify(stored, folder, log)
        return {}
    stored.copies = _copies(stored, number, stage, folder, log)
    given, facts = context(stored, number, stage, folder, log), stages.stage_of(stage)
    if not facts.each_part:
        return WORK[stage](stored, given)
    leg = next(leg for leg in legs_of(stored.at(number)[0]) if leg.step(facts.name) == stage)
    if leg.name and not facts.trains:  # the trainings of a part name its metrics themselves
        given = replace(given, log=parts.PartLog(log, leg.name))
    return WORK[facts.name](stored, given, leg)


def _copies(stored: Stored, number: int, stage: str, folder: Path, log: Log) -> training.Copies:
    """Makes copies of the weights in a step; the ledger records the held-out problems that they train on."""

    def saw(rows: Sequence[Rollout]) -> None:
        by_split: dict[str, dict[str, Prompt]] = {}
        for row in rows:
            if row.prompt.key and (split := split_of(row.prompt.key)) != "train":
                by_split.setdefault(split, {})[row.prompt.key] = row.prompt
        for split, problems in by_split.items():
            stored.ledger.adapted(number, stage, split, [*problems.values()])

    made = training.Copies(folder / ".copies", log, waits=stored.journal is not None, saw=saw)
    if stored.journal is not None:
        stored.journal.needed = made.needed
    return made
