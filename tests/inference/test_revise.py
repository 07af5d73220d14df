"""An answer that is judged, and written anew where it is called wrong: what data stages run is run while answering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from selfimprove.costs import Cost, Given
from selfimprove.inference.revise import judged, revised
from selfimprove.interfaces import GREEDY, Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout


@dataclass
class Doubt(Refinement):
    """Revises what it calls wrong, once."""

    def needs(self) -> Needs:
        return Needs(roles=("judge", "refine"))

    def cost(self, given: Given) -> Cost:
        return given.attempt + given.draw(2)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        [first] = await session.attempts(prompt, 1, GREEDY)
        _, word = await judged(prompt, first.text, session, GREEDY)
        if word is None or word > 0.5:
            return first
        return (await revised(prompt, first.text, session, GREEDY))[0]


def test_only_what_is_called_wrong_is_written_anew(
    make_engine: Callable, chained: Callable, make_prompt: Callable, worked: Callable, classroom: Callable
) -> None:
    asked = [make_prompt("3+5+8"), make_prompt("1+2")]
    engine: Any = make_engine(classroom(asked, right=0.9))
    wrong = worked([1, 2], slip=0)
    engine.answers["S:1+2="] = {wrong: 1.0}
    made = chained(engine, Doubt()).answer(asked)
    assert [one.text for one in made] == [worked([3, 5, 8]), worked([1, 2])] and {one.reward for one in made} == {1.0}
    said = [prompt.prompt[-1]["content"] for prompt in engine.seen]
    assert said == ["S:3+5+8=", "S:1+2=", f"J:3+5+8={worked([3, 5, 8])}|", f"J:1+2={wrong}|", f"R:1+2={wrong}|"]
    assert [one.info["spent"]["completions"] for one in made] == [2, 3]
