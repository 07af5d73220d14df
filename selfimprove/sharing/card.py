"""The model card: metadata that the Hub reads, and what a reader should know, in the words of the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from selfimprove import registry
from selfimprove.safety.redaction import shown
from selfimprove.sharing.exported import Exported, recipe_text
from selfimprove.sharing.harness import Score

MADE = ("acquisition", "reward", "selection", "optimization", "refinement", "gate")
"""The slots that a card lists."""


def card(one: Exported, scores: Sequence[Score] = ()) -> str:
    """README.md of the exported folder.

    Args:
        scores: results of lm-eval that go along.
    """
    head = yaml.safe_dump(metadata(one, scores), sort_keys=False, allow_unicode=True, width=1000)
    parts = [_result(one), _use(one), _made(one), _data(one), _limits(one), _harness(scores), _files(one)]
    return f"---\n{head}---\n\n# {_plain(one.name)}\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def metadata(one: Exported, scores: Sequence[Score] = ()) -> dict[str, Any]:
    """The head of the card; the exam stands in `model-index`, whose form is that of huggingface_hub's EvalResult."""
    made: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    made |= {"license": one.license} if one.license else {}
    made |= {"base_model": one.base} if one.base else {}
    made |= {"datasets": one.datasets} if one.datasets else {}
    tags = ["selfimprove", f"recipe:{one.summary['recipe']}", f"task:{one.task}"]
    made["tags"] = [*tags, *(["certified-gain"] if one.certified else [])]
    made["model-index"] = [{"name": one.name, "results": [_exam(one), *map(_of_harness, scores)]}]
    return made


def _exam(one: Exported) -> dict[str, Any]:
    sealed, options = one.sealed, one.settings["task"][one.task] or {}
    measure, metrics = sealed.get("measure", "accuracy"), one.summary.get("metrics", {}).get("champion", {})
    metric = metrics.get(measure)
    interval = f"95 % CI {metric['low']:.3f} to {metric['high']:.3f}, " if metric else ""
    dataset = {"type": one.datasets[0] if one.datasets else one.task, "name": f"{one.task}, sealed problems"}
    if one.datasets and options.get("config"):
        dataset["config"] = options["config"]
    return {
        "task": {"type": "text-generation", "name": one.task},
        "dataset": {**dataset, "split": "sealed"},
        "metrics": [
            {
                "type": measure,
                "value": round(sealed["champion"], 4),
                "name": f"{measure.replace('_', ' ')} ({interval}n = {sealed['n']})",
            }
        ],
    }


def _of_harness(score: Score) -> dict[str, Any]:
    error = "" if score.error is None else f" (standard error {score.error:.4f}, n = {score.n})"
    return {
        "task": {"type": "text-generation", "name": score.task},
        "dataset": {"type": score.task, "name": score.task},
        "metrics": [{"type": score.metric, "value": round(score.value, 4), "name": f"{score.metric}{error}"}],
        "source": {"name": "lm-eval", "url": "https://github.com/EleutherAI/lm-evaluation-harness"},
    }


# ---- the text --------------------------------------------------------------------------------------------------------
def _result(one: Exported) -> str:
    sealed, verdict = one.sealed, one.summary["verdict"]
    low, high = (100 * bound for bound in sealed["ci"])
    measure = sealed.get("measure", "accuracy").replace("_", " ")
    lines = [f"**{_plain(verdict[0].upper() + verdict[1:])}**", ""]
    if not sealed["champion_round"]:
        lines += ["No round made a better model that was certified: these are the weights of the start.", ""]
    lines += _table(
        ["", "start", "champion", "difference, points"],
        [
            [
                f"{measure}, {sealed['n']} sealed problems",
                f"{sealed['start']:.3f}",
                f"{sealed['champion']:.3f}",
                f"{100 * sealed['delta']:+.1f} [{low:+.1f}, {high:+.1f}]",
            ]
        ],
    )
    lines += ["", "The interval is a 95 % interval of the paired difference, on problems that nothing had read before."]
    if over := sealed.get("controls", {}).get("over_votes"):
        found = sealed["controls"]
        lines.append(
            f"At equal compute, against the start by majority vote of {found['samples']} samples: "
            f"{100 * over['value']:+.1f} points [{100 * over['low']:+.1f}, {100 * over['high']:+.1f}]."
        )
    return "\n".join(lines)


