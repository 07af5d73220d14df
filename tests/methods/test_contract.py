"""What every registered method must be, whoever wrote it: a new file needs no new test to be held to this."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
from omegaconf import OmegaConf

from selfimprove import registry
from selfimprove.errors import UserError
from selfimprove.interfaces import Context
from selfimprove.loop.lineage import signed
from selfimprove.problems import splits
from selfimprove.records import Checkpoint, Document, Preference, Prompt, Record, Rollout
from selfimprove.registry import Entry
from selfimprove.rounds import Evidence, Exam, Round

registry.discover()
ALL = [entry for entry in registry.METHODS.values() if entry.method.__module__.startswith("selfimprove.")]
SECTIONS = ("Idea:", "Survey:", "Paper:", "Algorithm:", "Differs:")
HEAVY = {"torch", "transformers", "trl", "vllm", "datasets", "peft", "accelerate", "ray", "openai", "scipy", "numpy"}
KINDS = (Document, Prompt, Rollout, Preference, Record)


def each(*slots: str, ready: bool = False) -> Any:
    """Run a test for every method of these slots (none: all); `ready` leaves out those with required options, and
    refinements whose packages are missing."""
    chosen = [
        entry
        for entry in ALL
        if (not slots or entry.slot in slots)
        and not (ready and any(option.default == "required" for option in registry.options(entry.method)))
        and not (ready and entry.slot == "refinement" and entry.method().needs().not_installed())
    ]
    return pytest.mark.parametrize("entry", chosen, ids=[f"{entry.slot}.{entry.name}" for entry in chosen])


def source_of(entry: Entry) -> Path:
    return Path(str(sys.modules[entry.method.__module__].__file__))


# ---- the file ----------------------------------------------------------------------------------------------------
@each()
def test_the_file_is_named_like_the_method_holds_one_and_is_short(entry: Entry) -> None:
    path = source_of(entry)
    assert (path.parent.name, path.stem) == (entry.slot, entry.name)
    assert len(path.read_text().splitlines()) <= 220
    same = [other for other in ALL if other.method.__module__ == entry.method.__module__]
    assert same == [entry]


@each()
def test_the_docstring_has_its_sections_in_order(entry: Entry) -> None:
    lines = registry.document(entry).splitlines()
    assert 10 <= len(registry.summary(entry)) <= 120 and lines[1] == "", "the first line says what the method does"
    heads = [line.split()[0] for line in lines if line.startswith(SECTIONS)]
    assert heads == list(SECTIONS)
    bodies = re.split(r"^(?:Idea|Survey|Paper|Algorithm|Differs):", registry.document(entry), flags=re.MULTILINE)[1:]
    assert all(body.strip() for body in bodies)
    steps = re.findall(r"^  (\d+)\. \S", bodies[3], flags=re.MULTILINE)
    assert steps == [str(number) for number in range(1, len(steps) + 1)] and steps


@each()
def test_the_paper_of_the_table_is_the_paper_of_the_docstring(entry: Entry) -> None:
    paper = re.split(r"^(?:Paper|Algorithm):", registry.document(entry), flags=re.MULTILINE)[1]
    if entry.paper:
        assert re.fullmatch(r"\d{4}\.\d{4,5}", entry.paper) and f"arXiv:{entry.paper}" in paper
    else:
        assert "arXiv" not in paper or paper.strip().startswith("none")


@each()
def test_nothing_heavy_is_imported_with_the_file(entry: Entry) -> None:
    for node in ast.parse(source_of(entry).read_text()).body:
        if isinstance(node, ast.Import):
            assert not HEAVY & {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in HEAVY


# ---- the class ---------------------------------------------------------------------------------------------------
@each()
def test_the_class_is_a_dataclass_of_one_slot_that_is_not_frozen(entry: Entry) -> None:
    assert dataclasses.is_dataclass(entry.method) and "__dataclass_fields__" in vars(entry.method)
    assert not entry.method.__dataclass_params__.frozen  # OmegaConf cannot fill in a frozen one
    assert [slot for slot, base in registry.SLOTS.items() if issubclass(entry.method, base)] == [entry.slot]
    assert not inspect.isabstract(entry.method)


@each()
def test_every_option_is_explained_and_has_a_default(entry: Entry) -> None:
    for option in registry.options(entry.method):
        assert len(option.help) >= 3, f"{entry.slot}.{entry.name}.{option.name} has no help under the field"
        assert not option.name.startswith("_")
    for field in dataclasses.fields(entry.method):
        assert field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


@each()
def test_every_option_has_a_type_that_a_recipe_can_check(entry: Entry) -> None:
    node = OmegaConf.structured(entry.method)
    assert list(node) == registry.option_names(entry.method)


@each(ready=True)
def test_the_defaults_make_a_method_that_survives_a_recipe(entry: Entry) -> None:
    method = entry.method()
    again = OmegaConf.to_object(OmegaConf.structured(entry.method))
    assert type(again) is entry.method and again == method


@each("acquisition", "selection", "optimization")
def test_the_kinds_are_declared(entry: Entry) -> None:
    method = entry.method
    starts = entry.slot == "acquisition" and method.consumes is None
    taken = get_args(method.consumes) or (method.consumes,)
    assert starts or {*taken} <= {*KINDS} or (entry.slot == "optimization" and method.consumes is Checkpoint)
    if entry.slot != "optimization":
        assert method.produces in KINDS
        assert method.produces is not Record or method.consumes is Record  # `any` means: as it came in
    assert not {"consumes", "produces"} & set(registry.option_names(method))


# ---- what data methods do, with the fake engine -------------------------------------------------------------------
@pytest.fixture
def world(
    tmp_path: Path, make_context: Callable[..., Context], make_engine: Callable, classroom: Callable, task: Any
) -> Callable[[], Context]:
    """`world()` makes the same context every time, with a fresh engine and a fresh policy."""
    problems = task.problems("train", 12, 1)
    answers = classroom(problems)

    def make() -> Context:
        return make_context(
            make_engine(answers, "#3"),
            folder=folder,
            problems=lambda n, number: problems[: 12 if n is None else n],
        )

    folder = tmp_path / "inside"
    folder.mkdir()
    return make


def given_to(entry: Entry, context: Context) -> Sequence[Any]:
    """Records of the kind that a method consumes; made by the policy itself, scored by the verifier."""
    prompts = context.problems(None, 1)
    rollouts = context.reward([rollout for group in context.policy.sample(prompts, 4) for rollout in group])
    kind = getattr(entry.method, "consumes", Rollout)
    if kind is None:
        return []
    if kind is Prompt:
        return prompts
    if kind is Document:
        return [Document(text=f"a text about {rollout.text}", source="t@1") for rollout in rollouts]
    if kind is Preference:
        pairs = zip(rollouts[::2], rollouts[1::2], strict=True)
        return [Preference(prompt=a.prompt, chosen=a.completion, rejected=b.completion) for a, b in pairs]
    return rollouts


PICKY = ("attributed", "cot_self_instruct", "magpie", "self_chat", "toolformer")
"""Acquisitions that read nothing in the replies of the fake engine; their own tests give them replies that they read."""
WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "shutil.rmtree")
_watched: list[list[str]] = []


def _audit(event: str, arguments: tuple) -> None:
    if not _watched:
        return
    if event == "open" and isinstance(arguments[0], str | bytes | Path):
        mode, flags = arguments[1], arguments[2] or 0
        if (mode and set("wax+") & set(mode)) or (not mode and flags & 3):  # O_WRONLY or O_RDWR
            _watched[-1].append(str(arguments[0]))
    elif event in WRITES:
        _watched[-1].extend(str(argument) for argument in arguments[:2] if isinstance(argument, str | bytes | Path))


sys.addaudithook(_audit)  # cannot be taken away again, so it is idle outside of `watched`


@contextmanager
def watched() -> Iterator[list[str]]:
    """The paths that Python writes, makes, moves or removes meanwhile."""
    _watched.append([])
    try:
        yield _watched[-1]
    finally:
        _watched.pop()


def outside(paths: Sequence[str], folder: Path) -> list[str]:
    allowed = (str(folder), "/dev/")
    return [path for path in paths if not path.startswith(allowed) and "__pycache__" not in path and path != "None"]


def test_the_watch_sees_writes_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "read").write_text("x")
    with watched() as paths:
        (tmp_path / "read").read_text()
        assert paths == []
        (tmp_path / "inside").mkdir()
        (tmp_path / "inside" / "a").write_text("x")
        (tmp_path / "b").write_text("x")
        (tmp_path / "b").rename(tmp_path / "c")
    assert outside(paths, tmp_path / "inside") == [str(tmp_path / name) for name in ("b", "b", "c")]


def run(entry: Entry, context: Context) -> Any:
    """A data method on its kind of records; a refusal is an outcome like any other."""
    method, records = entry.method(), given_to(entry, context)
    with watched() as paths:
        try:
            if entry.slot == "acquisition":
                made = method.acquire(records, context)
            elif entry.slot == "selection":
                made = method.select(records, context)
            else:
                groups: dict[str, list[Rollout]] = {}
                for rollout in records:
                    groups.setdefault(rollout.prompt.id, []).append(rollout)
                made = method.rate(list(groups.values()), context)
        except UserError as error:
            made = str(error)
    assert outside(paths, context.folder) == [], "a method writes in context.folder only"
    return made


@each("acquisition", "selection", "reward", ready=True)
def test_the_same_context_gives_the_same_output_and_nothing_is_written_elsewhere(
    entry: Entry, world: Callable[[], Context], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    first = run(entry, world())
    for path in sorted((tmp_path / "inside").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert run(entry, world()) == first
    assert first or entry.slot == "selection" or entry.name in PICKY, "the method made nothing of these records"


@each("acquisition", "selection", ready=True)
def test_output_is_of_the_declared_kind_and_names_where_it_comes_from(
    entry: Entry, world: Callable[[], Context]
) -> None:
    context = world()
    given = {record.id: record for record in given_to(entry, context)}
    problems = {prompt.id for prompt in context.problems(None, 1)}
    found = run(entry, world())
    if isinstance(found, str):
        return
    made = [record if record.id in given else signed([record], entry.name, context.round)[0] for record in found]
    for record in made:
        assert isinstance(record, entry.method.produces)
        if record.id not in given:
            assert record.source == f"{entry.name}@{context.round}"
            assert record.parents or isinstance(record, Prompt), "drawn of no problem and made of no record"
            if entry.slot == "selection":
                assert record.parents and set(record.parents) <= {*given, *problems}
    assert len({id(record) for record in made}) == len(made)


@each("selection", ready=True)
def test_selection_makes_do_with_no_records(entry: Entry, world: Callable[[], Context]) -> None:
    assert list(entry.method().select([], world())) == []


@pytest.mark.parametrize("entry", [one for one in ALL if one.slot == "selection" and one.method.produces is Preference])
def test_a_pair_keeps_how_its_completions_ended(entry: Entry, world: Callable[[], Context]) -> None:
    context = world()
    ends = [{"finish_reason": "length"}, {"finish_reason": "stop", "stop_token": "<eos>"}, {"finish_reason": "stop"}]
    rollouts = [replace(one, info=ends[place % 3]) for place, one in enumerate(given_to(entry, context))]
    given = {rollout.id: rollout for rollout in rollouts}
    sides = [
        (side.ended, given[parent].ended)
        for pair in entry.method().select(rollouts, context)
        for side, parent in zip(pair.sides, pair.parents, strict=True)
    ]
    assert {end for end, _ in sides} == {True, False, "<eos>"} and all(ours == theirs for ours, theirs in sides)


@each("reward", ready=True)
def test_a_reward_scores_every_completion_with_a_number_or_none(entry: Entry, world: Callable[[], Context]) -> None:
    context = world()
    groups = context.policy.sample(context.problems(None, 1), 3)
    scores = entry.method().rate(groups, context)
    assert [len(marks) for marks in scores] == [3] * 12
    assert all(mark is None or (isinstance(mark, float) and mark == mark) for marks in scores for mark in marks)
    assert entry.method().rate([], world()) == []


@each("refinement", ready=True)
def test_a_refinement_writes_in_its_folder_only(entry: Entry, table_model: ModuleType, tmp_path: Path) -> None:
    """All else that a refinement keeps is in refinement/test_contract.py."""
    method, engine = entry.method(), table_model.TableModel(default={"so it is #4": 0.6, "#5": 0.4})
    task = table_model.Quiz(own_tools={name: table_model.Echo() for name in method.needs().tools})
    plain = table_model.policy_of((), engine, task)
    given = {"task": task, "rewards": lambda by, groups, policy: [[1.0] * len(group) for group in groups]}
    with watched() as paths:
        policy = table_model.policy_of(method, engine, **given, others=lambda name: plain)
        state = method.fit(table_model.context_of(policy.held(method), task, tmp_path))
        answers = replace(policy, states=(state,)).answer(task.problems("test", 1, 0))
    assert len(answers) == 1 and outside(paths, tmp_path) == []


@each("evaluation", ready=True)
def test_an_evaluation_reports_metrics_within_their_intervals_and_repeats(
    entry: Entry, world: Callable[[], Context]
) -> None:
    reports = []
    for _ in range(2):
        context = world()
        problems = context.problems(None, 1)
        exam = Exam(problems=problems, verify=context.verify, probes={"probe/same": problems[:5]}, start=context.start)
        reports.append(entry.method().evaluate(context.policy, exam))
    assert reports[0] == reports[1] and reports[0].metrics
    for metric in reports[0].metrics.values():
        assert metric.low - 1e-9 <= metric.value <= metric.high + 1e-9 and metric.n > 0


@each("gate", ready=True)
@pytest.mark.parametrize("better", [True, False], ids=["better", "worse"])
def test_a_gate_gives_a_known_verdict_and_a_reason(entry: Entry, make_report: Callable, better: bool) -> None:
    low, high = make_report([0.0] * 60 + [1.0] * 40), make_report([1.0] * 100)
    champion, candidate = (low, high) if better else (high, low)
    decision = entry.method().decide(champion, champion, candidate, [], [], 3)
    assert decision.verdict in ("certify", "accept", "hold", "reject", "rollback")
    assert decision.reason and "\n" not in decision.reason
    if better:
        assert decision.verdict == ("accept" if entry.method.lagged else "certify")


@each("task", ready=True)
def test_a_task_gives_no_held_out_problem_while_a_data_stage_runs(entry: Entry) -> None:
    task = entry.method()
    for split in splits.HELD_OUT:
        with splits.closed("selection"), pytest.raises(UserError, match=split):
            task.problems(split, 1, 0)


@each("alarm", ready=True)
def test_an_alarm_is_silent_when_candidate_and_start_are_the_same(
    entry: Entry, make_rollout: Callable, make_report: Callable
) -> None:
    audit = [
        [
            replace(
                make_rollout(f"#{(i + j) % 2}", f"{i}+0"),
                reward=float(j % 2),
                info={"truth": float(j % 2), "answer": str((i + j) % 2)},
            )
            for j in range(4)
        ]
        for i in range(30)
    ]
    report = make_report([1.0, 0.0] * 50)
    rounds = [Round(round=0, rounds=3, champion=report)]
    rounds.append(Round(round=1, rounds=3, champion=report, incumbent=report, candidate=report))
    evidence = Evidence(round=1, rounds=3, start=audit, champion=audit, candidate=audit, history=rounds)
    assert entry.method().check(evidence) == [] == entry.method().check(evidence)
