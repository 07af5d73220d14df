"""The records that flow between stages: frozen, with TRL's field names, stored as JSON lines.

A record is immutable: a stage passes it on as it is, or makes a new record that names its parents.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NotRequired, TypedDict, TypeVar

from selfimprove.errors import DataError
from selfimprove.foreign import check_dense, check_fits, excess, lines


class Message(TypedDict):
    """A message as in chat templates. Beyond role and content it has what the template does not know."""

    role: str
    """`system`, `user`, `assistant` or `tool`."""
    content: str
    """Of the assistant: the reply, without what it thought before."""
    thinking: NotRequired[str]
    """Of the assistant: what it thought, in a model that tells thoughts from replies."""
    calls: NotRequired[list[dict[str, str]]]
    """Of the assistant: what it asked of tools, as {"to": the tool, "content": what}."""
    ids: NotRequired[list[int]]
    """Of the assistant: the tokens as drawn, without the end token; only where the text would give others."""
    ended: NotRequired[bool | str]
    """Of a reply that others follow in a transcript: as `Rollout.ended`, where that is not True."""
    prefill: NotRequired[list[int]]
    """Beside `ids`: the tokens of the prefilled beginning after which it was drawn."""
    open: NotRequired[bool]
    """Of the last message of a prompt: the template does not close it, and the model goes on as its author."""
    cut_from: NotRequired[list[int]]
    """Of a prefilled beginning: the tokens of a completion that begins with it."""


ENDING = ("finish_reason", "stop_token", "stop_string")
"""Keys of a rollout's info that tell how it ended: `length` or `stop`, an unusual end token, or the stop string of
`Sampling.stop`."""
MEMORY: dict[str, Any] = {"compare": False, "repr": False, "metadata": {"kept": False}}
"""Declares a field that exists in memory only: it is neither in a record's id nor in its JSON line."""
LONG = 1_000_000
"""Characters from which on a line is looked at before it is parsed: a stranger may have written it."""
SOLVE = "solve"
"""The role that answers problems; it uses the weights that are not a part of another role."""
CANONICAL: dict[str, Any] = {"sort_keys": True, "separators": (",", ":")}
"""How json.dumps writes a value in its canonical form: equal values in equal bytes."""


class Cut(str):
    """The text of a completion that was cut off at the length limit; a rule that does not care sees a plain text."""


_canonical = json.JSONEncoder(**CANONICAL).encode  # json.dumps makes an encoder for each call
_line = json.JSONEncoder(ensure_ascii=False).encode


