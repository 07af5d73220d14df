"""At growing distances the model is interrupted, told that it may be wrong, and goes on from there; samples vote.

Idea: models that have learned to correct themselves do so too seldom. A sentence that makes them doubt, early at
  first and then ever later, starts it; growing distances keep the number of interruptions small.
Survey: sampling, section 5.2; self-correction within a reply, section 5.3.
Paper: arXiv:2502.05449 (Iterative Deepening Sampling), Chen et al., 2025.
Algorithm:
  1. Draw the first `first` tokens of a reply.
  2. Where it is not at its end, add the sentence `trigger` and draw on: until `growth` times as many tokens as
     before have been drawn in all, and so on.
  3. A reply that ends, or reaches the engine's longest completion, is a sample. Draw `samples` of them.
  4. Answer as self_consistency does.
Differs: tokens of the trigger count for the limit on the drawn ones in the paper, here only drawn tokens do. A reply
  that ended by itself is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.ballots import candidates_of, winner
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.records import Message, Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import prefilled


@register("iterative_deepening", paper="2502.05449")
@dataclass
class IterativeDeepening(Refinement):
    samples: int = bounded(4, 1)
    """Replies."""
    first: int = bounded(512, 1)
    """Tokens before the first interruption."""
    growth: float = bounded(2.0, 1.01, 100)
    """How many times as long the reply is at each next one."""
    trigger: str = "\\nWait! Maybe I made some mistakes! I need to rethink from scratch.\\n"
    """The sentence that is added."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""

    def cost(self, given: Given) -> Cost:
        pieces, at = 0, float(self.first)
        while at < given.length:
            pieces, at = pieces + 1, at * self.growth
        return self.samples * (given.attempt + Cost(completions=pieces, tokens=given.draw().tokens))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        how = self._sampling(min(self.first, session.policy.engine.longest()))
        begun = await session.attempts(prompt, self.samples, how)
        drawn = await session.all([self._deepened(prompt, one, session) for one in begun])
        return drawn[winner(await candidates_of(session, drawn))]

    async def _deepened(self, prompt: Prompt, reply: Rollout, session: Session) -> Rollout:
        """A reply continued to its end."""
        at, most = float(self.first), session.policy.engine.longest()
        while reply.truncated and (reply.logprobs or {"count": most})["count"] < most:
            at *= self.growth
            drawn = (reply.logprobs or {})["count"]
            more = int(min(max(at, drawn + 1), most) - drawn)
            told = reply.text + self.trigger
            [piece] = await session.draw(prefilled(prompt, told), 1, self._sampling(more))
            reply = _after(reply, told, piece)
            session.best = reply if session.best is None or session.best.truncated else session.best
        return reply

    def _sampling(self, tokens: int) -> Sampling:
        return Sampling(temperature=self.temperature, max_completion_length=tokens)


def _after(reply: Rollout, told: str, piece: Rollout) -> Rollout:
    """One reply of two pieces, with the trigger between them."""
    known, new = reply.logprobs or {}, piece.logprobs or {"sum": 0.0, "count": 0}
    message: Message = {"role": "assistant", "content": told + piece.text}  # without tokens: the trigger was not drawn
    counts = {name: known.get(name, 0.0) + new[name] for name in ("sum", "count")}
    return replace(reply, completion=[message], logprobs=counts, info=piece.info, ids=(), noted={}, tops=())
