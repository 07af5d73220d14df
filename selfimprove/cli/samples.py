"""The command that shows what a model said: `selfimprove samples`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from selfimprove.cli.console import Json, say
from selfimprove.errors import RecipeError
from selfimprove.safety.redaction import dumps


def samples(
    folder: Annotated[Path, typer.Argument(help="Run folder; the run may still go on.", metavar="RUN")],
    number: Annotated[int | None, typer.Option("--round", help="Default: the last finished round.")] = None,
    gained: Annotated[bool, typer.Option("--gained", help="Problems that only the candidate solves.")] = False,
    lost: Annotated[bool, typer.Option("--lost", help="Problems that only the champion solves.")] = False,
    wrong: Annotated[bool, typer.Option("--wrong", help="Problems that neither solves.")] = False,
    right: Annotated[bool, typer.Option("--right", help="Problems that both solve.")] = False,
    trained: Annotated[bool, typer.Option("--trained", help="What the round drew, and what of it was kept.")] = False,
    audit: Annotated[bool, typer.Option("--audit", help="Samples of audit problems; only after the exam.")] = False,
    most: Annotated[int, typer.Option("-n", help="Problems to show; 0 means all.", min=0)] = 5,
    kept: Annotated[
        bool | None, typer.Option("--kept/--dropped", help="Of --trained: with samples that were kept, or the others.")
    ] = None,
    score: Annotated[
        str, typer.Option(help="Of --trained and --audit: rewards from LOW to HIGH, for example 0.5..1.")
    ] = "",
    truncated: Annotated[bool, typer.Option("--truncated", help="Completions that were cut off.")] = False,
    problem: Annotated[str, typer.Option(help="The key of a problem, or a part of its text.")] = "",
    grep: Annotated[str, typer.Option(help="A pattern that the problem or a completion has.")] = "",
    full: Annotated[bool, typer.Option("--full", help="Shorten nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Show what the models of a run say: problems gained and lost, and what a round trained on.

    Sealed problems are never shown; gate problems are, because each is spent on one decision.
    """
    from selfimprove.report import damaged
    from selfimprove.report.samples.listing import lines
    from selfimprove.report.samples.wanted import Wanted, find

    named = {"gained": gained, "lost": lost, "wrong": wrong, "right": right, "trained": trained, "audit": audit}
    chosen = [name for name, given in named.items() if given]
    if len(chosen) > 1:
        raise RecipeError(f"--{chosen[0]} and --{chosen[1]} are two things to show; give one of them")
    if not chosen and (kept is not None or score):
        chosen = ["trained"]
    low, high = _range(score)
    wanted = Wanted(
        source=chosen[0] if chosen else "",
        round=number,
        most=most or None,
        grep=grep,
        problem=problem,
        kept=kept,
        truncated=truncated,
        low=low,
        high=high,
    )
    with damaged.told(folder):
        found = find(folder, wanted)
        said = [dumps(plain(found))] if as_json else list(lines(found, _champion(folder, found.round), full))
    for line in said:
        print(line) if as_json else say(line)


def _range(text: str) -> tuple[float | None, float | None]:
    """The ends of `LOW..HIGH`, either of which may be left out; of one number, both."""
    low, dots, high = text.partition("..")
    try:
        ends = [float(end) if end else None for end in (low, high if dots else low)]
    except ValueError as error:
        raise RecipeError(f"--score {text} is not a range of rewards; write it as 0.5..1") from error
    return ends[0], ends[1]


def _champion(folder: Path, number: int) -> int | None:
    from selfimprove.report.lines import last_lines
    from selfimprove.report.makers import last_tests, makers
    from selfimprove.store.run_folder import RunDir

    run = RunDir.open(folder)
    lines = last_lines(run, 10**6)
    made = {line["round"]: now for line, now in makers(lines, last_tests(run))}
    return made[number].champion if number in made else None


def plain(found: Any) -> dict[str, Any]:
    """The samples as JSON values, each completion as the record that it is stored as."""
    import json

    from selfimprove.records import dumps as record
    from selfimprove.report.samples.listing import done_with

    def of(rollout: Any) -> Any:
        return json.loads(record(rollout))

    return {
        "round": found.round,
        "source": found.source,
        "counts": {} if found.counts is None else {group: len(keys) for group, keys in found.counts.keys.items()},
        "pairs": [
            {"group": pair.group, "champion": of(pair.champion), "candidate": of(pair.candidate)}
            for pair in found.pairs
        ],
        "drawn": [
            {
                "key": group.problem.key,
                "answers": [
                    {
                        "times": answer.times,
                        "use": answer.use,
                        "right": found.rule(answer.rollout),
                        "said": done_with(answer, found),
                        "record": of(answer.rollout),
                    }
                    for answer in group.answers
                ],
            }
            for group in found.drawn
        ],
        "more": found.more,
    }
