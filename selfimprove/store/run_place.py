"""Whether a path is that of a run, and what to type if it is not."""

from __future__ import annotations

from pathlib import Path


def is_run(root: Path) -> bool:
    """Whether a folder is that of a run."""
    return (root / "recipe.yaml").is_file() and (root / "environment.json").is_file()


def why_no_run(root: Path) -> str:
    """Why a path is not that of a run, and what to type instead."""
    if not root.exists():
        near = Path("runs") / root.name
        return f"it does not exist. Did you mean {near}?" if is_run(near) else "it does not exist"
    if root.is_file():
        return "it is a file" + (f". Run a recipe with: selfimprove run {root}" if root.suffix == ".yaml" else "")
    above = next((path for path in root.resolve().parents if is_run(path)), None)
    if above:
        return f"it is a part of one; name the whole: {above}"
    below = sorted(path for path in root.iterdir() if is_run(path))
    if below:
        return f"it holds {len(below)}; name one of them, such as {below[0]}"
    return "it lacks recipe.yaml or environment.json. Start one with: selfimprove run RECIPE"
