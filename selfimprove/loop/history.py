"""A run as read from its finished steps: champion and incumbent, reports, and decisions of each round.

A policy is named by the round that made it (0 is the start). Champion and incumbent are derived from the gates'
decisions alone, so no other state has to agree with the folders.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial, reduce
from typing import Any

from selfimprove import foreign, registry, training
from selfimprove.errors import DataError, RecipeError
from selfimprove.inference.desk import Sessions
from selfimprove.inference.metered import Metered
from selfimprove.interfaces import Context, Engine, Log, Policy, Remote
from selfimprove.loop import shapes, stages, step_files
from selfimprove.loop.branch import branch_of
from selfimprove.loop.carried import Carried, Gathered
from selfimprove.loop.given import policy_of, rating_of
from selfimprove.loop.origin import as_begun, began, nested, refuse_changes, refuse_gaps
from selfimprove.loop.standing import Standing, after
from selfimprove.loop.step_files import made_of, read_checkpoint, read_report
from selfimprove.measures import judge_reliability
from selfimprove.measures.diagnosis import Diagnosis, Estimate, of_audit
from selfimprove.needs import OTHERS
from selfimprove.problems.overlap import HeldOut
from selfimprove.recipe import compose, yaml_file
from selfimprove.recipe.legs import legs_of
from selfimprove.recipe.overrides import written
from selfimprove.recipe.schema import Recipe, Settings
from selfimprove.records import Alert, Checkpoint, Decision, Prompt, Record, Report, Rollout, digest, read_records
from selfimprove.rounds import AuditForm, Groups, Round
from selfimprove.store.journal import Journal
from selfimprove.store.ledger import Ledger
from selfimprove.store.run_folder import RunDir
from selfimprove.store.seal import PRUNED
from selfimprove.store.shape import read, require


class Stored:
    """A run on disk."""

    def __init__(self, folder: RunDir, load: compose.Load = compose.load) -> None:
        self.folder, self._load = folder, load
        self.environment = began(folder)
        self.recipe, self.settings = load(folder.root / "recipe.yaml", ())
        self._then, self._told = self.environment["settings"], yaml_file.read(folder.root / "recipe.yaml")
        refuse_changes(folder.root, self._then, as_begun(self.settings, self._then, self._told))
        refuse_gaps(folder.root, self._then, self._told)
        self.ledger = Ledger(folder.root / "ledger.jsonl")
        self.branch = branch_of(folder.root, self.environment, self.ledger)
        """Where the run left another one, whose first steps it shares; None if it did not."""
        self.journal: Journal | None = None
        """The journal of the step in progress, which wraps the engines."""
        self.copies: training.Copies | None = None
        """Makes copies of the weights for the step."""
        self.given: Context | None = None
        """The context of the methods in the step in progress."""
        self.held_out: HeldOut | None = None
        """The wording of the held-out problems, once a record is compared with it."""
        self._recipes: dict[str, tuple[Recipe, Settings]] = {}
        self._depends: dict[str, Any] = {}
        self._legs = [leg.name for leg in legs_of(self.recipe)[:-1]]
        self._standings = Carried(Standing(), self._decide, folder.touched)
        self._overrides = Carried(dict[str, Any](), self._override, folder.touched)
        self._examined = Gathered(self._asked, folder.touched)
        self._diagnoses: dict[int, Diagnosis | None] = {}
        self._records: dict[tuple[int, str], list[Record]] = {}
        self._audits: dict[int, list[list[Rollout]]] = {}

    def seed(self, *place: Any) -> int:
        """The seed of a place in the run; it depends on the place and the run's seed only, never on history."""
        return int(digest([self.recipe.seed, *place])[:8], 16)

    def fresh(self, number: int, step: str, *place: Any) -> int:
        """The seed of held-out problems; in its own steps a branch draws others than the run that it left."""
        own = self.branch and self.branch.owns(number, step, (*self.steps(number), *stages.END))
        return self.seed(*place, self.branch.id) if self.branch and own else self.seed(*place)

    def at(self, number: int) -> tuple[Recipe, Settings]:
        """The recipe of a round: the run's own with the overrides of controllers and accepted changes.

        The engine object is shared, so that its models stay loaded.
        """
        overrides = self._overrides.at(number)
        if not overrides:
            return self.recipe, self.settings
        values = [written(key, value) for key, value in overrides.items()]
        if digest(values) not in self._recipes:
            changed, settings = self._load(self.folder.root / "recipe.yaml", values)
            self._recipes[digest(values)] = replace(changed, engine=self.recipe.engine), settings
        return self._recipes[digest(values)]

    def _override(self, before: dict[str, Any], past: int) -> dict[str, Any]:
        """The overrides after a round, from those in it."""
        said = [self.after(past).get("overrides", {})] if past else []
        said += [one["overrides"] for one in self.environment.get("accepted", ()) if one["round"] == past + 1]
        return reduce(operator.or_, said, before)

    def applied(self, number: int, step: str) -> bool:
        """Whether the proposal of a step takes effect: from autonomy 2 on, or if a person approved it."""
        level = self.recipe.autonomy
        return level >= 2 or (level == 1 and self.ledger.answers().get((number, step), False))

    def waiting(self) -> tuple[int, str] | None:
        """The first finished proposal without a person's answer; None if no answer is needed."""
        if self.recipe.autonomy != 1:
            return None
        asked = (("controller", "gate"), ("confirmation", "confirmation"))  # a person answers for a whole round
        answers = self.ledger.answers()
        for folder in sorted(self.folder.root.glob("round_*")):
            number = int(folder.name.removeprefix("round_"))
            for finished, step in asked:
                if number and (folder / finished).exists() and (number, step) not in answers:
                    return number, step
        return None

    def after(self, number: int) -> dict[str, Any]:
        """The effect of the controllers after a round: {"overrides": {...}}, {"stop": reason}, or {}."""
        said = self.proposed(number)
        adapts = self.recipe.autonomy >= 3 or (self.recipe.autonomy == 1 and self.applied(number, "gate"))
        return said if adapts or "stop" in said else {}

    def proposed(self, number: int) -> dict[str, Any]:
        """The controllers' proposal after a round, whether or not it takes effect."""
        return self._json(number, "controller", "next.json", shapes.NEXT)

    def decision(self, number: int) -> Decision:
        """The effective decision of the gate in a finished round."""
        return self._decided(number, "gate")

    def confirmation(self, number: int) -> Decision | None:
        """The gate's decision on the incumbent after the last round; None if there was none."""
        return self._decided(number, "confirmation") if "confirmation" in self.folder.finished(number) else None

    def _decided(self, number: int, step: str) -> Decision:
        noted = self._json(number, step, "decision.json", shapes.DECISION)
        if wrong := shapes.odd_decision(noted):
            raise DataError(f"{self.folder.step(number, step) / 'decision.json'} is damaged: {wrong}")
        said = made_of(Decision, noted)
        if self.applied(number, step):
            return said
        word = said.verdict + " and certify" * said.certified
        return replace(said, verdict="hold", certified=False, reason=f"{word} proposed, not applied: {said.reason}")

    def made(self, number: int, who: str, stage: str) -> int:
        """The round that made the champion, incumbent or candidate of an evaluation."""
        standing = self.standing(number) if stage == "evaluation" else self._before_confirmation(number)
        return number if who == "candidate" else getattr(standing, who)

    def _before_confirmation(self, number: int) -> Standing:
        return _moved(self.standing(number), self.decision(number), number)

    def controls(self, number: int) -> dict[str, Any]:
        """The controls of the sealed exam after a round."""
        return self._json(number, "sealed", "controls.json", shapes.CONTROLS)

    def alerts(self, number: int) -> list[Alert]:
        """The alerts of a finished round."""
        return [made_of(Alert, alert) for alert in self._json(number, "audit", "alerts.json", [shapes.ALERT])]

    def judges(self, maker: int) -> dict[str, AuditForm]:
        """The audit form of each reward that judges, from the audit of a policy; {} without an audit."""
        if not (self.folder.step(maker, "audit") / "judge.json").exists():
            return {}
        forms = self._json(maker, "audit", "judge.json", shapes.JUDGES)
        return {name: judge_reliability.parse(form) for name, form in forms.items()}

    def audit(self, maker: int) -> list[list[Rollout]]:
        """The audit samples of a policy with rewards and marks, by problem, from the round that made it."""
        if maker not in self._audits:
            groups: dict[str, list[Rollout]] = {}
            for rollout in self.records(maker, "audit", "audit.jsonl"):
                assert isinstance(rollout, Rollout)
                groups.setdefault(rollout.prompt.key, []).append(rollout)
            self._audits = {known: self._audits[known] for known in self._audits if known == 0}  # and one more
            self._audits[maker] = list(groups.values())
        return self._audits[maker]

    def diagnosis(self, maker: int) -> Diagnosis | None:
        """The diagnosis of a policy from its audit; None if there are too few samples."""
        if maker not in self._diagnoses:
            self._diagnoses[maker] = of_audit(self.audit(maker))
        return self._diagnoses[maker]

    def memorization(self, maker: int) -> Estimate | None:
        """The memorization gap of a policy from its audit; None if it was not measured."""
        said = (self._json(maker, "audit", "diagnosis.json", shapes.DIAGNOSIS) or {}).get("memorization")
        if not said or {"error", "n"} - said.keys() or len(said["ci"]) != 2:
            return None
        low, high = said["ci"]
        return Estimate(said["value"], said["error"], low, high, said["n"])

    def remember(self, maker: int, found: Diagnosis) -> None:
        """Cache a diagnosis that was made from the same samples before they were written."""
        self._diagnoses[maker] = found

    def standing(self, number: int) -> Standing:
        """Champion and incumbent at the start of a round, from the decisions of earlier rounds."""
        return self._standings.at(number)

    def _decide(self, before: Standing, past: int) -> Standing:
        now = before
        for decision in (self.decision(past), self.confirmation(past)) if past else ():
            now = _moved(now, decision, past) if decision else now
        return now

    def steps(self, number: int) -> tuple[str, ...]:
        """The names of the steps of a round, in order."""
        return stages.of_round(number, self._legs)

    def newest(self, number: int, step: str) -> Checkpoint:
        """The weights that a step of a leg works with: the incumbent's, and the parts that earlier legs have made."""
        names = self.steps(number)
        before = [name for name in names[: names.index(step)] if stages.stage_of(name).trains]
        if before:
            return self._checkpoint(number, before[-1])
        return self.checkpoint(self.standing(number).incumbent)

    def checkpoint(self, number: int) -> Checkpoint:
        """The weights that a round made."""
        return self._checkpoint(number, "optimization" if number else "model")

    def null(self, number: int) -> Checkpoint | None:
        """The weights of the null round, if there is one."""
        made = (self.folder.step(number, "null") / "checkpoint.json").exists()
        return self._checkpoint(number, "null") if made else None

    def _checkpoint(self, number: int, stage: str) -> Checkpoint:
        if (self.folder.step(number, stage) / PRUNED).exists():
            raise DataError(
                f"the weights of round {number} were pruned from {self.folder.root}, so they cannot be used"
            )
        return self.folder.once(number, stage, "checkpoint", read_checkpoint)

    def pass_on(self, number: int, step: str, records: Sequence[Record]) -> None:
        """Keep the records that a step has just written, for the one that reads them, if it runs in this process."""
        self._records = {place: kept for place, kept in self._records.items() if place[0] >= number - 1}
        if (plain := step_files.as_read(records)) is not None:
            self._records[number, step] = plain

    def records(self, number: int, step: str, file: str = "output.jsonl") -> list[Record]:
        """The records that a step wrote."""
        kept = self._records.pop((number, step), None)
        return read_records(self.folder.step(number, step) / file) if kept is None else kept

    def policy(self, maker: int, number: int, seed: int, log: Log, weights: Checkpoint | None = None) -> Policy:
        """The policy that round `maker` made, for use in round `number`, or the same policy with other `weights`."""
        current = self.at(number)[0]

        def others(name: str) -> Policy:
            if name not in OTHERS:
                raise RecipeError(f"no policy of a run is called {name!r}.{registry.nearest(name, OTHERS)}")
            before = self.standing(maker).incumbent if maker else 0
            makers = dict(zip(OTHERS, (0, self.standing(number).champion, before), strict=True))
            return self.policy(makers[name], number, seed, log).plain()

        return policy_of(
            current,
            weights or self.checkpoint(maker),
            seed,
            log,
            self.learned(maker),
            engine=self._kept("engine", self.recipe.the("engine")),
            copies=None if isinstance(self.recipe.the("engine"), Remote) else self.copies,
            helpers={role: self._kept(role, engine) for role, engine in self.recipe.helpers.items()},
            desk=Sessions(
                current.the("task"),
                partial(self._rated, current),
                self.recipe.budget,
                others,
                {} if self.journal is None else self.journal.answers("sessions"),
                partial(rating_of, current),
            ),
        )

    def learned(self, maker: int) -> dict[str, dict[str, Any]]:
        """The states that the refinements learned for the weights of a round, by name."""
        file = self.folder.step(maker, "refinement") / "state.json"
        if not file.exists():
            return {}
        said = foreign.json_in(file)
        states = said if isinstance(said, list) else [said]
        require(states, [dict], file)
        return dict(zip(self.at(maker)[0].refinement, states, strict=False))

    def _rated(self, recipe: Recipe, name: str, groups: Groups, policy: Policy) -> list[list[float | None]]:
        """A reward of the recipe, for refinements to call while they answer; it gets the context of the step."""
        if name not in recipe.reward or self.given is None:
            raise RecipeError(f"a refinement asks for the reward {name!r}.{registry.nearest(name, recipe.reward)}")
        reward = recipe.reward[name]
        return reward.rate(groups, replace(self.given, policy=policy.held(reward), log=policy.log))

    def _kept(self, name: str, engine: Engine) -> Engine:
        return Metered(self.journal.before(name, engine) if self.journal else engine)

    def report(self, number: int, who: str, stage: str = "evaluation") -> Report:
        """The report of a finished evaluation on the champion, the incumbent, the candidate or the start."""
        return self.folder.once(number, stage, who, partial(read_report, who=who))

    def history(self, number: int) -> list[Round]:
        """The rounds before `number`, with their decisions."""
        return [self.past(past) for past in range(number)]

    def past(self, number: int) -> Round:
        """A round as far as it is finished: its reports, and the alerts and the decision if there are any yet."""
        return self.folder.once(number, "", "past", lambda _: self._past(number))

    def _past(self, number: int) -> Round:
        done = [stage for stage in self.steps(1) if stage in self.folder.finished(number)]
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
            reported={
                name: one for stage in done for name, one in self.folder.manifest(number, stage)["metrics"].items()
            },
            seconds={stage: self.folder.seconds(number, stage) for stage in done},
        )

    def noted_steps(self) -> list[tuple[int, str]]:
        """The finished steps that the ledger must record: they read held-out problems or spent alpha."""
        folders = sorted(self.folder.root.glob("round_*/*"))
        noted = {stage.name for stage in stages.TABLE if stage.held_out or stage.spends}
        return [(int(f.parent.name.removeprefix("round_")), f.name) for f in folders if f.name in noted]

    def first(self) -> str:
        """The fingerprint before the first step."""
        settings = as_begun(self.settings, self._then, self._told)
        return digest({name: settings[name] for name in ("seed", "task", "engine")})

    def fingerprint(self, before: str, number: int, stage: str) -> str:
        """The fingerprint of a step: the options that its result depends on, and the previous fingerprint."""
        content = {"before": before, "stage": stage, "options": self._options(number, stage)}
        facts, now = stages.stage_of(stage), self.at(number)[1]
        if facts.trains and now.get("parts"):
            content["parts"] = now["parts"]
        if (facts.trains or facts.each_part) and now.get("legs"):
            content["legs"] = now["legs"]
        return digest(content)

    def _options(self, number: int, stage: str) -> Any:
        """The part of the recipe that a step's result depends on."""
        facts = stages.stage_of(stage)
        of = 1 if facts.recipe == "first" else number
        overrides = {} if facts.recipe == "run" else self._overrides.at(of)
        place = f"{stage} {json.dumps(overrides)}"  # many rounds have the same
        if place not in self._depends:
            now = self.at(of)[1] if overrides else self.settings
            settings = as_begun(now, self._then, self._told, nested(overrides))
            chosen = {name: settings[name] for name in facts.depends if settings.get(name) is not None}
            further = {name: settings[name] for name in facts.also if settings.get(name)}
            own = chosen if facts.depends else settings[facts.name]
            self._depends[place] = {**own, **further} if further else own
        return self._depends[place]

    def inputs(self, number: int, stage: str) -> str:
        """The sha256 of the previous finished step; a step is valid only with the inputs it was made from."""
        names = self.steps(number)
        earlier = names[: names.index(stage)] if stage in names else names
        if number and not earlier:
            number, earlier = number - 1, self.steps(number - 1)
        finished = self.folder.finished(number)
        before = next((name for name in reversed(earlier) if name in finished), "")
        return self.folder.content(number, before) if before else ""

    def unseen(self, problems: Sequence[Prompt], number: int, step: str) -> list[Prompt]:
        """The gate problems that no earlier decision has seen, nor one of the run that a branch left."""
        own = self.report(number, "champion").scores if step == "confirmation" else ()
        others = self.branch.consumed if self.branch else frozenset[str]()
        return [
            one
            for one in problems
            if one.key not in own and one.key not in others and not self._examined.before(number, one.key)
        ]

    def _asked(self, number: int) -> Iterator[str]:
        """The keys of the gate problems in the decisions of a round."""
        for step in ("evaluation", "confirmation"):
            if step in self.folder.finished(number):
                yield from self.report(number, "champion", step).scores

    def counts(self, number: int) -> dict[str, float]:
        """The counts of a round's finished steps, as `stage/name`."""
        return {
            f"{stage}/{name}": value
            for stage in self.steps(number)
            if stage in self.folder.finished(number)
            for name, value in self.folder.manifest(number, stage).get("counts", {}).items()
        }

    def line(self, number: int) -> dict[str, Any]:
        """The line of a finished round in metrics.jsonl."""
        return self.folder.once(number, "", "line", lambda _: self._line(number))

    def _line(self, number: int) -> dict[str, Any]:
        line: dict[str, Any] = {"round": number, "measure": self.report(number, "champion").measure}
        for who in ("champion", "candidate") if number else ("champion",):
            for key, metric in self.report(number, who).metrics.items():
                line[f"{who}/{key}"] = {**vars(metric)}
        if number:
            line["decision"] = asdict(self.decision(number))
        line["alerts"] = [asdict(alert) for alert in self.alerts(number)]
        line["diagnosis"] = self._json(number, "audit", "diagnosis.json", shapes.DIAGNOSIS)
        line |= self.counts(number)
        for stage in self.steps(number):
            line |= self.folder.manifest(number, stage).get("metrics", {})
        return line

    def confirmation_line(self, number: int) -> dict[str, Any]:
        """The test of the model on trial after the last round: its `decision`, `trial` (the round that made the model),
        the scores of `champion` and `incumbent` on its problems, and `seconds`.
        """
        reports = {who: self.report(number, who, "confirmation") for who in ("champion", "incumbent")}
        scores = {who: one.metrics.get(one.measure) for who, one in reports.items()}
        return {
            **{who: None if score is None else score.value for who, score in scores.items()},
            "decision": asdict(self._decided(number, "confirmation")),
            "trial": self.made(number, "incumbent", "confirmation"),
            "seconds": self.folder.seconds(number, "confirmation"),
        }

    def seconds(self, number: int) -> dict[str, float]:
        """Seconds of each step of a finished round."""
        return {stage: self.folder.seconds(number, stage) for stage in self.steps(number)}

    def _json(self, number: int, stage: str, name: str, shape: Any) -> Any:
        return self.folder.once(number, stage, name, lambda step: read(step / name, shape))


def _moved(now: Standing, decision: Decision, maker: int) -> Standing:
    """Champion and incumbent after a decision on the candidate of round `maker`."""
    return Standing(*after(now.champion, now.incumbent, decision.verdict, decision.certified, maker))
