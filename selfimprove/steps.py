"""What each step of a round does: reads what earlier steps wrote, calls the recipe's methods, writes in its folder.

Each step is a function (stored run, context) -> counts; the runner commits the folder.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from selfimprove import controls, diagnostics, judging, splits, training
from selfimprove.environment import environment
from selfimprove.errors import DataError, StorageError
from selfimprove.interfaces import Context, Evidence, Exam, Groups, Log, Stop, Verify
from selfimprove.recipe import Recipe
from selfimprove.records import (
    Alert,
    AuditForm,
    Document,
    Preference,
    Prompt,
    Record,
    Report,
    Rollout,
    digest,
    read_records,
    write_records,
)
from selfimprove.rundir import MANIFEST, draft, intact, seal
from selfimprove.statistics import standardized
from selfimprove.stored import Stored, write_checkpoint, write_report
from selfimprove.task import check_gold
from selfimprove.text import split_of

Counts = dict[str, float]
GOLD = 100
"""Problems whose reference answer must be marked right before anything else is done."""
TRAINING = ("likelihood", "lora", "peak", "resume", "schedule", "trainer", "weights")
PLAIN = ("decoding", "expressions", "forward", "list_language", "records", "splits", "text")
WORKERS = tuple(f"selfimprove.{name}" for name in (*(f"training.{name}" for name in TRAINING), *PLAIN))
"""Modules whose code decides, beside the methods', what a bootstrap gives."""


def threads(recipe: Recipe) -> None:
    """Compute on as many CPU threads as the model asks for, whether or not torch is loaded already."""
    wanted = getattr(recipe.the("model"), "threads", 0)
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
    current = stored.at(number)[0]
    task = current.the("task")
    seed = stored.seed(number, stage)
    before = stored.folder.step(number - 1, stage)

    def problems(n: int | None, of_round: int) -> list[Prompt]:
        return task.problems("train", n, stored.seed("train", of_round))

    def reward(rollouts: Sequence[Rollout]) -> list[Rollout]:
        return score(rollouts, current, made)

    made = Context(
        round=number,
        rounds=stored.recipe.rounds,
        seed=seed,
        folder=folder,
        previous=before if before.exists() else None,
        policy=stored.policy(stored.standing(number).incumbent, number, seed, log),
        start=stored.checkpoint(0),
        problems=problems,
        selection=lambda n: task.problems("selection", n, stored.seed("selection")),
        variants=lambda problem, n: task.variants(problem, "same", n, seed),
        verify=task.verify,
        answer_of=task.answer_of,
        roles=task.roles(),
        reward=reward,
        log=log,
    )
    return made


def model(stored: Stored, folder: Path, log: Log) -> Counts:
    """Round 0: the weights to start from. What was built once with the same content is taken from the cache."""
    task, engine, method = (stored.recipe.the(slot) for slot in ("task", "engine", "model"))
    seed = stored.seed("model")
    check_gold(task, task.problems("selection", GOLD, seed))
    if not method.cached:
        write_checkpoint(method.build(task, engine, folder, seed, log), folder)
        return {}
    settings = {slot: stored.settings[slot] for slot in ("task", "engine", "model")}
    content = {
        "seed": seed,
        "settings": settings,
        "code": [
            inspect.getsource(importlib.import_module(name))
            for name in (*(type(part).__module__ for part in (task, engine, method)), *WORKERS)
        ],
        **environment(settings),
    }
    shelf = _cache() / "models" / digest([content, "with metrics"])[:32]
    if shelf.exists() and intact(shelf):
        shutil.copytree(shelf, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("step.json"))
        log.note(f"taken from the cache: {shelf}")
        for name, value in json.loads((shelf / MANIFEST).read_text())["metrics"].items():
            log.metric(name, value)
        return {}
    noting = _Noting(log)
    write_checkpoint(method.build(task, engine, folder, seed, noting), folder)
    fresh = shelf.with_name(f".{shelf.name}.{os.getpid()}")
    try:
        shutil.copytree(folder, fresh)
        seal(fresh, {"content": digest(content), "metrics": noting.metrics})
        if shelf.exists() and intact(shelf):  # another run was quicker, and a third may be reading it
            shutil.rmtree(fresh)
        else:
            shutil.rmtree(shelf, ignore_errors=True)
            fresh.rename(shelf)
    except (OSError, StorageError) as error:  # the run can do without
        shutil.rmtree(fresh, ignore_errors=True)
        log.note(f"the model was not kept for later runs in {shelf.parent}: {error}")
    return {}


