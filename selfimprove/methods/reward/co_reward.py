"""Labels from another view: the majority on another wording of the problem, or that of a slowly updated teacher.

Idea: a model that votes on its own answers can raise its reward by always giving the same answer. If the votes come
  from another wording or other weights than the completions, agreement with oneself alone earns nothing.
Survey: consensus rewards, section 4.3.2; collapse, section 7.3.
Paper: arXiv:2508.00410 (Co-rewarding), Zhang et al., 2025: I is `view: wording`, II is `view: teacher`.
Algorithm:
  1. I: draw `votes` answers to `wordings` other wordings of each problem, from the weights that the round starts with.
  2. II: draw them to the problem itself, from a teacher: a_r times the last round's teacher plus 1 - a_r times the
     weights that round r starts with, a_r = 1 - (1 - decay) (1 + cos(pi (r - 1) / rounds)) / 2.
  3. The label is the most frequent answer. The reward is 1 for completions with that answer, else 0; None for a whole
     problem if the first two answers tie, the label's share is below `min_agreement`, or there is no other wording.
Differs: the paper rewrites problems with a language model, here the task words them. It trains on both wordings, each
  with the other's label; here on the wording from the acquisition. Its teacher is updated every step, here every round,
  so `decay` is lower; decay and number of votes are our choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Context, Reward, Sampling
from selfimprove.measures.votes import plurality
from selfimprove.records import Checkpoint, Prompt, Rollout
from selfimprove.registry import register


@register("co_reward", paper="2508.00410")
@dataclass
class CoReward(Reward):
    view: str = "wording"
    """Where the labels come from: another `wording` of the problem, or the `teacher`."""
    votes: int = bounded(8, 1)
    """Votes for each wording."""
    wordings: int = bounded(1, 1)
    """Other wordings of each problem whose votes are pooled."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of the votes."""
    min_agreement: float = bounded(0.0, 0, 1)
    """Smallest share of the votes for a label; below it the problem is left out."""
    decay: float = bounded(0.5, 0, 1)
    """Share of the old teacher that the first round keeps; it rises to 1 along a cosine."""

    def __post_init__(self) -> None:
        if self.view not in ("wording", "teacher"):
            raise RecipeError(f"reward.co_reward.view is {self.view!r}; it must be wording or teacher")

    def cost(self, given: Given) -> Cost:
        views = self.wordings if self.view == "wording" else 1
        return given.draw(given.flow.prompts * views * self.votes)

    def rate(self, groups: Sequence[Sequence[Rollout]], context: Context) -> list[list[float | None]]:
        prompts = list({group[0].prompt.id: group[0].prompt for group in groups if group}.values())
        labels = self._labels(prompts, context) if prompts else {}
        scores: list[list[float | None]] = []
        for group in groups:
            label = labels[group[0].prompt.id] if group else None
            answers = [context.answer_of(rollout.text) for rollout in group]
            scores.append([None if label is None else float(answer == label) for answer in answers])
        known = sum(label is not None for label in labels.values())
        context.log.metric("co_reward/labelled", known / max(1, len(labels)))
        return scores

    def _labels(self, prompts: list[Prompt], context: Context) -> dict[str, str | None]:
        """The label of each problem, by its id."""
        views, policy = {prompt.id: [prompt] for prompt in prompts}, context.policy
        if self.view == "teacher":
            policy = replace(policy, checkpoint=self._teacher(context))
        else:
            views = {prompt.id: context.variants(prompt, self.wordings) for prompt in prompts}
            if not any(views.values()):
                raise RecipeError("reward.co_reward: the task knows no other wording of its problems; use view=teacher")
        asked = [view for own in views.values() for view in own]
        drawn = iter(policy.sample(asked, self.votes, Sampling(temperature=self.temperature)))
        labels = {}
        for name, own in views.items():
            said = [context.answer_of(vote.text) for _ in own for vote in next(drawn)]
            labels[name] = plurality(said, self.min_agreement)
        return labels

    def _teacher(self, context: Context) -> Checkpoint:
        """The teacher of this round; the first step that needs it creates it, and later steps reuse it."""
        old = (_made(context.previous) if context.previous else None) or context.start
        if old.path == context.policy.checkpoint.path:
            return old
        if made := _made(context.folder):
            return made
        folder = context.folder / "teacher"
        phase = (1 + math.cos(math.pi * min(1.0, (context.round - 1) / context.rounds))) / 2
        from selfimprove import training  # the list of recipes imports every reward, and needs no training

        return training.blend(old, context.policy.checkpoint, 1 - (1 - self.decay) * phase, folder)


def _made(step: Path) -> Checkpoint | None:
    """The teacher that a step of this round already created: its own, or that of an earlier data stage."""
    places = (place / "teacher" for place in (step, step.with_name("acquisition"), step.with_name("optimization")))
    return next((Checkpoint(path=str(place)) for place in places if place.exists()), None)
