"""Solutions that grow by steps: each step is drawn after the prefilled tokens of those before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Sampling, Session
from selfimprove.needs import Needs
from selfimprove.records import Message, Prompt, Rollout
from selfimprove.text import joined, prefilled, steps_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Path:
    """The beginning of a solution, or a whole one."""

    solution: Rollout | None = None
    """What was said so far; None at the root."""
    said: Message | None = None
    """A drawn message that begins so."""
    logprob: float = 0.0
    """Log-probability of all its tokens in nats."""
    tokens: int = 0
    steps: int = 0
    gained: float = 0.0
    """Log-probability of its last step."""
    whole: bool = False
    """Whether it has ended."""

    @property
    def text(self) -> str:
        return self.solution.text if self.solution else ""


ROOT = Path()


@dataclass(frozen=True)
class Steps:
    """What a step is: text up to a separator, or a number of tokens if that is above 0."""

    separator: str
    tokens: int = 0

    def check(self, method: str) -> None:
        """
        Raises:
            RecipeError: nothing would end a step.
        """
        if not self.separator and not self.tokens:
            raise RecipeError(f"refinement.{method} needs a separator, or step_tokens above 0, so that steps end")

    def needs(self) -> Needs:
        return Needs() if self.tokens else Needs(engine=("stop",))

    def cost(self, given: Given, first: int, later: int) -> Cost:
        """The most that `first` steps from the root and `later` steps from other paths take."""
        return first * given.attempt + given.draw(later, self.tokens or None)

    async def grow(self, prompt: Prompt, path: Path, n: int, session: Session, temperature: float) -> list[Path]:
        """The different ones among n continuations of a path by one step each, see `draw`."""
        return different(await self.draw(prompt, path, n, session, temperature))

    async def draw(self, prompt: Prompt, path: Path, n: int, session: Session, temperature: float) -> list[Path]:
        """Up to n continuations of a path by one step each, in the order drawn; the path itself if it has ended.

        The first steps are those of attempts, so another method in the chain may make them.
        """
        room = session.policy.engine.longest() - path.tokens
        if path.whole or room < 1:
            return [replace(path, whole=True)]
        limit = min(room, self.tokens) if self.tokens else (room if path.tokens else None)
        stop = () if self.tokens else (self.separator,)
        sampling = Sampling(temperature=temperature, max_completion_length=limit, stop=stop)
        if path.solution is None:
            drawn = await session.attempts(prompt, n, sampling)
        else:
            begun = prefilled(prompt, path.text, path.said)
            drawn = await session.draw(begun, n, sampling)
        return [self._after(path, one, prompt, room) for one in drawn]

    async def finish(self, prompt: Prompt, path: Path, session: Session, temperature: float) -> Path:
        """A path continued to its end in one draw."""
        room = session.policy.engine.longest() - path.tokens
        if path.whole or room < 1 or path.solution is None:
            return path
        begun = prefilled(prompt, path.text, path.said)
        [end] = await session.draw(begun, 1, Sampling(temperature=temperature, max_completion_length=room))
        return replace(self._after(path, end, prompt, room), whole=True)

    def _after(self, path: Path, step: Rollout, prompt: Prompt, room: int) -> Path:
        known = step.logprobs or {"sum": 0.0, "count": 0}
        gained, tokens, said = known["sum"], int(known["count"]), joined(path.text, step.completion[-1])
        whole = "stop_string" not in step.info and (not step.truncated or not self.tokens or tokens >= room)
        text = said["content"]
        if path.solution is None and whole and not self.tokens:
            first = (steps_of(text, self.separator) or [""])[0]
            if len(first) < len(text):  # a whole attempt, of a method before this one: it begins with this step
                share = len(first) / len(text)
                gained, tokens, whole, text = gained * share, max(1, round(tokens * share)), False, first
        total, count = path.logprob + gained, path.tokens + tokens
        made = Rollout(
            prompt=prompt,
            completion=[said if text == said["content"] else {"role": "assistant", "content": text}],
            logprobs={"sum": round(total, 4), "count": count},
            info=step.info,
            ids=() if path.text or text != said["content"] else step.ids,  # else the message has those of all steps
        )
        return Path(
            solution=made, said=said, logprob=total, tokens=count, steps=path.steps + 1, gained=gained, whole=whole
        )


def different(paths: Iterable[Path]) -> list[Path]:
    """The first of each group of equal paths."""
    return list({(path.text, path.whole): path for path in reversed([*paths])}.values())[::-1]


def best_of(pool: Sequence[tuple[Path, float]]) -> Rollout:
    """The solution of the path with the highest number, the first among equals."""
    made = max(pool, key=lambda one: one[1])[0].solution
    assert made is not None, "a path that was drawn says something"
    return made
