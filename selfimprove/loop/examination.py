"""The steps of the evaluation layer: examine, audit, decide. Each is a function (stored run, context) -> counts.

They read held-out problems, which the ledger records; no data stage runs at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from selfimprove.errors import DataError
from selfimprove.interfaces import Context, Judging, Policy, Task
from selfimprove.logs import MetricLog
from selfimprove.loop import controls
from selfimprove.loop.history import Stored
from selfimprove.loop.honeypots import honeypots, reading
from selfimprove.loop.reward_sum import rate
from selfimprove.loop.step_files import copy_report, write_report
from selfimprove.loop.target import target
from selfimprove.measures import diagnosis, judge_reliability
from selfimprove.problems import splits
from selfimprove.records import Alert, Prompt, Report, Rollout, changed, write_records
from selfimprove.rounds import AuditForm, Evidence, Exam, Groups
from selfimprove.store.seal import draft

Counts = dict[str, float]


def evaluation(stored: Stored, given: Context) -> Counts:
    """Score champion, incumbent and candidate on fresh gate problems of the run's own task."""
    planned = stored.recipe.rounds
    place = given.round if given.round <= planned else 2 * given.round + 2  # rounds added by resume come last
    problems = _form(stored, given.round, "evaluation", place)
    standing = stored.standing(given.round)
    who = {"champion": standing.champion}
    if given.round:
        who |= {"incumbent": standing.incumbent, "candidate": given.round}
    _examine(stored, given, "evaluation", "gate", who, problems)
    if problems and given.round == 0:
        _precision(len(problems), given)
    return {"problems": len(problems)}


def confirmation(stored: Stored, given: Context) -> Counts:
    """After the last round, test an incumbent that is ahead of the champion once more, on new problems."""
    planned, again = stored.recipe.rounds, any(past.confirmation for past in stored.history(given.round))
    within = planned + 1 + (given.round if again else 0)  # after an earlier end of the run, other problems
    place = within if given.round <= planned else 2 * given.round + 3
    problems, standing = _form(stored, given.round, "confirmation", place), stored.standing(given.round + 1)
    who = {"champion": standing.champion, "incumbent": standing.incumbent}
    made = _examine(stored, given, "confirmation", "gate", who, problems)
    history = [*stored.history(given.round), stored.past(given.round)]
    decision = stored.recipe.the("gate").confirm(made["champion"], made["incumbent"], history)
    stored.ledger.spend(given.round, "confirmation", decision.statistics.get("alpha_r", 0.0))
    draft(given.folder / "decision.json", asdict(decision))
    return {"problems": len(problems)}


def sealed(stored: Stored, given: Context) -> Counts:
    """The exam: score start and champion once, on problems that nothing has read.

    The problems depend on the number of exams in the run, not on its rounds, so the first exams of two runs are
    comparable. The exams of the run that a branch left count.
    """
    earlier = sum(stored.folder.step(number, "sealed").exists() for number in range(given.round))
    earlier += stored.branch.exams if stored.branch else 0
    seed = stored.seed("sealed", earlier)
    problems = stored.recipe.the("task").problems("sealed", stored.recipe.sealed_problems, seed)
    if not problems:
        raise DataError("the task has no sealed problems; a finite task needs a few hundred problems in all")
    who = {"start": 0, "champion": stored.standing(given.round + 1).champion}
    reports = _examine(stored, given, "sealed", "sealed", who, problems)
    with splits.closed("sealed", exam=True):
        found = controls.compare(stored, given, problems, reports)
        if priced := controls.equal_tokens(stored, given, problems, reports["champion"]):
            found["equal_tokens"] = priced
        draft(given.folder / "controls.json", found)
    return {"problems": len(problems)}


def _form(stored: Stored, number: int, step: str, place: int) -> list[Prompt]:
    """The gate problems of one decision, without those of earlier decisions."""
    parts = (place, max(stored.recipe.rounds + 2, place + 1))
    drawn = stored.recipe.the("task").problems(
        "gate", stored.recipe.gate_problems, stored.fresh(number, step, "gate"), parts
    )
    return stored.unseen(drawn, number, step)