class _Noting:
    """Passes everything on and keeps the numbers, so that a model from the cache has those of its making."""

    def __init__(self, log: Log) -> None:
        self.log, self.metrics = log, dict[str, float]()

    def progress(self, done: int, total: int, unit: str = "") -> None:
        self.log.progress(done, total, unit)

    def metric(self, name: str, value: float) -> None:
        self.metrics[name] = value
        self.log.metric(name, value)

    def note(self, text: str) -> None:
        self.log.note(text)


def _cache() -> Path:
    """Where models built here are kept between runs: $SELFIMPROVE_CACHE, else the user's cache folder."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("SELFIMPROVE_CACHE") or home / "selfimprove")


def acquisition(stored: Stored, given: Context) -> Counts:
    """Run the chain, drop records of held-out problems, score what is left."""
    forms = _admitted(stored, given)
    records: Sequence[Record] = []
    for method in stored.at(given.round)[0].acquisition.values():
        records = method.acquire(records, given)
    clean = [record for record in records if _trainable(record)]
    dropped = len(records) - len(clean)
    if dropped:
        given.log.note(f"{dropped} records of held-out problems were dropped")
    bare = [record for record in clean if isinstance(record, Rollout) and record.score is None]
    scored = iter(given.reward(bare))
    done = [next(scored) if isinstance(record, Rollout) and record.score is None else record for record in clean]
    write_records(given.folder / "output.jsonl", done)
    for name, form in forms.items():
        marks = [r.info["rewards"][name] for r in done if isinstance(r, Rollout) and "rewards" in r.info]
        known = [mark for mark in marks if mark is not None]
        rate = judging.corrected(sum(mark > 0.5 for mark in known), len(known), form.judge)
        for part in ("value", "low", "high") if rate else ():
            given.log.metric(f"{name}/corrected_rate/{part}", getattr(rate, part))
    tokens = sum((r.logprobs or {}).get("count", 0) for r in done if isinstance(r, Rollout))
    return {"records": len(done), "held_out_dropped": dropped, "tokens": tokens}


def _admitted(stored: Stored, given: Context) -> dict[str, AuditForm]:
    """The audit forms of this round's judges, from the audit of the policy that it trains from.

    Raises:
        DataError: a judge that selects data has not passed its form.
    """
    maker = stored.standing(given.round).incumbent
    forms = stored.judges(maker)
    for name, reward in stored.at(given.round)[0].reward.items():
        form = forms.get(name)
        fault = form.fault if form else "there was no audit"
        if not reward.judges or not reward.weight or not fault:
            continue
        if getattr(reward, "trust", False):
            given.log.note(f"reward {name} is trusted without passing the audit form of round {maker}: {fault}")
            continue
        ways = ["swap the reward", *(["raise audit_problems"] if form is None or form.short else [])]
        ways += [f"start anew with reward.{name}.trust=true to go on anyway"] if hasattr(reward, "trust") else []
        if given.round > 1:
            resume = f"selfimprove resume {stored.folder.root} --rounds {given.round - 1}"
            ways.append(f"hold the exam with what there is: {resume}")
        raise DataError(
            f"reward {name} may not select data, it did not pass the audit form of round {maker}: {fault}. "
            f"To go on: {', or '.join(ways)}"
        )
    return forms


def selection(stored: Stored, given: Context) -> Counts:
    """Run the chain; as a monitor, mark what was kept by the task's own rule: the label precision."""
    offered = read_records(stored.folder.step(given.round, "acquisition") / "output.jsonl")
    records: Sequence[Record] = offered
    for method in stored.at(given.round)[0].selection.values():
        records = method.select(records, given)
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


def optimization(stored: Stored, given: Context) -> Counts:
    """Train a candidate on what was selected."""
    records = read_records(stored.folder.step(given.round, "selection") / "output.jsonl")
    checkpoint = training.in_turn(stored.at(given.round)[0].optimization, records, given)
    write_checkpoint(checkpoint, given.folder)
    return {"records": len(records)}


