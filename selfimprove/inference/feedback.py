"""Attempts that are revised by what somebody says of them: a critic, a calculator, or tests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from selfimprove.costs import Cost
from selfimprove.errors import RecipeError
from selfimprove.interfaces import GREEDY, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.problems.program_talk import PASSED
from selfimprove.records import Prompt, Rollout
from selfimprove.text import beside

KEEPS = ("compare", "judge", "last")
TOOLS = ("calculator", "tests")
SIGNALS = ("judge", *TOOLS)
_NUMBER = r"\d[\d,]*"
_CLAIM = re.compile(
    rf"(?<![\d.])({_NUMBER}(?: ?[-+*/] ?{_NUMBER})+)(?![\d.])(?:[^\d=\n.][^=\n]{{0,20}})?= ?\$?(-?{_NUMBER}(?:\.\d+)?)"
)
"""A sum and the number that a text claims it to be; units and how it was counted may stand between."""


# ---- what is asked in words ------------------------------------------------------------------------------------------
async def critiqued(prompt: Prompt, attempt: str, session: Session, sampling: Sampling) -> tuple[str, bool]:
    """A critique of an attempt in the role `critique`, and whether it finds nothing wrong."""
    asked = session.words("critique", prompt, attempt, otherwise=beside(__name__, "feedback_critique.txt"))
    [said] = await session.draw(asked, 1, sampling, role="critique")
    return said.text, session.judgement(said.text) == 1.0


async def repaired(prompt: Prompt, attempt: str, feedback: str, session: Session, sampling: Sampling) -> Rollout:
    """Another attempt in the role `repair`, which sees one and the feedback on it."""
    asked = session.words("repair", prompt, attempt, feedback, otherwise=beside(__name__, "feedback_repair.txt"))
    [made] = await session.draw(asked, 1, sampling, role="repair")
    return made


async def better(prompt: Prompt, old: Rollout, new: Rollout, session: Session, keep: str) -> bool:
    """Whether a new attempt takes the place of an old one.

    Args:
        keep: `last`, always; `compare`, if the role `compare` prefers it in both orders; `judge`, if the role `judge`
            calls it right and the old one not.
    """
    if keep == "last":
        return True
    if keep == "judge":
        asked = [session.words("judge", prompt, one.text) for one in (old, new)]
    else:
        words = beside(__name__, "feedback_compare.txt")
        pairs = ((new.text, old.text), (old.text, new.text))
        asked = [session.words("compare", prompt, *pair, otherwise=words) for pair in pairs]
    replies = await session.all([session.draw(one, 1, GREEDY, role=keep) for one in asked])
    worse, good = (session.judgement(reply.text) for [reply] in replies)
    return worse != 1.0 and good == 1.0


def keeping(keep: str) -> Needs:
    """What `better` needs."""
    return Needs(roles=() if keep == "last" else (keep,))


# ---- what a tool says ------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Check:
    """What is asked about an attempt, and how much it takes.

    Args:
        by: `calculator`, about the sums in the text; `tests`, whose tool runs the program in it; `judge`, the model.
        most: sums of an attempt that are looked at.
    """

    by: str
    most: int = 8

    def known(self, option: str, choices: tuple[str, ...]) -> None:
        """
        Raises:
            RecipeError: there is no such check.
        """
        if self.by not in choices:
            raise RecipeError(f"refinement.{option} takes {', '.join(choices)}, not {self.by!r}")

    def needs(self) -> Needs:
        return Needs(roles=("judge",)) if self.by == "judge" else Needs(tools=(self.by,))

    def cost(self, one: Cost) -> Cost:
        """The most that one check takes.

        Args:
            one: the cost of a completion.
        """
        return {"judge": one, "calculator": Cost(calls=self.most)}.get(self.by, Cost(calls=1))

    async def faults(self, prompt: Prompt, attempt: Rollout, session: Session) -> str:
        """What is wrong with an attempt; "" if nothing was found."""
        match self.by:
            case "judge":
                [said] = await session.draw(session.words("judge", prompt, attempt.text), 1, GREEDY, role="judge")
                return "" if session.judgement(said.text) == 1.0 else said.text
            case "calculator":
                claims = _CLAIM.findall(attempt.text)[: self.most]
                values = [await session.call("calculator", asked) for asked, _ in claims]
                wrong = [
                    (sum, value) for (sum, claim), value in zip(claims, values, strict=True) if _differ(claim, value)
                ]
                return "\n".join(dict.fromkeys(f"{sum}={value}" for sum, value in wrong))
        said = await session.call(self.by, attempt.text)
        return "" if said == PASSED else said


def _differ(claim: str, value: str) -> bool:
    """Whether a claimed number is not the calculator's, which may be an error that says nothing."""
    try:
        exact = Fraction(value)
    except (ValueError, ZeroDivisionError):
        return False
    told = Fraction(claim.replace(",", ""))
    places = len(claim.partition(".")[2])
    return abs(told - exact) * 2 * 10**places > (1 if places else 0)  # a decimal may be rounded
