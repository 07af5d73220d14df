"""The model that sees the answer teaches the model that does not, on the latter's own completions.

Idea: a model that sees the solution predicts better how to continue. As its own teacher it learns token by token from
its own mistakes, without a stronger model.
Survey: distillation, section 4.2; self-play.
Paper: arXiv:2601.19897 (SDFT); arXiv:2601.18734 (OPSD) and arXiv:2601.20802 (SDPO) by the options below.
Algorithm:
  1. Draw `num_generations` completions of each problem with the weights in training, as the student.
  2. The teacher reads the same completion after the prompt of the role `hint`, which shows the `context`: the reference
     `answer`, the worked `solution` of the data, or another completion of the same problem with a reward of at least
     `success` (`group`). A completion without that context is ignored.
  3. The teacher's weights are those of the `start`, the weights in training (`last`), or their moving average (`ema`),
     which takes `teacher_update_rate` of the new ones after each step. No gradient flows through the teacher.
  4. The loss at each token is a divergence of the two distributions over all tokens: alpha 0 is KL(teacher || student),
     1 is KL(student || teacher), between them the Jensen-Shannon divergence with weight alpha on the teacher.
Differs: full distributions, where the papers' trainers keep the 100 most likely tokens; no importance weights, because
  each completion is used for one step. SDFT: alpha 0.5, ema 0.05, 8 completions. OPSD: `start`, `solution`, alpha 0.5,
  temperature 1.1. SDPO: `group`, ema 0.05, here without the policy gradient that its trainer can add.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import DataError
from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint, Message, Prompt
from selfimprove.registry import register
from selfimprove.training import Live, Turn


@register("self_distillation", paper="2601.19897")
@dataclass
class SelfDistillation(training.Drawn, Optimization):
    consumes: ClassVar[Any] = Prompt
    context: str = "answer"
    """What the teacher sees: the reference `answer`, a worked `solution`, or a good completion of the `group`."""
    success: float = 1.0
    """With `group`, the lowest reward of a completion that the others learn from."""
    alpha: float = bounded(0.5, 0, 1)
    """The divergence: 0 is forward KL, 1 reverse KL, values between are Jensen-Shannon."""
    teacher: str = "ema"
    """The teacher's weights: those of the `start`, the `last` ones, or their moving average (`ema`)."""
    teacher_update_rate: float = bounded(0.05, high=1, above=0)
    """Share of the new weights in the moving average, after each step."""
    num_generations: int = 8
    learning_rate: float = bounded(1e-5, 0, 100)

    def __post_init__(self) -> None:
        super().__post_init__()
        training.one_of(self, context=("answer", "solution", "group"), teacher=("start", "last", "ema"))

    def cost(self, given: Given) -> Cost:
        return training.online_cost(self, given, turns=1, marks=1 if self.context == "group" else 0)

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        each = self.num_generations
        live = Live(training.job_of(self, context), len(records) * each, self)
        teacher = live.model if self.teacher == "last" else deepcopy(live.model).eval().requires_grad_(False)
        taught, drawn = 0, 0
        for problems in islice(live.copies(records, each), live.steps):
            turns = live.draw(problems)
            words = self._words(turns, problems, context)
            pairs = [(turn, one) for turn, one in zip(turns, words, strict=True) if one]
            drawn, taught = drawn + len(turns), taught + len(pairs)
            if pairs:
                live.update(self._losses([turn for turn, _ in pairs], [one for _, one in pairs], live, teacher))
            if pairs and self.teacher == "ema":
                for old, new in zip(teacher.parameters(), live.model.parameters(), strict=True):
                    old.lerp_(new.detach(), self.teacher_update_rate)
        if not taught:
            raise DataError(f"self_distillation: none of {drawn} completions has a context of kind {self.context!r}")
        context.log.metric("train/taught", taught / drawn)
        context.log.metric("train/divergence_first", live.losses[0])
        context.log.metric("train/divergence_last", live.losses[-1])
        return live.save()

    def _words(self, turns: Sequence[Turn], problems: Sequence[Prompt], context: Context) -> list[list[Message] | None]:
        """The teacher's prompt for each completion; None without a context."""
        if self.context == "group":
            rewarded = training.rewarded(turns, problems, context)
            shown = [text for group in training.batches(rewarded, self.num_generations) for text in self._others(group)]
        elif self.context == "solution":
            shown = [context.roles.solution(problem) for problem in problems]
        else:
            shown = [problem.answer for problem in problems]
        return [
            None if text is None else context.roles.hint(problem, text)
            for problem, text in zip(problems, shown, strict=True)
        ]

    def _others(self, group: Sequence[Turn]) -> list[str | None]:
        """For each completion of a problem, the first other one with a sufficient reward."""
        good = [turn for turn in group if turn.reward is not None and turn.reward >= self.success]
        return [next((one.rollout.text for one in good if one is not turn), None) for turn in group]

    def _losses(self, turns: list[Turn], words: list[list[Message]], live: Live, teacher: Any) -> Iterator[Any]:
        import torch

        tokens = sum(sum(turn.learned) for turn in turns)
        for part in training.batches(list(zip(turns, live.asked(turns, words), strict=True)), live.batch):
            own, seen = ([pair[side] for pair in part] for side in (0, 1))
            with torch.no_grad():
                target = live.distributions(seen, teacher)[0]
            now, mask = live.distributions(own)
            yield (divergence(now, target, self.alpha) * mask).sum() / tokens


def divergence(student: Any, teacher: Any, alpha: float) -> Any:
    """The divergence of step 4 between distributions given as log-probabilities, over the last dimension."""
    import torch

    def kl(one: Any, other: Any) -> Any:
        return (one.exp() * (one - other)).sum(-1)

    if alpha in (0.0, 1.0):
        return kl(student, teacher) if alpha else kl(teacher, student)
    middle = torch.logaddexp(student + math.log(1 - alpha), teacher + math.log(alpha))
    return (1 - alpha) * kl(student, middle) + alpha * kl(teacher, middle)
