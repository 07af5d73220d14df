"""A vote that stops unsure completions while they are drawn, and itself when the sure ones agree.

Idea: a completion that has become unsure will not vote, so its remaining tokens can be saved.
Survey: sampling and voting, section 5.2.
Paper: arXiv:2508.15260 (Deep Think with Confidence), Fu et al., 2025: the online form.
Algorithm:
  1. Draw `warm_up` completions in full. The confidence of one is its lowest mean over `window` tokens, see `deepconf`.
  2. The bar is the confidence that the `keep` percent most confident of them have.
  3. Draw the others, `portion` at a time, in pieces of `piece` tokens. One of which `window` tokens in a row fall below
     the bar is dropped.
  4. Stop after a portion if the leading answer has at least `consensus` of all weights, or after `samples` completions.
  5. The completions of the warm-up that reach the bar and those that came to their end vote with their confidence.
Differs: the paper stops at the token, inside of the engine; a piece is drawn to its end here, and a prompt with its
  beginning is read anew for each piece, which engines with a prefix cache do quickly. The paper's budget is 256 or
  512 completions with a warm-up of 16. Attempts of another method in the chain carry no confidences: they vote alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.ballots import Candidate, candidate_of, totals, winner
from selfimprove.inference.confidence import confidence_of, edge, groups, surest_vote
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import joined, prefilled


@register("deepconf_online", paper="2508.15260")
@dataclass
class DeepconfOnline(Refinement):
    samples: int = bounded(16, 1)
    """Most completions per prompt."""
    warm_up: int = bounded(4, 1)
    """Completions that are drawn in full and set the bar."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""
    tops: int = bounded(20, 1, 100)
    """Likeliest tokens that count at each place."""
    window: int = bounded(16, 1)
    """Tokens of a group."""
    keep: float = bounded(90.0, 0, 100)
    """Percent of the warm-up that reaches the bar: 10 is strict, 90 lenient."""
    piece: int = bounded(16, 1)
    """Tokens drawn before each look at the confidence."""
    portion: int = bounded(4, 1)
    """Completions drawn before each look at the votes."""
    consensus: float = bounded(0.95, 0, 2)
    """Share of all weights from which on the leading answer wins; above 1 none is enough."""

    def needs(self) -> Needs:
        return Needs(engine=("tops",))

    def cost(self, given: Given) -> Cost:
        first = min(self.warm_up, self.samples)
        rest = self.samples - first
        pieces = rest * -(-given.length // self.piece)
        drawn = Cost(completions=pieces, tokens=given.draw(rest).tokens)
        return first * given.attempt + Cost(*map(max, drawn, rest * given.attempt))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        sampling = Sampling(temperature=self.temperature, tops=self.tops)
        drawn = await session.attempts(prompt, min(self.warm_up, self.samples), sampling)
        left = self.samples - len(drawn)
        if not any(one.tops for one in drawn):
            drawn += await session.attempts(prompt, left, sampling) if left else []
            return drawn[winner([candidate_of(one, session.answer_of(one)) for one in drawn])]
        seen = [candidate_of(one, session.answer_of(one)) for one in drawn]
        sure = [self._confidence(one) for one in seen]
        bar = edge(sure, 100 - self.keep)
        session.best = drawn[surest_vote(seen, sure, bar)]
        stay = [place for place, one in enumerate(sure) if one >= bar]
        drawn, seen = [drawn[place] for place in stay], [seen[place] for place in stay]
        while left and not self._agreed(seen):
            n = min(self.portion, left)
            left -= n
            made = await session.all([self._trace(prompt, session, bar) for _ in range(n)])
            whole = [one for one in made if one is not None]
            drawn += whole
            seen += [candidate_of(one, session.answer_of(one)) for one in whole]
            session.best = drawn[winner(seen, [self._confidence(one) for one in seen])]
        return session.best

    async def _trace(self, prompt: Prompt, session: Session, bar: float) -> Rollout | None:
        """A completion drawn in pieces; None if it falls below the bar."""
        trace: Rollout | None = None
        most = session.policy.engine.longest()
        while True:
            done = len(trace.tops) if trace else 0
            limit = min(self.piece, most - done)
            sampling = Sampling(temperature=self.temperature, tops=self.tops, max_completion_length=limit)
            begun = prefilled(prompt, str(trace.text), trace.completion[-1]) if trace else prompt
            [piece] = await session.draw(begun, 1, sampling)
            trace = _longer(trace, piece, prompt)
            seen = candidate_of(trace, None).noted.get("confidence", ())
            new = groups(seen[max(0, done + 1 - self.window) :], self.window)
            if len(seen) >= self.window and min(new) < bar:
                return None
            if not piece.truncated or len(trace.tops) in (done, most):
                return trace

    def _confidence(self, candidate: Candidate) -> float:
        return confidence_of(candidate.noted.get("confidence", ()), self.window, "lowest")

    def _agreed(self, seen: Sequence[Candidate]) -> bool:
        heavy = totals(seen, [self._confidence(one) for one in seen])
        return bool(heavy) and max(heavy.values()) >= self.consensus * sum(heavy.values()) > 0


def _longer(trace: Rollout | None, piece: Rollout, prompt: Prompt) -> Rollout:
    """A completion with another piece at its end."""
    if trace is None:
        return piece
    before, after = trace.logprobs or {}, piece.logprobs or {}
    return Rollout(
        prompt=prompt,
        completion=[joined(str(trace.text), piece.completion[-1])],
        logprobs={name: round(before.get(name, 0) + after.get(name, 0), 4) for name in ("sum", "count")},
        info=piece.info,
        tops=[*trace.tops, *piece.tops],
    )
