"""Models by role: whose records train which weights, who draws in which role, and what a run keeps of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Acquisition, Context, Gate, Optimization
from selfimprove.loop import parts
from selfimprove.loop.begin import create
from selfimprove.loop.history import Stored
from selfimprove.loop.loop import Runner
from selfimprove.loop.step_files import read_checkpoint, write_checkpoint
from selfimprove.needs import Needs
from selfimprove.recipe import compose
from selfimprove.recipe.legs import Leg
from selfimprove.records import (
    Checkpoint,
    Decision,
    Preference,
    Prompt,
    Record,
    Rollout,
    dumps,
    loads,
    read_records,
)
from selfimprove.registry import Entry
from selfimprove.report.verify import verify
from selfimprove.store.run_folder import RunDir
from selfimprove.trials import rehearsal


# ---- records and checkpoints -------------------------------------------------------------------------------------
def test_a_role_is_written_only_where_it_is_another_than_to_solve(make_rollout: Callable[..., Rollout]) -> None:
    solved, proposed = make_rollout(), make_rollout(role="propose")
    assert "role" not in json.loads(dumps(solved)) and json.loads(dumps(proposed))["role"] == "propose"
    assert solved.id != proposed.id
    assert [loads(dumps(one)) for one in (solved, proposed)] == [solved, proposed]
    pair = Preference.of(proposed, proposed)
    assert pair.role == "propose" and loads(dumps(pair)) == pair
    assert [side.role for side in pair.sides] == ["propose", "propose"]
    assert "role" not in json.loads(dumps(Preference.of(solved, solved)))


def test_the_id_of_a_record_is_that_of_before_there_were_roles() -> None:
    prompt = Prompt(prompt=[{"role": "user", "content": "3+5="}], key="3+5", answer="8")
    said = Rollout(prompt=prompt, completion=[{"role": "assistant", "content": "8"}])
    assert (prompt.id, said.id) == ("20ed63efa855a6b7", "ca13b00388696af6")


def test_the_weights_of_a_role() -> None:
    one = Checkpoint(path="all")
    assert one.of("propose") is one and one.of("solve") is one
    two = Checkpoint(path="main", parts={"propose": "own"})
    assert two.of("propose") == Checkpoint(path="own")
    assert two.of("solve") == two.of("judge") == Checkpoint(path="main")


def test_a_policy_draws_and_scores_with_the_part_of_the_role(make_engine: Callable, make_policy: Callable) -> None:
    asked: list[tuple[str, str, int]] = []

    class Spy(type(make_engine())):  # type: ignore[misc]
        def draw(self, asks: Any, log: Any) -> Any:
            asked.append(("draw", asks[0].checkpoint.path, len(asks)))
            return super().draw(asks, log)

        def logprobs_of(self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob") -> Any:
            asked.append(("score", checkpoint.path, len(rollouts)))
            return [[float(len(rollout.prompt.key))] for rollout in rollouts]

    policy = make_policy(Spy(default="8"), checkpoint=Checkpoint(path="main", parts={"propose": "own"}))
    problems = [Prompt(prompt=[{"role": "user", "content": key}], key=key) for key in ("3", "35")]
    [[solved], [other]] = policy.sample(problems)
    [[proposed]] = policy.sample(problems[:1], role="propose")
    assert [one.role for one in (solved, proposed)] == ["solve", "propose"]
    assert policy.logprobs_of([other, proposed, solved]) == [[2.0], [1.0], [1.0]], "in the order given"
    assert asked == [("draw", "main", 2), ("draw", "own", 1), ("score", "main", 2), ("score", "own", 1)]


def test_a_checkpoint_is_noted_so_that_a_run_can_be_moved_and_old_ones_load(tmp_path: Path) -> None:
    run = tmp_path / "run"
    step, before = run / "round_002" / ".optimization.partial", run / "round_001" / "optimization" / "parts" / "judge"
    step.mkdir(parents=True)
    made = Checkpoint(
        path=str(step / "model"), parts={"propose": str(step / "parts/propose/model"), "judge": str(before)}
    )
    write_checkpoint(made, step)
    noted = json.loads((step / "checkpoint.json").read_text())
    assert noted["path"] == "model"
    assert noted["parts"] == {"propose": "parts/propose/model", "judge": "../../round_001/optimization/parts/judge"}
    for path in (step / "model", step / "parts/propose/model", before):
        path.mkdir(parents=True)
    moved = run.rename(tmp_path / "moved")
    final = (moved / "round_002" / ".optimization.partial").rename(moved / "round_002" / "optimization")
    found = read_checkpoint(final)
    assert found.path == str(final / "model") and found.of("propose").path == str(final / "parts/propose/model")
    assert found.of("judge").path == str(moved / "round_001" / "optimization" / "parts" / "judge")
    plain = tmp_path / "plain"
    (plain / "model").mkdir(parents=True)
    write_checkpoint(Checkpoint(path=str(plain / "model")), plain)
    assert json.loads((plain / "checkpoint.json").read_text()) == {"path": "model", "base": None, "adapter": False}
    assert read_checkpoint(plain) == Checkpoint(path=str(plain / "model"))


# ---- one optimization for each part ------------------------------------------------------------------------------
@dataclass
class Noting(Optimization):
    """Writes what it was given."""

    consumes: ClassVar[Any] = Rollout

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        folder = context.folder / "model"
        folder.mkdir()
        context.log.metric("train/rows", len(records))
        content = {
            "texts": [record.text for record in records],
            "from": context.policy.checkpoint.path,
            "others": {role: context.policy.checkpoint.of(role).path for role in ("solve", "propose", "judge")},
            "previous": context.previous and context.previous.name,
        }
        (folder / "given.json").write_text(json.dumps(content))
        return Checkpoint(path=str(folder))


def test_each_part_is_trained_on_what_was_said_in_its_role_and_meets_the_newest_of_the_others(
    make_context: Callable[..., Context], make_rollout: Callable[..., Rollout], tmp_path: Path
) -> None:
    given = make_context()
    old = Checkpoint(path="old", parts={"propose": "old proposer"})
    before = tmp_path / "before"
    (before / "parts" / "propose").mkdir(parents=True)
    given = replace(given, policy=replace(given.policy, checkpoint=old), previous=before)
    leg = Leg("", {}, ["judge", "propose", "solve"], ["judge", "propose", "solve"])
    rows: list[Record] = [
        *(make_rollout(text) for text in ("a", "b")),
        make_rollout("p", role="propose"),
        make_rollout("r", role="refine"),
    ]
    made = parts.optimized({"noting": Noting()}, leg, rows, given)
    assert list(made) == ["judge", "propose", "solve"]
    seen = {
        role: json.loads((Path(one.path) / "given.json").read_text())
        for role, (_, one) in made.items()
        if role != "judge"
    }
    proposer = str(given.folder / "parts" / "propose" / "model")
    assert seen["propose"] == {
        "texts": ["p"],
        "from": "old proposer",
        "others": {"solve": "old", "propose": "old proposer", "judge": "old"},
        "previous": "propose",
    }
    assert seen["solve"] == {
        "texts": ["a", "b", "r"],
        "from": "old",
        "others": {"solve": "old", "propose": proposer, "judge": "old"},
        "previous": "before",
    }
    whole = parts.joined(old, made)
    assert whole == Checkpoint(path=str(given.folder / "model"), parts={"judge": "old", "propose": proposer}), (
        "nothing was said by the judge"
    )
    log: Any = given.log
    assert (log.metrics["propose/train/rows"], log.metrics["train/rows"]) == (1, 3)
    assert log.notes == ["there are no records in the role judge, so its weights do not change"]


# ---- recipes -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("parts=[proposer]", r"no role is called 'proposer'. Did you mean 'propose'"),
        ("parts=[judge]", r"no method of this recipe asks in the role 'judge'"),
        ("parts=[propose,propose]", r"names 'propose' twice"),
    ],
)
def test_parts_that_a_recipe_cannot_have(override: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        compose.load("r_zero", [override])


@pytest.mark.long
def test_parts_and_legs_count_in_the_fingerprint_of_what_they_change_and_of_nothing_before(tmp_path: Path) -> None:
    def prints(recipe: str, *overrides: str) -> list[str]:
        stored = Stored(create(recipe, overrides, tmp_path / f"run{len(overrides)}"))
        return [
            stored.fingerprint("before", 1, stage) for stage in ("acquisition", "selection", "optimization", "gate")
        ]

    one, two = prints("r_zero"), prints("r_zero", "parts=[propose]")
    assert [a == b for a, b in zip(one, two, strict=True)] == [True, True, False, True]
    legs = prints("r_zero", "parts=[propose]", "legs=[propose.propose,solve.propose]")
    assert [a == b for a, b in zip(two, legs, strict=True)] == [False, False, False, True]


# ---- a run without a model ---------------------------------------------------------------------------------------
@dataclass
class Both(Acquisition):
    """What was said in two roles; the text names the weights that each role has by then."""

    consumes: ClassVar[Any] = None
    produces: ClassVar[Any] = Rollout
    problems: int = 4

    def needs(self) -> Needs:
        return Needs(roles=("propose",))

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        weights = context.policy.checkpoint
        return [
            Rollout(
                prompt=problem,
                completion=[{"role": "assistant", "content": "/".join(Path(weights.of(one).path).parts[-5:])}],
                role=role,
                reward=1.0,
                info={"of": one},
            )
            for problem in context.problems(self.problems, context.round)
            for role in ("propose", "solve")
            for one in ("propose", "solve")
        ]


@dataclass
class Second(Gate):
    """Takes the candidate of round 2 only."""

    def decide(self, champion: Any, incumbent: Any, candidate: Any, alerts: Any, history: Any, rounds: int) -> Decision:
        return Decision(verdict="certify" if len(history) == 2 else "reject", reason="by its number")


@pytest.fixture
def two_models(tmp_path: Path, quiet_log: Any) -> Callable[..., Runner]:
    """A run of the rehearsal's kind in which two roles have weights of their own."""
    own = {("acquisition", "both"): Both, ("gate", "second"): Second}

    def method(slot: str, name: str) -> Entry:
        return Entry(slot, name, own[slot, name], "") if (slot, name) in own else rehearsal.method(slot, name)

    def load(name: str | Path, overrides: Sequence[str]) -> Any:
        return compose.load(name, overrides, method)

    def make(*overrides: str) -> Runner:
        changes = ("acquisition=[both]", "gate=second", "rounds=2", "parts=[propose]", *overrides)
        recipe = rehearsal.write_recipe(tmp_path)
        return Runner(create(str(recipe), changes, tmp_path / "run", load=load), quiet_log, load)

    return make


