"""Write the measured figures into README.md and the pages of docs/, from the files in docs/results/.

`make bench` measures and then runs this; leaderboard.json is what `selfimprove bench` wrote. The recorded output of the
quickstart comes from the same files. With --check nothing is written, and the exit code is 1 if a page does not say
what the files say.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from methods_table import ROOT, fill, table
from refinement_table import refinements
from selection_tables import pools, rates, samplers, worth

from selfimprove.report import leaderboard, plots

RESULTS = ROOT / "docs" / "results"
FAULTS = {
    "kill": "SIGKILL",
    "power": "power cut, all that was not fsynced is lost",
    "torn": "power cut, names kept, data torn",
    "eio": "input/output error once, exit code 74 or 0",
    "enospc": "no space once",
    "eio+": "input/output errors from then on",
    "enospc+": "no space from then on",
}
CHOSEN = {"selection": pools, "selection_worth": worth, "samplers": samplers, "pass_rates": rates}
"""Name of a file and of its block in docs/selection.md -> what makes the block."""
Row = tuple[str, str, str]
"""What was measured, the goal, the figure."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is not up to date")
    options = parser.parse_args()
    ranked = json.loads((RESULTS / "leaderboard.json").read_text())
    for path, blocks in pages(ranked).items():
        before = after = path.read_text(encoding="utf-8")
        for name, text in blocks.items():
            after = fill(after, name, text)
        if options.check and after != before:
            sys.exit(f"{path.relative_to(ROOT)} is not up to date. Run: python scripts/results_table.py")
        if not options.check:
            path.write_text(after, encoding="utf-8")
    if not options.check and plots.available():
        plots.leaderboard(ranked, ROOT / "docs" / "leaderboard.svg")


def pages(ranked: list[dict[str, Any]]) -> dict[Path, dict[str, str]]:
    """File -> name of a block -> what stands in it; `ranked` are the rows of the leaderboard."""
    found = {name: json.loads(file.read_text()) for name in ROWS if (file := RESULTS / f"{name}.json").exists()}
    refused = found.get("controls", {}).get("guarded", [None])[0]
    quickstart = found.get("quickstart_seeds")
    docs = ROOT / "docs"
    costs, faults, profile = (RESULTS / f"{name}.json" for name in ("costs", "faults", "training_profile"))
    swept = {docs / "reliability.md": broken(json.loads(faults.read_text()))} if faults.exists() else {}
    models = RESULTS / "models.json"
    real = published(json.loads(models.read_text())) if models.exists() else {}
    looked = RESULTS / "model_pages.json"
    real |= {"pages": doctored(json.loads(looked.read_text()))} if looked.exists() else {}
    tried = {docs / "real_models.md": real}
    chosen = {
        name: made(json.loads((RESULTS / f"{name}.json").read_text()))
        for name, made in CHOSEN.items()
        if (RESULTS / f"{name}.json").exists()
    }
    return (
        swept
        | tried
        | {
            ROOT / "README.md": {"verdict": verdict(quickstart)},
            docs / "tutorial.md": {"quickstart": recorded(quickstart), "refused": recorded(refused)},
            docs / "measured.md": {"results": results(found)},
            docs / "selection.md": chosen,
            docs / "refinement.md": {
                file.stem: refinements(json.loads(file.read_text())) for file in sorted(RESULTS.glob("refine_*.json"))
            },
            docs / "cost.md": {
                "costs": compared(json.loads(costs.read_text()) if costs.exists() else None),
                **({"profile": profiled(json.loads(profile.read_text()))} if profile.exists() else {}),
            },
            docs / "leaderboard.md": {"leaderboard": "\n".join(leaderboard.table(ranked))},
        }
    )


def results(found: dict[str, Any]) -> str:
    """The figures of all benches that were run, with the commands and the machines."""
    rows, ran = list[tuple[str, ...]](), list[str]()
    for name, measured in found.items():
        rows += ROWS[name](measured)
        where = "{cores} cores, {threads} threads, Python {python}, torch {torch}".format(**measured["machine"])
        ran.append(f"- `{measured['command']}`: {where}\n")
    if not rows:
        return "Nothing is measured yet; `make bench` does it."
    return f"{table(('figure', 'goal', 'measured'), rows)}\nMade by:\n\n{''.join(ran)}"


def recorded(measured: dict[str, Any] | None) -> str:
    """What a run printed."""
    return (
        f"```text\n{measured['output'].strip()}\n```" if measured else "Nothing is recorded yet; `make bench` does it."
    )


def verdict(measured: dict[str, Any] | None) -> str:
    """What the quickstart ended with, at its first seed."""
    return f"```text\n{measured['rows'][0]['verdict']}\n```" if measured else recorded(None)


