"""Solutions that grow by steps: where a step ends, what is left of the room, and attempts that are already whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.paths import ROOT, Path, Steps, best_of, different
from selfimprove.interfaces import Refinement, Session
from selfimprove.records import Message, Prompt, Rollout

WHOLE = "a;b;#4"


def said(messages: Sequence[Message]) -> Mapping[str, float]:
    return {WHOLE: 1.0}


@dataclass
class Walking(Refinement):
    """Grows one path to its end."""

    steps: Steps
    paths: list[Path] = field(default_factory=list)

    def needs(self) -> Any:
        return self.steps.needs()

    def cost(self, given: Given) -> Cost:
        return self.steps.cost(given, 1, 20)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        path = ROOT
        while not path.whole:
            [path] = await self.steps.grow(prompt, path, 2, session, 1.0)
            self.paths.append(path)
        assert path.solution is not None
        return path.solution


@pytest.fixture
def walked(table_model: ModuleType) -> Callable[..., list[Path]]:
    def run(steps: Steps, length: int = 24) -> list[Path]:
        method = Walking(steps)
        table_model.answered(method, 1, table_model.TableModel(table=said, length=length))
        return method.paths

    return run


@pytest.mark.parametrize(
    ("steps", "texts", "tokens"),
    [
        (Steps(";"), ["a;", "a;b;", "a;b;#4"], [2, 4, 7]),  # the last one with the end token
        (Steps("", 3), ["a;b", "a;b;#4", "a;b;#4"], [3, 6, 7]),
        (Steps("|"), [WHOLE], [7]),
    ],
)
def test_a_step_ends_with_a_separator_or_with_its_tokens(
    walked: Callable, steps: Steps, texts: list[str], tokens: list[int]
) -> None:
    paths = walked(steps)
    assert [path.text for path in paths] == texts and [path.tokens for path in paths] == tokens
    assert [path.steps for path in paths] == list(range(1, len(texts) + 1)) and paths[-1].whole
    assert not any(path.whole for path in paths[:-1])


def test_a_path_ends_where_there_is_no_room(walked: Callable) -> None:
    paths = walked(Steps("", 2), length=4)
    assert [path.tokens for path in paths] == [2, 4] and paths[-1].text == "a;b;" and paths[-1].whole


def path(text: str, whole: bool = False) -> Path:
    made = Rollout(prompt=Prompt(prompt=[]), completion=[{"role": "assistant", "content": text}])
    return Path(solution=made, whole=whole)


def test_equal_paths_are_one_and_the_best_is_the_first_of_equals() -> None:
    some = [path("a"), path("b"), path("a"), path("a", whole=True)]
    kept = different(some)
    assert len(kept) == 3 and all(any(one is other for other in kept) for one in (some[0], some[1], some[3]))
    assert best_of([(some[0], 0.2), (some[1], 0.7), (some[3], 0.7)]).text == "b"


def test_what_steps_take_and_need() -> None:
    given = Given(length=10, attempt=Cost(completions=1, tokens=10))
    assert Steps(";").cost(given, 1, 2) == Cost(completions=3, tokens=30)
    assert Steps("", 3).cost(given, 1, 2) == Cost(completions=3, tokens=16)
    assert (Steps(";").needs().engine, Steps("", 3).needs().engine) == (("stop",), ())
    with pytest.raises(RecipeError, match="refinement.beam needs a separator, or step_tokens above 0"):
        Steps("").check("beam")
