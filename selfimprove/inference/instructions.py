"""The search for an instruction: what is proposed is tried on the same selection problems, within a budget of answers.

An instruction is a text that is put before a problem; the empty one changes nothing. The best of many is chosen on the
problems that it was tried on, so its share of right answers there is too good: only an exam says what it is worth.
A fit that was killed goes on where it was, because the step's journal has every answer that was paid for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from selfimprove.costs import Cost, Given
from selfimprove.interfaces import GREEDY, Context, Sampling, Session
from selfimprove.records import Prompt, Rollout
from selfimprove.text import quoted

LONGEST = 4000
"""Most characters of an instruction."""
NONE = "(none)"
"""How the empty instruction is shown to a model."""
_INSIDE = re.compile(r"<instruction>(.*?)(?:</instruction>|$)", re.DOTALL)


@dataclass(frozen=True)
class Tried:
    """An instruction with what came of it on each of the problems."""

    text: str
    marks: Sequence[float]
    said: Sequence[str]

    @property
    def share(self) -> float:
        """The share of right answers."""
        return sum(self.marks) / max(1, len(self.marks))


class Search:
    """Instructions tried so far, and how many more the budget pays for.

    Args:
        answers: the budget; each instruction takes an answer to each of the problems.
        problems: selection problems to try instructions on.
    """

    def __init__(self, context: Context, name: str, answers: int, problems: int) -> None:
        self.context, self.asked = context, context.selection(problems)
        self.buys = bought(answers, len(self.asked))
        self.tried: dict[str, Tried] = {}
        context.log.note(f"{name}: {answers} answers buy {self.buys} instructions on {len(self.asked)} problems each")
        self.add(["", context.state.get("instruction", "")])

    @property
    def left(self) -> int:
        """Instructions that the budget still pays for."""
        return self.buys - len(self.tried)

    def add(self, texts: Iterable[str]) -> list[Tried]:
        """Try new instructions, as many as the budget pays for; returns those of all given ones that are tried now."""
        given = list(dict.fromkeys(texts))
        new = [text for text in given if text not in self.tried][: self.left]

        async def answered(item: dict[str, Any], session: Session) -> list[Any]:
            asked = with_instruction(self.asked[item["problem"]], item["text"], session)
            [made] = await session.attempts(asked, 1, GREEDY)
            marked = self.context.verify(self.asked[item["problem"]], made.text)
            return [marked or 0.0, str(made.text)]

        n = len(self.asked)
        seen = self.context.run(answered, [{"text": text, "problem": i} for text in new for i in range(n)])
        for place, text in enumerate(new):
            own = seen[place * n : (place + 1) * n]
            self.tried[text] = Tried(text, [mark for mark, _ in own], [said for _, said in own])
        return [self.tried[text] for text in given if text in self.tried]

    def best(self, n: int = 1) -> list[Tried]:
        """The n best ones, the best first; of equal ones the first that was tried."""
        return sorted(self.tried.values(), key=lambda one: -one.share)[:n]

    def examples(self, n: int, right: bool = True, of: Tried | None = None) -> str:
        """Up to n problems with the replies of an instruction, the best one by default: right ones, or wrong ones."""
        one = of or self.best()[0]
        known = zip(self.asked, one.said, one.marks, strict=True)
        some = [(quoted(asked.prompt), said) for asked, said, mark in known if (mark == 1.0) == right][:n]
        return "\n\n".join(f"<problem>\n{asked}\n</problem>\n<reply>\n{said}\n</reply>" for asked, said in some)

    def state(self) -> dict[str, Any]:
        """What `fit` returns: the best instruction, and everything that was tried with its share."""
        [best] = self.best()
        self.context.log.metric("instructions/tried", len(self.tried))
        self.context.log.metric("instructions/gain", best.share - self.tried[""].share)
        return {"instruction": best.text, "tried": [[one.text, one.share] for one in self.tried.values()]}


def bought(answers: int, problems: int) -> int:
    """How many instructions a budget pays for; always the empty one."""
    return max(1, answers // max(1, problems))


def search_cost(given: Given, answers: int, problems: int, proposals: int) -> Cost:
    """The most that a search takes.

    Args:
        proposals: completions that propose something.
    """
    return max(answers, problems) * max(given.attempt, given.draw()) + given.draw(proposals)


def with_instruction(prompt: Prompt, text: str, session: Session) -> Prompt:
    """The problem after an instruction, in the task's words for the role instructed or simply before it."""
    return session.words("instructed", prompt, text, otherwise="{0}\n\n{problem}") if text else prompt


async def instructed(prompt: Prompt, session: Session) -> Rollout:
    """The greedy answer with the instruction that was learned."""
    asked = with_instruction(prompt, session.state.get("instruction", ""), session)
    return (await session.attempts(asked, 1, GREEDY))[0]


def proposed(
    context: Context, role: str, words: str, parts: Sequence[Sequence[str]], n: int = 1, temperature: float = 1.0
) -> list[list[str]]:
    """n texts that the model writes in a role for each set of parts; blank ones are left out.

    A reply may have its text between `<instruction>` and `</instruction>`.
    """
    basis = context.selection(1)[0]

    async def one(item: list[str], session: Session) -> list[str]:
        asked = session.words(role, basis, *item, otherwise=words)
        drawn = await session.draw(asked, n, Sampling(temperature=temperature), role=role)
        return [text for made in drawn if (text := cleaned(made.text))]

    return context.run(one, [list(some) for some in parts])


def cleaned(text: str) -> str:
    """The instruction in a reply."""
    found = _INSIDE.search(text)
    return (found[1] if found else text).strip()[:LONGEST].strip()