def digest(value: Any) -> str:
    """The sha256 of a JSON value in its canonical form, as 64 hex digits."""
    return hashlib.sha256(_canonical(value).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """The origin of a record: the step that made it, the records it came from, and notes that no stage depends on."""

    source: str = ""
    """`method@round` of the step that made the record; "" until that step has signed it."""
    parents: tuple[str, ...] = ()
    """Ids of the records that it was made from."""
    info: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def id(self) -> str:
        """The first 16 hex digits of the sha256 of the content."""
        return digest(_values(self))[:16]


Made = TypeVar("Made", bound=Lineage)


def changed(record: Made, **values: Any) -> Made:
    """A copy of a record with other values in some fields: `dataclasses.replace`, in a third of its time.

    A step makes several copies of each completion, and they have nothing to check or to work out.
    """
    made = object.__new__(type(record))
    mine = made.__dict__
    mine.update(record.__dict__)
    mine.update(values)
    mine.pop("id", None)  # the old content's
    return made


@dataclass(frozen=True, kw_only=True)
class Document(Lineage):
    """Raw text: TRL's language-modeling type."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Prompt(Lineage):
    """A problem: TRL's prompt-only type."""

    prompt: list[Message]
    answer: str | None = None
    """The reference answer. No engine and no refinement ever sees it: see `blind`."""
    key: str = ""
    """The task's canonical form of the problem; wordings of one problem share it. Splits and dedup use it."""
    given: dict[str, Any] = field(default_factory=dict)
    """Public facts, such as tests that may be shown; methods that answer may use them."""

    def blind(self) -> Prompt:
        """The same problem without its reference answer and notes."""
        return changed(self, answer=None, info={}) if self.answer is not None or self.info else self


@dataclass(frozen=True, kw_only=True)
class Rollout(Lineage):
    """One completion of a prompt: TRL's prompt-completion type, and unpaired preference once it has a reward."""

    prompt: Prompt
    completion: list[Message]
    reward: float | None = None
    """Higher is better; None if there is none, which differs from 0: see `rated`."""
    weight: float = 1.0
    logprobs: dict[str, float] | None = None
    """{"sum": log-probability of the completion under its sampler in nats, "count": its tokens}."""
    role: str = SOLVE
    """The role of the completion; the weights of that role train on it, see `Checkpoint.parts`."""
    ids: Sequence[int] = field(default=(), **MEMORY)
    """The completion's tokens as they were drawn, without the end token; () if no engine of this step drew it."""
    noted: dict[str, list[float]] = field(default_factory=dict, **MEMORY)
    """Statistic of `Sampling.note` -> a number for each token drawn, the end token included."""
    tops: list[dict[str, float]] = field(default_factory=list, **MEMORY)
    """The most likely tokens at each position with their log-probabilities, if `Sampling.tops` asks for them."""
    rated: bool = field(default=False, **MEMORY)
    """Whether it was asked for its reward; then a reward of None means that none can be given, and nobody asks again.
    The recipe's reward sets it. A method that decides itself that a completion has no reward sets it too."""

    @property
    def unrated(self) -> bool:
        """Whether its reward is still to be asked for."""
        return self.reward is None and not self.rated

    @property
    def text(self) -> str:
        """The last message of the completion; a `Cut` if it was truncated."""
        said = self.completion[-1]["content"]
        return Cut(said) if self.truncated else said

    @property
    def truncated(self) -> bool:
        """Whether the completion was cut off at the length limit."""
        return self.info.get("finish_reason") == "length"

    @property
    def ended(self) -> bool | str:
        """Whether the completion ended with an end token; the token itself if it is not the model's usual one. False
        after a stop string."""
        return not self.truncated and "stop_string" not in self.info and self.info.get("stop_token", True)


@dataclass(frozen=True, kw_only=True)
class Preference(Lineage):
    """A better and a worse completion of one prompt: TRL's preference type."""

    prompt: Prompt
    chosen: list[Message]
    rejected: list[Message]
    weight: float = 1.0
    role: str = SOLVE
    """The role of both completions."""

    @classmethod
    def of(cls, chosen: Rollout, rejected: Rollout, *, info: dict[str, Any] | None = None, **fields: Any) -> Preference:
        """The pair of two rollouts of one prompt, its parents; info tells how a side ended, if not as usual."""
        kept = dict(info or {})
        for side, rollout in (("chosen", chosen), ("rejected", rejected)):
            if rollout.ended is not True:
                kept[f"{side}_info"] = {name: rollout.info[name] for name in ENDING if name in rollout.info}
        given = {"prompt": chosen.prompt, "chosen": chosen.completion, "rejected": rejected.completion}
        lineage = {"role": chosen.role, "parents": (chosen.id, rejected.id), "info": kept}
        return cls(**{**given, **lineage, **fields})

    @property
    def sides(self) -> tuple[Rollout, Rollout]:
        """The chosen and the rejected completion as rollouts, each ending as the original rollout did."""
        chosen, rejected = (
            Rollout(prompt=self.prompt, completion=said, role=self.role, info=self.info.get(f"{side}_info", {}))
            for side, said in (("chosen", self.chosen), ("rejected", self.rejected))
        )
        return chosen, rejected


Record = Document | Prompt | Rollout | Preference


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights on disk: a plain `save_pretrained` folder."""

    path: str
    base: str | None = None
    """The folder that an adapter belongs to."""
    adapter: bool = False
    parts: dict[str, str] = field(default_factory=dict, hash=False)
    """The folders of the roles with their own weights; all other roles share `path`."""

    def of(self, role: str) -> Checkpoint:
        """The weights of a role."""
        if not self.parts:
            return self
        own = self.parts.get(role)
        return Checkpoint(path=own) if own else replace(self, parts={})


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number with its 95 % interval and the number of problems that it was measured on."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """The results of evaluating one policy."""

    metrics: dict[str, Metric]
    scores: dict[str, float] = field(default_factory=dict)
    """Problem key -> score in [0, 1], for paired tests between policies on the same problems."""
    measure: str = "accuracy"
    """Name of the metric that is the mean of these scores."""
    parts: dict[str, dict[str, float]] = field(default_factory=dict)
    """The scores of each guard, an ability that a gate protects beside the main score: `pass@16`, `probe/short`."""
    rollouts: Sequence[Rollout] = ()


def measured(line: dict[str, Any], who: str) -> Any:
    """The gate score of the champion or candidate in a line of metrics.jsonl; None if it was not evaluated."""
    return line.get(f"{who}/{line.get('measure', 'accuracy')}")


VERDICTS = ("certify", "accept", "hold", "reject", "rollback")
"""The verdicts of a gate on a candidate; see Decision."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A gate's decision on the candidate and, if the incumbent is ahead of the champion, on the incumbent."""

    verdict: str
    """On the candidate: `certify` makes it champion and incumbent, `accept` makes it incumbent. `hold` (undecided) and
    `reject` (no gain) drop it. `rollback` drops it and makes the champion the incumbent again."""
    reason: str
    certified: bool = False
    """Whether the incumbent became champion; decided before the candidate."""
    statistics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Alert:
    """A warning of an alarm in one round."""

    alarm: str
    level: int
    """1: shown to the user; 2: vetoes the candidate."""
    text: str
    numbers: dict[str, float] = field(default_factory=dict)


STORED = {"reward": "score"}
"""Fields with another key on disk, so that older run folders stay readable."""
KINDS: dict[str, type] = {kind.__name__: kind for kind in (Document, Prompt, Rollout, Preference)}


def dumps(record: Record) -> str:
    """A record as one line of JSON."""
    return _line({"kind": type(record).__name__, **_values(record)})


def loads(line: str, known: dict[str, Prompt] | None = None) -> Record:
    """The record that `dumps` wrote.

    Args:
        known: the prompt of the line before by what stood there, for a reader of many lines; it is brought up to date.

    Raises:
        DataError: the line is not a record.
    """
    try:
        if len(line) > LONG and (wrong := excess(line.encode(errors="surrogatepass"))):
            raise ValueError(wrong)
        values = json.loads(line)
        kind = KINDS[values.pop("kind")]
        if isinstance(values.get("prompt"), dict):
            values["prompt"] = _prompt_of(values["prompt"], {} if known is None else known)
        if "score" in values:
            values["reward"] = values.pop("score")
        made = kind(**{**values, "parents": tuple(values["parents"])})
        if "\\ud" in line or "\\uD" in line:
            _line(_values(made)).encode()  # half of a character cannot be written again
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"not a record: {type(error).__name__}: {str(error)[:80]}") from error
    if wrong := _misshapen(made):
        raise DataError(f"not a record: {wrong!r} has another type")
    return made


