"""What each step of a round does: reads what earlier steps wrote, calls the recipe's methods, writes in its folder.

Each step is a function (stored run, context) -> counts; where a round does the stage in legs, the leg is its third
argument. The runner commits the folder. Steps of the evaluation layer are in examination.py, the first weights come
from start_model.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfimprove import training
from selfimprove.errors import DataError
from selfimprove.interfaces import Context, Judging, Log
from selfimprove.logs import MetricLog
from selfimprove.loop import controls, lineage, parts, stages, start_model
from selfimprove.loop import examination as layer
from selfimprove.loop.examination import Counts
from selfimprove.loop.given import context_of
from selfimprove.loop.history import Stored
from selfimprove.loop.step_files import write_checkpoint
from selfimprove.measures import judge_reliability
from selfimprove.problems.splits import split_of
from selfimprove.recipe.legs import Leg, legs_of
from selfimprove.recipe.schema import Recipe
from selfimprove.records import Document, Preference, Prompt, Record, Rollout, read_records, write_records
from selfimprove.rounds import AuditForm, Stop
from selfimprove.store.seal import draft


def threads(recipe: Recipe) -> None:
    """Compute on as many CPU threads as the model asks for, whether or not torch is loaded already."""
    wanted = recipe.the("model").cpu_threads()
    if wanted:
        os.environ["OMP_NUM_THREADS"] = str(wanted)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(wanted)


def deterministic() -> None:
    """Hold torch to algorithms that give the same numbers again; an operation that has none is an error."""
    import torch

    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def context(stored: Stored, number: int, stage: str, folder: Path, log: Log) -> Context:
    """What the methods of a step are handed."""
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
    """Run the chain, drop records of held-out problems, score what is left."""
    forms = _admitted(stored, given)
    records = lineage.acquired(leg.acquisition, given)
    clean = [record for record in records if _trainable(record)]
    dropped = len(records) - len(clean)
    if dropped:
        given.log.note(f"{dropped} records of held-out problems were dropped")
    bare = [record for record in clean if isinstance(record, Rollout) and record.reward is None]
    scored = iter(given.reward(bare))
    done = [next(scored) if isinstance(record, Rollout) and record.reward is None else record for record in clean]
    write_records(given.folder / "output.jsonl", done)
    for name, form in forms.items():
        marks = [r.info["rewards"][name] for r in done if isinstance(r, Rollout) and "rewards" in r.info]
        known = [mark for mark in marks if mark is not None]
        rate = judge_reliability.corrected(sum(mark > 0.5 for mark in known), len(known), form.judge)
        for part in ("value", "low", "high") if rate else ():
            given.log.metric(f"{name}/corrected_rate/{part}", getattr(rate, part))
    tokens = sum((r.logprobs or {}).get("count", 0) for r in done if isinstance(r, Rollout))
    return {"records": len(done), "held_out_dropped": dropped, "tokens": tokens}


def _admitted(stored: Stored, given: Context) -> dict[str, AuditForm]:
    """The audit forms of this round's judges, from the audit of the policy that it trains from.

    Raises:
        DataError: a judge that selects data has not passed its form.
    """
    maker, forms = _forms(stored, given.round)
    for name, reward in stored.at(given.round)[0].reward.items():
        form = forms.get(name)
        fault = form.fault if form else "there was no audit"
        if not isinstance(reward, Judging) or not reward.weight or not fault:
            continue
        if reward.trust:
            given.log.note(f"reward {name} is trusted without passing the audit form of round {maker}: {fault}")
            continue
        ways = ["swap the reward", *(["raise audit_problems"] if form is None or form.short else [])]
        ways.append(f"start anew with reward.{name}.trust=true to go on anyway")
        if given.round > 1:
            resume = f"selfimprove resume {stored.folder.root} --rounds {given.round - 1}"
            ways.append(f"hold the exam with what there is: {resume}")
        raise DataError(
            f"reward {name} may not select data, it did not pass the audit form of round {maker}: {fault}. "
            f"To go on: {', or '.join(ways)}"
        )
    return forms


def _forms(stored: Stored, number: int) -> tuple[int, dict[str, AuditForm]]:
    """The round whose policy judges in a round, and its audit forms."""
    maker = stored.standing(number).incumbent
    return maker, stored.judges(maker)


def untested(stored: Stored, number: int) -> str:
    """Why a judge cannot select the data of a round: too few attempts of a kind are left to test it. Else ""."""
    maker, forms = _forms(stored, number)
    for name in stored.at(number)[0].reward:
        form = forms.get(name)
        if form and form.short and form.binding:
            return f"reward {name} cannot be tested for round {number}: the audit of round {maker} has {form.fault}"
    return ""


def selection(stored: Stored, given: Context, leg: Leg) -> Counts:
    """Run the chain; as a monitor, mark what was kept by the task's own rule: the label precision."""
    offered = leg.own(read_records(stored.folder.step(given.round, leg.step("acquisition")) / "output.jsonl"))
    records = lineage.selected(stored.at(given.round)[0].selection, offered, given)
    clean = [record for record in records if _trainable(record)]  # a selection may make records of its own
    if len(clean) < len(records):
        given.log.note(f"{len(records) - len(clean)} records of held-out problems were dropped")
    records = clean
    write_records(given.folder / "output.jsonl", records)
    counts: Counts = {"given": len(offered), "kept": len(records)}
    marks = [
        given.verify(record.prompt, record.text if isinstance(record, Rollout) else record.chosen[-1]["content"])
        for record in records
        if isinstance(record, Rollout | Preference)
    ]
    known = [mark for mark in marks if mark is not None]
    return counts | ({"label_precision": sum(known) / len(known)} if known else {})


