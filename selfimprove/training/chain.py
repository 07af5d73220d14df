"""The optimizations of a recipe in turn: one trains on records, each later one works on the weights before it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfimprove.interfaces import Context, Optimization
from selfimprove.records import Checkpoint


def in_turn(methods: Mapping[str, Optimization], records: Sequence[Any], context: Context) -> Checkpoint:
    """The checkpoint of the last method; what the others wrote is removed."""
    (name, first), *later = methods.items()
    made, aside = first.optimize(records, context), list[Path]()
    for following, method in later:
        path = Path(made.path)
        if not path.exists():
            return made  # of several processes that trained together another one goes on
        if path.is_relative_to(context.folder):  # the next method writes in the same place
            aside.append(path.rename(context.folder / f"{name}.before"))
            made = replace(made, path=str(aside[-1]))
        made, name = method.optimize([made], context), following
    for folder in aside:
        shutil.rmtree(folder)
    return made
