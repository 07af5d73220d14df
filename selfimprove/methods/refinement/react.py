"""The model thinks, calls a tool, sees what it says, and goes on from there until it answers.

Idea: a plan that is made once cannot use what is found out on the way. If each step sees the results of those before,
  the plan is corrected while it is carried out.
Survey: planning and acting, section 5.3.
Paper: arXiv:2210.03629 (ReAct), Yao et al., 2022.
Algorithm:
  1. In the role act the model sees the problem, the names of the `tools`, and all steps so far. It writes a thought and
     one line of its own: `Action: TOOL[TEXT]` or `Finish`.
  2. An action calls the tool; the step is kept with what it said. A step without an action ends the acting.
  3. Repeat from 1, `steps` times at most. Then the model answers in the role report_steps, which shows the steps; if no
     tool was asked for, with an attempt.
Differs: the paper's model answers in its last step, in a form that it was shown by examples; here it answers in the
  words of the task, so that any task can read it. The text of an action is one line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside

_ACTION = re.compile(r"^Action: *(\w+) *\[(.*)\] *$", re.MULTILINE)
NOTHING = "(none)"


@register("react", paper="2210.03629")
@dataclass
class React(Refinement):
    tools: list[str] = field(default_factory=lambda: ["calculator"])
    """Tools of the task that may be called."""
    steps: int = bounded(6, 1)
    """Most steps."""
    temperature: float = bounded(0.0, 0, 100)
    """Sampling temperature of steps and answers; 0 is greedy."""

    def __post_init__(self) -> None:
        if not self.tools:
            raise RecipeError("refinement.react.tools is empty: name a tool of the task, such as calculator")

    def needs(self) -> Needs:
        return Needs(roles=("act", "report_steps"), tools=tuple(self.tools))

    def cost(self, given: Given) -> Cost:
        return max(given.attempt, given.draw()) + given.draw(self.steps) + Cost(calls=self.steps)

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        sampling, done = Sampling(temperature=self.temperature), list[str]()
        for _ in range(self.steps):
            known = "\n".join(done) or NOTHING
            words = beside(__name__, "react.txt")
            asked = session.words("act", prompt, ", ".join(self.tools), known, otherwise=words)
            [step] = await session.draw(asked, 1, sampling, role="act")
            found = _ACTION.search(step.text)
            if found is None:
                break
            name, text = found.groups()
            said = await session.call(name, text) if name in self.tools else f"error: there is no tool {name}"
            done.append(f"{step.text[: found.end()].strip()}\nObservation: {said}")
        if not done:
            return (await session.attempts(prompt, 1, sampling))[0]
        words = beside(__name__, "react_answer.txt")
        asked = session.words("report_steps", prompt, "\n".join(done), otherwise=words)
        [made] = await session.draw(asked, 1, sampling, role="report_steps")
        return made