def _precision(n: int, given: Context) -> None:
    """Tell the user which gain n problems can detect, if it is large."""
    from selfimprove.measures.statistics import detectable_effect, sample_size

    effect = detectable_effect(n, 0.2, 0.05)
    if effect > 0.1:
        given.log.note(
            f"{n} gate problems detect gains of {100 * effect:.0f} points or more (80 % power); "
            f"detecting 5 points takes {sample_size(0.2, 0.05, 0.05)}: raise gate_problems, or add data"
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
    task, seed = recipe.the("task"), stored.fresh(given.round, step, step, "probes", given.round)
    probes = {
        name: probe.problems(split, recipe.probe_problems, seed)
        for name, probe in (task.probes().items() if recipe.probe_problems else ())
    }
    stored.ledger.read(given.round, step, split, [*problems, *(p for part in probes.values() for p in part)])
    exam = Exam(problems=problems, verify=task.verify, probes=probes, start=given.start)
    done, written = dict[int, Report](), dict[int, str]()
    with splits.closed(step, exam=True):
        for name, maker in who.items():
            if maker not in done:
                policy = stored.policy(maker, given.round, given.seed, given.log)
                done[maker] = _join([e.evaluate(policy.held(e), exam) for e in recipe.evaluation.values()])
                if problems and not done[maker].scores:
                    raise DataError(
                        f"none of the {len(problems)} {split} problems could be marked, so no gain can be measured: "
                        "use a task with a rule that marks answers, or an evaluation that scores without one"
                    )
                write_report(done[maker], given.folder, name)
                written[maker] = name
            else:
                copy_report(given.folder, written[maker], name)
    return {name: done[maker] for name, maker in who.items()}


def _join(reports: Sequence[Report]) -> Report:
    """One report from several evaluations; scores and rollouts come from the first evaluation that has them."""
    metrics = {name: metric for report in reports for name, metric in report.metrics.items()}
    scored = next((report for report in reports if report.scores), reports[0])
    parts = {name: part for report in reports for name, part in report.parts.items()}
    return replace(scored, metrics=metrics, parts=parts)


def audit(stored: Stored, given: Context) -> Counts:
    """Sample audit problems with the newest policy, reward and mark the samples, and check the alarms."""
    recipe, newest = stored.recipe, stored.policy(given.round, given.round, given.seed, given.log)
    task, planned = recipe.the("task"), max(recipe.rounds, given.round) + 1
    judges = any(isinstance(reward, Judging) for reward in recipe.reward.values())
    wanted = recipe.audit_problems if recipe.alarm or judges else 0
    problems = (
        task.problems("audit", wanted, stored.fresh(given.round, "audit", "audit"), (given.round, planned))
        if wanted
        else []
    )
    twins = {one.key: own for one in problems[: recipe.variant_problems] for own in _twin(task, one, given.seed)}
    stored.ledger.read(given.round, "audit", "audit", [*problems, *twins.values()])
    alerts: list[Alert] = []
    with splits.closed("audit", exam=True):
        played = [one.rollout for one in newest.plain().play(problems, recipe.audit_samples)] if problems else []
        truth = [one.reward for one in played]
        attempts = [changed(one, reward=None) for one in played]
        scored = rate(attempts, stored.at(given.round)[0], replace(given, log=MetricLog(given.log)))
        read = {problem.id: reading(problem, task) for problem in problems}
        samples = [
            changed(
                r,
                info={
                    **r.info,
                    "truth": mark,
                    "answer": task.answer_of(r.text),
                    "reference": read[r.prompt.id],
                },
            )
            for r, mark in zip(scored, truth, strict=True)
        ]
        traps = honeypots(samples, task.verify)
        samples = [changed(r, info={**r.info, "honeypot": mark}) for r, mark in zip(samples, traps, strict=True)]
        write_records(given.folder / "audit.jsonl", samples)
        stored.pass_on(given.round, "audit", samples)
        n = recipe.audit_samples
        audited = [samples[i : i + n] for i in range(0, len(samples), n)]
        groups = [attempts[i : i + n] for i in range(0, len(attempts), n)]
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
        found = _diagnosis(stored, given, audited)
        gap = _memorization(given, newest, audited, twins, recipe.audit_samples) if found and twins else None
        if gap is not None:
            _compare_gaps(stored, given, gap)
            found |= {"memorization": {"value": gap.value, "ci": [gap.low, gap.high], "error": gap.error, "n": gap.n}}
        draft(given.folder / "diagnosis.json", found)
    draft(given.folder / "alerts.json", [asdict(alert) for alert in alerts])
    return {"problems": len(problems), "alerts": len(alerts)}


def _judged(stored: Stored, given: Context, groups: Groups, audited: Groups) -> dict[str, AuditForm]:
    """The audit form of each reward that judges, for the newest policy and for the start as judge.

    Judgements that the audit's rewards already needed are reused, so a frozen judge, or round 0, needs no new ones.
    """
    forms, standing = dict[str, AuditForm](), stored.standing(given.round)
    for name, reward in stored.at(given.round)[0].reward.items():
        if not isinstance(reward, Judging):
            continue
        scores = {
            0 if reward.frozen else standing.incumbent: [[r.info["rewards"][name] for r in group] for group in audited]
        }
        for maker in (0 if reward.frozen else given.round, 0):
            if maker not in scores:
                policy = stored.policy(maker, given.round, given.seed, given.log).held(reward)
                scores[maker] = reward.rate(groups, replace(given, policy=policy, log=MetricLog(given.log)))
        forms[name] = judge_reliability.form_of(reward, audited, scores[0 if reward.frozen else given.round], scores[0])
        for key, value in judge_reliability.numbers(forms[name]).items():
            given.log.metric(f"{name}/{key}", value)
        if forms[name].failure:
            given.log.note(f"reward {name} did not pass its audit form: {forms[name].failure}")
    draft(given.folder / "judge.json", {name: judge_reliability.stored(form) for name, form in forms.items()})
    return forms


def _diagnosis(stored: Stored, given: Context, audited: Sequence[Sequence[Rollout]]) -> dict[str, Any]:
    """The diagnosis of the newest policy from its audit; {} if there are too few samples."""
    now = diagnosis.of_audit(audited)
    if now is None:
        return {}
    stored.remember(given.round, now)
    first = before = None
    if given.round:
        first, before = stored.diagnosis(0), stored.diagnosis(stored.standing(given.round).champion)
    found = diagnosis.summary(now, diagnosis.verdicts(now, first, before), first)
    for name, value in found["ladder"].items():
        given.log.metric(f"diagnosis/{name}", value)
    for name, gap in found["gap"].items():
        given.log.metric(f"diagnosis/gap/{name}", gap["value"])
    return found


def _twin(task: Task, problem: Prompt, seed: int) -> list[Prompt]:
    """The counterfactual variant of an audit problem, if the task can make one."""
    return [one for one in task.variants(problem, "counterfactual", 1, seed) if one.key != problem.key]


def _memorization(
    given: Context, newest: Policy, audited: Groups, twins: Mapping[str, Prompt], samples: int
) -> diagnosis.Estimate | None:
    """The memorization gap of the newest policy, from raw samples of the variants of audit problems."""
    played = [one.rollout for one in newest.plain().play([*twins.values()], samples)]
    write_records(given.folder / "variants.jsonl", played)
    marks = {group[0].prompt.key: [one.info["truth"] for one in group] for group in audited}
    others = {key: [one.reward for one in played[i * samples :][:samples]] for i, key in enumerate(twins)}
    gap = diagnosis.memorization(marks, others)
    if gap is not None:
        given.log.metric("diagnosis/memorization", gap.value)
    return gap


def _compare_gaps(stored: Stored, given: Context, gap: diagnosis.Estimate) -> None:
    """Tell the user if the memorization gap is larger than that of the start."""
    first = stored.memorization(0) if given.round else None
    if first is not None and diagnosis.grew(gap, first):
        given.log.note(
            f"memorization: audit problems are solved {100 * gap.value:.0f} points more often than the same problems "
            f"with other numbers ({100 * first.value:+.0f} at the start): answers are learned, not how to find them"
        )


def gate(stored: Stored, given: Context) -> Counts:
    """Decide about the candidate."""
    champion, incumbent, candidate = (stored.report(given.round, who) for who in ("champion", "incumbent", "candidate"))
    history, alerts = stored.history(given.round), stored.alerts(given.round)
    rounds = target(stored, given.round)
    decision = stored.recipe.the("gate").decide(champion, incumbent, candidate, alerts, history, rounds)
    stored.ledger.spend(given.round, "gate", decision.statistics.get("alpha_r", 0.0))
    draft(given.folder / "decision.json", asdict(decision))
    return {}
