"""How often a judge prefers the policy's answer to one fixed answer, in both orders: for tasks without a rule.

Idea: open requests rarely have one right answer, but two replies can be compared.
Survey: performance evaluation, section 6; model judges, section 4.3.2.
Paper: arXiv:2306.05685 (Judging LLM-as-a-Judge), Zheng et al., 2023: pairs in both orders.
Algorithm:
  1. The opponent's answer to each problem is one sample of the weights of round 0, or with `against: reference` the
     reply in the data. It is drawn first, so that all policies of an exam face the same one.
  2. The policy answers with its refinement. The weights of round 0, or those of `judge_path`, compare both texts in
     both orders, greedily; a judgement ends in #1, #2 or #= (equal). The candidate never judges.
  3. The score of a problem is the mean over both orders: 1 if the answer is preferred, 0 if the opponent is, 1/2 if
     they are equal or the judgement is unreadable. Equal texts score 1/2 without a judgement.
  4. `win_rate` is the mean score with its 95 % interval. Further metrics are the shares of tied problems, of unreadable
     judgements, and of decisions for the text shown first, which is 1/2 for an unbiased judge.
Differs: the paper declares a tie if the orders disagree, as step 3 does, and judges with GPT-4. Gates count problems
  with a score above 1/2. The opponent is a sample and not a greedy answer, because the start would tie with its own
  greedy answers everywhere and losses would be invisible. An unreadable judgement is a tie, so a policy cannot gain by
  answers that confuse the judge. If a judge's rewards were trained on, it overrates the policy; use another judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import GREEDY, Evaluation, Policy, Sampling
from selfimprove.measures.judge_reliability import preferred
from selfimprove.measures.statistics import mean, proportion
from selfimprove.needs import Needs
from selfimprove.records import Checkpoint, Prompt, Report
from selfimprove.registry import register
from selfimprove.rounds import Exam
from selfimprove.text import beside, quoted


@register("win_rate", paper="2306.05685")
@dataclass
class WinRate(Evaluation):
    against: str = "start"
    """The opponent: `start` (one sample of the weights of round 0) or `reference` (the reply in the data)."""
    temperature: float = bounded(1.0, high=100, above=0)
    """Sampling temperature of the start's answers."""
    judge_path: str | None = None
    """Folder or hub id of the judge's model; null means the weights of round 0."""

    def __post_init__(self) -> None:
        if self.against not in ("start", "reference"):
            raise RecipeError(f"evaluation.win_rate.against takes start or reference, not {self.against!r}")

    def needs(self) -> Needs:
        return Needs(roles=("judge",))

    def cost(self, given: Given) -> Cost:
        n = given.flow.records
        return n * given.attempt + given.draw(n * ((self.against == "start") + 2))

    def evaluate(self, policy: Policy, exam: Exam) -> Report:
        if exam.start is None and (self.against == "start" or self.judge_path is None):
            raise RecipeError(
                "evaluation.win_rate compares with the start of a run, and there is no run here; set "
                "evaluation.win_rate.against=reference and evaluation.win_rate.judge_path"
            )
        judge = Checkpoint(path=self.judge_path) if self.judge_path else exam.start
        opponents = self._opponents(policy, exam)
        answers = policy.answer(exam.problems)
        met = [(answer, other) for answer, other in zip(answers, opponents, strict=True) if other is not None]
        questions = [
            _question(answer.prompt, *texts)
            for answer, other in met
            for texts in ((answer.text, other), (other, answer.text))
            if answer.text != other
        ]
        asked = replace(policy, checkpoint=judge).sample(questions, 1, GREEDY, role="judge") if questions else []
        said = [preferred(group[0].text) for group in asked]
        replies, scores = iter(said), dict[str, float]()
        for answer, other in met:
            ahead, behind = (0.5, 0.5) if answer.text == other else (_or_tie(next(replies)), _or_tie(next(replies)))
            scores[answer.prompt.key] = (ahead + 1 - behind) / 2
        metrics = {
            "win_rate": mean([*scores.values()]),
            "win_rate/tie": proportion(sum(score == 0.5 for score in scores.values()), len(scores)),
            "truncated": proportion(sum(answer.truncated for answer in answers), len(answers)),
        }
        decided = [word for word in said if word in (0.0, 1.0)]
        unread = sum(word is None for word in said)
        metrics |= {"win_rate/unread": proportion(unread, len(said))} if said else {}
        metrics |= {"win_rate/first": proportion(sum(decided), len(decided))} if decided else {}
        if 2 * unread > len(said):
            policy.log.note(f"{unread} of {len(said)} replies of the judge could not be read and count as ties")
        marked = tuple(replace(answer, reward=scores.get(answer.prompt.key)) for answer in answers)
        return Report(metrics=metrics, scores=scores, measure="win_rate", rollouts=marked)

    def _opponents(self, policy: Policy, exam: Exam) -> Sequence[str | None]:
        if self.against == "reference":
            return [prompt.info.get("solution") or prompt.answer for prompt in exam.problems]
        start = replace(policy, checkpoint=exam.start)
        return [group[0].text for group in start.sample(exam.problems, 1, Sampling(temperature=self.temperature))]


def _or_tie(word: float | None) -> float:
    return 0.5 if word is None else word


def _question(prompt: Prompt, first: str, second: str) -> Prompt:
    words = beside(__name__, "win_rate.txt")
    said = words.format(problem=quoted(prompt.prompt), first=first, second=second)
    return Prompt(prompt=[{"role": "user", "content": said}], key=prompt.key)
