"""Pair a completion with the most common answer to a problem with one that has the least common answer.

Idea: prefer the answer that many samples agree on to one that few give; no reference answer is needed.
Survey: one-shot scoring, section 3.2.1; consensus rewards, section 4.3.2.
Paper: arXiv:2411.04109 (ScPO), Prasad et al., 2024.
Algorithm:
  1. V(y) is the number of a problem's k completions with the same final answer as y; completions without an answer are
     never paired, but count in k.
  2. Chosen is the first completion with the most votes, rejected the first with the fewest.
  3. Keep the pair if V(chosen) >= min_agreement * k and V(chosen) > V(rejected).
  4. Its weight is (V(chosen) - V(rejected)) / k.
Differs: the default of min_agreement is our choice. An optimizer without row weights trains on all pairs equally.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.interfaces import Context, Selection
from selfimprove.measures.votes import tally
from selfimprove.records import Preference, Record, Rollout, by_prompt
from selfimprove.registry import register


@register("vote_pairs", paper="2411.04109")
@dataclass
class VotePairs(Selection):
    consumes: ClassVar[Any] = Rollout
    produces: ClassVar[Any] = Preference
    looped: ClassVar[bool] = True
    min_agreement: float = bounded(0.5, 0, 1)
    """Smallest share of a problem's completions with the chosen answer."""

    def gives(self, given: Given) -> Flow:
        return Flow(given.flow.prompts, given.flow.prompts)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        made = []
        for group in by_prompt(records):
            answered = [(answer, r) for r in group if (answer := context.answer_of(r.text)) is not None]
            votes = tally(answer for answer, _ in answered)
            if not votes:
                continue
            most, best = max(answered, key=lambda pair: votes[pair[0]])
            fewest, worst = min(answered, key=lambda pair: votes[pair[0]])
            margin = votes[most] - votes[fewest]
            if margin and votes[most] >= self.min_agreement * len(group) - 1e-9:
                made.append(
                    Preference.of(
                        best,
                        worst,
                        weight=margin / len(group),
                        info={"chosen_votes": votes[most], "rejected_votes": votes[fewest], "votes": len(group)},
                    )
                )
        return made
