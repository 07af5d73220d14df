"""Commands of an ordinary user on files that somebody else owns: prints the cases that break a promise as JSON.

    python tests/cli/ordinary_user.py FOLDER RUN MODEL

FOLDER is empty and its own, RUN a finished run and MODEL a model folder. Each command runs in a fork, so that the
package is imported once.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 20
CODES = {0, 2, 3, 4, 65, 66, 69, 74, 75}
IN_RUN = (
    *(".", "LOCK", "recipe.yaml", "environment.json", "ledger.jsonl", "metrics.jsonl", "summary.json", "round_000"),
    *("round_000/model", "round_000/model/step.json", "round_000/model/config.json", "round_000/evaluation"),
    *("round_000/evaluation/champion.jsonl", "round_000/evaluation/champion.json", "round_000/sealed"),
)
ON_RUN = {
    "resume": ["resume", "{run}"],
    "more": ["resume", "{run}", "--accept-changes"],
    "report": ["report", "{run}"],
    "compare": ["compare", "{run}", "{run}"],
    "verify": ["verify", "{run}"],
    "mark": ["mark", "{run}"],
    "bench": ["check", "quickstart", "--like", "{run}"],
}
IN_MODEL = (
    ".",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors",
    "generation_config.json",
)
ON_MODEL = {
    "check": ["check", "quickstart", "model=pretrained", "model.pretrained.path={model}"],
    "doctor": ["doctor", "--model", "{model}"],
}
IN_DATA = (".", "train.jsonl", "README.md", "inner", "inner/more.jsonl")
_OF = ["model=pretrained", "model.pretrained.path={model}"]
ON_DATA = {
    "folder": ["check", "quickstart", *_OF, "task=hub", "task.hub.path={data}"],
    "file": ["check", "quickstart", *_OF, "task=jsonl", "task.jsonl.path={data}/inner/more.jsonl"],
    "mark": ["mark", "{data}/train.jsonl", "--task", "gsm8k"],
}
PLAIN = {
    "list": ["list"],
    "show": ["show", "selection", "threshold"],
    "check": ["check", "quickstart"],
    "doctor": ["doctor"],
    "recipe": ["check", "{here}/mine.yaml"],
    "out": ["run", "quickstart", "--out", "{here}/out/run", "rounds=0"],
    "in": ["run", "quickstart", "--out", "{here}/out", "rounds=0"],
}
OWN = ("mine.yaml", "out")
"""What some commands take."""
MODES = (0, 0o444, 0o555)
"""Not at all, without entering folders, without writing."""


@dataclass
class Case:
    """One command with something that it may not use."""

    name: str
    words: Sequence[str]
    spoil: Callable[[], object] = lambda: None
    environment: dict[str, str] = field(default_factory=dict)


def cases(here: Path, run: Path, model: Path) -> Iterator[Case]:
    """All cases; the files are made anew for each."""
    data = here / "data"
    given = (("run", run, IN_RUN, ON_RUN), ("model", model, IN_MODEL, ON_MODEL), ("data", data, IN_DATA, ON_DATA))
    for what, source, names, commands in given:
        for name, mode, (command, words) in itertools.product(names, MODES, commands.items()):
            if mode and (source / name).is_file() and name != "LOCK":
                continue  # what is only read
            copy = here / "copy"
            places = {"model": str(model), what: str(copy)}

            def spoil(source: Path = source, name: str = name, mode: int = mode, copy: Path = copy) -> None:
                shutil.copytree(source, copy, symlinks=True)
                (copy / name).chmod(mode)

            yield Case(f"{what}/{name} {mode:o}: {command}", [word.format(**places) for word in words], spoil)
    for (where, mode), (command, words) in itertools.product(
        [("mine.yaml", 0), ("out", 0), ("out", 0o555), ("home", 0), ("home", 0o555), ("cache", 0), ("cache", 0o555)],
        PLAIN.items(),
    ):
        if {"recipe": "mine.yaml", "out": "out", "in": "out"}.get(command, "") != (where if where in OWN else ""):
            continue

        def plain(where: str = where, mode: int = mode) -> None:
            (here / "mine.yaml").write_text("rounds: 1\n")
            for name in ("out", "home", "cache"):
                (here / name).mkdir()
            (here / where).chmod(mode)

        environment = {"HOME": str(here / "home")} | (
            {"SELFIMPROVE_CACHE": str(here / "cache")} if where == "cache" else {}
        )
        yield Case(f"{where} {mode:o}: {command}", [word.format(here=here) for word in words], plain, environment)
    yield Case("a folder that cannot be searched", ["list"], lambda: _stand(here / "here", 0))
    yield Case("a folder that cannot be read", ["check", "quickstart"], lambda: _stand(here / "here", 0o111))


def _stand(folder: Path, mode: int) -> None:
    folder.mkdir()
    os.chdir(folder)
    folder.chmod(mode)


def tried(case: Case, here: Path) -> str:
    """Run a command; what is wrong with how it ended, "" if nothing."""
    from selfimprove.cli import main

    before = set(here.iterdir())
    said, began = here.parent / "said", time.monotonic()
    child = os.fork()
    if not child:
        code = 70
        try:
            signal.alarm(round(SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))))
            handle = os.open(said, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            os.dup2(handle, 2)
            os.dup2(os.open("/dev/null", os.O_RDWR), 1)
            os.environ.update(case.environment)
            case.spoil()
            sys.argv = ["selfimprove", *case.words]
            main.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        os._exit(code)
    _, status = os.waitpid(child, 0)
    code, lines = os.waitstatus_to_exitcode(status), said.read_text(errors="replace").splitlines()
    for path in set(here.iterdir()) - before:
        _remove(path)
    wrong = code not in CODES or any("Traceback" in line for line in lines)
    wrong |= bool(code) and not (lines and lines[-1].startswith("error: "))
    if os.environ.get("SHOWN"):
        print(f"{case.name}: {code} in {time.monotonic() - began:.1f} s: {lines[-1:]}", file=sys.stderr)
    return f"{case.name}: {code}: {' | '.join(lines[-4:])[:600]}" if wrong else ""


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():  # what a link leads to may be closed
        path.unlink()
        return
    path.chmod(0o700)
    for inner in path.iterdir():
        _remove(inner)
    path.rmdir()


def main() -> None:
    """Command line."""
    here, run, model = map(Path, sys.argv[1:])
    (here / "data" / "inner").mkdir(parents=True)
    rows = [
        {"prompt": f"What is {n} + 1?", "answer": str(n + 1), "reference": str(n), "completion": str(n)}
        for n in range(300)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (here / "data" / "train.jsonl").write_text(text)
    (here / "data" / "inner" / "more.jsonl").write_text(text)
    (here / "data" / "README.md").write_text("# Sums\n")
    import datasets
    import torch
    import transformers

    torch.set_num_threads(1)
    assert datasets and transformers
    only = os.environ.get("ONLY", "")
    wrong = [said for case in cases(here, run, model) if case.name.startswith(only) and (said := tried(case, here))]
    print(json.dumps(wrong))


if __name__ == "__main__":
    main()
