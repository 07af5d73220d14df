"""The model writes Python functions for kinds of problems, keeps those that help, and calls them on later problems.

Idea: a way to solve that was found once can be written down as a program, which makes no slips. Making a tool is dear
  and using it cheap; whether it helps is measured before it is used.
Survey: tools, section 5.4.
Paper: arXiv:2305.17126 (LATM, large language models as tool makers), Cai et al., 2023; making and abstraction of tools
  arXiv:2305.14318 (CREATOR), Qian et al., 2023.
Algorithm:
  1. In `fit` attempt `makers` times `shown` selection problems, `samples` times each, and take right attempts. In the
     role make_tool the model sees `shown` of them and writes a function for such problems.
  2. Try each new tool, and each that is known from before, on the `trials` other selection problems that are nearest to
     those it was made from (BM25), and the model without it on the same ones. It stays if it answers more of them
     right; the `size` tools that gain most stay.
  3. Answer a problem with the tool that was made from the most similar ones: in the role use_tool the model sees it and
     writes a call, the sandbox runs it (the task's tool `python`), and in the role report the model sees what the call
     gave and answers. A call that fails or gives nothing, and a problem without a tool, is answered by an attempt.
Differs: the paper's maker also writes unit tests, and a stronger model makes the tools; here outcomes on other problems
  are the test. Its dispatcher asks a model which tool fits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference import programs
from selfimprove.inference.examples import Example, example_of, solved
from selfimprove.inference.retrieval import Bm25
from selfimprove.interfaces import GREEDY, Context, Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside, quoted

Made = dict[str, Any]
"""{"code": a program, "about": the problems that it was made from, "gain": right answers more than without it}."""


@register("tool_making", paper="2305.17126")
@dataclass
class ToolMaking(Refinement):
    makers: int = bounded(4, 0)
    """Tools that each `fit` makes; with 0 it only tries those that are known."""
    shown: int = bounded(3, 1)
    """Solved problems that a tool is made from."""
    samples: int = bounded(2, 1)
    """Attempts at each problem that may be shown."""
    trials: int = bounded(8, 1)
    """Selection problems on which a tool has to be better than none."""
    size: int = bounded(8, 1)
    """Most tools."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature of attempts to show and of new tools; calls and answers are greedy."""

    def needs(self) -> Needs:
        return Needs(roles=("make_tool", "use_tool", "report"), tools=("python",))

    def cost(self, given: Given) -> Cost:
        return given.attempt + given.draw(2) + Cost(calls=1)

    def fit_cost(self, given: Given) -> Cost:
        one = max(given.attempt, given.draw())
        made = self.makers * (self.shown * self.samples * one + given.draw())
        tried = (self.makers + self.size) * self.trials
        return made + tried * self.cost(given) + min(tried, self.makers * self.shown + 4 * self.trials) * one

    def fit(self, context: Context) -> dict[str, Any]:
        told = self.makers * self.shown
        asked = context.selection(told + 4 * self.trials)
        known = [example_of(one) for one in solved(context, asked[:told], self.samples, self.temperature)]
        tools = [*context.state.get("tools", []), *self._made(context, known, asked)]
        kept = self._tried(context, tools, asked[told:]) if asked[told:] else []
        context.log.metric("tool_making/made", len(tools) - len(context.state.get("tools", [])))
        context.log.metric("tool_making/kept", len(kept))
        return {"tools": kept}

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        tools: list[Made] = session.state.get("tools", [])
        if not tools:
            return (await session.attempts(prompt, 1, GREEDY))[0]
        [place] = Bm25([one["about"] for one in tools]).nearest(quoted(prompt.prompt), 1)
        return await self._used(prompt, tools[place], session)

    def _made(self, context: Context, known: Sequence[Example], asked: Sequence[Prompt]) -> list[Made]:
        """New tools, each from other solved problems; a reply without a function makes none."""
        groups = [list(known[place : place + self.shown]) for place in range(0, len(known), self.shown)]

        async def made(group: list[Example], session: Session) -> Made | None:
            told = "\n\n".join(
                f"<problem>\n{quoted(one['prompt'])}\n</problem>\n<solution>\n{one['text']}\n</solution>"
                for one in group
            )
            words = session.words("make_tool", asked[0], told, otherwise=beside(__name__, "tool_making_make.txt"))
            [reply] = await session.draw(words, 1, Sampling(temperature=self.temperature), role="make_tool")
            code = programs.functions_in(reply.text)
            about = "\n".join(quoted(one["prompt"]) for one in group)
            return {"code": code, "about": about, "gain": 0.0} if code else None

        return [one for one in context.run(made, groups) if one is not None]

    def _tried(self, context: Context, tools: Sequence[Made], asked: Sequence[Prompt]) -> list[Made]:
        """The tools that answer more of their nearest problems right than the model does without them."""
        index = Bm25([quoted(one.prompt) for one in asked])
        near = [index.nearest(tool["about"], self.trials) for tool in tools]
        places = sorted({place for some in near for place in some})

        async def gained(prompt: Prompt, session: Session) -> list[float]:
            """For each tool what it gains at a problem; 0 at one that it is not tried on."""
            plain = session.mark((await session.attempts(prompt, 1, GREEDY))[0]) or 0.0
            fit = [number for number, some in enumerate(near) if prompt in [asked[place] for place in some]]
            made = await session.all([self._used(prompt, tools[number], session) for number in fit])
            marks = {number: session.mark(one) or 0.0 for number, one in zip(fit, made, strict=True)}
            return [marks.get(number, plain) - plain for number in range(len(tools))]

        gains = map(sum, zip(*context.run(gained, [asked[place] for place in places]), strict=True))
        kept = [{**tool, "gain": gain} for tool, gain in zip(tools, gains, strict=bool(places)) if gain > 0]
        return sorted(kept, key=lambda tool: -tool["gain"])[: self.size]

    async def _used(self, prompt: Prompt, tool: Mapping[str, Any], session: Session) -> Rollout:
        """The answer with a tool."""
        asked = session.words("use_tool", prompt, tool["code"], otherwise=beside(__name__, "tool_making_use.txt"))
        [reply] = await session.draw(asked, 1, GREEDY, role="use_tool")
        call = programs.call_in(reply.text)
        said = await session.call("python", programs.printing(tool["code"], call)) if call else ""
        if not said or said.startswith("error:"):
            return (await session.attempts(prompt, 1, GREEDY))[0]
        words = beside(__name__, "tool_making_report.txt")
        [made] = await session.draw(
            session.words("report", prompt, call, said, otherwise=words), 1, GREEDY, role="report"
        )
        return made
