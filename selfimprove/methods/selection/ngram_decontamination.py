"""Drop records that have a run of words of a held-out problem, or are one.

Idea: a model that has seen the questions of an exam is measured wrong; common runs of words find copies whose
  surroundings differ.
Survey: quality control, section 3.2.1; contamination, section 6.
Paper: arXiv:2005.14165 (GPT-3), Brown et al., 2020, appendix C: runs of 13 words.
Algorithm:
  1. The words of a held-out problem are what white space divides, without case, punctuation and the form of letters. A
     run of `n` words that more than `template` of the problems have is a template and does not count.
  2. Drop a record whose text (all that a model would see or learn) has at least `least` of these runs.
  3. Drop a record whose problem has the key of a held-out problem, also one shorter than `n` words.
Differs: GPT-3 takes the surroundings of a hit out of a document and keeps the rest; here the record goes. The bound of
  a template is the loop's own. In a run the held-out problems are those of the task, of which this method gets hashes
  and no text; the loop leaves out runs of twelve words of its own accord where a task has data. `select` compares with
  the file `against`. Paraphrases are not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.errors import RecipeError
from selfimprove.interfaces import Arrays, Choice, Context, Pool, Portioned, chosen
from selfimprove.measures import ngrams
from selfimprove.problems.overlap import TEMPLATE, posed, text_of
from selfimprove.problems.pool_rows import records_in
from selfimprove.records import Document, Prompt, Record
from selfimprove.registry import register


@register("ngram_decontamination", paper="2005.14165")
@dataclass
class NgramDecontamination(Portioned):
    consumes: ClassVar[Any] = Record
    produces: ClassVar[Any] = Record
    n: int = bounded(13, 1)
    """Words of a run; 8 finds more, and more that is common usage."""
    least: int = bounded(1, 1)
    """Fewest runs that a record shares with held-out problems when it goes."""
    template: int = bounded(TEMPLATE, 1)
    """Most problems of the file that share a run which still counts."""
    against: str | None = None
    """A file with what is held out, in columns as `select` reads them; null: the held-out problems of the task."""

    def select(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        return chosen(self, records, context)

    def known(self, context: Context) -> Arrays:
        import numpy as np

        if self.against is not None:
            given = list(records_in(Path(self.against), "selection.ngram_decontamination.against"))
            texts = [posed(one.prompt) if (one := _problem(record)) else text_of(record) for record in given]
            keys = [one.key for record in given if (one := _problem(record))]
            return {"runs": ngrams.held(texts, self.n, self.template), "keys": np.unique(ngrams.marks(keys))}
        if context.held_out is None:
            raise RecipeError(
                "selection.ngram_decontamination compares with held-out problems, and the recipe names no task; add "
                "selection.ngram_decontamination.against=FILE"
            )
        return context.held_out(self.n)

    def read(self, records: Sequence[Any], known: Arrays) -> Arrays:
        import numpy as np

        numbers, counts = ngrams.loose_runs(list(map(text_of, records)), self.n)
        owners = np.repeat(np.arange(len(records)), counts)
        shared = np.bincount(owners[_among(numbers, known["runs"])], minlength=len(records))
        keys = ngrams.marks(one.key if (one := _problem(record)) else "" for record in records)
        asks = np.array([_problem(record) is not None for record in records], dtype=bool)
        return {"shared": shared.astype(np.int32), "same": asks & _among(keys, known["keys"])}

    def choose(self, read: Arrays, pool: Pool, context: Context) -> Choice:
        import numpy as np

        near, same = read["shared"] >= self.least, read["same"]
        context.log.metric("ngram_decontamination/runs", int(near.sum()))
        context.log.metric("ngram_decontamination/keys", int(same.sum()))
        return Choice(stay=np.flatnonzero(~(near | same)).tolist(), score=("shared_runs", read["shared"]))


def _problem(record: Record) -> Prompt | None:
    match record:
        case Document():
            return None
        case Prompt():
            return record
        case _:
            return record.prompt


def _among(numbers: Any, known: Any) -> Any:
    """Which numbers are among the known ones, which are sorted: a numpy array of bool."""
    import numpy as np

    if not len(known):
        return np.zeros(len(numbers), dtype=bool)
    return known.take(np.searchsorted(known, numbers), mode="clip") == numbers
