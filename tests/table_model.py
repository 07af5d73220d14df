"""A model that is a table: every probability is written by hand, so what a method makes of it has a closed form.

Load it by the fixture `table_model`: the tests are no package. A table says for each conversation which completions there
are and how likely each is; the distribution of the next token follows, because a completion is drawn token by token (a
word, a blank or a sign) among those that begin with what was said so far. A certain token has the probability 1, a token
at which completions part has theirs.
"""

from __future__ import annotations

import math
import random
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from selfimprove.episodes import Tool
from selfimprove.inference.desk import Sessions
from selfimprove.inference.stops import completed
from selfimprove.interfaces import Ask, Budget, Context, Engine, Log, Policy, Refinement, Sampling, Task
from selfimprove.records import Checkpoint, Message, Prompt, Rollout, changed

END = ""
"""The token that ends a completion."""
VOCABULARY = 16
"""Tokens at each place, as statistics see them: those of the table, and others with the probability `FLOOR`."""
FLOOR = 1e-4
IMPOSSIBLE = math.log(FLOOR)
"""The log-probability of a token that the table does not have at its place."""
WIDTH = 1024
"""Width of the tensors that a `Shape` sees; the number of a token is its place there."""
Says = Mapping[str, float]
"""Completion -> its probability; they need not add up to 1."""
Table = Mapping[str, Says] | Callable[[Sequence[Message]], Says]
"""What is said to a conversation: by the text of its last message that is not the assistant's, or by a rule."""
_TOKEN = re.compile(r"\w+|\s|[^\w\s]")
_NUMBERS: dict[str, int] = {END: 0}


class Power(Exception):
    """The end of a process."""


def tokens_of(text: str) -> list[str]:
    """The tokens of a text: words, blanks and signs."""
    return _TOKEN.findall(text)


def _next(text: str, place: int) -> str:
    found = _TOKEN.match(text, place)
    return found.group() if found else END


def number_of(token: str) -> int:
    """The id of a token."""
    return _NUMBERS.setdefault(token, len(_NUMBERS))