def _prompt_of(values: dict[str, Any], known: dict[str, Prompt]) -> Prompt:
    """The prompt in a line. Lines of one prompt come together and share it, which halves what they take in memory."""
    text = repr(values)  # equal values may differ as JSON: 1 == True == 1.0
    if text not in known:
        known.clear()
        known[text] = Prompt(**{**values, "parents": tuple(values["parents"])})
    return known[text]


def _values(record: Lineage) -> dict[str, Any]:
    """A record as JSON values; `dataclasses.asdict` copies deeply and is ten times slower."""
    values = _fields(record)
    if isinstance(values.get("prompt"), Prompt):
        values["prompt"] = _fields(values["prompt"])
    return values


def _fields(record: Lineage) -> dict[str, Any]:
    """The stored fields of a record by their keys."""
    own = record.__dict__
    values = {key: own[name] for name, key in _names(type(record))}
    if values.get("role") == SOLVE:  # left out, so that records from before there were roles keep their ids
        del values["role"]
    if not values.get("given", True):
        del values["given"]  # so that records that were written before there were such facts keep their ids
    return values


@cache
def _names(kind: type[Lineage]) -> tuple[tuple[str, str], ...]:
    """The fields of a kind of record that are stored, each with its key."""
    return tuple((one.name, STORED.get(one.name, one.name)) for one in fields(kind) if one.metadata.get("kept", True))


