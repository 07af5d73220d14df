"""From a general guideline to a solution: adapt the guideline to the problem, make a plan, follow the plan.

Idea: reasoning paths that start from the problem alone are alike and teach one task. Paths that start from different
general guidelines are diverse, and what they share is useful for other tasks too.
Survey: transformation-based generation, section 2.4.2.
Paper: arXiv:2410.02108 (ReGenesis), Peng et al., 2024.
Algorithm:
  1. For each problem use each of the first `single` guidelines alone; for `picked` more paths the model picks two or
     three guidelines from the whole list.
  2. Ask what the guideline means for the problem, without solving it.
  3. Ask for a step-by-step plan that uses this.
  4. Ask the problem again with the plan. The reply is a path; return it with the problem alone as its prompt.
  5. Reward and selection decide which paths are right; add `rationalize` after this method to show the answer where no
     path is right.
Differs: the 25 guidelines (in a file beside this one, one per line) and the wording of the requests are ours. 25 alone
  and 20 picked, temperature 1.2 and top-p 0.9 are from its code. There, unsolved problems go through all steps again
  with the answer shown at a lower temperature; here `rationalize` uses the task's role `hint`. Its code removes text
  before the first numbered step of a path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Acquisition, Context, Sampling
from selfimprove.records import Message, Prompt, Record, Rollout
from selfimprove.registry import register
from selfimprove.text import beside, quoted

PICK = "Choose two or three of these that help with the problem below."
ADAPT = "Say in a sentence or two what this means for the problem below."
PLAN = "Plan the solution of the problem below step by step, by this."
ASK = "{words} Do not solve it.\n\n{given}\n\nProblem: {problem}"
FOLLOW = "{problem}\n\nSolve it step by step by this plan:\n{given}"


@register("structured_paths", paper="2410.02108")
@dataclass
class StructuredPaths(Acquisition):
    consumes: ClassVar[Any] = Prompt
    produces: ClassVar[Any] = Rollout
    single: int = bounded(25, 0)
    """Guidelines used alone, from the start of the list; each gives one path per problem."""
    picked: int = bounded(20, 0)
    """Further paths per problem, with guidelines that the model picks."""
    temperature: float = bounded(1.2, 0, 100)
    """Sampling temperature of all steps."""
    top_p: float = bounded(0.9, 0, 1)
    """Nucleus: the smallest set of tokens with this much probability."""
    max_completion_length: int | None = bounded(None, 1)
    """Most tokens per reply; null uses the engine's limit."""

    def __post_init__(self) -> None:
        most = len(_guidelines())
        if self.single > most or not self.single + self.picked:
            raise RecipeError(
                f"acquisition.structured_paths takes single of at most {most}, and single or picked above 0"
            )

    def cost(self, given: Given) -> Cost:
        each = 3 * self.single + 4 * self.picked
        return given.draw(given.flow.records * each, self.max_completion_length)

    def gives(self, given: Given) -> Flow:
        came, paths = given.flow, self.single + self.picked
        return Flow(came.records * paths, came.prompts, came.group * paths)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        known, sampling = _guidelines(), self._sampling()
        listed = "\n".join(f"{number}. {line}" for number, line in enumerate(known, 1))
        picks: list[list[Rollout]] = [[] for _ in records]
        if self.picked:
            asked = [_asked(prompt, PICK, listed) for prompt in records]
            picks = context.policy.sample(asked, self.picked, sampling)
        steps = [
            (prompt, guideline)
            for prompt, group in zip(records, picks, strict=True)
            for guideline in (*known[: self.single], *(one.text for one in group))
        ]
        for words in (ADAPT, PLAN):
            replies = context.policy.sample([_asked(prompt, words, given) for prompt, given in steps], 1, sampling)
            steps = [(prompt, reply.text) for (prompt, _), [reply] in zip(steps, replies, strict=True)]
        shown = [replace(prompt, prompt=_followed(prompt.prompt, plan), answer=None) for prompt, plan in steps]
        paths = [path for [path] in context.policy.sample(shown, 1, sampling)]
        context.log.metric("structured_paths/distinct", len({p.text for p in paths}) / max(1, len(paths)))
        return [
            replace(
                path,
                prompt=prompt,
                logprobs=None,
            )
            for path, (prompt, _) in zip(paths, steps, strict=True)
        ]

    def _sampling(self) -> Sampling:
        return Sampling(
            temperature=self.temperature, top_p=self.top_p, max_completion_length=self.max_completion_length
        )


def _guidelines() -> list[str]:
    return beside(__name__, "structured_paths.txt").splitlines()


def _asked(prompt: Prompt, words: str, given: str) -> Prompt:
    """A request about a problem, without the task's instruction about the final answer."""
    text = ASK.format(words=words, given=given.strip(), problem=quoted(prompt.prompt))
    return replace(prompt, prompt=[{"role": "user", "content": text}], answer=None)


def _followed(messages: Sequence[Message], plan: str) -> list[Message]:
    """The problem followed by a plan; the task's system message stays."""
    text = FOLLOW.format(problem=messages[-1]["content"], given=plan.strip())
    return [*messages[:-1], {**messages[-1], "content": text}]