@dataclass
class TableModel(Engine):
    """An engine whose models are tables.

    Sample i of a prompt depends on (prompt, seed, i) only; a shorter limit gives the beginning of the same completion.
    """

    can: ClassVar[frozenset[str]] = frozenset({"stop", "tops", "shape", "logprobs", "embed", "copies", "open"})
    table: Table = field(default_factory=dict)
    """The model of all weights that have no table of their own."""
    tables: dict[str, Table] = field(default_factory=dict)
    """Path of weights -> their table."""
    default: Says = field(default_factory=lambda: {"?": 1.0})
    """What is said to a conversation that a table does not have."""
    length: int = 24
    """Most tokens of a completion, its end among them."""
    die_at: int | None = None
    """The call of the engine, counted from 0, in which the process ends."""
    calls: int = 0
    asked: list[Ask] = field(default_factory=list)
    scored: list[Rollout] = field(default_factory=list)
    drawn: int = 0
    """Completions."""
    tokens: int = 0
    _known: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict, repr=False)
    """What a table says -> what was said so far -> the next token."""

    def longest(self) -> int:
        return self.length

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        self._call()
        self.asked += asks
        groups = [[self._one(ask, i) for i in range(ask.first, ask.first + ask.n)] for ask in asks]
        self.drawn += sum(map(len, groups))
        return groups

    def logprobs_of(
        self, checkpoint: Checkpoint, rollouts: Sequence[Rollout], statistic: str = "logprob"
    ) -> list[list[float]]:
        self._call()
        self.scored += rollouts
        rows = []
        for one in rollouts:
            said, row, following = "", list[float](), self._following(checkpoint.path, one.prompt)
            for token in [*tokens_of(one.text), *([END] if one.ended else [])]:
                row.append(_statistic(following(said), token, statistic))
                said += token
            rows.append(row)
        return rows

    def embed(self, checkpoint: Checkpoint, texts: Sequence[str]) -> Any:
        """Each text as counts of its words in 64 classes, of length 1: texts of the same words are near."""
        import numpy

        rows = numpy.zeros((len(texts), 64), dtype=numpy.float32)
        for row, text in zip(rows, texts, strict=True):
            for token in tokens_of(text):
                row[sum(map(ord, token)) % 64] += 1
            row /= max(1.0, float(numpy.linalg.norm(row)))
        return rows

    def following(self, path: str, prompt: Prompt, said: str = "") -> dict[str, float]:
        """The probability of each next token after what was said; `END` alone after what the table does not say."""
        return self._following(path, prompt)(said)

    def _following(self, path: str, prompt: Prompt) -> Callable[[str], dict[str, float]]:
        """The same for one prompt."""
        messages, begun = prompt.prompt, ""
        if messages[-1]["role"] == "assistant":
            messages, begun = messages[:-1], messages[-1]["content"]
        says = self._says(path, messages)
        known = self._known.setdefault(repr(says), {})

        def after(said: str) -> dict[str, float]:
            said = begun + said
            if said not in known:
                found = dict[str, float]()
                for text, share in says.items():
                    if text.startswith(said) and share > 0:
                        token = _next(text, len(said))
                        found[token] = found.get(token, 0.0) + share
                whole = sum(found.values())
                known[said] = {token: share / whole for token, share in found.items()} or {END: 1.0}
            return known[said]

        return after

    def _says(self, path: str, messages: Sequence[Message]) -> Says:
        table = self.tables.get(path, self.table)
        if callable(table):
            return table(messages)
        return table.get(messages[-1]["content"], self.default)

    def _call(self) -> None:
        if self.calls == self.die_at:
            raise Power
        self.calls += 1

    def _one(self, ask: Ask, number: int) -> Rollout:
        how, following = ask.sampling, self._following(ask.checkpoint.path, ask.prompt)
        chance = random.Random(f"{ask.seed}:{[one['content'] for one in ask.prompt.prompt]}:{number}")
        said, tokens, logprob, stop = "", list[str](), 0.0, None
        noted: dict[str, list[float]] = {name: [] for name in how.note}
        tops = list[dict[str, float]]()
        while len(tokens) < (how.max_completion_length or self.length):
            own = following(said)
            token = _chosen(self._shaped(ask, said) if how.shape else own, how, chance.random())
            logprob += math.log(own[token]) if token in own else IMPOSSIBLE
            for name, row in noted.items():
                row.append(_statistic(own, token, name))
            if how.tops:
                tops.append(dict(sorted(_whole(own).items(), key=lambda pair: -pair[1])[: how.tops]))
            tokens.append(token)
            said += token
            stop = completed(said, how.stop)
            if token == END or stop:
                break
        self.tokens += len(tokens)
        ended = {"finish_reason": "stop" if tokens[-1] == END or stop else "length"}
        return Rollout(
            prompt=ask.prompt,
            completion=[{"role": "assistant", "content": said}],
            logprobs={"sum": logprob, "count": len(tokens)},
            info={**ended, "stop_string": stop[0]} if stop else ended,
            ids=array("i", map(number_of, tokens[:-1] if tokens[-1] == END else tokens)),
            noted=noted,
            tops=tops,
        )

    def _shaped(self, ask: Ask, said: str) -> dict[str, float]:
        """The probabilities that a shape makes of those of the policy and of the ones beside it."""
        import torch

        shape = ask.sampling.shape
        assert shape is not None
        paths = {"": ask.checkpoint.path, **{name: one.path for name, one in ask.beside.items()}}
        known = {name: self.following(path, ask.prompt, said) for name, path in paths.items()}
        for layer in shape.layers if isinstance(shape.layers, tuple) else (1,) if shape.layers else ():
            known[f"layer {layer}"] = self._early(f"{ask.checkpoint.path} layer {layer}", ask, said, known[""])
        rows = {}
        for name, one in known.items():
            row = torch.full((1, WIDTH), -30.0, dtype=torch.float64)
            for token, share in one.items():
                row[0, number_of(token)] = math.log(share)
            rows[name] = row
        made = shape.apply(rows)[0]
        tokens = dict.fromkeys(token for one in known.values() for token in one)
        values = {token: float(made[number_of(token)]) for token in tokens}
        most = max(values.values())
        shares = {token: math.exp(value - most) for token, value in values.items() if value > -math.inf}
        return {token: share / sum(shares.values()) for token, share in shares.items()}

    def _early(self, path: str, ask: Ask, said: str, own: Mapping[str, float]) -> dict[str, float]:
        """What an early layer says: its own table if there is one, else all tokens of the whole model alike."""
        return self.following(path, ask.prompt, said) if path in self.tables else dict.fromkeys(own, 1 / len(own))


