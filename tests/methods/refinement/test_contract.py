"""What every refinement keeps, whoever wrote it: its budget, its word on its cost, and that nothing but the place counts.

A new method is held to this without a new test. If its defaults draw much, name smaller options in `SMALL`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from selfimprove import registry
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import Refused
from selfimprove.interfaces import Budget, Engine, Refinement, Session
from selfimprove.methods.refinement.revise import Revise
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.records import Message, Prompt, Rollout, changed
from selfimprove.store import journal
from selfimprove.store.journal import Journal

SMALL: dict[str, dict[str, Any]] = {
    "ape": {"problems": 3, "answers": 15},
    "dynamic_cheatsheet": {"problems": 4, "trials": 2},
    "experience_memory": {"problems": 6, "trials": 4},
    "few_shot": {"problems": 6},
    "ettrl": {"trees": 2, "forks": 1, "trained": 4},
    "gepa": {"problems": 3, "answers": 15},
    "opro": {"problems": 3, "answers": 15},
    "promptbreeder": {"problems": 3, "answers": 15},
    "textual_gradients": {"problems": 3, "answers": 15},
    "training_free_grpo": {"problems": 4, "trials": 2},
    "ladder": {"variants": 2, "votes": 2},
    "self_edits": {"problems": 2, "rows": 2},
    "ttrl": {"votes": 8, "trained": 4},
    "ttt_few_shot": {"problems": 6},
    "ttt_neighbours": {"problems": 6},
    "tool_making": {"makers": 2, "trials": 2},
    "workflow_search": {"problems": 2, "workflows": 4},
}
"""Options of methods whose defaults draw more than a test of some milliseconds should."""
SECRET = "REFERENCE"
PROBLEMS = 2
BUDGET = Budget(tokens=40, completions=6, calls=1)
TIGHT = Budget(tokens=5)
"""Fewer tokens than the longest completion has."""
SAYS = {
    "1 + 1 = 2\nso it is #4": 0.3,
    "1 + 2 = 3\nso #3": 0.2,
    "2\n#2": 0.1,
    "step 1: add\nstep 2: count\n#4": 0.1,
    "it is right #yes": 0.1,
    "no, it is not #no": 0.1,
    "who knows": 0.1,
}

registry.discover()
READY = [
    entry
    for entry in registry.METHODS.values()
    if entry.slot == "refinement"
    and entry.method.__module__.startswith("selfimprove.")
    and not any(option.default == "required" for option in registry.options(entry.method))
    and not entry.method().needs().not_installed()
]


@dataclass
class Attempt:
    """One attempt at a step: a method learns on the selection split and answers."""

    module: ModuleType
    engine: Any
    method: Refinement
    folder: Path
    kept: Engine | None = None
    """The engine as the step sees it, with a journal before it."""
    before: tuple[Refinement, ...] = ()
    budget: Budget = Budget()

    def __call__(self, asked: Sequence[Prompt]) -> list[Rollout]:
        tools = {name: self.module.Echo() for name in self.method.needs().tools}
        task = self.module.Quiz(answer=SECRET, own_tools=tools)
        chain = (*self.before, self.method)
        make = functools.partial(
            self.module.policy_of,
            engine=self.kept or self.engine,
            task=task,
            copies=self.module.Copies(self.engine),
            rewards=_lengths,
            budget=self.budget,
        )
        others = lambda name: changed_weights(make(()), name)  # noqa: E731
        policy = make(chain, others=others)
        self.folder.mkdir(parents=True)
        learned = self.module.context_of(policy.held(self.method), self.module.Quiz(), self.folder)
        state = self.method.fit(learned)
        own = self.engine.tokens, self.engine.drawn
        made = make(chain, others=others, states=[*({} for _ in self.before), state]).answer(asked)
        self.tokens, self.drawn = self.engine.tokens - own[0], self.engine.drawn - own[1]
        return made


def changed_weights(policy: Any, name: str) -> Any:
    from dataclasses import replace

    return replace(policy, checkpoint=replace(policy.checkpoint, path=name))


def _lengths(by: str, groups: Sequence[Sequence[Rollout]], policy: Any) -> list[list[float | None]]:
    return [[float(len(one.text) % 5) for one in group] for group in groups]


def _said(messages: Sequence[Message]) -> dict[str, float]:
    return SAYS


@pytest.fixture
def attempt(table_model: ModuleType, tmp_path: Path) -> Callable[..., Attempt]:
    """`attempt(entry, budget=..., die_at=...)`: an attempt at a step with a fresh engine."""
    count = iter(range(100))

    def make(entry: Any, file: Path | None = None, die_at: int | None = None, **changes: Any) -> Attempt:
        engine = table_model.TableModel(table=_said, die_at=die_at)
        method = entry.method(**SMALL.get(entry.name, {}))
        kept = Journal(file, "s").before("engine", engine) if file else None
        return Attempt(table_model, engine, method, tmp_path / f"step{next(count)}", kept, **changes)

    return make


@pytest.fixture
def asked(table_model: ModuleType) -> list[Prompt]:
    return [changed(one, info={"of": SECRET}) for one in table_model.Quiz(answer=SECRET).problems("test", PROBLEMS, 0)]


@pytest.fixture
def keeps(
    attempt: Callable[..., Attempt],
    asked: list[Prompt],
    table_model: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Any], None]:
    """`keeps(entry)` holds a method to the contract."""
    monkeypatch.setattr(journal, "SECONDS", 0.0)
    return lambda entry: _hold(entry, attempt, asked, table_model.Power, tmp_path / "journal")


def _hold(entry: Any, attempt: Callable[..., Attempt], asked: list[Prompt], power: type[Exception], file: Path) -> None:
    whole = attempt(entry)
    answers = whole(asked)
    assert [one.prompt for one in answers] == asked
    assert SECRET not in repr(whole.engine.asked) and SECRET not in repr(whole.engine.scored)
    method, given = whole.method, Given(length=whole.engine.length)
    most = method.cost(Given(length=whole.engine.length, attempt=given.draw()))
    spent = [_spent(one, whole.engine.length) for one in answers]
    assert all(one.within(most) for one in spent)

    turned = attempt(entry)(asked[::-1])
    assert turned[::-1] == answers, "the same answers again, in whatever order the problems come"
    if not method.joint:
        assert attempt(entry)(asked[1:2]) == answers[1:2], "and in whatever company"

    first = attempt(entry, file, die_at=whole.engine.calls // 2)
    with pytest.raises(power):
        first(asked)
    second = attempt(entry, file)
    assert second(asked) == answers, "stopped in the middle and resumed, it gives the same answers"
    assert first.engine.drawn + second.engine.drawn == whole.engine.drawn, "and draws nothing twice"

    around = method.together_cost(Given(length=given.length, attempt=given.draw(), flow=Flow(PROBLEMS, PROBLEMS)))
    for budget in (BUDGET, TIGHT):
        short = attempt(entry, budget=budget)
        cut = short(asked)
        assert [one.prompt for one in cut] == asked
        for one in cut:
            spent = Cost(**{name: value for name, value in one.info["spent"].items() if name != "cut"})
            within = spent.tokens <= budget.tokens, spent.completions <= budget.completions, spent.calls <= budget.calls
            assert all(within), one.info["spent"]
        if not method.joint:
            assert short.tokens <= PROBLEMS * budget.tokens and short.drawn <= PROBLEMS * budget.completions
        assert short.tokens <= PROBLEMS * budget.tokens + around.tokens


@pytest.mark.parametrize("entry", READY, ids=[entry.name for entry in READY])
def test_a_refinement_keeps_the_contract(entry: Any, keeps: Callable[[Any], None]) -> None:
    keeps(entry)


@dataclass
class Remembering(Refinement):
    """Answers with as many attempts as there were problems before."""

    seen: int = 0

    def cost(self, given: Given) -> Cost:
        return 9 * given.attempt

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        self.seen += 1
        return (await session.attempts(prompt, self.seen))[-1]


@dataclass
class Understating(Refinement):
    """Draws two completions, and declares one."""

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return (await session.attempts(prompt, 2))[0]


@dataclass
class Moody(Refinement):
    """Another answer each time."""

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        [reply] = await session.attempts(prompt)
        return changed(reply, completion=[{"role": "assistant", "content": f"#{next(MOODS)}"}])


MOODS = itertools.count()


@pytest.mark.parametrize(
    ("liar", "error"), [(Remembering, AssertionError), (Understating, Refused), (Moody, AssertionError)]
)
def test_a_method_that_breaks_the_contract_is_found(
    liar: type, error: type[Exception], keeps: Callable[[Any], None]
) -> None:
    with pytest.raises(error):
        keeps(SimpleNamespace(method=liar, name="liar"))


@pytest.mark.parametrize("entry", READY, ids=[entry.name for entry in READY])
def test_a_refinement_works_behind_others(entry: Any, attempt: Callable[..., Attempt], asked: list[Prompt]) -> None:
    before = (Revise(), SelfConsistency(samples=2))
    [made] = attempt(entry, before=before)(asked[:1])
    assert made.prompt == asked[0] and made.text


def _spent(answer: Rollout, length: int) -> Cost:
    """What an answer took; one completion, if it does not say."""
    noted = answer.info.get("spent")
    return Cost(**noted) if noted else Cost(completions=1, tokens=int((answer.logprobs or {"count": length})["count"]))
