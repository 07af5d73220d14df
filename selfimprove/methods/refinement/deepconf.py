"""A vote of the most confident completions only, weighted by the confidence of their weakest part.

Idea: a chain of thought is as good as its weakest stretch, and that shows in the distributions of its tokens.
Survey: sampling and voting, section 5.2.
Paper: arXiv:2508.15260 (Deep Think with Confidence), Fu et al., 2025: the offline form.
Algorithm:
  1. Draw `samples` completions with the `tops` likeliest tokens of each place. The confidence of a token is minus the
     mean log-probability of these: high where the distribution is peaked.
  2. The confidence of a group is the mean over `window` tokens in a row. That of a completion is its lowest group
     (`measure: lowest`), the mean of its lowest tenth of groups (`bottom`), its last group (`tail`) or the mean of all
     tokens (`mean`).
  3. Keep the `keep` percent of the completions with the highest confidence, and let them vote with it as their weight.
Differs: with `tops` 0 the whole vocabulary counts, by the statistic self_certainty, which is the same up to a constant.
  Completions that another method of the chain has made carry no likeliest tokens: with `tops` above 0 they vote
  alike. The paper's window of 2048 tokens is for long thoughts; a window longer than a completion takes its mean. Ties
  at the edge of the kept share stay in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.inference.ballots import Candidate, Voting, poll
from selfimprove.inference.confidence import MEASURES, confidence_of, edge, surest_vote
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import nearest, register


@register("deepconf", paper="2508.15260")
@dataclass
class Deepconf(Refinement, Voting):
    samples: int = bounded(16, 1)
    """Completions per prompt."""
    temperature: float = bounded(0.7, 0, 100)
    """Sampling temperature."""
    tops: int = bounded(20, 0, 100)
    """Likeliest tokens that count at each place; 0: the whole vocabulary."""
    window: int = bounded(16, 1)
    """Tokens of a group."""
    measure: str = "lowest"
    """Confidence of a completion: `lowest`, `bottom`, `tail` or `mean`."""
    keep: float = bounded(90.0, 0, 100)
    """Percent of the completions that vote."""

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            near = nearest(self.measure, MEASURES)
            raise RecipeError(f"refinement.deepconf.measure cannot be {self.measure!r}.{near}")

    def needs(self) -> Needs:
        return Needs(engine=("tops",), statistics=() if self.tops else ("self_certainty",))

    def cost(self, given: Given) -> Cost:
        return self.samples * (given.attempt + Cost(scored=0 if self.tops else 1))

    def sampling(self) -> Sampling:
        note = () if self.tops else ("self_certainty",)
        return Sampling(temperature=self.temperature, tops=self.tops, note=note)

    def more(self, candidates: Sequence[Candidate]) -> int:
        return self.samples - len(candidates)

    def choose(self, candidates: Sequence[Candidate]) -> int:
        name = "confidence" if self.tops else "self_certainty"
        sure = [confidence_of(one.noted.get(name, ()), self.window, self.measure) for one in candidates]
        return surest_vote(candidates, sure, edge(sure, 100 - self.keep))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await poll(self, prompt, session, *self.needs().statistics)
