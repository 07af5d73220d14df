"""The numbers of a server in Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of the histogram of seconds."""


@dataclass
class Figures:
    """What a server has done since it began."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By path and status code."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    gone: int = 0
    """Requests whose clients went away before the answer."""
    seconds: list[float] = field(default_factory=lambda: [0.0] * (len(BUCKETS) + 1))
    """Answers by the time that they took, one count for each bucket and the rest."""
    total_seconds: float = 0.0

    def took(self, seconds: float) -> None:
        """An answer was given after so many seconds."""
        place = next((i for i, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))
        self.seconds[place] += 1
        self.total_seconds += seconds

    def text(self, waiting: int, running: int, batches: int, answered: int) -> str:
        """All numbers; those of the queue come from it."""
        lines = list[str]()

        def add(name: str, kind: str, what: str, values: dict[str, float]) -> None:
            lines.append(f"# HELP selfimprove_{name} {what}")
            lines.append(f"# TYPE selfimprove_{name} {kind}")
            lines.extend(f"selfimprove_{name}{labels} {value:g}" for labels, value in values.items())

        codes = {f'{{path="{path}",code="{code}"}}': float(n) for (path, code), n in sorted(self.requests.items())}
        add("requests_total", "counter", "Requests answered, by path and status code.", codes)
        tokens = {'{kind="prompt"}': float(self.prompt_tokens), '{kind="completion"}': float(self.completion_tokens)}
        add("tokens_total", "counter", "Tokens read and drawn.", tokens)
        add("clients_gone_total", "counter", "Requests whose client went away.", {"": float(self.gone)})
        add("batches_total", "counter", "Batches that the engine answered.", {"": float(batches)})
        add("batched_requests_total", "counter", "Requests in those batches.", {"": float(answered)})
        add("waiting_requests", "gauge", "Requests that wait for the engine.", {"": float(waiting)})
        add("running_requests", "gauge", "Requests that the engine works on.", {"": float(running)})
        lines.append("# HELP selfimprove_answer_seconds Seconds from a request to its whole answer.")
        lines.append("# TYPE selfimprove_answer_seconds histogram")
        below = 0.0
        for bound, count in zip((*BUCKETS, "+Inf"), self.seconds, strict=True):
            below += count
            lines.append(f'selfimprove_answer_seconds_bucket{{le="{bound}"}} {below:g}')
        lines.append(f"selfimprove_answer_seconds_sum {self.total_seconds:g}")
        lines.append(f"selfimprove_answer_seconds_count {below:g}")
        return "\n".join(lines) + "\n"
