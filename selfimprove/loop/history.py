"""A run as its finished steps tell it: which policies count, what they scored, what each round did.

A policy is named by the round that made it (0 is the start). Who is champion and who incumbent follows from the
gates' decisions alone, so nothing else has to be kept in step with the folders.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from selfimprove import registry, training
from selfimprove.errors import DataError, RecipeError, listed
from selfimprove.inference.desk import Sessions
from selfimprove.inference.metered import Metered
from selfimprove.interfaces import Context, Engine, Log, Policy, Remote
from selfimprove.loop import stages
from selfimprove.measures import judge_reliability
from selfimprove.measures.diagnosis import Diagnosis, of_audit
from selfimprove.recipe import compose
from selfimprove.recipe.schema import Recipe, Settings
from selfimprove.records import (
    Alert,
    AuditForm,
    Checkpoint,
    Decision,
    Metric,
    Report,
    Rollout,
    digest,
    read_records,
    write_records,
)
from selfimprove.rounds import Groups, Round
from selfimprove.safety.model_files import check_code
from selfimprove.store.journal import Journal
from selfimprove.store.ledger import Ledger
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import draft, is_signed


@dataclass
class Standing:
    """Which policies count at the start of a round, as the numbers of the rounds that made them."""

    champion: int = 0
    incumbent: int = 0


class Stored:
    """A run on disk."""

    def __init__(self, folder: RunDir) -> None:
        self.folder = folder
        self.environment = began(folder)
        self.recipe, self.settings = compose.load(folder.root / "recipe.yaml")
        changed = changes(self.environment["settings"], self.settings)
        if changed:
            raise RecipeError(
                f"{folder.root / 'recipe.yaml'} was changed since the run began: {listed(changed)}. Put it back, or "
                f"go on with the change: selfimprove resume {folder.root} --accept-changes"
            )
        self.ledger = Ledger(folder.root / "ledger.jsonl")
        self.journal: Journal | None = None
        """What stands before the engines while a step is carried out."""
        self.copies: training.Copies | None = None
        """Who makes copies of the weights for the step."""
        self.given: Context | None = None
        """What the methods of the step in progress are handed."""
        self._recipes: dict[str, tuple[Recipe, Settings]] = {}
        self._diagnoses: dict[int, Diagnosis | None] = {}
        self._audits: dict[int, list[list[Rollout]]] = {}

    def seed(self, *place: Any) -> int:
        """The seed of a place in the run; it follows from the place and the run's seed, never from history."""
        return int(digest([self.recipe.seed, *place])[:8], 16)

    def at(self, number: int) -> tuple[Recipe, Settings]:
        """The recipe in force in a round: the run's own, the overrides of its controller, and accepted changes.

        The engine stays the same object, so that its models stay loaded.
        """
        overrides: dict[str, Any] = {}
        for past in range(number):
            overrides |= self.after(past).get("overrides", {}) if past else {}
            for change in self.environment.get("accepted", ()):
                overrides |= change["overrides"] if change["round"] == past + 1 else {}
        if not overrides:
            return self.recipe, self.settings
        values = [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
        if digest(values) not in self._recipes:
            changed, settings = compose.load(self.folder.root / "recipe.yaml", values)
            self._recipes[digest(values)] = replace(changed, engine=self.recipe.engine), settings
        return self._recipes[digest(values)]

    def applied(self, number: int, step: str) -> bool:
        """Whether the proposal of a step takes effect: from autonomy 2 on, or where a person has approved it."""
        level = self.recipe.autonomy
        return level >= 2 or (level == 1 and self.ledger.answers().get((number, step), False))

    def waiting(self) -> tuple[int, str] | None:
        """The first finished proposal that a person has not answered; None where nobody is asked."""
        if self.recipe.autonomy != 1:
            return None
        asked = (("controller", "gate"), ("confirmation", "confirmation"))  # a round is put before a person as a whole
        answers = self.ledger.answers()
        for folder in sorted(self.folder.root.glob("round_*")):
            number = int(folder.name.removeprefix("round_"))
            for finished, step in asked:
                if number and (folder / finished).exists() and (number, step) not in answers:
                    return number, step
        return None

    def after(self, number: int) -> dict[str, Any]:
        """What follows from the controllers after a round: {"overrides": {...}}, {"stop": reason}, or nothing."""
        said = self.proposed(number)
        adapts = self.recipe.autonomy >= 3 or (self.recipe.autonomy == 1 and self.applied(number, "gate"))
        return said if adapts or "stop" in said else {}

    def proposed(self, number: int) -> dict[str, Any]:
        """What the controllers said after a round, whether it takes effect or not."""
        return self._json(number, "controller", "next.json")

    def decision(self, number: int) -> Decision:
        """The gate's decision of a finished round, as it takes effect."""
        return self._decided(number, "gate")

    def confirmation(self, number: int) -> Decision | None:
        """What the gate said of the incumbent after the last round; None where it was not asked."""
        return self._decided(number, "confirmation") if self.folder.step(number, "confirmation").exists() else None

    def _decided(self, number: int, step: str) -> Decision:
        said = Decision(**self._json(number, step, "decision.json"))
        if self.applied(number, step):
            return said
        word = said.verdict + " and certify" * said.certified
        return replace(said, verdict="hold", certified=False, reason=f"{word} proposed, not applied: {said.reason}")

    def made(self, number: int, who: str, stage: str) -> int:
        """The round that made the champion, incumbent or candidate of an evaluation."""
        standing = self.standing(number) if stage == "evaluation" else self._before_confirmation(number)
        return number if who == "candidate" else getattr(standing, who)

    def _before_confirmation(self, number: int) -> Standing:
        return _after(self.standing(number), self.decision(number), number)

    def controls(self, number: int) -> dict[str, Any]:
        """What the sealed exam after a round compares the gain with."""
        return self._json(number, "sealed", "controls.json")

    def alerts(self, number: int) -> list[Alert]:
        """What the alarms said of a finished round."""
        return [Alert(**alert) for alert in self._json(number, "audit", "alerts.json")]

    def judges(self, maker: int) -> dict[str, AuditForm]:
        """The audit form of each reward that judges, from the audit of a policy; none where nothing was audited."""
        if not (self.folder.step(maker, "audit") / "judge.json").exists():
            return {}
        return {name: judge_reliability.parse(form) for name, form in self._json(maker, "audit", "judge.json").items()}

    def audit(self, maker: int) -> list[list[Rollout]]:
        """The scored audit samples of a policy, by problem, from the round that made it."""
        if maker not in self._audits:
            groups: dict[str, list[Rollout]] = {}
            for rollout in read_records(self.folder.step(maker, "audit") / "audit.jsonl"):
                assert isinstance(rollout, Rollout)
                groups.setdefault(rollout.prompt.key, []).append(rollout)
            self._audits = {known: self._audits[known] for known in self._audits if known == 0}  # and one more
            self._audits[maker] = list(groups.values())
        return self._audits[maker]

    def diagnosis(self, maker: int) -> Diagnosis | None:
        """What the audit of a policy says of it; None where it has too few samples."""
        if maker not in self._diagnoses:
            self._diagnoses[maker] = of_audit(self.audit(maker))
        return self._diagnoses[maker]

    def remember(self, maker: int, found: Diagnosis) -> None:
        """Keep a diagnosis that was made of the same samples before they were written."""
        self._diagnoses[maker] = found

    def standing(self, number: int) -> Standing:
        """Champion and incumbent at the start of a round, by the decisions of the rounds before."""
        now = Standing()
        for past in range(1, number):
            for decision in (self.decision(past), self.confirmation(past)):
                if decision is not None:
                    now = _after(now, decision, past)
        return now

    def checkpoint(self, number: int) -> Checkpoint:
        """The weights that a round made."""
        return self._checkpoint(number, "optimization" if number else "model")

    def null(self, number: int) -> Checkpoint | None:
        """The weights of the null round, where there is one."""
        made = (self.folder.step(number, "null") / "checkpoint.json").exists()
        return self._checkpoint(number, "null") if made else None

    def _checkpoint(self, number: int, stage: str) -> Checkpoint:
        return self.folder.once(number, stage, "checkpoint", _checkpoint)

    def policy(self, maker: int, number: int, seed: int, log: Log) -> Policy:
        """The policy that round `maker` made, as it is used in round `number`."""
        current = self.at(number)[0]
        learned = self.learned(maker)
        return Policy(
            checkpoint=self.checkpoint(maker),
            engine=self._kept("engine", self.recipe.the("engine")),
            copies=None if isinstance(self.recipe.the("engine"), Remote) else self.copies,
            helpers={role: self._kept(role, engine) for role, engine in self.recipe.helpers.items()},
            chain=tuple(current.refinement.values()),
            states=tuple(learned.get(name, {}) for name in current.refinement),
            desk=Sessions(current.the("task"), partial(self._rated, current)),
            answer_of=current.the("task").answer_of,
            seed=seed,
            log=log,
        )

    def learned(self, maker: int) -> dict[str, dict[str, Any]]:
        """What the refinements learned for the weights that a round made, by name."""
        file = self.folder.step(maker, "refinement") / "state.json"
        if not file.exists():
            return {}
        said = json.loads(file.read_text())
        return dict(zip(self.at(maker)[0].refinement, said if isinstance(said, list) else [said], strict=False))

    def _rated(self, recipe: Recipe, name: str, groups: Groups, policy: Policy) -> list[list[float | None]]:
        """What a reward of the recipe says while a problem is answered; it sees the context of the step."""
        if name not in recipe.reward or self.given is None:
            raise RecipeError(f"a refinement asks for the reward {name!r}.{registry.nearest(name, recipe.reward)}")
        return recipe.reward[name].rate(groups, replace(self.given, policy=policy))

    def _kept(self, name: str, engine: Engine) -> Engine:
        return Metered(self.journal.before(name, engine) if self.journal else engine)

    def report(self, number: int, who: str, stage: str = "evaluation") -> Report:
        """What a finished evaluation says of the champion, the incumbent, the candidate or the start."""
        return self.folder.once(number, stage, who, partial(_read_report, who=who))

    def history(self, number: int) -> list[Round]:
        """The rounds before a round, with their decisions."""
        return [self.past(past) for past in range(number)]

    def past(self, number: int) -> Round:
        """A round as far as it is done: its reports, and what alarms and gate said where they have spoken."""
        done = {stage for stage in stages.of_round(1) if self.folder.step(number, stage).exists()}
        return Round(
            round=number,
            rounds=self.recipe.rounds,
            champion=self.report(number, "champion"),
            incumbent=self.report(number, "incumbent") if number else None,
            candidate=self.report(number, "candidate") if number else None,
            alerts=self.alerts(number) if "audit" in done else (),
            decision=self.decision(number) if "gate" in done else None,
            confirmation=self.confirmation(number),
            counts=self.counts(number),
            seconds={stage: self.folder.seconds(number, stage) for stage in done},
        )

    def noted_steps(self) -> list[tuple[int, str]]:
        """The finished steps that the ledger has to mention: they read held-out problems or spent alpha."""
        folders = sorted(self.folder.root.glob("round_*/*"))
        noted = {stage.name for stage in stages.TABLE if stage.held_out or stage.spends}
        return [(int(f.parent.name.removeprefix("round_")), f.name) for f in folders if f.name in noted]

    def first(self) -> str:
        """What the fingerprint of the first step builds on."""
        return digest({name: self.settings[name] for name in ("seed", "task", "engine")})

    def fingerprint(self, before: str, number: int, stage: str) -> str:
        """What a step is recognised by: the options that its result depends on, and the fingerprint before it."""
        return digest({"before": before, "stage": stage, "options": self._options(number, stage)})

    def _options(self, number: int, stage: str) -> Any:
        """The part of the recipe that a step's result depends on."""
        facts = stages.NAMED[stage]
        settings = self.settings if facts.recipe == "run" else self.at(1 if facts.recipe == "first" else number)[1]
        return {name: settings[name] for name in facts.depends} if facts.depends else settings[stage]

    def inputs(self, number: int, stage: str) -> str:
        """The content of the finished step before this one; a step counts only together with what it was made from."""
        names = stages.of_round(number)
        place = names.index(stage) if stage in names else len(names)
        earlier = [(number, name) for name in names[:place]]
        if number and place == 0:
            earlier = [(number - 1, name) for name in stages.of_round(number - 1)]
        finished = [step for step in earlier if self.folder.step(*step).exists()]
        return self.folder.content(*finished[-1]) if finished else ""

    def examined(self) -> set[str]:
        """The keys of all gate problems that a finished decision has seen."""
        reports = self.folder.root.glob("round_*/*/champion.json")
        return {
            key
            for path in reports
            if path.parent.name in ("evaluation", "confirmation")
            for key in json.loads(path.read_text())["scores"]
        }

    def counts(self, number: int) -> dict[str, float]:
        """The counts of a round's finished steps, as `stage/name`."""
        return {
            f"{stage}/{name}": value
            for stage in stages.of_round(number)
            if self.folder.step(number, stage).exists()
            for name, value in self.folder.manifest(number, stage)["counts"].items()
        }

    def line(self, number: int) -> dict[str, Any]:
        """One finished round as metrics.jsonl has it."""
        line: dict[str, Any] = {"round": number, "measure": self.report(number, "champion").measure}
        for who in ("champion", "candidate") if number else ("champion",):
            for key, metric in self.report(number, who).metrics.items():
                line[f"{who}/{key}"] = asdict(metric)
        if number:
            line["decision"] = asdict(self.decision(number))
        line["alerts"] = [asdict(alert) for alert in self.alerts(number)]
        line["diagnosis"] = self._json(number, "audit", "diagnosis.json")
        line |= self.counts(number)
        for stage in stages.of_round(number):
            line |= self.folder.manifest(number, stage)["metrics"]
        return line

    def seconds(self, number: int) -> dict[str, float]:
        """How long each step of a finished round took."""
        return {stage: self.folder.seconds(number, stage) for stage in stages.of_round(number)}

    def _json(self, number: int, stage: str, name: str) -> Any:
        return self.folder.once(number, stage, name, lambda step: json.loads((step / name).read_text()))


def _checkpoint(step: Path) -> Checkpoint:
    noted = json.loads((step / "checkpoint.json").read_text())
    path = (step / noted["path"]).resolve()
    check_code(path)  # the run may come from a stranger
    return Checkpoint(**{**noted, "path": str(path)})


def _after(now: Standing, decision: Decision, maker: int) -> Standing:
    """Champion and incumbent after a decision on the candidate that round `maker` made."""
    champion = now.incumbent if decision.certified else now.champion
    match decision.verdict:
        case "certify":
            return Standing(maker, maker)
        case "accept":
            return Standing(champion, maker)
        case "rollback":
            return Standing(champion, champion)
        case _:
            return Standing(champion, now.incumbent)


def _read_report(step: Path, who: str) -> Report:
    noted = json.loads((step / f"{who}.json").read_text())
    return Report(
        metrics={name: Metric(**value) for name, value in noted["metrics"].items()},
        scores=noted["scores"],
        measure=noted.get("measure", "accuracy"),
        parts=noted["parts"],
        rollouts=tuple(one for one in read_records(step / f"{who}.jsonl") if isinstance(one, Rollout)),
    )


def write_report(report: Report, folder: Path, who: str) -> None:
    """Write what `Stored.report` reads."""
    metrics = {name: asdict(metric) for name, metric in report.metrics.items() if metric.n}  # of nothing: no figure
    draft(
        folder / f"{who}.json",
        {"metrics": metrics, "scores": report.scores, "measure": report.measure, "parts": report.parts},
    )
    write_records(folder / f"{who}.jsonl", report.rollouts)


def write_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Note where a step's weights are; relative to the step if they lie in it, so that a run can be moved."""
    path = Path(checkpoint.path)
    noted = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
    draft(folder / "checkpoint.json", {**asdict(checkpoint), "path": noted})


def began(folder: RunDir) -> dict[str, Any]:
    """environment.json of a run.

    Raises:
        DataError: it was changed.
    """
    path = folder.root / "environment.json"
    try:
        found = json.loads(path.read_text())
        if not isinstance(found["settings"], dict):
            raise TypeError("its settings are no mapping")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error}. Restore the file, or start a new run") from error
    if "sha256" in found and not is_signed(found):
        raise DataError(f"{path} is damaged: it is not what was written. Restore the file, or start a new run")
    return found


def changes(before: Any, now: Any, where: str = "") -> list[str]:
    """The differences between two recipes, each as `key was a, is b`."""
    return [f"{place} was {old!r}, is {new!r}" for place, old, new in changed_values(before, now, where)]


def changed_values(before: Any, now: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """The differences between two recipes: where, what was there, what is there."""
    if isinstance(before, dict) and isinstance(now, dict):
        places = ((f"{where}.{key}".lstrip("."), key) for key in dict.fromkeys([*before, *now]))
        return [one for place, key in places for one in changed_values(before.get(key), now.get(key), place)]
    return [] if before == now else [(where, before, now)]
