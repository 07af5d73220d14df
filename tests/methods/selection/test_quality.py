"""Quality by a judge and a regression: sound texts are told from spoiled ones, as far as what is seen tells them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.inference.graded_texts import Rubric, grader
from selfimprove.interfaces import Ask, Context, Engine, Log
from selfimprove.measures.ridge import auroc
from selfimprove.methods.acquisition.worked_corpus import WorkedCorpus
from selfimprove.methods.selection.quality import Quality
from selfimprove.records import Checkpoint, Document, Rollout


@dataclass
class Reader(Engine):
    """Grades what `says` tells it, and embeds a text by its pairs of characters."""

    says: Callable[[str], str] = str
    asked: list[str] = field(default_factory=list)
    can: ClassVar[frozenset[str]] = frozenset({"embed"})

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        self.asked += [ask.prompt.prompt[-1]["content"] for ask in asks]
        said = [self.says(ask.prompt.prompt[-1]["content"]) for ask in asks]
        return [
            [Rollout(prompt=ask.prompt, completion=[{"role": "assistant", "content": text}])]
            for ask, text in zip(asks, said, strict=True)
        ]

    def logprobs_of(self, *given: Any, **named: Any) -> list[list[float]]:
        raise NotImplementedError

    def embed(self, checkpoint: Checkpoint, texts: Sequence[str]) -> Any:
        rows = np.zeros((len(texts), 64), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for place in range(len(text) - 1):
                row[zlib.crc32(text[place : place + 2].encode()) % 64] += 1 / len(text)
        return rows


def corpus(given: Context) -> list[Any]:
    made: Any = WorkedCorpus(documents=400, form="{problem}{solution}", shuffled=0.3, boilerplate=0.2).acquire(
        [], given
    )
    return list(made)


def judge(documents: Sequence[Document], noise: bool = False) -> Callable[[str], str]:
    """Grades sound documents 4 or 5 and spoiled ones 0 or 1; with `noise` by a hash of the text."""
    sound = {one.text for one in documents if not one.info}

    def says(asked: str) -> str:
        text, chance = asked.removeprefix("J:").removesuffix("|"), zlib.crc32(asked.encode())
        return f"It earns some.\nScore: {chance % 6 if noise else 4 * (text in sound) + chance % 2}"

    return says


def test_the_regression_tells_sound_texts_that_no_judge_saw_and_a_judge_of_chance_tells_nothing(
    make_context: Callable[..., Context],
) -> None:
    given = make_context(Reader())
    documents = corpus(given)
    known, unseen = documents[:200], documents[200:]
    for noise, low, high in ((False, 0.95, 1.0), (True, 0.35, 0.65)):
        given = make_context(Reader(says=judge(documents, noise)))
        grades = grader([one.text for one in known], Rubric("J:{document}|"), 200, given.held(Quality()), "quality")
        fair = grades([one.text for one in unseen if not one.info])
        foul = grades([one.text for one in unseen if one.info])
        assert low <= auroc(foul, fair) <= high
    assert given.log.metrics["quality/agreement"] < 0.3


def test_a_higher_threshold_keeps_fewer_and_better_ones(make_context: Callable[..., Context]) -> None:
    documents, shares, sizes = corpus(make_context(Reader())), list[float](), list[int]()
    for threshold in (0, 1, 3, 5):
        given = make_context(Reader(says=judge(documents)))
        made: Any = Quality(threshold=threshold, judged=150, words="J:{document}|").select(documents, given)
        sizes.append(len(made))
        shares.append(sum(not one.info for one in made) / max(1, len(made)))
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == 400
    assert shares[:3] == sorted(shares[:3]) and shares[2] > 0.95


def test_the_judge_sees_a_thousand_characters_and_of_equal_texts_one(make_context: Callable[..., Context]) -> None:
    engine = Reader(says=lambda asked: "Score: 3")
    given = make_context(engine)
    long = [Document(text=f"{n} " + "x" * 2000) for n in range(8)]
    assert Quality(words="J:{document}|").select([*long, *long], given) == [*long, *long]
    assert len(engine.asked) == 8 and {len(asked) for asked in engine.asked} == {1003}
    assert given.log.notes == ["quality: the judge gives every text the grade 3, so nothing can be learned from it"]


def test_grades_that_cannot_be_read_are_left_out_and_too_few_are_said(make_context: Callable[..., Context]) -> None:
    documents = [Document(text=f"text {n}") for n in range(20)]
    some = make_context(Reader(says=lambda asked: "Score: 4" if int(asked.split()[-1][:-1]) % 2 else "no idea"))
    assert len(Quality(words="J:{document}|").select(documents, some)) == 20
    assert some.log.metrics["quality/unreadable"] == 10
    with pytest.raises(DataError, match="of 20 texts the judge gives 0 a grade"):
        Quality(words="J:{document}|").select(documents, make_context(Reader(says=lambda asked: "?")))
    with pytest.raises(RecipeError, match=r"selection.quality needs words with \{document\}"):
        Quality(words="J:|")
    assert "additive" not in Rubric().asked("a text").prompt[0]["content"]
    assert "a text" in Rubric().asked("a text").prompt[0]["content"]
