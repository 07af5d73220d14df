"""A diagnosis as tables and sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from rich.table import Table

from selfimprove.measures.diagnosis import (
    Diagnosis,
    Estimate,
    Ladder,
)
from selfimprove.measures.diagnosis.findings import Findings

EPS = 0.01
"""Distance from its fitted ceiling below which an accuracy counts as having reached it."""
UNCERTAIN = 0.1
"""Standard error of a fitted ceiling beyond which it is not shown."""


# ---- what a person and a machine see -----------------------------------------------------------------------------
def plain(findings: Findings) -> dict[str, Any]:
    """The findings for `--json`: plain values, null for a number that is not finite."""
    models = {
        name: {
            **{key: value for key, value in vars(model).items() if key not in ("groups", "keys")},
            "ladders": [asdict(rung) for rung in model.ladders],
            "scores": [{**asdict(score), "possible": score.possible} for score in model.scores],
        }
        for name, model in findings.models.items()
    }
    return _plain({**vars(findings), "models": models})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _plain(vars(value)) if is_dataclass(value) else value


def tables(findings: Findings) -> list[Table]:
    """The headroom ladder, how well each score tells right from wrong, and the other measures."""
    now = findings.now
    few = " (few: the errors are rough)" if findings.problems < 30 else ""
    title = f"{findings.target}: {findings.problems} selection problems of {findings.task}{few}, {now.samples} samples"
    *lower, top = now.ladders
    headroom = _table(title, ["", *(f"k = {rung.k}" for rung in (*lower, top)), "headroom", "of pass@k"])

    def row(name: str, of: Callable[[Ladder], Estimate], gain: Estimate | None, share: Estimate | None = None) -> None:
        efficiency = "" if share is None else f"{share.value:.0%}"
        headroom.add_row(name, *(f"{of(rung).value:.3f}" for rung in lower), str(of(top)), _signed(gain), efficiency)

    row("pass@1", lambda rung: rung.single, None)
    row("maj@k", lambda rung: rung.majority, top.consensus)
    for name in top.best:
        row(f"best by {name}", lambda rung, name=name: rung.best[name], top.judged[name], top.efficiency[name])
    row("pass@k", lambda rung: rung.any, top.oracle)

    known = _table("how well scores tell right from wrong", ["", "gap", "95 % interval", "relative", "AUROC", "idle"])
    for score in now.scores:
        gap = score.gap
        bounds = f"{gap.absolute.low:+.3f} to {gap.absolute.high:+.3f}"
        cells = (f"{gap.absolute.value:+.3f}", bounds, _text(gap.overall), _text(score.auroc), f"{gap.idle:.0%}")
        known.add_row(score.name, *cells)

    measures = _table("measures", ["", *findings.models])
    for name, values in _measures(list(findings.models.values())):
        measures.add_row(name, *values)
    return [headroom, known, measures]


def _measures(models: Sequence[Diagnosis]) -> list[tuple[str, list[str]]]:
    rows = [
        ("pass@1", [_text(m.ladder.single) for m in models]),
        (f"pass@{models[-1].samples}", [_text(m.ladder.any) for m in models]),
        ("greedy accuracy", [_text(m.greedy) for m in models]),
        ("mean length, tokens", [f"{m.length.value:.1f} ±{m.length.error:.1f}" for m in models]),
        ("truncated", [_text(m.truncated) for m in models]),
        ("with an answer", [_text(m.parsed) for m in models]),
        ("never solved", [_text(m.unsolved) for m in models]),
        ("entropy of answers, nats", [_text(m.answer_entropy) for m in models]),
        ("entropy of tokens, nats", [_text(m.token_entropy) for m in models]),
        ("majority ratio", [_text(m.majority) for m in models]),
        ("majority right", [_text(m.labels[-1].accuracy) for m in models]),
    ]
    for place in (0, -2):
        agreed = [m.labels[place] for m in models]
        cells = [f"{_text(one.accuracy)} of {one.kept.value:.0%}" for one in agreed]
        rows.append((f"where {agreed[-1].agreement:.0%} of {agreed[-1].k} agree", cells))
    if all(m.sharpening for m in models):
        found = [m.sharpening for m in models if m.sharpening]
        rows.append(("most likely drawn one right", [_text(one.accuracy) for one in found]))
        rows.append(("its probability", [_text(one.probability) for one in found]))
        rows.append(("coverage C_cov, log10", [f"{one.coverage:.2f}" for one in found]))
    return rows


def sentences(findings: Findings) -> list[str]:
    """The verdicts, one line each, then what happened between the rounds of a run."""
    now, lines = findings.now, [str(verdict) for verdict in findings.verdicts]
    if not lines:
        lines.append("no verdict: no rule of docs/diagnose.md applies")
    if now.ladder.consensus.above(0) and now.beyond and not now.beyond.above(0):
        known = f"maj@{now.samples} - greedy accuracy is {_signed(now.beyond)}"
        lines.append(f"not CONSENSUS-SAFE: majorities are not more accurate than greedy answers, {known}")
    for score in now.scores:
        if score.name == "reward" and not score.possible:
            known = f"gap {_signed(score.gap.absolute)}, AUROC {_text(score.auroc)}"
            lines.append(f"not POSSIBLE(by reward): the recipe's reward does not tell right from wrong, {known}")
    if findings.change:
        one, many = findings.change.single, findings.change.any
        word, k = findings.change.word, findings.change.k
        lines.append(f"since the start: {word} (pass@1 {_signed(one)}, pass@{k} {_signed(many)})")
    if findings.fit:
        fit = findings.fit
        told = f"accuracy approaches {fit.ceiling:.3f} ±{fit.error:.3f} and is within {EPS} of it from round "
        told += f"{math.ceil(fit.rounds_to(EPS))} on"
        if fit.error > UNCERTAIN:
            told = "too few rounds to estimate where accuracy levels off"
        lines.append(f"dynamics of {fit.rounds} rounds: {told}")
    return lines


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=True)
    return table


def _text(found: Estimate | None) -> str:
    return "-" if found is None else str(found)


def _signed(found: Estimate | None) -> str:
    return "" if found is None else f"{found.value:+.3f} ±{found.error:.3f}"