def write_records(path: Path, records: Iterable[Record], after: Path | None = None) -> None:
    """Write records as JSON lines.

    Args:
        after: a file of records that come before them.
    """
    if after is not None:
        shutil.copyfile(after, path)
    with path.open("wb" if after is None else "ab") as file:
        lines = _lines(records)
        while some := list(islice(lines, 1000)):  # one by one they take twice as long
            file.write("\n".join([*some, ""]).encode())


def _lines(records: Iterable[Record]) -> Iterator[str]:
    """The lines of records; the completions of a prompt, which come together, share its text."""
    known: Prompt | None = None
    text, head, first = "", "", dict[str, Any]()
    for record in records:
        if isinstance(record, Document | Prompt):
            yield dumps(record)
            continue
        if record.prompt is not known:
            known, text = record.prompt, ""
            yield dumps(record)
            continue
        text = text or _line(_values(record.prompt))
        values = _fields(record)
        before, first = first, {"kind": type(record).__name__, **{name: values.pop(name) for name in _LINEAGE}}
        if first != before or not all(type(note) is str for note in record.info.values()):  # 1 == True == 1.0
            head = _line(first)[:-1]
        del values["prompt"]
        yield f'{head}, "prompt": {text}, {_line(values)[1:]}'


_LINEAGE = tuple(field.name for field in fields(Lineage))
"""The keys of a line that come before the prompt, after the kind."""


def by_prompt(rollouts: Iterable[Rollout]) -> list[list[Rollout]]:
    """The rollouts of each prompt together, prompts and rollouts in the order in which they come."""
    groups: dict[str, list[Rollout]] = {}
    for rollout in rollouts:
        groups.setdefault(rollout.prompt.id, []).append(rollout)
    return list(groups.values())


def read_records(path: Path) -> list[Record]:
    """Read the JSON lines of `write_records`.

    Raises:
        DataError: it is missing, no regular file or larger than memory, or a line is not a record.
    """
    with contextlib.suppress(FileNotFoundError):
        check_fits(path, size := path.lstat().st_size)
        check_dense(path, size)
    return [*each_record(path)]


def each_record(path: Path) -> Iterator[Record]:
    """The records of a file one by one, which takes no memory for all of them.

    Raises:
        DataError: it is missing or no regular file, or a line is not a record.
    """
    known = dict[str, Prompt]()
    try:
        for number, line in enumerate(lines(path), 1):
            try:
                yield loads(line.decode(), known)
            except (DataError, UnicodeDecodeError) as error:
                raise DataError(f"{path}, line {number}: {error}") from error
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing") from error


_TALKS = ("prompt", "completion", "chosen", "rejected")
_SHAPES: dict[str, Any] = {
    **dict.fromkeys(("source", "key", "role", "text"), (str,)),
    **dict.fromkeys(("info", "given"), (dict,)),
    "answer": (str, type(None)),
    "reward": (float, int, type(None)),
    "weight": (float, int),
    "logprobs": (dict, type(None)),
    "parents": (tuple,),
}
"""The types of a record's fields, apart from prompts and messages."""


def _misshapen(record: Record | Prompt) -> str:
    """The field that has another type than in a record of its kind; "" if none. Others may have written the line."""
    for name, value in record.__dict__.items():
        if name in _TALKS:
            if type(value) is Prompt:
                if inner := _misshapen(value):
                    return inner
            elif type(value) is not list or not value or (name == "prompt" and type(record) is not Prompt):
                return name
            else:
                for message in value:
                    if type(message) is not dict or type(message.get("content")) is not str or "role" not in message:
                        return name
        elif name in _SHAPES and type(value) not in _SHAPES[name]:
            return name
    return ""
