"""Choose among the rows of a pool by the selections of a recipe: `selfimprove select`.

The pool is read once to see what it holds, and once for each selection, in portions; only what a selection reads of
its rows is in memory. A selection that is not `Portioned` gets all records that are left at once.
"""

from __future__ import annotations

import gzip
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from selfimprove.costs import Cost, counted
from selfimprove.errors import DataError, RecipeError
from selfimprove.inference.metered import Metered
from selfimprove.interfaces import Choice, Context, Engine, Log, Pool, Portioned, Selection
from selfimprove.logs import MetricLog
from selfimprove.problems.overlap import text_of
from selfimprove.problems.pool_lines import raw
from selfimprove.problems.pool_rows import columns
from selfimprove.records import Record, digest
from selfimprove.store import durable
from selfimprove.store.journal import Journal
from selfimprove.studies.pool.chain import Chain, contexts
from selfimprove.studies.pool.findings import EXAMPLES, SHOWN, Change, Findings, Spread, Step, Twin, levels
from selfimprove.studies.pool.reading import AHEAD, ROWS, Measure, Readers, Source, look
from selfimprove.studies.pool.work_folder import WorkFolder

FORM = 1
"""Version of the files of unfinished work."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for."""

    data: Path
    out: Path
    prompt: str | None = None
    answer: str | None = None
    text: str | None = None
    skip_bad: int = 0
    """Rows that may be left out because they cannot be read."""
    processes: int = 1


def select(chain: Chain, request: Request, log: Log, begin: Callable[[str], None]) -> Findings:
    """Write the rows of a pool that a recipe's selections keep, as they stand in it.

    Args:
        begin: told the name of each piece of work.

    Raises:
        MissingError: there is no such pool.
        DataError: it cannot be read, has no text column or too many bad rows, or nothing is left.
        RecipeError: a selection lacks something that the recipe must name.
    """
    now = time.monotonic()
    first = next(raw(request.data, "--data"), None)
    if first is None:
        raise DataError(f"--data: {request.data} has no rows")
    try:
        layout = columns(first, request.prompt, request.answer, request.text)
    except DataError as error:
        raise DataError(f"--data: {request.data}, row 1: {error}") from error
    for name, method in chain.methods.items():
        if method.consumes not in (Record, layout.kind):
            raise RecipeError(
                f"selection.{name} takes {method.consumes.__name__} records, and the pool has {layout.kind.__name__} "
                "records; leave it out, or name other columns: --prompt COLUMN --answer COLUMN, or --text COLUMN"
            )
    source = Source(request.data, layout)
    folder = WorkFolder(request.out, _state(chain, request, source))
    readers = Readers(request.processes)
    try:
        with tempfile.TemporaryDirectory(prefix="selfimprove-") as scratch:
            return _Work(chain, request, source, folder, readers, log, begin, len(first) + 1).all(Path(scratch), now)
    finally:
        readers.close()
        folder.close()