def optimization(stored: Stored, given: Context, leg: Leg) -> Counts:
    """Train a candidate on what was selected."""
    records = read_records(stored.folder.step(given.round, leg.step("selection")) / "output.jsonl")
    recipe = stored.at(given.round)[0]
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
    """Let the refinement learn what it carries into inference, with the new weights."""
    chain = stored.at(given.round)[0].refinement
    learned = stored.learned(stored.standing(given.round).incumbent)  # what a rejected candidate learned is gone
    states = [learned.get(name, {}) for name in chain]
    newest = stored.policy(given.round, given.round, given.seed, given.log)
    for place, method in enumerate(chain.values()):
        policy = replace(newest, states=tuple(states))
        states[place] = method.fit(replace(given, policy=policy.held(method), state=states[place], place=place))
    draft(given.folder / "state.json", states if len(states) > 1 else states[0])
    return {}


def controller(stored: Stored, given: Context) -> Counts:
    """Decide what the next round does: the overrides of all controllers in order, or the first one's stop."""
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
"""What each stage of `stages.TABLE` does; only `model` has no context to work in, because it has no weights yet."""


def carry_out(stored: Stored, number: int, stage: str, folder: Path, log: MetricLog) -> Counts:
    """Do the work of a step in `folder`, from the finished steps before it; returns its counts."""
    if stage == "model":
        start_model.build(stored, folder, log)
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
    """Who makes copies of the weights in a step: what they see of held-out problems stands in the ledger."""

    def saw(rows: Sequence[Rollout]) -> None:
        held_out: dict[str, dict[str, Prompt]] = {}
        for row in rows:
            if row.prompt.key and (split := split_of(row.prompt.key)) != "train":
                held_out.setdefault(split, {})[row.prompt.key] = row.prompt
        for split, problems in held_out.items():
            stored.ledger.adapted(number, stage, split, [*problems.values()])

    made = training.Copies(folder / ".copies", log, waits=stored.journal is not None, saw=saw)
    if stored.journal is not None:
        stored.journal.needed = made.needed
    return made


def _trainable(record: Record) -> bool:
    """False for a problem whose key falls into a held-out split, whoever made it."""
    if isinstance(record, Document):
        return True
    prompt = record if isinstance(record, Prompt) else record.prompt
    return split_of(prompt.key) == "train"
