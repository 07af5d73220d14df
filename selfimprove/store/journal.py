"""The completions and scores of an unfinished step, so that a resume does not draw them again.

The engine draws one portion of the prompts at a time, always cut at the same places. So a resumed step draws the same
batches as an undisturbed one, and takes finished portions from the journal. For an engine whose answers cost money,
each answer is stored on its own instead.
"""

from __future__ import annotations

import time
from collections import UserDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

from selfimprove.interfaces import Ask, Engine, Log, Remote, Sampling
from selfimprove.records import Checkpoint, Rollout, digest
from selfimprove.store import durable
from selfimprove.store.journal_lines import UNUSABLE, entry_of, is_completion, plain, read, rollout_of

SECONDS = 5.0
"""Finished portions stay in memory for at most this many seconds; shorter steps write nothing."""
_PLAIN, _OLD = Sampling(), ("temperature", "top_p", "top_k", "min_p", "max_completion_length")
Item = TypeVar("Item")


class Journal:
    """The finished portions of a step.

    Args:
        file: the journal. What the end of a process has cut off is removed.
        step: a name for the step and its inputs; the journal of another step is removed.
        shelf: takes a name and gives a path for what cannot be used; None: beside the journal.
    """

    def __init__(self, file: Path, step: str, shelf: Callable[[str], Path] | None = None) -> None:
        self.file, self.step = file, step
        self._shelf, self._said = shelf or file.with_name, list[str]()
        self.unusable = list[bytes]()
        """The lines that could not be used, as they were; their results are made again."""
        self.found = read(file, self.unusable)
        if self.found.get("step", step) != step:
            self.found, self.unusable = {}, []
        elif "step" not in self.found and (lines := len(self.found) + len(self.unusable)):  # whose is it?
            durable.rename(file, self._place(lines), "quarantine")
            self.found, self.unusable = {}, []
        self.needed: Callable[[str], None] = lambda path: None
        """Called with the path of the weights before each portion that the engine has to compute."""
        self.reused = 0
        """Completions and scores taken from the journal."""
        self._unwritten: dict[str | tuple[_Call, str], Any] = {} if self.found else {"step": step}
        self._calls: dict[str, int] = {}
        self._unnamed: list[_Call] = []
        self._answers: dict[str, _Answers] = {}
        self._written = time.monotonic()
        if not self.found and (file.exists() or file.is_symlink()):
            durable.remove(file)

    def before(self, name: str, engine: Engine) -> Engine:
        """The engine, with its finished portions stored here under this name."""
        return _Kept(self, name, engine)

    def answers(self, engine: str) -> _Answers:
        """The stored answers of an engine whose answers cost money; a new entry is stored too."""
        if engine not in self._answers:
            self._answers[engine] = _Answers(self, engine)
        return self._answers[engine]

    def keep(self, name: str | tuple[_Call, str], value: Any) -> None:
        """Store a value under a name, or a call's name with its end; it is durable after `SECONDS` at the latest."""
        self._unwritten[name] = value
        if time.monotonic() - self._written >= SECONDS:
            self.write()

    def write(self) -> None:
        """Write the values that are in memory only."""
        if set(self._unwritten) - {"step"}:
            self._name()
            named = {
                name if isinstance(name, str) else name[0].name + name[1]: value
                for name, value in self._unwritten.items()
            }
            durable.append(self.file, b"".join(entry_of(name, plain(made)) for name, made in named.items()))
            self._unwritten = {}
        self._written = time.monotonic()

    def portions(
        self,
        asked: Callable[[], list[Any]],
        items: Sequence[Item],
        size: int,
        cuts: Sequence[int],
        work: Callable[[Sequence[Item], int], list[Any]],
        kept: Callable[[Sequence[Item], Any], list[Any]],
    ) -> list[Any]:
        """The results of `work` for all items, portion by portion; `kept` restores stored results.

        Args:
            asked: gives what identifies this call.
            size: the largest portion; another size means other portions.
            cuts: the number of items in each portion, in order.
            work: (portion, number of items before it) -> its results.
            kept: (portion, its stored value) -> its results.
        """
        call = _Call(asked)
        self._unnamed.append(call)
        if self.found:
            self._name()
        done: list[Any] = []
        for start, wide in zip(accumulate(cuts, initial=0), cuts, strict=False):
            portion, end = items[start : start + wide], f" {start} {size}"
            if call.name + end in self.found:
                try:
                    done += kept(portion, self.found[call.name + end])
                    continue
                except UNUSABLE:
                    self.set_aside(call.name + end)
            made = work(portion, start)
            done += made
            self.keep((call, end), made)
        return done

    def notes(self) -> list[str]:
        """What there is to say at the end of the step; lines that could not be used are put on the shelf first."""
        if self.unusable:
            durable.write(self._place(len(self.unusable)), b"".join(self.unusable))
            self.unusable = []
        reused = f"reused {self.reused} completions and scores from before the interruption"
        return [*self._said, *[reused] * bool(self.reused)]

    def _place(self, lines: int) -> Path:
        """The place on the shelf for so many lines, which `notes` will tell."""
        place = self._shelf(f"{self.file.parent.name}_{self.file.name.lstrip('.')}")
        self._said.append(f"{lines} lines of the step's journal could not be used; they are now in {place}")
        return place

    def set_aside(self, name: str) -> None:
        """Drop a value that was found and cannot be used."""
        if name in self.found:
            self.unusable.append(entry_of(name, self.found.pop(name)))

    def _name(self) -> None:
        """Name the calls that have no name yet, in order; a short step never needs their names."""
        for call in self._unnamed:
            name = digest(call.asked())
            self._calls[name] = self._calls.get(name, 0) + 1  # number equal calls
            call.name, call.asked = f"{name} {self._calls[name]}", list
        self._unnamed = []


