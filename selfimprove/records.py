"""What flows between the stages: frozen records with TRL's field names, and their JSON lines.

A record is immutable, so a stage can only pass on what it was given or make a new record that names its parents.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError

Message = dict[str, str]
"""{"role": "user" | "assistant" | "system", "content": text}, as in chat templates."""
ENDING = ("finish_reason", "stop_token", "stop_string")
"""What a rollout's info says of how it ended: `length` or `stop`, and with which token where that is an unusual one, or
with which of `Sampling.stop`."""
MEMORY: dict[str, Any] = {"compare": False, "repr": False, "metadata": {"kept": False}}
"""How a field is declared that is in memory only: neither in a record's id nor in its line."""


def digest(value: Any) -> str:
    """The sha256 of a JSON value in its canonical form, as 64 hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """What every record carries: who made it, from which records, and notes that no stage depends on."""

    source: str = ""
    """`method@round` of the step that made the record; "" until that step has signed it."""
    parents: tuple[str, ...] = ()
    """Ids of the records that it was made from."""
    info: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def id(self) -> str:
        """The first 16 hex digits of the sha256 of the content."""
        return digest(_values(self))[:16]


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
    """Public facts, such as tests that may be shown; whoever answers may use them."""

    def blind(self) -> Prompt:
        """The same problem without its reference answer and notes."""
        return replace(self, answer=None, info={}) if self.answer is not None or self.info else self


@dataclass(frozen=True, kw_only=True)
class Rollout(Lineage):
    """One completion of a prompt: TRL's prompt-completion type, and unpaired preference once it has a score."""

    prompt: Prompt
    completion: list[Message]
    reward: float | None = None
    """The reward, higher is better; None means that it could not be scored, which is not the same as 0."""
    weight: float = 1.0
    logprobs: dict[str, float] | None = None
    """{"sum": log-probability of the completion under its sampler in nats, "count": its tokens}."""
    ids: Sequence[int] = field(default=(), **MEMORY)
    """The completion's tokens as they were drawn, without the end token; () where no engine of this step drew it."""
    noted: dict[str, list[float]] = field(default_factory=dict, **MEMORY)
    """Statistic -> a number for each token drawn, the end token included, for those that `Sampling.note` asked for."""
    tops: list[dict[str, float]] = field(default_factory=list, **MEMORY)
    """The likeliest tokens at each place with their log-probabilities, where `Sampling.tops` asked for them."""

    @property
    def text(self) -> str:
        """The last message of the completion."""
        return self.completion[-1]["content"]

    @property
    def truncated(self) -> bool:
        """True when the completion ran into the length limit instead of ending."""
        return self.info.get("finish_reason") == "length"

    @property
    def ended(self) -> bool | str:
        """Whether an end token followed; where that was not the model's usual one, the token. None does after a stop
        string."""
        return not self.truncated and "stop_string" not in self.info and self.info.get("stop_token", True)