def broken(swept: dict[str, Any]) -> dict[str, str]:
    """What became of a run that was broken at every durable operation, and of damages to its files."""
    heads = ("fault", "points", "new states resumed", "runs that differ or fail", "finished steps done again")
    rows = [
        (FAULTS[row["kind"]], *map(str, (row["points"], row["resumed"], len(row["wrong"]), row["redone"])))
        for row in swept["faults"]
    ]
    minutes = f"{swept['operations']} operations, {swept['seconds'] / 60:.0f} min with the damages below:"
    ends = {"redone": "step repeated", "rewritten": "file written again", "refused": "refused", "harmless": "harmless"}
    damages = dict.fromkeys(name.rpartition(": ")[0] for name in swept["damages"])
    counts = {damage: [swept["damages"].get(f"{damage}: {end}", 0) for end in (*ends, "SILENT")] for damage in damages}
    lines = [
        (damage, *map(str, (sum(every), *every, swept["seen"].get(damage, 0)))) for damage, every in counts.items()
    ]
    named = ("damage", "files", *ends.values(), "used silently", "found by `verify`")
    return {
        "faults": f"{minutes}\n\n{table(heads, rows)}",
        "damages": table(named, lines),
    }


def published(measured: dict[str, dict[str, str]]) -> dict[str, str]:
    """What the tests of published models and their rounds printed, as scripts/fixtures/record.py recorded it."""
    rows, taught = list[tuple[str, ...]](), list[tuple[str, ...]]()
    whats = ("greedy text as plain generate's", "rescored, nats a token off at most", "rest_em", "iterative_dpo")
    for model, figures in measured.items():
        if "-" in model:
            taught += [(f"`{model}`", f"{what}: {figure}") for what, figure in figures.items()]
            continue
        ways = [figure.split(" of ") for what, figure in figures.items() if what.startswith("trained as drawn")]
        kept, every = (sum(int(one[place]) for one in ways) for place in (0, 1))
        greedy, off, *rounds = (figures.get(what, "not tried") for what in whats)
        rows.append((f"`{model}`", greedy, off, str(len(ways)), f"{kept} of {every}", *rounds))
    heads = ("fixture", "greedy", "nats a token off", "ways of 13", "rows trained as drawn", "ReST-EM", "DPO")
    return {"models": table(heads, rows), "taught": table(("taught fixture", "figure"), taught)}


def doctored(measured: dict[str, Any]) -> str:
    """What `doctor --model` says of fixtures, and what `check` takes with them, by scripts/fixtures/pages.py."""
    rows = [
        (
            *(f"`{one['model']}`", f"{one['vocabulary']:,}", f"{one['tokens a word']:.2f}"),
            "{} of {}".format(*one["greedy"]),
            ", ".join("{} of {}".format(*one["in a batch"][kind]) for kind in ("float32", "bfloat16")),
            *(f"{one['drawn']:.1f} s", f"{one['trained']:.1f} s"),
            *(f"{one['check seconds']:.1f} s", f"{one['check bytes'] / 1e6:.0f} MB"),
        )
        for one in measured["rows"]
        if {"drawn", "check bytes"} <= one.keys()
    ]
    heads = ("fixture", "vocabulary", "tokens a word", "greedy", "in a batch, float32, bfloat16", "1,000 drawn")
    return table((*heads, "1,000 trained", "`check`", "its memory"), rows)


def compared(measured: dict[str, Any] | None) -> str:
    """What `check` says over what runs took, as scripts/compare_costs.py found it."""
    if measured is None:
        return "Nothing is compared yet; `python scripts/compare_costs.py --runs FOLDER --run` does it."
    rows = [(one["what"], f"{one['median']:.2f}", f"{one['worst']:.2f} (`{one['of']}`)") for one in measured["columns"]]
    low = ", ".join(measured["too_low"]) or "nothing"
    head = f"Of {measured['recipes']} recipes, by `{measured['command']}`. Said too low: {low}.\n\n"
    return head + table(("what", "median of said over taken", "farthest above"), rows)


def profiled(measured: dict[str, Any]) -> str:
    """Where the seconds of training go, by scripts/bench/training_profile.py."""
    whole, bare = measured["whole"], measured["bare"]
    rows = [(part, f"{spent:.2f}", f"{100 * spent / whole:.0f} %") for part, spent in measured["parts"].items()]
    rows += [("all of it", f"{whole:.2f}", "100 %"), ("a bare loop with the same rows", f"{bare:.2f}", "")]
    where = "{cores} cores, {threads} threads, Python {python}, torch {torch}".format(**measured["machine"])
    return f"By `{measured['command']}` ({where}):\n\n{table(('part', 'seconds', 'share'), rows)}"


def points(share: float) -> str:
    """A difference of shares in points."""
    return f"{100 * share:+.1f}"