@dataclass
class _Work:
    chain: Chain
    request: Request
    source: Source
    folder: WorkFolder
    readers: Readers
    log: Log
    begin: Callable[[str], None]
    first: int
    """Bytes of the first row."""
    total: int = field(default=0, init=False)

    def all(self, scratch: Path, now: float) -> Findings:
        looked = self._look()
        fine = looked["fine"].nonzero()[0].tolist()
        alive, steps = fine, list[Step]()
        self.begin("loading the model" if any(map(self.chain.scores, self.chain.methods)) else "reading what is named")
        with contexts(self.chain, scratch, self.log, self._kept) as context_of:
            ready = [(name, method) for name, method in self.chain.methods.items() if isinstance(method, Portioned)]
            for _, method in ready:  # a mistake in what they need is told before an hour is spent
                method.known(context_of(scratch, MetricLog(self.log)))
            for number, (name, method) in enumerate(self.chain.methods.items(), 1):
                self.begin(name)
                alive, step = self._step(f"{number:02d}_{name}", name, method, alive, context_of)
                steps.append(step)
        self._write(alive)
        lengths = looked["lengths"]
        self.folder.remove()
        return Findings(
            data=str(self.request.data),
            out=str(self.request.out),
            rows=len(looked["fine"]),
            unread=len(looked["fine"]) - len(fine),
            stayed=len(alive),
            steps=steps,
            length=Change("words", Spread.of(lengths[fine]), Spread.of(lengths[alive])),
            levels=levels(looked["levels"][fine].tolist(), looked["levels"][alive].tolist()),
            seconds=round(time.monotonic() - now, 3),
            resumed=self.folder.resumed,
            read=self.readers.rows,
            portion=ROWS * AHEAD,
            memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )

    def _look(self) -> dict[str, Any]:
        """Read all rows once.

        Raises:
            DataError: more rows than are allowed cannot be read.
        """
        self.begin("reading the pool")
        step = self.folder.step("00_rows")
        guess = self.request.data.stat().st_size // self.first

        def progress(rows: int) -> None:
            self.log.progress(rows, max(rows, guess), "rows")  # by the size of the first row, until all are read

        parts = self.readers.read(self.source, None, look, self.folder, step, progress)
        found = self.folder.read(step, parts)
        self.total = len(found["fine"])
        bad = self.total - int(found["fine"].sum())
        if bad > self.request.skip_bad:
            raise DataError(
                f"--data: {self.request.data}: {bad} of {self.total} rows cannot be read, the first: "
                f"{found['said'][0]}; correct them, or leave them out with --skip-bad {bad}"
            )
        return found

    def _step(
        self, place: str, name: str, method: Selection, alive: list[int], context_of: Callable[[Path, Log], Context]
    ) -> tuple[list[int], Step]:
        """The rows that a selection leaves of those that are left, and what it did.

        Raises:
            DataError: it leaves none.
        """
        now, step, log = time.monotonic(), self.folder.step(place), MetricLog(self.log)
        if (before := self.folder.done(step)) is not None:
            return before[0], _told(before[1])
        notes = list[str]()
        log.note = lambda text: (notes.append(text), self.log.note(text))[0]  # pyright: ignore[reportAttributeAccessIssue]
        with counted() as meter:
            context = context_of(step, log)
            if isinstance(method, Portioned):
                choice = self._portions(step, method, alive, context)
            else:
                choice = self._whole(name, method, alive, context)
        stay = [alive[place] for place in choice.stay]
        if not stay:
            raise DataError(
                f"selection.{name} keeps none of {len(alive)} rows; loosen its options (selfimprove show {name}), or "
                f"leave it out. The pool is as it was"
            )
        told = Step(
            name=name,
            came=len(alive),
            stayed=len(stay),
            seconds=round(time.monotonic() - now, 3),
            why=log.metrics,
            notes=notes,
            cost=meter.cost,
            score=_change(choice),
            copies=len(choice.twins),
            twins=self._twins(choice, alive),
        )
        if told.score and told.came > told.stayed and told.score.before.quantiles[0] == told.score.before.quantiles[-1]:
            self.log.note(f"all rows have one {told.score.name}, so it says nothing of them: what went is chance")
        self.folder.finish(step, stay, {**asdict(told), "cost": list(meter.cost)})
        return stay, told

    def _portions(self, step: Path, method: Portioned, alive: list[int], context: Context) -> Choice:
        known = step / f"known_{time.time_ns()}.npz"
        self.folder.keep(known, method.known(context))

        def progress(rows: int) -> None:
            self.log.progress(rows, len(alive), "rows")

        work = Measure(method, known)
        every = None if len(alive) == self.total else alive
        parts = self.readers.read(self.source, every, work, self.folder, step, progress)
        read = self.folder.read(step, parts)

        def at(places: Sequence[int]) -> Any:
            return self.source.records([alive[place] for place in places])

        return method.choose(read, Pool(size=len(alive), at=at), context)

    def _whole(self, name: str, method: Selection, alive: list[int], context: Context) -> Choice:
        """The choice of a selection that wants all records at once."""
        places = {row: place for place, row in enumerate(alive)}
        records = list(self.source.records(alive))
        kept = method.select(records, context.held(method))
        own = {id(record): row for record, row in zip(records, alive, strict=True)}
        rows = [own.get(id(one), one.info.get("row")) for one in kept]
        if len(set(rows)) < len(rows) or not all(row in places for row in rows):
            raise RecipeError(f"selection.{name} makes records of its own; a pool's rows stay what they are")
        return Choice(stay=sorted(places[row] for row in rows if row is not None))

    def _twins(self, choice: Choice, alive: list[int]) -> list[Twin]:
        """Some of the near copies, with their texts: those that differ most first."""
        some = sorted(choice.twins, key=lambda one: (one[2], one[0]))[:EXAMPLES]
        rows = sorted({alive[place] for pair in some for place in pair[:2]})
        texts = {row: text_of(one)[:SHOWN] for row, one in zip(rows, self.source.records(rows), strict=True)}
        pairs = [(alive[one], alive[other], similarity) for one, other, similarity in some]
        return [Twin(one + 1, other + 1, round(s, 4), texts[one], texts[other]) for one, other, s in pairs]

    def _write(self, alive: Sequence[int]) -> None:
        """Write the rows that are left, as they stand in the pool."""
        self.begin("writing")
        fresh = self.folder.root / "out"
        with durable.storage():
            packed = self.request.out.suffix == ".gz"
            with gzip.GzipFile(fresh, "wb", mtime=0) if packed else fresh.open("wb") as file:
                for number, (_, line) in enumerate(self.source.lines(alive)):
                    file.write(line + b"\n")
                    if number % 10_000 == 0:
                        self.log.progress(number, len(alive), "rows")
            durable.fsync(fresh, "write")
            shutil.move(fresh, self.request.out)

    def _kept(self, engine: Engine) -> Engine:
        """An engine whose answers are kept on disk for a resume."""
        name = digest([type(engine).__name__, sorted(engine.roles)])[:8]
        journal = Journal(self.folder.root / f"journal_{name}.jsonl", str(self.folder.root))
        return Metered(journal.before(name, engine))


def _change(choice: Choice) -> Change | None:
    """The score by which a selection chose, before and after."""
    if choice.score is None:
        return None
    name, numbers = choice.score
    return Change(name, Spread.of(numbers), Spread.of(numbers[list(choice.stay)]))


def _told(told: dict[str, Any]) -> Step:
    """A step as it was kept."""
    score = told["score"]
    kept = score and Change(score["name"], Spread(**score["before"]), Spread(**score["after"]))
    twins = [Twin(**one) for one in told["twins"]]
    return Step(**{**told, "cost": Cost(*told["cost"]), "score": kept, "twins": twins})


def _state(chain: Chain, request: Request, source: Source) -> dict[str, Any]:
    """What the work depends on."""
    data = request.data.resolve()
    files = sorted(one for one in data.rglob("*") if one.is_file()) if data.is_dir() else [data]
    stats = [[str(one), one.stat().st_size, one.stat().st_mtime_ns] for one in files]
    methods = [[name, asdict(method)] for name, method in chain.methods.items()]
    parts = {slot: repr(getattr(chain.recipe, slot)) for slot in ("task", "model", "engine")}
    return {
        "form": FORM,
        "seed": chain.recipe.seed,
        "methods": methods,
        "parts": digest(parts),
        "data": stats,
        "columns": asdict(source.columns),
    }
