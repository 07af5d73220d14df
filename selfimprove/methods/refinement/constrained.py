"""Answers that match a pattern: a regular expression, a choice of texts, or a JSON schema.

Idea: where the form of an answer is known, a model need not be trusted to keep it; tokens that would break it are
  never drawn.
Survey: decoding, section 5.2.1.
Paper: arXiv:2307.09702 (Outlines), Willard and Louf, 2023.
Algorithm:
  1. Turn the pattern into an automaton over the tokenizer's tokens.
  2. At each place exclude the tokens after which the text can no longer become a match; the end token is allowed where
     it is one. Thoughts are free, only the reply is held to the pattern.
Differs: the transformers engine takes the automata of outlines-core, vLLM its own structured outputs. The engine's
  limit of tokens may still cut an answer off. What is left of a distribution is normalized anew at each place, so the
  answers are not those of plain sampling that happen to match.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.errors import RecipeError
from selfimprove.inference import patterns
from selfimprove.interfaces import REQUIRED, Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register


@register("constrained", paper="2307.09702")
@dataclass
class Constrained(Refinement):
    pattern: str = REQUIRED
    """The regular expression, a JSON list of texts, or a JSON schema, as `kind` says."""
    kind: str = "regex"
    """`regex`, `choice` or `json`."""
    temperature: float = bounded(0.0, 0, 100)
    """Sampling temperature; 0 is greedy."""

    def __post_init__(self) -> None:
        if self.kind not in patterns.KINDS:
            raise RecipeError(f"refinement.constrained.kind takes {', '.join(patterns.KINDS)}, not {self.kind!r}")
        self._pattern = (self.kind, self.pattern)
        if self.pattern == REQUIRED:
            return
        if self.kind == "choice":
            self._pattern = ("choice", *_texts(self.pattern))
        patterns.check(self._pattern)

    def needs(self) -> Needs:
        return Needs(engine=("pattern",), packages=("outlines_core",))  # which vLLM brings along

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        sampling = Sampling(temperature=self.temperature, pattern=self._pattern)
        return (await session.attempts(prompt, 1, sampling))[0]


def _texts(said: str) -> list[str]:
    """The texts of a choice.

    Raises:
        RecipeError: it is not a JSON list of texts.
    """
    try:
        found = json.loads(said)
    except ValueError:
        found = None
    if not isinstance(found, list) or not found or not all(isinstance(one, str) and one for one in found):
        raise RecipeError(f"refinement.constrained.pattern takes a JSON list of texts for a choice, not {said!r:.80}")
    return found