def quickstart(measured: dict[str, Any]) -> list[Row]:
    """The quickstart on several seeds."""
    share = f"{100 * measured['most_evaluation_share']:.0f} %"
    gains = ", ".join(
        f"seed {row['seed']}: {row['start']:.2f} -> {row['champion']:.2f} "
        f"({points(row['delta'])}, {points(row['ci'][0])} to {points(row['ci'][1])})"
        for row in measured["rows"]
    )
    return [
        ("quickstart, command to verdict, longest", "180 s", f"{measured['most_seconds']:.0f} s"),
        ("quickstart, CPU time of that, longest", "", f"{measured['most_cpu_seconds']:.0f} s"),
        ("quickstart, share of evaluation, audit, gate and exams", "30 %", share),
        ("quickstart, sealed gain, median of the seeds", "+15 points", f"{points(measured['median_gain'])} points"),
        ("quickstart, sealed gain, least of the seeds", "+10 points", f"{points(measured['least_gain'])} points"),
        ("quickstart, sealed gain with 95 % interval, by seed", "above 0", gains),
    ]


def controls(measured: dict[str, Any]) -> list[Row]:
    """The two controls."""
    random, majority = measured["random_reward"], measured["majority_vote"]
    kept = sum(row["champion_round"] == 0 for row in majority)
    labels = ", ".join(
        f"seed {row['seed']}: {row['rounds'][1]['precision']:.2f} -> {row['rounds'][-1]['precision']:.2f}"
        for row in majority
        if len(row["rounds"]) > 1
    )
    accuracy = ", ".join(
        f"seed {row['seed']}: {row['rounds'][0]['accuracy']:.2f} -> {row['rounds'][-1]['accuracy']:.2f}"
        for row in majority
    )
    guarded = measured.get("guarded", [])
    shipped = f"{sum(row['champion_round'] == 0 for row in guarded)} of {len(guarded)} seeds"
    clean = f"{sum(not row['gain'] for row in random)} of {len(random)} seeds"
    return [
        ("`random_reward` ends with no significant gain", "all seeds", clean),
        ("`majority_vote` without a gate, label precision, first and last round", "falls", labels),
        ("`majority_vote` without a gate, accuracy, start and last candidate", "does not rise", accuracy),
        ("`majority_vote` without a gate, the start stays champion", "all seeds", f"{kept} of {len(majority)} seeds"),
        ("`majority_vote` as shipped, the start stays champion", "all seeds", shipped),
    ]


def same_work(measured: dict[str, Any]) -> list[Row]:
    """Three ways of the same rounds."""
    total = {row["way"]: row["total"] for row in measured["median"]}
    return [
        ("the same rounds, selfimprove", "not above TRL", f"{total['selfimprove']:.1f} s"),
        ("the same rounds, TRL's SFTTrainer and `generate`", "", f"{total['TRL']:.1f} s"),
        ("the same rounds, a bare PyTorch loop", "the aim", f"{total['bare']:.1f} s"),
    ]


def overhead(measured: dict[str, Any]) -> list[Row]:
    """What the run folder costs."""
    seconds = f"{measured['run']:.1f} s against {measured['bare']:.1f} s"
    figure = f"{measured['ratio']:.3f} ({seconds}); of CPU time {measured['cpu_ratio']:.3f}"
    return [("wall time of the rounds, against the same calls in a bare script", "1.06", figure)]


def growth(measured: dict[str, Any]) -> list[Row]:
    """What a late round costs against an early one."""
    first, *_, last = measured["rows"]
    many = f"{last['rounds']} rounds"
    figure = f"{last['ratio']:.2f} ({last['ms']:.0f} ms against {last['beside']:.0f} ms)"
    return [
        (f"CPU time of a round at {many}, against {first['rounds']}, without a model", "1.5", figure),
        (f"resume of a finished run of {measured['resumed']} rounds", "5 s", f"{measured['resume_seconds']:.1f} s"),
    ]


def orchestration(measured: dict[str, Any]) -> list[Row]:
    """What refinements in waves take beside their engine."""
    shares = ", ".join(f"`{row['method']}` {100 * row['share']:+.1f} %" for row in measured["rows"])
    calls = ", ".join(f"{row['calls']} in {row['waves']}" for row in measured["rows"])
    return [
        (f"refinements of {measured['problems']} problems, CPU time beside that of the engine", "+5 %", shares),
        ("the same, calls of the engine in waves", "one in each", calls),
    ]


def startup(measured: dict[str, Any]) -> list[Row]:
    """Commands that need no model."""
    return [
        (
            f"`selfimprove {row['command']}`",
            f"{row['goal']:g} s, no torch",
            f"{row['seconds']:.2f} s, {'torch imported' if row['torch'] else 'no torch'}",
        )
        for row in measured["rows"]
    ]


ROWS: dict[str, Callable[[dict[str, Any]], list[Row]]] = {
    "quickstart_seeds": quickstart,
    "controls": controls,
    "same_work": same_work,
    "overhead": overhead,
    "growth": growth,
    "orchestration": orchestration,
    "startup": startup,
}
"""Name of a bench, which is the name of its file in docs/results/ -> its rows."""


if __name__ == "__main__":
    main()
