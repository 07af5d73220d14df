"""Methods that answer with a trained copy: its half of what it learned decides, and without rows the model itself answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from selfimprove.errors import RecipeError
from selfimprove.inference.edits import ASKS
from selfimprove.methods.refinement.ettrl import Ettrl, reshaped
from selfimprove.methods.refinement.ladder import Ladder
from selfimprove.methods.refinement.self_edits import SelfEdits
from selfimprove.methods.refinement.ttrl import Ttrl
from selfimprove.methods.refinement.ttt_few_shot import TttFewShot
from selfimprove.methods.refinement.ttt_neighbours import TttNeighbours
from selfimprove.records import Checkpoint, Message, Rollout
from selfimprove.training import PolicyGradient

Table = Callable[[Sequence[Message]], Mapping[str, float]]


@dataclass
class Pupils:
    """Copies that say what `says` makes of their rows; None leaves them as they were."""

    engine: Any
    says: Callable[[Sequence[Rollout]], Mapping[str, float] | None]
    most: int = 4
    rows: list[list[Rollout]] = field(default_factory=list)
    schedules: list[Any] = field(default_factory=list)
    alive: int = 0

    @contextmanager
    def trained(self, start: Checkpoint, rows: Sequence[Rollout], schedule: Any) -> Iterator[Checkpoint]:
        self.rows.append(list(rows))
        self.schedules.append(schedule)
        path, said = f"{start.path}+{len(self.rows)}", self.says(rows)
        self.engine.tables[path] = (
            (lambda messages: said) if said else self.engine.tables.get(start.path, self.engine.table)
        )
        self.alive += 1
        try:
            yield Checkpoint(path=path)
        finally:
            self.alive -= 1


@pytest.fixture
def learns(table_model: ModuleType, tmp_path: Path) -> Callable[..., Any]:
    """`learns(method, table, says)`: the state after `fit`, and then the answers to n problems by copies."""

    def run(method: Any, table: Table, says: Any = lambda rows: {"#4": 1.0}, n: int = 12) -> Any:
        task, engine = table_model.Quiz(own_words=True), table_model.TableModel(table=table)
        copies = Pupils(engine, says)
        policy = table_model.policy_of(method, engine, task, copies=copies)
        state = method.fit(table_model.context_of(policy.held(method), task, tmp_path))
        copies.rows, copies.schedules = [], []
        answers = replace(policy, states=(state,)).answer(task.problems("test", n, 1))
        assert not copies.alive
        return SimpleNamespace(state=state, right=sum(one.reward for one in answers) / n, copies=copies, engine=engine)

    return run


def half(messages: Sequence[Message]) -> Mapping[str, float]:
    return {"#5": 0.51, "#4": 0.49}


def spread(share: float) -> Table:
    """The right answer has this share, the only other one the rest."""
    return lambda messages: {"#4": share, "#5": 1 - share}


def majority_of(rows: Sequence[Rollout]) -> Mapping[str, float]:
    """A pupil that has learned by heart what most rows say."""
    texts = [row.text for row in rows]
    return {max(sorted(set(texts)), key=texts.count): 1.0}


# ---- votes as labels ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("share", "right"), [(0.7, 1.0), (0.3, 0.0)])
def test_a_majority_above_one_half_makes_all_right_and_one_below_all_wrong(
    learns: Callable, share: float, right: float
) -> None:
    made = learns(Ttrl(temperature=1.0), spread(share), majority_of)
    assert made.right == right
    [rows] = made.copies.rows
    assert len({row.text for row in rows}) == 1 and 0.6 * 32 * 12 < len(rows) < 0.8 * 32 * 12


@pytest.mark.parametrize(
    ("says", "options"), [({"#4": 1.0}, {}), ({f"#{i}": 1.0 for i in range(9)}, {"least": 0.3}), ({"?": 1.0}, {})]
)
def test_what_teaches_nothing_makes_no_copy(learns: Callable, says: Mapping[str, float], options: dict) -> None:
    made = learns(Ttrl(temperature=1.0, **options), lambda messages: says)
    assert made.copies.rows == []


def test_each_round_votes_with_the_copy_before(learns: Callable) -> None:
    shares = iter([0.8, 0.9])
    made = learns(Ttrl(rounds=2, temperature=1.0), spread(0.7), lambda rows: {"#4": (s := next(shares)), "#5": 1 - s})
    voted = [ask.checkpoint.path for ask in made.engine.asked if ask.n == 64]
    assert sorted(set(voted)) == ["weights", "weights+1"] and made.engine.asked[-1].checkpoint.path == "weights+1+2"


@pytest.mark.parametrize(("share", "better"), [(0.7, "#4"), (0.3, "#5")])
@pytest.mark.parametrize("method", [Ttrl(loss="grpo", temperature=1.0), Ettrl(temperature=1.0, step_tokens=1)])
def test_the_majority_is_the_reward_and_a_group_decides_what_is_above_it(
    learns: Callable, method: Any, share: float, better: str
) -> None:
    """GRPO's advantages: above 0 for the label, below it for all else, and without a sum for each problem."""
    made = learns(method, spread(share), n=4)
    [rows], [schedule] = made.copies.rows, made.copies.schedules
    assert isinstance(schedule, PolicyGradient) and schedule.temperature == 1.0
    assert len(rows) == 32 * 4 and all((row.reward > 0) == (row.text == better) for row in rows)
    for asked in {row.prompt.key for row in rows}:
        mine = [row.reward for row in rows if row.prompt.key == asked]
        assert abs(sum(mine)) < 1e-6 * len(mine) or isinstance(method, Ettrl)