@dataclass(frozen=True, kw_only=True)
class Preference(Lineage):
    """A better and a worse completion of one prompt: TRL's preference type."""

    prompt: Prompt
    chosen: list[Message]
    rejected: list[Message]
    weight: float = 1.0

    @classmethod
    def of(cls, chosen: Rollout, rejected: Rollout, *, info: dict[str, Any] | None = None, **fields: Any) -> Preference:
        """The pair of two rollouts, its parents, of one prompt; info keeps how one ended that did not end as usual."""
        kept = dict(info or {})
        for side, rollout in (("chosen", chosen), ("rejected", rejected)):
            if rollout.ended is not True:
                kept[f"{side}_info"] = {name: rollout.info[name] for name in ENDING if name in rollout.info}
        fields = {"parents": (chosen.id, rejected.id), **fields}
        return cls(prompt=chosen.prompt, chosen=chosen.completion, rejected=rejected.completion, info=kept, **fields)

    @property
    def sides(self) -> tuple[Rollout, Rollout]:
        """The chosen and the rejected completion as rollouts that ended as those did which the pair was made of."""
        chosen, rejected = (
            Rollout(prompt=self.prompt, completion=said, info=self.info.get(f"{side}_info", {}))
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


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number with its 95 % interval and the number of problems that it was measured on."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """What evaluation says of one policy."""

    metrics: dict[str, Metric]
    scores: dict[str, float] = field(default_factory=dict)
    """Problem key -> score in [0, 1], for paired tests between policies on the same problems."""
    measure: str = "accuracy"
    """The metric that is the mean of these scores."""
    parts: dict[str, dict[str, float]] = field(default_factory=dict)
    """The same for what a gate guards beside the main score, by name: `pass@16`, `probe/short`, `ood/long`."""
    rollouts: Sequence[Rollout] = ()


def measured(line: dict[str, Any], who: str) -> Any:
    """What the champion or candidate scored at the gate, by a line of metrics.jsonl; None where it sat no exam."""
    return line.get(f"{who}/{line.get('measure', 'accuracy')}")


VERDICTS = ("certify", "accept", "hold", "reject", "rollback")
"""What a gate may say of a candidate; see Decision."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What becomes of a candidate and, where it is ahead of the champion, of the incumbent."""

    verdict: str
    """Of the candidate: `certify` (champion and incumbent), `accept` (incumbent), `hold` and `reject` (dropped; nothing
    shown, or no gain), `rollback` (dropped, and the incumbent goes back to the champion)."""
    reason: str
    certified: bool = False
    """Whether the incumbent became champion, before the candidate was looked at."""
    statistics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Alert:
    """What an alarm says of a round."""

    alarm: str
    level: int
    """1 is shown; 2 vetoes the candidate."""
    text: str
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """What labelled attempts say of a judge; a score above 1/2 is a yes. None: nothing to count."""

    right: int
    """Right attempts that it gave a verdict on."""
    wrong: int
    """Wrong attempts that it gave a verdict on."""
    unread: int
    """Labelled attempts that it gave no verdict on."""
    mixed: int
    """Problems with right and wrong attempts."""
    tpr: float | None
    """Share of the right attempts that it says yes to."""
    fpr: float | None
    """Share of the wrong attempts that it says yes to."""
    youden: Metric | None
    """TPR - FPR, Youden's J: 1 always right, 0 knows nothing."""
    auc: Metric | None
    """How often a right attempt scores above a wrong one at the same problem; ties count half."""


@dataclass(frozen=True, kw_only=True)
class AuditForm:
    """The audit form of a judge: whether it may select data."""

    judge: Reliability
    start: Reliability
    """The same of the weights of round 0, which judge the same attempts."""
    drift: dict[str, Metric]
    """Change of `youden` and `auc` from the one to the other."""
    short: bool
    """Whether there were too few labelled attempts to tell."""
    fault: str
    """Why the judge did not pass; empty: it passed."""
    binding: bool = True
    """Whether data are selected by its scores; False for a monitor, and for a judge that is trusted as it is."""


STORED = {"reward": "score"}
"""Fields whose key on disk differs from their name: the key is as old as the first run folders."""
KINDS: dict[str, type] = {kind.__name__: kind for kind in (Document, Prompt, Rollout, Preference)}


def dumps(record: Record) -> str:
    """A record as one line of JSON."""
    return json.dumps({"kind": type(record).__name__, **_values(record)}, ensure_ascii=False)


def loads(line: str) -> Record:
    """The record that `dumps` wrote.

    Raises:
        DataError: the line is not a record.
    """
    try:
        values = json.loads(line)
        kind = KINDS[values.pop("kind")]
        if isinstance(values.get("prompt"), dict):
            values["prompt"] = Prompt(**{**values["prompt"], "parents": tuple(values["prompt"]["parents"])})
        if "score" in values:
            values["reward"] = values.pop("score")
        return kind(**{**values, "parents": tuple(values["parents"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"not a record: {line[:80]!r} ({error})") from error


def _values(record: Lineage) -> dict[str, Any]:
    """The fields of a record as JSON values; `dataclasses.asdict` copies deeply and is ten times slower."""
    values = {STORED.get(name, name): getattr(record, name) for name in _names(type(record))}
    if isinstance(values.get("prompt"), Prompt):
        values["prompt"] = _values(values["prompt"])
    if not values.get("given", True):
        del values["given"]  # so that records that were written before there were such facts keep their ids
    return values


@cache
def _names(kind: type[Lineage]) -> tuple[str, ...]:
    """The names of the fields of a kind of record."""
    return tuple(field.name for field in fields(kind) if field.metadata.get("kept", True))


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write records as JSON lines."""
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(dumps(record) + "\n" for record in records)


def read_records(path: Path) -> list[Record]:
    """Read the JSON lines of `write_records`."""
    with path.open(encoding="utf-8") as lines:
        return [loads(line) for line in lines]