def _chosen(shares: Mapping[str, float], how: Sampling, uniform: float) -> str:
    """The token that a uniform number chooses, after temperature and filters."""
    if how.temperature == 0:
        return max(shares, key=lambda token: shares[token])
    if how.top_k == 0 and how.top_p == 1 and how.min_p == 0:
        return _inverted({token: share ** (1 / how.temperature) for token, share in shares.items()}, uniform)
    kept = {token: share ** (1 / how.temperature) for token, share in shares.items()}
    ranked = sorted(kept, key=lambda token: -kept[token])
    if how.top_k:
        ranked = ranked[: how.top_k]
    whole, sofar, nucleus = sum(kept[token] for token in ranked), 0.0, set[str]()
    for token in ranked:
        if sofar < how.top_p * whole and kept[token] >= how.min_p * kept[ranked[0]]:
            nucleus.add(token)
        sofar += kept[token]
    return _inverted({token: share for token, share in kept.items() if token in nucleus}, uniform)


def _inverted(shares: Mapping[str, float], uniform: float) -> str:
    """The token at this place of the cumulative distribution."""
    place = uniform * sum(shares.values())
    for token, share in shares.items():
        place -= share
        if place < 0:
            return token
    return list(shares)[-1]


def _whole(shares: Mapping[str, float]) -> dict[str, float]:
    """Log-probabilities of a whole vocabulary, see `VOCABULARY`."""
    others = range(VOCABULARY - len(shares))
    return {token: math.log(share) for token, share in shares.items()} | {f"~{i}": IMPOSSIBLE for i in others}


def _statistic(shares: Mapping[str, float], token: str, name: str) -> float:
    """See `Engine.logprobs_of`; the other tokens of the vocabulary count for self_certainty only."""
    match name:
        case "logprob":
            return math.log(shares[token]) if token in shares else IMPOSSIBLE
        case "entropy":
            return -sum(share * math.log(share) for share in shares.values())
        case "self_certainty":
            row = _whole(shares)
            return -math.log(len(row)) - sum(row.values()) / len(row)
    raise ValueError(f"a table has no statistic {name!r}")


# ---- a task ------------------------------------------------------------------------------------------------------
@dataclass
class QuizRoles:
    """Words of the quiz for each role: a word for the role, then its parts, each in a line.

    Args:
        own: whether it has words for the roles of methods, too; else these take their own.
    """

    own: bool = False

    def solve(self, problem: str) -> list[Message]:
        return [{"role": "user", "content": problem}]

    def hint(self, prompt: Prompt, answer: str) -> list[Message]:
        return self._of("hint", prompt, answer)

    def propose(self, level: int | None) -> list[Message]:
        return [{"role": "user", "content": f"propose {level or ''}".strip()}]

    def judge(self, prompt: Prompt, attempt: str) -> list[Message]:
        return self._of("judge", prompt, attempt)

    def refine(self, prompt: Prompt, attempt: str) -> list[Message]:
        return self._of("refine", prompt, attempt)

    def words(self, role: str, prompt: Prompt, parts: Sequence[str]) -> list[Message] | None:
        return self._of(role, prompt, *parts) if self.own else None

    def read_judgement(self, text: str) -> float | None:
        return {"#yes": 1.0, "#no": 0.0}.get(text[text.find("#") :] if "#" in text else "")

    def read_proposal(self, text: str) -> Prompt | None:
        return Prompt(prompt=self.solve(text), key=text) if text.startswith("q") else None

    def solution(self, prompt: Prompt) -> str | None:
        return None

    def _of(self, role: str, prompt: Prompt, *parts: str) -> list[Message]:
        return [{"role": "user", "content": "\n".join([role, prompt.prompt[-1]["content"], *parts])}]


class Echo(Tool):
    """A tool that tells how long a text is."""

    def call(self, text: str) -> str:
        return f"{len(text)}: ok"


@dataclass
class Quiz(Task):
    """Questions q0, q1, ...; the answer of a completion is what follows its last `#`. All have the reference `answer`."""

    answer: str = "4"
    own_tools: dict[str, Tool] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    own_words: bool = False
    """Whether it has words for all roles, see `QuizRoles`."""

    def problems(self, split: str, n: int | None, seed: int, part: tuple[int, int] = (0, 1)) -> list[Prompt]:
        return [self.question(f"q{i}") for i in range(12 if n is None else n)]

    def question(self, text: str) -> Prompt:
        asked = QuizRoles().solve(text)
        return Prompt(prompt=asked, answer=self.answer, key=text, given=self.given, info={"of": "REFERENCE"})

    def verify(self, prompt: Prompt, text: str) -> float | None:
        return float(self.answer_of(text) == prompt.answer)

    def answer_of(self, text: str) -> str | None:
        return text.rpartition("#")[2].strip() or None if "#" in text else None

    def roles(self) -> QuizRoles:
        return QuizRoles(self.own_words)

    def tools(self, problem: Prompt) -> Mapping[str, Tool]:
        return self.own_tools


