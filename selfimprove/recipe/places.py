"""Where recipe files are: those that come with the package, and a user's own."""

from __future__ import annotations

import re
from pathlib import Path

from selfimprove.errors import MissingError, RecipeError
from selfimprove.registry import nearest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""The names that a recipe file may have, without its suffix."""


def shipped() -> Path:
    """The folder of the recipes that come with the package."""
    package = Path(__file__).parents[1]
    return package / "recipes" if (package / "recipes").is_dir() else package.parent / "recipes"


def find(name: str) -> Path:
    """The file of a recipe, given its path or the name of a shipped one.

    Raises:
        MissingError: there is no such file.
    """
    path = Path(name)
    try:
        if path.is_dir() and name not in ("", "."):
            if (path / "environment.json").is_file():
                raise MissingError(
                    f"{name} is the folder of a run, not a recipe file. Continue it: selfimprove resume {name}; or "
                    f"start a new run with its recipe: selfimprove run {path / 'recipe.yaml'}"
                )
            raise MissingError(f"{name} is a folder, not a recipe file; name one of the files in it")
        if path.is_file():
            if not NAME.fullmatch(path.stem):
                raise RecipeError(
                    f"{name!r}: the name of a recipe names its run folder as well, so it may have letters, digits, "
                    "'.', '_' and '-' (at most 80); rename the file"
                )
            return path
        if path.exists() and name not in ("", "."):
            raise MissingError(f"{name} is a pipe or a device, not a file; write the recipe into a file and name that")
    except OSError as error:
        raise MissingError(f"cannot read {name[:80]!r}: {error.strerror}") from error
    own = shipped() / f"{path.name.removesuffix('.yaml')}.yaml"
    if path.parent == Path() and own.is_file():
        return own
    names = sorted(path.stem for path in shipped().glob("*.yaml"))
    near = nearest(path.stem, names).partition(" Choose from")[0]
    raise MissingError(
        f"no recipe file {name!r} and no shipped recipe of that name.{near} List them: selfimprove recipes"
    )