def test_a_loss_that_there_is_not_is_named() -> None:
    with pytest.raises(RecipeError, match=r"refinement.ttrl.loss cannot be 'grp'. Did you mean 'grpo'"):
        Ttrl(loss="grp")


# ---- votes that branch -------------------------------------------------------------------------------------------
def test_votes_branch_where_the_model_is_unsure(learns: Callable) -> None:
    """`so it is #` is certain, then come two digits: the first is open, the second follows from it."""
    says = {"so it is #4 4": 0.5, "so it is #5 5": 0.5}
    made = learns(Ettrl(trees=3, forks=1, branches=2, step_tokens=2, temperature=1.0), lambda messages: says, n=1)
    begun = [ask.prompt.prompt[-1]["content"] for ask in made.engine.asked if ask.n == 2]
    assert begun == ["so it is "] * 3, "where the part `#4` begins"
    stems = [ask for ask in made.engine.asked if ask.n == 1 and ask.sampling.max_completion_length == 2]
    assert len({ask.prompt.prompt[-1]["content"] for ask in stems}) > 3
    without = learns(Ettrl(trees=3, forks=0, temperature=1.0), lambda messages: says, n=1)
    assert not [ask for ask in without.engine.asked if ask.n == 2]


def test_sure_completions_count_more() -> None:
    assert reshaped([1.0, -1.0, 2.0], [0.5, 1.5, 1.0]) == [1.5, -0.5, 2.0]
    assert reshaped([1.0, -1.0], [0.0, 0.0]) == [1.0, -1.0]


# ---- neighbours --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", [TttNeighbours(), TttFewShot()])
def test_a_copy_learns_only_what_was_right(learns: Callable, method: Any) -> None:
    made = learns(method, half)
    assert made.right == 1.0 and len(made.copies.rows) == 12
    assert all(row.text == "#4" for rows in made.copies.rows for row in rows)


@pytest.mark.parametrize("method", [TttNeighbours(neighbours=0), TttFewShot(examples=0)])
def test_without_neighbours_the_model_itself_answers(learns: Callable, method: Any) -> None:
    made = learns(method, half)
    assert made.copies.rows == [] and made.right == 0.0


def test_neighbours_come_nearest_first_in_a_step_each(learns: Callable) -> None:
    known = [
        {"key": text, "prompt": [{"role": "user", "content": text}], "text": "#4"} for text in ("a b", "q0 a", "b")
    ]

    class Known(TttNeighbours):
        def fit(self, context: Any) -> dict[str, Any]:
            return {"examples": known}

    made = learns(Known(neighbours=2), half, n=1)
    assert [row.prompt.key for row in made.copies.rows[0]] == ["q0 a", "a b"]
    [schedule] = made.copies.schedules
    assert (schedule.max_steps, schedule.per_device_train_batch_size) == (2, 1)
    assert schedule.train_sampling_strategy == "sequential"


def test_each_example_is_held_out_in_turn(learns: Callable) -> None:
    made = learns(TttFewShot(examples=3, orders=1), half, n=1)
    [rows] = made.copies.rows
    asked = [[one["content"] for one in row.prompt.prompt if one["role"] == "user"] for row in rows]
    assert len(rows) == 3 and len({names[-1] for names in asked}) == 3
    assert all(len(names) == len(set(names)) == 3 for names in asked)
    last = made.engine.asked[-1].prompt.prompt
    assert len(last) == 7 and last[-1]["content"] == "q0"


# ---- what the model writes itself --------------------------------------------------------------------------------
def rungs(messages: Sequence[Message]) -> Mapping[str, float]:
    """Variants `v`; it always solves those of two or more letters, and never the problem."""
    text = messages[-1]["content"]
    if text.startswith("easier"):
        return {f"v{'v' * text.count('v')}": 0.5, f"w{'v' * text.count('v')}": 0.5}
    return {"#4": 1.0} if len(text) > 1 and text[0] in "vw" else {f"#{9 + place}": 1.0 for place in range(50)}


def test_sure_variants_are_learned_the_deepest_first(learns: Callable) -> None:
    made = learns(Ladder(depth=2, variants=6), rungs, n=1)
    assert made.right == 1.0
    asked = [row.prompt.prompt[-1]["content"] for row in made.copies.rows[0]]
    assert asked and set(asked) <= {"vv", "wv"}, "only sure ones"
    plain = learns(Ladder(depth=1), rungs, n=1)
    assert plain.copies.rows == [] and plain.right == 0.0, "one level is not enough here"


@pytest.mark.parametrize("good", [*ASKS, ""])
def test_the_planted_style_is_found(learns: Callable, good: str) -> None:
    def table(messages: Sequence[Message]) -> Mapping[str, float]:
        role, *parts = messages[-1]["content"].split("\n")
        return {styles[parts[1]]: 1.0} if role == "edit" else {"#5": 1.0}

    def says(rows: Sequence[Rollout]) -> Mapping[str, float]:
        return {"#4" if rows[0].text == good else "#5": 1.0}

    styles = {asked: style for style, asked in ASKS.items()}
    made = learns(SelfEdits(), table, says)
    assert made.state["style"] == good and made.right == float(bool(good))
    assert all(len(rows) == 4 for rows in made.copies.rows)
