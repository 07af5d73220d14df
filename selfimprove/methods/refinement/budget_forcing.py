"""Control how long a model thinks: make it go on by a word such as "Wait", and end a thought that takes too long.

Idea: a model that has just concluded often finds its mistake when it has to go on; and a thought without an end gives
  no answer at all.
Survey: reasoning, section 5.2.3.
Paper: arXiv:2501.19393 (s1), Muennighoff et al., 2025.
Algorithm:
  1. Draw an attempt; its thought is what the model writes as one, or else the whole text.
  2. `waits` times: cut the attempt off at the end of its thought, append `word`, and let the model continue.
  3. With `thought_tokens` above 0: a thought that has not ended after so many tokens in one draw is ended by force: the
     model continues after the mark that ends a thought, where it has one, and after `final`.
Differs: nothing for models with marked thoughts. For others the paper has no form; there the whole text counts as
  thought, and the last answer in it is the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.interfaces import Refinement, Sampling, Session
from selfimprove.records import Message, Prompt, Rollout
from selfimprove.registry import register


@register("budget_forcing", paper="2501.19393")
@dataclass
class BudgetForcing(Refinement):
    waits: int = bounded(2, 0)
    """Times that the model has to think on."""
    word: str = "\nWait"
    """What is appended to its thought."""
    thought_tokens: int = bounded(0, 0)
    """Most tokens of a thought in one draw; 0 leaves it to the engine's limit."""
    final: str = "\nFinal answer:"
    """What follows a thought that was ended by force."""
    temperature: float = bounded(0.0, 0, 100)
    """Sampling temperature; 0 is greedy."""

    def cost(self, given: Given) -> Cost:
        return given.attempt + given.draw(self.waits + bool(self.thought_tokens))

    async def answer(self, prompt: Prompt, session: Session) -> Rollout:
        limit = self.thought_tokens or None
        sampling = Sampling(temperature=self.temperature, max_completion_length=limit)
        [now] = await session.attempts(prompt, 1, sampling)
        for _ in range(self.waits):
            if now.truncated:
                break
            now = await self._continued(prompt, now, self.word, session, sampling)
            session.best = now
        if now.truncated and limit:
            ended = replace(sampling, max_completion_length=None)
            now = await self._continued(prompt, now, self.final, session, ended, close=True)
        return now

    async def _continued(
        self, prompt: Prompt, now: Rollout, text: str, session: Session, sampling: Sampling, close: bool = False
    ) -> Rollout:
        """The attempt cut off after its thought and continued after this text.

        Args:
            close: the thought ends before the text.
        """
        said = now.completion[-1]
        begun: Message = {"role": "assistant", "content": f"{said['content']}{text}"}
        if "thinking" in said:
            inside = {"thinking": said["thinking"] + ("" if close else text), "content": text if close else ""}
            begun = {"role": "assistant", **inside}  # pyright: ignore[reportAssignmentType]
        asked = replace(prompt, prompt=[*prompt.prompt, begun], parents=(prompt.id,))
        [end] = await session.draw(asked, 1, sampling)
        return _joined(prompt, now, begun, end)


def _joined(prompt: Prompt, before: Rollout, begun: Message, end: Rollout) -> Rollout:
    """One answer of a prefilled beginning and what was drawn after it."""
    after = end.completion[-1]
    message: Message = {"role": "assistant", "content": begun["content"] + after["content"]}
    if thought := begun.get("thinking", "") + after.get("thinking", ""):
        message["thinking"] = thought
    if "ids" in after:
        message["ids"] = [*after.get("prefill", ()), *after["ids"]]
    parts = [one.logprobs or {"sum": 0.0, "count": 0} for one in (before, end)]
    logprobs = {name: parts[0][name] + parts[1][name] for name in ("sum", "count")}
    return Rollout(prompt=prompt, completion=[message], logprobs=logprobs, info=end.info)