def _skill(path: str) -> float:
    return json.loads((Path(path) / "config.json").read_text())["skill"]


@pytest.mark.long
def test_a_rejected_round_takes_all_parts_back(two_models: Callable[..., Runner]) -> None:
    """Each training adds .25 to the skill of .2: after a rejected round both parts begin at .2 again."""
    run = two_models()
    run.run()
    stored = run.stored
    start = stored.checkpoint(0)
    for number in (1, 2):
        made = stored.checkpoint(number)
        assert [_skill(made.of(role).path) for role in ("solve", "propose")] == [0.45, 0.45]
        assert made.of("propose").path != made.path and f"round_00{number}" in Path(made.of("propose").path).parts
    assert stored.standing(2).incumbent == 0 and stored.standing(3).incumbent == 2
    said = read_records(stored.folder.step(2, "acquisition") / "output.jsonl")
    assert {one.text for one in said if isinstance(one, Rollout)} == {"/".join(Path(start.path).parts[-5:])}
    untrained = stored.null(2)
    assert untrained is not None and untrained.parts, "the null round trains all parts"
    assert [_skill(untrained.of(role).path) for role in ("solve", "propose")] == [0.45, 0.45]
    assert all("null" in Path(untrained.of(role).path).parts for role in ("solve", "propose"))