@dataclass(eq=False)
class _Call:
    """A call of an engine."""

    asked: Callable[[], list[Any]]
    name: str = ""


class _Answers(UserDict[str, Any]):
    """The values that an engine stores in a journal itself; a new value replaces the old one."""

    def __init__(self, journal: Journal, engine: str) -> None:
        super().__init__()
        self.journal, self.place = journal, f"{engine} keeps "
        found = journal.found.items()
        self.data = {name.removeprefix(self.place): value for name, value in found if name.startswith(self.place)}
        journal.reused += sum(map(is_completion, self.data.values()))

    def __setitem__(self, name: str, value: Any) -> None:
        self.data[name] = value
        self.journal.keep(self.place + name, value)

    def __delitem__(self, name: str) -> None:
        """Drop a value that cannot be used."""
        self.journal.reused -= is_completion(self.data.pop(name))
        self.journal.set_aside(self.place + name)


class _Kept(Engine):
    """An engine that stores its results in a journal."""

    def __init__(self, journal: Journal, name: str, engine: Engine) -> None:
        self.journal, self.name, self.engine = journal, name, engine
        self.can = engine.can  # pyright: ignore[reportAttributeAccessIssue]  # it wraps any engine

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        if isinstance(self.engine, Remote):
            return self.engine.ask(asks, log, self.journal.answers(type(self.engine).__name__))
        total = sum(ask.n for ask in asks)

        def draw(portion: Sequence[Ask], before: int) -> list[list[Rollout]]:
            for path in dict.fromkeys(one.path for ask in portion for one in (ask.checkpoint, *ask.beside.values())):
                self.journal.needed(path)
            done = sum(ask.n for ask in asks[:before])
            return self.engine.draw(portion, _Part(log, done, total) if len(portion) < len(asks) else log)

        def kept(portion: Sequence[Ask], lines: list[list[Any]]) -> list[list[Rollout]]:
            made = [[rollout_of(line, ask.prompt) for line in group] for ask, group in zip(portion, lines, strict=True)]
            if [len(group) for group in made] != [ask.n for ask in portion]:
                raise ValueError("not as many completions as were asked for")
            self.journal.reused += sum(map(len, made))
            return made

        def asked() -> list[Any]:
            named = {key: _named(one) for key, one in {id(ask.sampling): ask.sampling for ask in asks}.items()}
            return [self.name, "draw", [_asked(ask, named[id(ask.sampling)]) for ask in asks]]

        most = self.engine.portion
        return self.journal.portions(asked, asks, most, _cuts([ask.n for ask in asks], most), draw, kept)

    def longest(self) -> int:
        return self.engine.longest()

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        def score(portion: Sequence[Rollout], before: int) -> list[list[float]]:
            self.journal.needed(checkpoint.path)
            return self.engine.logprobs_of(checkpoint, portion, statistic)

        def kept(portion: Sequence[Rollout], scores: list[list[float]]) -> list[list[float]]:
            if len(scores) != len(portion) or not all(type(one) is float for row in scores for one in row):
                raise ValueError("not as many scores as were asked for")
            self.journal.reused += len(scores)
            return scores

        def asked() -> list[Any]:
            texts = [[rollout.prompt.prompt, rollout.completion] for rollout in rollouts]
            return [self.name, "score", checkpoint.path, texts, statistic]

        most = self.engine.portion
        return self.journal.portions(asked, rollouts, most, _cuts([1] * len(rollouts), most), score, kept)

    def embed(self, checkpoint: Checkpoint, texts: Sequence[str]) -> Any:
        self.journal.needed(checkpoint.path)
        return self.engine.embed(checkpoint, texts)  # faster than reading it again


class _Part:
    """Reports the progress of a portion as progress of the whole call."""

    def __init__(self, log: Log, before: int, total: int) -> None:
        self.log, self.before, self.total = log, before, total

    def progress(self, done: int, total: int, unit: str = "") -> None:
        self.log.progress(self.before + done, self.total, unit)

    def metric(self, name: str, value: float) -> None:
        self.log.metric(name, value)

    def note(self, text: str) -> None:
        self.log.note(text)


def _named(sampling: Sampling) -> dict[str, Any]:
    """The options that identify a call: those that it sets, so that a new option does not change existing names."""
    values = {name: value for name, value in vars(sampling).items() if name in _OLD or value != getattr(_PLAIN, name)}
    if sampling.shape is not None:
        values["shape"] = repr(sampling.shape)
    return values


def _asked(ask: Ask, sampling: dict[str, Any]) -> list[Any]:
    """The values that identify an ask."""
    beside = {name: one.path for name, one in ask.beside.items()}
    return [ask.checkpoint.path, ask.prompt.prompt, ask.n, ask.first, sampling, ask.seed, beside]


def _cuts(sizes: Sequence[int], most: int) -> list[int]:
    """Number of items in each portion: as many as fit into `most` by their sizes, at least one."""
    cuts, sum_of = list[int](), 0
    for size in sizes:
        if cuts and sum_of + size <= most:
            cuts[-1], sum_of = cuts[-1] + 1, sum_of + size
        else:
            cuts, sum_of = [*cuts, 1], size
    return cuts