@dataclass
class Copies:
    """Trains copies of tables: half of what a copy says to a prompt are the rows that it was trained on."""

    engine: TableModel
    most: int = 2
    made: int = 0

    @contextmanager
    def trained(self, start: Checkpoint, rows: Sequence[Rollout], schedule: Any) -> Iterator[Checkpoint]:
        said: dict[str, dict[str, float]] = {}
        for row in rows:
            asked = said.setdefault(repr(row.prompt.prompt), {})
            asked[row.text] = asked.get(row.text, 0.0) + 1.0

        def table(messages: Sequence[Message]) -> Says:
            before, learned = self.engine._says(start.path, messages), said.get(repr([*messages]), {})
            mixed = {text: share / sum(before.values()) for text, share in before.items()}
            for text, count in learned.items():
                mixed[text] = mixed.get(text, 0.0) + count / sum(learned.values())
            return mixed

        self.made += 1
        path = f"{start.path}+{sorted(said.items())!r}"  # equal copies have one name
        self.engine.tables[path] = table
        yield Checkpoint(path=path)


# ---- runs --------------------------------------------------------------------------------------------------------
class Silent:
    """A log that nobody reads."""

    def progress(self, done: int, total: int, unit: str = "") -> None: ...
    def metric(self, name: str, value: float) -> None: ...
    def note(self, text: str) -> None: ...


def policy_of(
    chain: Sequence[Refinement] | Refinement,
    engine: Engine,
    task: Task | None = None,
    *,
    copies: Any = None,
    states: Sequence[dict[str, Any]] = (),
    seed: int = 0,
    **desk: Any,
) -> Policy:
    """A policy with a chain of refinements, served by the real desk.

    Args:
        desk: what `Sessions` takes besides the task: `budget`, `rewards`, `others`, `kept`.
    """
    methods = (chain,) if isinstance(chain, Refinement) else tuple(chain)
    task = task or Quiz()
    if isinstance(engine, TableModel):
        copies = copies or Copies(engine)
    return Policy(
        checkpoint=Checkpoint(path="weights"),
        engine=engine,
        chain=methods,
        states=tuple(states) or tuple({} for _ in methods),
        desk=Sessions(task, **desk),
        answer_of=task.answer_of,
        seed=seed,
        log=Silent(),
        copies=copies,
    )


def answered(
    chain: Sequence[Refinement] | Refinement,
    problems: Sequence[Prompt] | int,
    table: Engine | Table,
    *,
    task: Task | None = None,
    budget: Budget = Budget(),
    **options: Any,
) -> list[Rollout]:
    """The answer of a chain to each problem; its reward is the task's mark, `info["spent"]` what it took.

    Args:
        problems: or how many questions of the task.
        table: or an engine that has one, to see afterwards what it was asked.
        options: see `policy_of`.
    """
    task = task or Quiz()
    asked = task.problems("train", problems, 0) if isinstance(problems, int) else problems
    engine = table if isinstance(table, Engine) else TableModel(table=table)
    return policy_of(chain, engine, task, budget=budget, **options).answer(asked)


def context_of(policy: Policy, task: Task, folder: Path, **changes: Any) -> Context:
    """What a method is handed in `fit` and in data stages; the reward is the task's mark."""

    def reward(rollouts: Sequence[Rollout]) -> list[Rollout]:
        return [changed(one, reward=task.verify(one.prompt, one.text), rated=True) for one in rollouts]

    values: dict[str, Any] = {
        "round": 1,
        "rounds": 3,
        "seed": 7,
        "folder": folder,
        "previous": None,
        "policy": policy,
        "start": Checkpoint(path="weights"),
        "problems": lambda n, number: task.problems("train", n, number),
        "selection": lambda n: task.problems("selection", n, 0),
        "variants": lambda problem, n: task.variants(problem, "same", n, 7),
        "world": task.open,
        "verify": task.verify,
        "answer_of": task.answer_of,
        "roles": task.roles(),
        "reward": reward,
        "log": policy.log,
    }
    return Context(**{**values, **changes})