@pytest.mark.long
def test_each_leg_meets_the_newest_weights_of_the_others(two_models: Callable[..., Runner]) -> None:
    run = two_models("legs=[propose.both,solve.both]")
    folder, stored = run.folder, run.stored
    run.run()
    assert stored.steps(1)[:6] == (
        *("acquisition.propose", "selection.propose", "optimization.propose"),
        *("acquisition", "selection", "optimization"),
    )
    first, last = (read_records(folder.step(1, step) / "output.jsonl") for step in stored.steps(1)[:4:3])
    start, proposer = stored.checkpoint(0).path, stored.checkpoint(1).parts["propose"]
    told = [{one.info["of"]: one.text for one in said if isinstance(one, Rollout)} for said in (first, last)]
    ends = {place: "/".join(Path(place).parts[-5:]) for place in (start, proposer)}
    assert told == [
        {"propose": ends[start], "solve": ends[start]},
        {"propose": ends[proposer], "solve": ends[start]},
    ], "the solver answers the trained proposer"
    assert "optimization.propose" in Path(proposer).parts
    for step, role in (("selection.propose", "propose"), ("selection", "solve")):
        kept = read_records(folder.step(1, step) / "output.jsonl")
        assert {one.role for one in kept if isinstance(one, Rollout)} == {role}
    assert stored.standing(2).incumbent == 0 and stored.newest(2, "acquisition.propose").parts == {}
    counts = stored.counts(1)
    assert counts["optimization.propose/records"] == counts["optimization/records"] == 8
    untrained = stored.null(2)
    assert untrained is not None and _skill(untrained.path) == _skill(untrained.parts["propose"]) == 0.45
    assert all(finding.fine for finding in verify(folder.root, stored._load))
    moved = folder.root.rename(folder.root.with_name("moved"))
    again = Runner(RunDir.open(moved), run.watcher, stored._load)
    before = rehearsal.contents(moved)
    again.run()
    assert rehearsal.contents(moved) == before, "a finished run stays as it is, wherever it lies"