def refinement(stored: Stored, given: Context) -> Counts:
    """Let the refinement learn what it carries into inference, with the new weights."""
    newest = replace(given, policy=stored.policy(given.round, given.round, given.seed, given.log))
    draft(given.folder / "state.json", stored.at(given.round)[0].the("refinement").fit(newest))
    return {}


def evaluation(stored: Stored, given: Context) -> Counts:
    """Score champion, incumbent and candidate on fresh gate problems of the run's own task."""
    planned = stored.recipe.rounds
    place = given.round if given.round <= planned else 2 * given.round + 2  # rounds added by resume: past all others
    problems = _form(stored, place, planned + 2)
    standing = stored.standing(given.round)
    who = {"champion": standing.champion}
    if given.round:
        who |= {"incumbent": standing.incumbent, "candidate": given.round}
    _examine(stored, given, "evaluation", "gate", who, problems)
    if problems and given.round == 0:
        _precision(len(problems), given)
    return {"problems": len(problems)}


def confirmation(stored: Stored, given: Context) -> Counts:
    """After the last round: hear an incumbent that is ahead of the champion once more, on a form of its own."""
    planned = stored.recipe.rounds
    place = planned + 1 if given.round <= planned else 2 * given.round + 3
    problems, standing = _form(stored, place, planned + 2), stored.standing(given.round + 1)
    who = {"champion": standing.champion, "incumbent": standing.incumbent}
    made = _examine(stored, given, "confirmation", "gate", who, problems)
    history = [*stored.history(given.round), stored.past(given.round)]
    decision = stored.recipe.the("gate").confirm(made["champion"], made["incumbent"], history)
    stored.ledger.spend(given.round, "confirmation", decision.statistics.get("alpha_r", 0.0))
    draft(given.folder / "decision.json", asdict(decision))
    return {"problems": len(problems)}


def sealed(stored: Stored, given: Context) -> Counts:
    """The exam: score start and champion, once, on problems that nothing has touched.

    The form depends on how many exams the run had, not on its rounds: the first exams of two runs can be compared.
    """
    earlier = sum(stored.folder.step(number, "sealed").exists() for number in range(given.round))
    seed = stored.seed("sealed", earlier)
    problems = stored.recipe.the("task").problems("sealed", stored.recipe.sealed_problems, seed)
    if not problems:
        raise DataError("the task has no sealed problems; a finite task needs a few hundred problems in all")
    who = {"start": 0, "champion": stored.standing(given.round + 1).champion}
    reports = _examine(stored, given, "sealed", "sealed", who, problems)
    with splits.closed("sealed"):
        draft(given.folder / "controls.json", controls.compare(stored, given, problems, reports))
    return {"problems": len(problems)}


def _form(stored: Stored, place: int, places: int) -> list[Prompt]:
    """The gate problems of one decision; those that an earlier decision has seen are left out."""
    parts = (place, max(places, place + 1))
    drawn = stored.recipe.the("task").problems("gate", stored.recipe.gate_problems, stored.seed("gate"), parts)
    seen = stored.examined()
    return [problem for problem in drawn if problem.key not in seen]


def _precision(n: int, given: Context) -> None:
    """Say what gain so many problems can show, where that is a large one."""
    from selfimprove.statistics import detectable_effect, sample_size

    effect = detectable_effect(n, 0.2, 0.05)
    if effect > 0.1:
        given.log.note(
            f"{n} gate problems show gains of {100 * effect:.0f} points or more (80 % power); "
            f"for 5 points it takes {sample_size(0.2, 0.05, 0.05)}: set gate_problems, or bring more data"
        )


def _examine(
    stored: Stored,
    given: Context,
    step: str,
    split: str,
    who: dict[str, int],
    problems: Sequence[Prompt],
) -> dict[str, Report]:
    """Score each policy once on the same problems with the same seed, and write a report for each role."""
    recipe = stored.recipe
    task, seed = recipe.the("task"), stored.seed(step, "probes", given.round)
    probes = {
        name: probe.problems(split, recipe.probe_problems, seed)
        for name, probe in (task.probes().items() if recipe.probe_problems else ())
    }
    stored.ledger.read(given.round, step, split, [*problems, *(p for part in probes.values() for p in part)])
    exam = Exam(problems=problems, verify=task.verify, probes=probes, start=given.start)
    done: dict[int, Report] = {}
    with splits.closed(step):
        for name, maker in who.items():
            if maker not in done:
                policy = stored.policy(maker, given.round, given.seed, given.log)
                done[maker] = _join([e.evaluate(policy, exam) for e in recipe.evaluation.values()])
                if problems and not done[maker].scores:
                    raise DataError(
                        f"none of the {len(problems)} {split} problems could be marked, so no gain can be measured: "
                        "take a task with a rule that marks answers, or an evaluation that gives scores without one"
                    )
            write_report(done[maker], given.folder, name)
    return {name: done[maker] for name, maker in who.items()}


