"""A crawl of a local link graph: good pages come first where good pages link to good ones, and only there."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from selfimprove.errors import DataError, MissingError, RecipeError
from selfimprove.interfaces import Ask, Context, Engine, Log
from selfimprove.methods.acquisition.crawl import Crawl
from selfimprove.records import Checkpoint, Rollout


@dataclass
class Rater(Engine):
    """Grades a page that says `quality q` with q * 5, and embeds it as q with noise."""

    can: ClassVar[frozenset[str]] = frozenset({"embed"})

    def draw(self, asks: Sequence[Ask], log: Log) -> list[list[Rollout]]:
        said = [f"Score: {round(5 * _quality(ask.prompt.prompt[-1]['content']))}" for ask in asks]
        return [
            [Rollout(prompt=ask.prompt, completion=[{"role": "assistant", "content": text}])]
            for ask, text in zip(asks, said, strict=True)
        ]

    def logprobs_of(self, *given: Any, **named: Any) -> list[list[float]]:
        raise NotImplementedError

    def embed(self, checkpoint: Checkpoint, texts: Sequence[str]) -> Any:
        noise = [random.Random(text).gauss(0, 0.1) for text in texts]
        return np.array([[_quality(text) + off, off] for text, off in zip(texts, noise, strict=True)])


def _quality(text: str) -> float:
    return float(text.rpartition("quality ")[2].split()[0])


def web(path: Path, homophilous: bool, n: int = 1000) -> str:
    """Pages with 6 links each, most of them to pages of nearly the same quality, or to any."""
    source = random.Random(3)
    worth = [source.random() for _ in range(n)]
    order = sorted(range(n), key=worth.__getitem__)
    rank = {page: place for place, page in enumerate(order)}
    with path.open("w") as file:
        for page in range(n):
            near = [order[min(n - 1, max(0, rank[page] + source.randint(-60, 60)))] for _ in range(5)]
            links = [*(near if homophilous else source.choices(range(n), k=5)), source.randrange(n), n + 1]
            row = {
                "url": f"p{page}",
                "text": f"page {page} of quality {worth[page]}",
                "links": [f"p{i}" for i in links],
            }
            file.write(json.dumps(row) + "\n")
    return str(path)


def mean_quality(made: Sequence[Any]) -> float:
    return sum(_quality(one.text) for one in made) / len(made)


@pytest.mark.parametrize(("homophilous", "least"), [(True, 0.2), (False, -1.0)])
def test_the_scorer_finds_good_pages_early_if_they_link_to_each_other(
    tmp_path: Path, make_context: Callable[..., Context], homophilous: bool, least: float
) -> None:
    path, means, given = web(tmp_path / "web.jsonl", homophilous), dict[str, float](), make_context(Rater())
    for by in ("quality", "inlinks", "random"):
        method = Crawl(path=path, documents=100, batch=10, by=by, words="{document}", judged=60)
        made: Any = method.acquire([], given.held(method))
        assert len({one.info["url"] for one in made}) == 100 and [one.info["fetched"] for one in made] == [*range(100)]
        means[by] = mean_quality(made)
    advantage = means["quality"] - max(means["inlinks"], means["random"])
    assert advantage > least
    if not homophilous:  # what is left: of the pages that are known the best are taken
        assert advantage < 0.45
    assert given.log.metrics["crawl/agreement"] > 0.9 and given.log.metrics["crawl/links_out"] >= 100


def test_inlinks_by_hand_and_the_end_of_the_graph(tmp_path: Path, make_context: Callable[..., Context]) -> None:
    links = {"a": ["b", "c"], "b": ["d"], "c": ["d", "e"], "d": [], "e": [], "island": []}
    path = tmp_path / "web.jsonl"
    path.write_text("".join(json.dumps({"url": u, "text": u, "links": to}) + "\n" for u, to in links.items()))
    orders = set()
    for seed in range(12):
        method = Crawl(path=str(path), seeds=1, batch=1, by="inlinks")
        given = make_context(seed=seed) if seed else make_context()
        made: Any = method.acquire([], given)
        orders.add("".join(one.text[0] for one in made))
    assert orders <= {"abcde", "bd", "cde", "ced", "d", "e", "i"} and "abcde" in orders  # d has two links, e one


def test_graphs_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "web.jsonl"
    for content, said in (
        ("", "has no page"),
        ('{"text": "x"}', "row 0: a page has"),
        ('{"url": "a", "links": 3}', "row 0"),
    ):
        path.write_text(content)
        with pytest.raises(DataError, match=said):
            Crawl(path=str(path)).preflight()
    with pytest.raises(MissingError, match=r"acquisition.crawl.path: no file"):
        Crawl(path=str(tmp_path / "none.jsonl")).preflight()
    with pytest.raises(RecipeError, match="quality, inlinks, length, random"):
        Crawl(path="x", by="pagerank")
