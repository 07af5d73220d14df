"""Instructions evolve by reflection on replies, and each problem keeps the instruction that serves it best in the pool.

Idea: a model that reads what went wrong on a few problems writes a better instruction; parents that are best somewhere
  keep the pool diverse, where the best on average alone would be a dead end.
Survey: optimization of prompts, section 5.1.
Paper: arXiv:2507.19457 (GEPA), Agrawal et al., 2025; by the authors' library gepa.
Algorithm:
  1. In `fit` try the instruction of the weights before, at first the empty one, on `problems` selection problems.
  2. Draw a parent of the pool by the number of problems on which it is best. Answer `minibatch` other selection
     problems with it. In the role rewrite the model sees these replies and whether they were right, and writes a new
     instruction.
  3. If the new one has more right answers on the minibatch, try it on all problems and add it to the pool.
  4. Repeat from 2 until `answers` are used up. The best one stays if it beats the empty one.
  5. Answer greedily with that instruction before each problem.
Differs: there is one text to improve, so nothing is merged. Feedback says whether a reply was right, not the reference.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.inference.instructions import NONE, instructed, proposed, search_cost, with_instruction
from selfimprove.interfaces import GREEDY, Context, Refinement, Session
from selfimprove.needs import Needs
from selfimprove.records import Prompt, Rollout
from selfimprove.registry import register
from selfimprove.text import beside, quoted

NAME = "instruction"


@register("gepa", paper="2507.19457")
@dataclass
class Gepa(Refinement):
    problems: int = bounded(32, 1)
    """Selection problems that instructions of the pool are tried on; as many others, if there are, give minibatches."""
    answers: int = bounded(512, 1)
    """Budget of each `fit` in answers; the step in which it ends is finished."""
    minibatch: int = bounded(3, 1)
    """Problems of a reflection."""
    temperature: float = bounded(1.0, 0, 100)
    """Sampling temperature of new instructions."""

    def needs(self) -> Needs:
        return Needs(roles=("rewrite",), packages=("gepa",))

    def fit_cost(self, given: Given) -> Cost:
        most = self.answers + 2 * self.problems + 2 * self.minibatch  # the empty one, and the step in which it ends
        return search_cost(given, most, self.problems, 1 + self.answers // self.minibatch)

    def fit(self, context: Context) -> dict[str, Any]:
        asked = context.selection(2 * self.problems)
        most = min(self.problems, len(asked))
        pool = _Pool(context, asked, self.temperature)
        steps = max(0, self.answers - most) // (2 * self.minibatch)
        context.log.note(f"gepa: {self.answers} answers on {most} problems buy at most {steps} proposals")
        places = list(range(len(asked)))
        found = importlib.import_module("gepa").optimize(
            seed_candidate={NAME: context.state.get("instruction", "")},
            trainset=places[most:] or places,
            valset=places[:most],
            adapter=pool,
            max_metric_calls=self.answers,
            reflection_minibatch_size=min(self.minibatch, len(places[most:] or places)),
            logger=_Quiet(),
            seed=context.seed,
        )
        best, plain = str(found.best_candidate[NAME]), pool.shares("", places[:most])
        gain = pool.shares(best, places[:most]) - plain
        context.log.metric("instructions/tried", len({text for text, _ in pool.known}))
        context.log.metric("instructions/gain", max(0.0, gain))
        return {"instruction": best if gain > 0 else ""}

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        return await instructed(prompt, session)


class _Quiet:
    """What the library logs is left out: the step has a log of its own."""

    def log(self, message: str) -> None: ...


@dataclass
class _Pool:
    """The library's adapter: problems are places in `asked`, and every answer is paid for once."""

    context: Context
    asked: Sequence[Prompt]
    temperature: float
    known: dict[tuple[str, int], tuple[float, str]] = field(default_factory=dict)
    """(instruction, place) -> the mark and the reply."""

    def shares(self, text: str, places: Sequence[int]) -> float:
        """The share of right answers with an instruction."""
        return sum(mark for mark, _ in self._answered(text, places)) / max(1, len(places))

    def evaluate(self, batch: list[int], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        seen = self._answered(candidate[NAME], batch)
        made = importlib.import_module("gepa.core.adapter").EvaluationBatch
        traces = [(place, *one) for place, one in zip(batch, seen, strict=True)] if capture_traces else None
        return made(outputs=[said for _, said in seen], scores=[mark for mark, _ in seen], trajectories=traces)

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        rows = [
            {
                "problem": quoted(self.asked[place].prompt),
                "reply": said,
                "feedback": "right" if mark == 1.0 else "wrong",
            }
            for place, mark, said in eval_batch.trajectories
        ]
        return dict.fromkeys(components_to_update, rows)

    def propose_new_texts(
        self,
        candidate: dict[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: list[str],
    ) -> dict[str, str]:
        shown = "\n\n".join(
            f"<problem>\n{one['problem']}\n</problem>\n<reply>\n{one['reply']}\n</reply>\nIt was {one['feedback']}."
            for one in reflective_dataset[NAME]
        )
        parts = [candidate[NAME] or NONE, shown]
        [texts] = proposed(self.context, "rewrite", beside(__name__, "gepa.txt"), [parts], 1, self.temperature)
        return {NAME: texts[0] if texts else candidate[NAME]}

    def _answered(self, text: str, places: Sequence[int]) -> list[tuple[float, str]]:
        """The mark and the reply of each problem with an instruction."""

        async def one(place: int, session: Session) -> list[Any]:
            [made] = await session.attempts(with_instruction(self.asked[place], text, session), 1, GREEDY)
            return [self.context.verify(self.asked[place], made.text) or 0.0, str(made.text)]

        new = [place for place in dict.fromkeys(places) if (text, place) not in self.known]
        for place, (mark, said) in zip(new, self.context.run(one, new), strict=True):
            self.known[text, place] = (mark, said)
        return [self.known[text, place] for place in places]
