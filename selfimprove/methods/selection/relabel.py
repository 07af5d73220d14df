"""Return the problems themselves, with the answer that their completions agree on as the reference.

Idea: an optimizer that draws its own completions needs problems, not completions. The result of a debate, a vote or a
  search becomes the reference that marks its completions, and it stays fixed during training.
Survey: consensus rewards, section 4.3.2; one-shot scoring, section 3.2.1.
Paper: arXiv:2505.15734 (Debate, Train, Evolve), Srivastava et al., 2025: what a debate agrees on is the reward's label;
  offline labels also in arXiv:2505.21444.
Algorithm:
  1. Count the completions of a problem with a reward of at least `min_score`, or all if that is null.
  2. The label is their most frequent answer. A problem is dropped if there is a tie or no answer, or if the share of
     the label is below `min_agreement`.
  3. Return each problem once, with the label as its reference; with `label: kept` it keeps its own reference.
Differs: nothing to compare with; the papers have no such step. The reward `verifier` then marks by the label. A task
  that recognizes a wrong reference (countdown, list_programs) does not mark by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import Flow, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Selection
from selfimprove.measures.votes import plurality
from selfimprove.records import Prompt, Record, Rollout, by_prompt
from selfimprove.registry import register


@register("relabel", paper="2505.15734")
@dataclass
class Relabel(Selection):
    consumes: ClassVar[Any] = Rollout
    produces: ClassVar[Any] = Prompt
    looped: ClassVar[bool] = True
    min_score: float | None = None
    """Lowest reward of a completion that counts; null counts all, also those without a reward."""
    min_agreement: float = bounded(0.0, 0, 1)
    """Smallest share of the counted completions with the label."""
    label: str = "vote"
    """The reference of a problem: the result of the `vote`, or its own (`kept`)."""

    def __post_init__(self) -> None:
        if self.label not in ("vote", "kept"):
            raise RecipeError(f"selection.relabel.label is {self.label!r}; it must be vote or kept")

    def gives(self, given: Given) -> Flow:
        return Flow(given.flow.prompts, given.flow.prompts)

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        low = self.min_score
        good = (one for one in records if low is None or (one.reward is not None and one.reward >= low - 1e-9))
        made, right = list[Prompt](), list[float]()
        for group in by_prompt(good):
            prompt, answers = group[0].prompt, [context.answer_of(rollout.text) for rollout in group]
            label = plurality(answers, self.min_agreement)
            if label is None:
                continue
            mark = context.verify(prompt, group[answers.index(label)].text)
            right += [] if mark is None else [mark]
            known = prompt if self.label == "kept" else replace(prompt, answer=label)
            made.append(replace(known, source="", parents=(group[0].id,)))
        context.log.metric("relabel/problems", len(made))
        if right:
            context.log.metric("relabel/label_precision", sum(right) / len(right))
        return made