# ---- a run -------------------------------------------------------------------------------------------------------
SMALL = (
    *("rounds=1", "gate_problems=20", "probe_problems=0", "audit_problems=4", "audit_samples=2", "sealed_problems=20"),
    *(
        "control_problems=0",
        "model.tiny.max_steps=150",
        "acquisition.propose.problems=60",
        "engine.transformers.device=cpu",
    ),
    *("acquisition.propose.samples=4", "acquisition.propose.low=0.0", "acquisition.propose.high=1.0"),
    *("acquisition.propose.levels=[2]", "optimization.trr_plus_plus.max_steps=2", "gate=always", "alarm=[]"),
)


@pytest.mark.runs
def test_r_zero_with_two_models(tmp_path: Path, quiet_log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both models change, each by its own records only; the exam is sat by both as one policy."""
    from selfimprove.methods.engine.transformers import Transformers

    monkeypatch.setenv("SELFIMPROVE_CACHE", str(tmp_path / "cache"))

    def run(name: str, *overrides: str) -> tuple[RunDir, Stored]:
        folder = create("r_zero_two_models", [*SMALL, "legs=null", *overrides], tmp_path / name)
        Runner(folder, quiet_log).run()
        return folder, Stored(folder)

    folder, stored = run("both")
    start, made = stored.checkpoint(0), stored.checkpoint(1)
    weights = {
        name: _sha(path)
        for name, path in (("start", start.path), ("solve", made.path), ("propose", made.parts["propose"]))
    }
    assert len(set(weights.values())) == 3
    records = read_records(folder.step(1, "selection") / "output.jsonl")
    roles = [record.role for record in records if isinstance(record, Rollout)]
    assert set(roles) == {"solve", "propose"}
    counts = folder.manifest(1, "optimization")["counts"]
    assert (counts["records/solve"], counts["records/propose"]) == (roles.count("solve"), roles.count("propose"))
    alone = {"solver": "solve", "proposer": "propose"}
    for train, role in alone.items():  # the same draws, of which only one role's records are given on
        _, other = run(train, f"acquisition.propose.train={train}")
        found = other.checkpoint(1)
        assert _sha(found.of(role).path) == weights[role], "the other role's records have no part in it"
        left = "propose" if role == "solve" else "solve"
        assert _sha(found.of(left).path) == weights["start"], "where nothing was said, nothing changes"
    policy = stored.policy(1, 1, 0, quiet_log)
    assert policy.checkpoint == made
    assert stored.standing(2).incumbent == 1
    engine = Transformers(device="cpu", max_completion_length=6)
    drawn = [
        [one.text for one in replace(policy, engine=engine).sample([_prompt()], 8, role=role)[0]]
        for role in ("propose", "solve")
    ]
    own = [
        [one.text for one in engine.sample(Checkpoint(path=path), [_prompt()], 8, *_call(policy, call))[0]]
        for call, path in enumerate((made.parts["propose"], made.path))
    ]
    assert drawn == own


def _sha(path: str) -> str:
    return hashlib.sha256((Path(path) / "model.safetensors").read_bytes()).hexdigest()


def _prompt() -> Prompt:
    return Prompt(prompt=[{"role": "user", "content": "3+5="}], key="3+5")


def _call(policy: Any, call: int) -> tuple[Any, int, Any]:
    from selfimprove.interfaces import Sampling
    from selfimprove.records import digest

    return Sampling(), int(digest([policy.seed, call])[:8], 16), policy.log