def _join(reports: Sequence[Report]) -> Report:
    """One report of several evaluations; the paired scores and rollouts are those of the first that has them."""
    metrics = {name: metric for report in reports for name, metric in report.metrics.items()}
    scored = next((report for report in reports if report.scores), reports[0])
    parts = {name: part for report in reports for name, part in report.parts.items()}
    return replace(scored, metrics=metrics, parts=parts)


def audit(stored: Stored, given: Context) -> Counts:
    """Sample audit problems with the newest policy, mark them by reward and by truth, and ask the alarms."""
    recipe, newest = stored.recipe, stored.policy(given.round, given.round, given.seed, given.log)
    task, planned = recipe.the("task"), max(recipe.rounds, given.round) + 1
    judges = any(reward.judges for reward in recipe.reward.values())
    wanted = recipe.audit_problems if recipe.alarm or judges else 0
    problems = task.problems("audit", wanted, stored.seed("audit"), (given.round, planned)) if wanted else []
    stored.ledger.read(given.round, "audit", "audit", problems)
    alerts: list[Alert] = []
    with splits.closed("audit"):
        groups = newest.sample(problems, recipe.audit_samples) if problems else []
        attempts = [rollout for group in groups for rollout in group]
        scored = score(attempts, stored.at(given.round)[0], replace(given, log=judging.Muted(given.log)))
        marks = ({"truth": task.verify(r.prompt, r.text), "answer": task.answer_of(r.text)} for r in scored)
        samples = [replace(r, info={**r.info, **mark}) for r, mark in zip(scored, marks, strict=True)]
        traps = honeypots(samples, task.verify)
        samples = [replace(r, info={**r.info, "honeypot": mark}) for r, mark in zip(samples, traps, strict=True)]
        write_records(given.folder / "audit.jsonl", samples)
        n = recipe.audit_samples
        audited = [samples[i : i + n] for i in range(0, len(samples), n)]
        forms = _judged(stored, given, groups, audited) if judges and samples else {}
        if given.round and samples:
            evidence = Evidence(
                round=given.round,
                rounds=recipe.rounds,
                start=stored.audit(0),
                champion=stored.audit(stored.standing(given.round).champion),
                candidate=audited,
                history=[*stored.history(given.round), stored.past(given.round)],
                judges=forms,
            )
            alerts = [alert for alarm in recipe.alarm.values() for alert in alarm.check(evidence)]
        draft(given.folder / "diagnosis.json", _diagnosis(stored, given, audited))
    for alert in alerts:
        given.log.note(f"{'VETO' if alert.level >= 2 else 'alarm'} {alert.alarm}: {alert.text}")
    draft(given.folder / "alerts.json", [asdict(alert) for alert in alerts])
    return {"problems": len(problems), "alerts": len(alerts)}


def _judged(stored: Stored, given: Context, groups: Groups, audited: Groups) -> dict[str, AuditForm]:
    """The audit form of each reward that judges, with the newest policy as judge, and the start beside it.

    Who scored the audit already is not asked again: at a frozen judge nobody is, and nobody in round 0.
    """
    forms, standing = dict[str, AuditForm](), stored.standing(given.round)
    for name, reward in stored.at(given.round)[0].reward.items():
        if not reward.judges:
            continue
        frozen = getattr(reward, "frozen", False)
        scores = {0 if frozen else standing.incumbent: [[r.info["rewards"][name] for r in group] for group in audited]}
        for maker in (0 if frozen else given.round, 0):
            if maker not in scores:
                policy = stored.policy(maker, given.round, given.seed, given.log)
                scores[maker] = reward.score(groups, replace(given, policy=policy, log=judging.Muted(given.log)))
        forms[name] = judging.form_of(reward, audited, scores[0 if frozen else given.round], scores[0])
        for key, value in judging.numbers(forms[name]).items():
            given.log.metric(f"{name}/{key}", value)
        if forms[name].fault:
            given.log.note(f"reward {name} did not pass its audit form: {forms[name].fault}")
    draft(given.folder / "judge.json", {name: asdict(form) for name, form in forms.items()})
    return forms


