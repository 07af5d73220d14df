"""Branch a run: a new run that shares the finished steps of another one up to a round, then has other options.

A step is shared if the new run's fingerprint of it is the same: it was made from the same inputs with the same options.
So also those steps of the round itself are shared that come before the first one that the change affects, such as the
samples if only their selection changes. Files are hard links where the disk has them, else copies: a finished step is
never written again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError, RecipeError, StorageError
from selfimprove.loop import branch, stages
from selfimprove.loop.begin import absolute, machine_now
from selfimprove.loop.history import Stored
from selfimprove.loop.origin import ACCEPTED, acceptable
from selfimprove.loop.provenance import differences
from selfimprove.recipe import compose
from selfimprove.records import Prompt
from selfimprove.store import durable
from selfimprove.store.ledger import Ledger
from selfimprove.store.run_folder import RunDir, storage
from selfimprove.store.seal import damage, signed, write_json

Step = tuple[int, str]


def replay(
    source: Path,
    number: int,
    overrides: Sequence[str],
    out: Path | None = None,
    load: compose.Load = compose.load,
) -> RunDir:
    """Create the folder of a branch; it goes on like any run that was stopped.

    Args:
        source: the folder of the other run, which is only read.
        number: the first round with the changed options.
        overrides: changes such as `selection.threshold.per_prompt=8`.
        out: the new folder; None means a free one beside the other.
        load: composes the recipe.

    Raises:
        MissingError: there is no run.
        RecipeError: the round has no finished rounds before it, or the change cannot be made in a run.
        DataError: a step before that round is damaged.
        StorageError: the new folder is not empty.
    """
    old = Stored(RunDir.open(source), load)
    done = next(n for n in range(10**6) if not _whole(old, n))
    if not 1 <= number <= done:
        most = f"rounds 0 to {done - 1} of {source} are finished" if done else f"no round of {source} is finished"
        raise RecipeError(f"--from {number} cannot be shared: {most}; give a round from 1 to {max(done, 1)}")
    if number > old.recipe.rounds and not _whole(old, number):
        raise RecipeError(f"{source} ends with round {number - 1}. Go on with it: selfimprove resume {source} --add 1")
    grave, _ = differences(old.environment, machine_now(old.settings))
    if grave and "versions" in old.environment:
        raise RecipeError(
            f"{source} was made with other versions: {', '.join(grave)}. Install those, or start a new run"
        )
    standing = old.standing(number)
    for maker in (0, standing.incumbent, standing.champion):
        old.checkpoint(maker)  # refused here if the weights were pruned
    changed = _changed(old, number, overrides, load)
    root = out or next(path for path in _beside(source) if not path.exists())
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise StorageError(f"{root} exists and is not empty; choose another --out")
    fresh = root.with_name(f".{root.name}.new")
    durable.remove(fresh)
    RunDir.create(fresh)
    try:
        _fill(old, fresh, number, changed, load)
        with storage():
            root.parent.mkdir(parents=True, exist_ok=True)
        durable.rename(fresh, root, "commit")
        durable.fsync(root.parent, "commit")
    except BaseException:
        durable.remove(fresh)
        raise
    return RunDir.open(root)


def _changed(old: Stored, number: int, overrides: Sequence[str], load: compose.Load) -> dict[str, Any]:
    """Option -> its value from round `number` on.

    Raises:
        RecipeError: an option that measures or decides, or none that differs from what that round had.
    """
    _, settings = load(old.folder.root / "recipe.yaml", overrides)
    settings, had, then = absolute(settings), old.at(number)[1], old.environment["settings"]
    made = dict[str, Any]()
    for place in (one.partition("=")[0] for one in overrides):
        new = _value(settings, place)
        if not acceptable(place, new, then):
            raise RecipeError(
                f"{place} cannot change in a branch: only options of {', '.join(ACCEPTED)} can, of methods that the "
                f"recipe has. Start a new run: selfimprove run {old.folder.root / 'recipe.yaml'} {place}=..."
            )
        if new != _value(had, place):
            made[place] = new
    if not made:
        raise RecipeError(f"nothing changes from round {number} on; give key=value with another value than it had")
    return made


def _fill(old: Stored, fresh: Path, number: int, changed: dict[str, Any], load: compose.Load) -> None:
    """Write a branch into a folder that nobody sees yet."""
    then, source = old.environment, old.folder.root
    accepted = [one for one in then.get("accepted", ()) if one["round"] <= number]
    noted = {name: value for name, value in then.items() if name != "sha256"}
    noted |= {"accepted": [*accepted, {"round": number, "overrides": changed}]}
    with storage():
        shutil.copyfile(source / "recipe.yaml", fresh / "recipe.yaml")
    write_json(fresh / "environment.json", signed({k: v for k, v in noted.items() if k != "replay"}))
    new = Stored(RunDir(fresh), load)
    shared = list[Step]()
    for place in _shared(old, new, number):
        _link(old.folder.step(*place), new.folder.step(*place))
        new.folder.reread(*place)
        shared.append(place)
    first = next((one for one in new.steps(number) if (number, one) not in shared), "confirmation")
    _ledger(old, fresh, shared)
    consumed = set(old.branch.consumed if old.branch else ())
    consumed |= {
        key
        for place in _decided(old)
        if place not in shared
        for key in old.report(place[0], "champion", place[1]).scores
    }
    Ledger(fresh / "ledger.jsonl").read(
        number, branch.STEP, "gate", [Prompt(prompt=[], key=key) for key in sorted(consumed)]
    )
    costly = [place for place in shared if place[1] != "model"]
    counts = [old.folder.manifest(*place).get("counts", {}) for place in costly]
    told = {
        "run": source.resolve().name,
        "round": number,
        "step": first,
        "overrides": changed,
        "exams": len([one for one in _steps(old) if one[1] == "sealed" and one not in shared])
        + (old.branch.exams if old.branch else 0),
        "consumed": sorted(consumed),
        "steps": len(shared),
        "seconds": sum(old.folder.seconds(*place) for place in costly),
        "tokens": sum(one.get("drawn_tokens", one.get("tokens", 0)) for one in counts),  # old runs count samples only
    }
    write_json(fresh / branch.FILE, signed(told))
    write_json(fresh / "environment.json", signed({**noted, "replay": {"run": told["run"], "round": number}}))


def _shared(old: Stored, new: Stored, number: int) -> Iterator[Step]:
    """The steps that both runs have, in the order in which they ran; each must be in its place before the next.

    Raises:
        DataError: a step before the round cannot be shared, because it is damaged or missing.
    """
    fingerprint = new.first()
    for now in range(number + 1):
        for stage in new.steps(now):
            fingerprint = new.fingerprint(fingerprint, now, stage)
            wrong = _apart(old, new, (now, stage), fingerprint)
            if wrong and now == number:
                return
            if wrong:
                raise DataError(
                    f"{old.folder.step(now, stage)} cannot be shared: {wrong}. Repair the run first: "
                    f"selfimprove resume {old.folder.root}"
                )
            yield now, stage
        if now < number:
            for stage in stages.END:
                if old.folder.step(now, stage).exists() and not _apart(
                    old, new, (now, stage), new.fingerprint(fingerprint, now, stage)
                ):
                    yield now, stage


def _apart(old: Stored, new: Stored, place: Step, fingerprint: str) -> str:
    """Why a step cannot be shared; "" if it can."""
    folder = old.folder.step(*place)
    if wrong := damage(folder):
        return wrong
    manifest = old.folder.manifest(*place)
    if manifest.get("fingerprint") != fingerprint or manifest.get("inputs", "") != new.inputs(*place):
        return "it was made with other options"
    return ""


def _steps(stored: Stored) -> list[Step]:
    """All finished steps of a run."""
    found = stored.folder.root.glob("round_*/[!.]*")
    return [(int(path.parent.name.removeprefix("round_")), path.name) for path in found]


def _decided(stored: Stored) -> list[Step]:
    """The finished steps of a run that consumed gate problems."""
    return [place for place in _steps(stored) if place[1] in ("evaluation", "confirmation")]


def _whole(stored: Stored, number: int) -> bool:
    """Whether all steps of a round are finished."""
    return stored.folder.finished(number) >= set(stored.steps(number))


def _link(source: Path, target: Path) -> None:
    """Give every file of a finished step a second name, or copy it where the disk has no hard links."""
    with storage():
        for path in sorted(source.rglob("*")):
            place = target / path.relative_to(source)
            if path.is_dir():
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, place, follow_symlinks=False)
            except OSError:
                shutil.copyfile(path, place, follow_symlinks=False)
        for folder in (target, target.parent):
            durable.fsync(folder, "commit")


def _ledger(old: Stored, fresh: Path, shared: Sequence[Step]) -> None:
    """The first lines of the ledger, up to the first that a step wrote that is not shared."""
    lines = list[str]()
    for entry in old.ledger.entries(repair=False):
        said_by_person = "approved" in entry or "rounds" in entry
        if not said_by_person and entry["step"] != branch.STEP and (entry["round"], entry["step"]) not in shared:
            break
        lines.append(json.dumps(entry) + "\n")
    durable.append(fresh / "ledger.jsonl", "".join(lines).encode())


def _value(settings: Any, place: str) -> Any:
    """The value of an option by its dotted name; None if there is none."""
    for name in place.split("."):
        settings = settings.get(name) if isinstance(settings, dict) else None
    return settings


def _beside(source: Path) -> Iterator[Path]:
    """Free names for a branch: the other run's with -replay, and a number from the second on."""
    root = source.resolve()
    yield root.with_name(f"{root.name}-replay")
    for number in range(2, 10**6):
        yield root.with_name(f"{root.name}-replay-{number}")
