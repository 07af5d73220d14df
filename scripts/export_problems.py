"""Write problems of a task as JSON lines that other evaluation programs read, for example lm-eval.

Each line is {"prompt": ..., "answer": ...}; the prompt is what the model reads. The default split is `selection`, which
is there to be looked at: the gate's and the sealed problems stay unread.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from selfimprove import registry
from selfimprove.errors import UserError
from selfimprove.problems.splits import SPLITS
from selfimprove.recipe import compose
from selfimprove.text import plain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("overrides", nargs="*", help="options of the task, for example task.chain_sums.max_length=5")
    parser.add_argument("--task", default="chain_sums", help="name of a task, or a recipe whose task to use")
    parser.add_argument("--split", default="selection", choices=list(SPLITS))
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        count = export(options.file, options.task, options.overrides, options.split, options.problems, options.seed)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.code)
    print(f"{count} {options.split} problems of {options.task} in {options.file}")


def export(file: Path, task: str, overrides: list[str], split: str, problems: int, seed: int) -> int:
    """Write the problems that `selfimprove eval` takes; returns their number."""
    named = task in registry.names("task")
    recipe, _ = compose.load("quickstart", [f"task={task}", *overrides]) if named else compose.load(task, overrides)
    drawn = recipe.the("task").problems(split, problems, seed)
    lines = [json.dumps({"prompt": plain(problem.prompt), "answer": problem.answer}) for problem in drawn]
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return len(lines)


if __name__ == "__main__":
    main()