def _use(one: Exported) -> str:
    chain = ", ".join(one.settings["refinement"])
    lines = ["## Use", "", f"The exam answered with the refinement `{chain}`"]
    lines[-1] += "." if chain == "greedy" else "; plain generation is another thing than what was measured."
    lines += [
        "",
        "```console",
        f"$ selfimprove serve FOLDER --refinement {chain.replace(', ', ',')} task={one.task}",
        "```",
    ]
    return "\n".join(lines)


def _made(one: Exported) -> str:
    loop = one.summary.get("loop", {})
    rows = []
    for slot in MADE:
        for name in one.settings.get(slot) or {}:
            entry = registry.find(slot, name)
            paper = f"[arXiv:{entry.paper}](https://arxiv.org/abs/{entry.paper})" if entry.paper else ""
            rows.append([slot, f"`{name}`", _plain(registry.summary(entry)), paper])
    lines = ["## How it was made", "", *_table(["stage", "method", "what it does", "paper"], rows), ""]
    champion, rounds = one.sealed["champion_round"], one.summary["rounds"]
    lines.append(
        f"Recipe `{_plain(one.summary['recipe'])}`, seed {one.summary['seed']}, {rounds} rounds; the champion is of "
        f"round {champion}. " + (f"{loop['candidates']} candidates, {loop['certified']} certified." if loop else "")
    )
    lines += ["", "<details><summary>The whole recipe</summary>", "", "```yaml", shown(recipe_text(one)).rstrip()]
    lines += ["```", "", "</details>"]
    return "\n".join(lines)


def _data(one: Exported) -> str:
    lines = ["## Data", ""]
    named = ", ".join(f"`{name}`" for name in one.datasets)
    lines.append(f"Task `{one.task}`" + (f" with the data {named}." if named else "."))
    lines.append("Problems are divided by the sha256 of their content: training 60 %, selection 10 %, gate 15 %, ")
    lines[-1] += "audit 5 %, sealed 10 %. Training saw the first part only."
    for option, noted in one.stored.environment.get("data", {}).items():
        lines.append(f"- `{option}`: sha256 `{noted['sha256']}`")
    return "\n".join(lines)


def _limits(one: Exported) -> str:
    loop, sealed = one.summary.get("loop", {}), one.sealed
    lines = ["## Limits", ""]
    lines.append(f"- The result holds for new problems of the task `{one.task}`. It says nothing of other abilities.")
    if loop.get("alpha") is not None:
        lines.append(
            f"- The probability of any false certificate in the run is at most {loop['alpha']:g}, for new problems of "
            "this task."
        )
    if sealed.get("reads", 1) > 1:
        lines.append(f"- The sealed problems were read {sealed['reads']} times.")
    if sealed.get("adapted"):
        lines.append("- Weights were adapted on the questions of the exam, without answers.")
    for alert in loop.get("alerts", ())[:20]:
        lines.append(f"- Alarm in round {alert['round']}, `{alert['alarm']}`: {_plain(alert['text'])}")
    if not one.base:
        lines.append("- The start is not on the Hub, or its id is not known.")
    if not one.license:
        lines.append("- No licence is named. That of the start and of the data holds; its publisher must name it.")
    return "\n".join(lines)


def _harness(scores: Sequence[Score]) -> str:
    if not scores:
        return ""
    rows = [
        [one.task, one.metric, f"{one.value:.4f}", "" if one.error is None else f"{one.error:.4f}", str(one.n or "")]
        for one in scores
    ]
    return "\n".join(["## lm-eval", "", *_table(["task", "metric", "value", "standard error", "n"], rows)])


def _files(one: Exported) -> str:
    rows = [[f"`{name}`", f"`{found}`"] for name, found in one.hashes.items()]
    versions = ", ".join(f"{name} {version}" for name, version in one.stored.environment.get("versions", {}).items())
    return "\n".join(["## Files", "", *_table(["file", "sha256"], rows), "", f"Made with {_plain(versions)}."])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    line = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return line


def _plain(text: str) -> str:
    """Text of others in Markdown: one line, no markup, no secret."""
    flat = " ".join(shown(text).split())
    escaped = flat.replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{character}" if character in "\\`*_[]|#" else character for character in escaped)