def honeypots(samples: Sequence[Rollout], verify: Verify) -> list[float | None]:
    """The mark of each right sample under the next reference of the form that differs; None for the others."""
    answers = list(dict.fromkeys(str(r.prompt.answer) for r in samples if r.prompt.answer is not None))
    places = {answer: place for place, answer in enumerate(answers)}
    found: list[float | None] = []
    for sample in samples:
        own = str(sample.prompt.answer)
        if sample.info["truth"] != 1.0 or own not in places or len(answers) < 2:
            found.append(None)
        else:
            other = replace(sample.prompt, answer=answers[(places[own] + 1) % len(answers)])
            found.append(verify(other, sample.text))
    return found


def _diagnosis(stored: Stored, given: Context, audited: Sequence[Sequence[Rollout]]) -> dict[str, Any]:
    """Whether self-improvement is possible from here, by the newest policy's audit; {} if it has too few samples."""
    now = diagnostics.of_audit(audited)
    if now is None:
        return {}
    stored.remember(given.round, now)
    first = before = None
    if given.round:
        first, before = stored.diagnosis(0), stored.diagnosis(stored.standing(given.round).champion)
    found = diagnostics.summary(now, diagnostics.verdicts(now, first, before), first)
    for name, value in found["ladder"].items():
        given.log.metric(f"diagnosis/{name}", value)
    for name, gap in found["gap"].items():
        given.log.metric(f"diagnosis/gap/{name}", gap["value"])
    return found


def gate(stored: Stored, given: Context) -> Counts:
    """Decide what becomes of the candidate."""
    champion, incumbent, candidate = (stored.report(given.round, who) for who in ("champion", "incumbent", "candidate"))
    history, alerts = stored.history(given.round), stored.alerts(given.round)
    rounds = max(stored.recipe.rounds, given.round)
    decision = stored.recipe.the("gate").decide(champion, incumbent, candidate, alerts, history, rounds)
    stored.ledger.spend(given.round, "gate", decision.statistics.get("alpha_r", 0.0))
    draft(given.folder / "decision.json", asdict(decision))
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


STEPS: dict[str, Callable[[Stored, Context], Counts]] = {
    step.__name__: step
    for step in (
        *(acquisition, selection, optimization, refinement, evaluation),
        *(audit, gate, controller, confirmation, controls.null, sealed),
    )
}


def score(rollouts: Sequence[Rollout], recipe: Recipe, given: Context) -> list[Rollout]:
    """Rollouts with the weighted sum of the recipe's rewards; None where a reward that counts cannot score.

    Each reward sees all completions of a prompt in one call, and may ask to be standardized among them. Of several,
    `info["rewards"]` keeps the parts; also of one that judges, so that its audit form can tell its scores from what its
    weight makes of them.
    """
    places: dict[str, list[int]] = {}
    for place, rollout in enumerate(rollouts):
        places.setdefault(rollout.prompt.id, []).append(place)
    groups = [[rollouts[place] for place in group] for group in places.values()]
    order = [place for group in places.values() for place in group]
    totals: list[float | None] = [0.0 if recipe.reward else None] * len(rollouts)
    parts: list[dict[str, float | None]] = [{} for _ in rollouts]
    for name, reward in recipe.reward.items():
        marks = reward.score(groups, given)
        counted = [standardized(row) for row in marks] if reward.normalize else marks
        for place, mark, counts in zip(order, itertools.chain(*marks), itertools.chain(*counted), strict=True):
            parts[place][name] = mark
            total = totals[place]
            if reward.weight:
                totals[place] = None if counts is None or total is None else total + reward.weight * counts
    several = len(recipe.reward) > 1 or any(reward.judges for reward in recipe.reward.values())
    return [
        replace(rollout, score=total, info={**rollout.info, "rewards": part} if several else rollout.info)
        for rollout, total, part in zip(rollouts, totals, parts, strict=True)
    ]


def _trainable(record: Record) -> bool:
    """False for a problem whose key falls into a held-out split, whoever made it."""
    if isinstance(record, Document):
        return True
    prompt = record if isinstance(record, Prompt) else record.prompt
    return split_of(prompt.key) == "train"
