"""Documents found by following links, those first that a scorer expects to be worth most.

Idea: most of the pages of a web teach little, and good pages link to good ones. A crawl that always fetches the best
  known page next needs far fewer fetches for the same quality.
Survey: static curation, section 2.2.
Paper: arXiv:2502.13347 (Craw4LLM), Yu et al., 2025.
Algorithm:
  1. The graph is a local table: `url`, the text, and `links`, a list of urls. Nothing is fetched from a network.
  2. Begin with `seeds` pages. In each step take the `batch` best pages of the queue as documents.
  3. Each of their links that was not met before gets a priority, and enters the queue: by `quality`, the grade that a
     judge would give as in the selection quality; by `inlinks`, how many known pages link to it; by `length`; or
     `random`.
  4. Stop at `documents`, or when the queue is empty.
Differs: the paper rates with DCLM's fastText classifier, 10,000 pages in a step, and crawls 20 million of ClueWeb22;
  here a judge grades a sample of the graph's pages and a regression on embeddings the rest. As in the paper's
  simulation a page is rated before it is fetched, which a crawl of the live web has to pay for.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from selfimprove.bounds import bounded
from selfimprove.costs import NOTHING, Cost, Flow, Given
from selfimprove.errors import DataError, RecipeError
from selfimprove.inference.graded_texts import NEEDS, Rubric, grader
from selfimprove.interfaces import REQUIRED, Acquisition, Context
from selfimprove.needs import Needs
from selfimprove.problems.corpus import Page, pages
from selfimprove.records import Document, Record
from selfimprove.registry import register

WAYS = ("quality", "inlinks", "length", "random")


@register("crawl", paper="2502.13347")
@dataclass
class Crawl(Acquisition):
    consumes: ClassVar[Any] = None
    produces: ClassVar[Any] = Document
    path: str = REQUIRED
    """A table with the columns `url`, `text` and `links`: .jsonl, .jsonl.gz or .parquet."""
    documents: int = bounded(1000, 1)
    """Pages of a round."""
    seeds: int = bounded(10, 1)
    """Pages that the crawl begins with, drawn at random."""
    batch: int = bounded(50, 1)
    """Pages that are taken in a step, before the queue is looked at anew."""
    by: str = "quality"
    """What comes first: quality, inlinks, length or random."""
    judged: int = bounded(500, 8)
    """With `by: quality`, pages that the judge grades."""
    words: str | None = None
    """The judge's prompt, with {document} in it; null uses an additive rubric in English."""

    def __post_init__(self) -> None:
        Rubric(self.words).check("acquisition.crawl")
        if self.by not in WAYS:
            raise RecipeError(f"acquisition.crawl.by={self.by} is none of {', '.join(WAYS)}")

    def needs(self) -> Needs:
        return NEEDS if self.by == "quality" else Needs()

    def preflight(self) -> list[str]:
        if not pages(self.path, "acquisition.crawl"):
            raise DataError(f"{self.path} has no page")
        return []

    def cost(self, given: Given) -> Cost:
        return given.draw(self.judged) if self.by == "quality" else NOTHING

    def gives(self, given: Given) -> Flow:
        return Flow(self.documents, self.documents)

    def acquire(self, records: Sequence[Any], context: Context) -> Sequence[Record]:
        web = pages(self.path, "acquisition.crawl")
        if not web:
            raise DataError(f"{self.path} has no page")
        random = Random(context.seed)
        start = random.sample(sorted(web), min(self.seeds, len(web)))
        found = self._crawled(web, start, self._priority(web, random, context))
        context.log.metric("crawl/pages", len(found))
        context.log.metric("crawl/links_out", sum(link not in web for page in found for link in page.links))
        return [
            Document(text=page.text, info={"url": page.url, "fetched": place, **page.info})
            for place, page in enumerate(found)
        ]

    def _priority(self, web: dict[str, Page], random: Random, context: Context) -> Callable[[Sequence[str], Any], Any]:
        """What a page is worth: urls, and how many fetched pages link to each -> numbers."""
        if self.by == "quality":
            grades = grader([web[url].text for url in sorted(web)], Rubric(self.words), self.judged, context, "crawl")
            return lambda urls, known: grades([web[url].text for url in urls])
        if self.by == "length":
            return lambda urls, known: [len(web[url].text) for url in urls]
        if self.by == "inlinks":
            return lambda urls, known: [known[url] for url in urls]
        return lambda urls, known: [random.random() for _ in urls]

    def _crawled(self, web: dict[str, Page], start: Sequence[str], priority: Callable[..., Any]) -> list[Page]:
        """The pages in the order in which they were taken."""
        known, met, found = Counter[str](), set(start), list[Page]()
        queue = [(-float(worth), url) for worth, url in zip(priority(start, known), start, strict=True)]
        heapq.heapify(queue)
        while queue and len(found) < self.documents:
            taken = [heapq.heappop(queue)[1] for _ in range(min(self.batch, len(queue), self.documents - len(found)))]
            found += [web[url] for url in taken]
            links = [link for url in taken for link in web[url].links if link in web]
            known.update(links)
            fresh = [url for url in dict.fromkeys(links) if url not in met]
            met.update(fresh)
            if self.by == "inlinks":  # what is known of those that wait has changed
                waiting = [url for _, url in queue] + fresh
                queue = [(-float(known[url]), url) for url in waiting]
                heapq.heapify(queue)
                continue
            for worth, url in zip(priority(fresh, known), fresh, strict=True):
                heapq.heappush(queue, (-float(worth), url))
        return found
