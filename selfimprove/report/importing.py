"""Which large package is being imported: that takes seconds, in which nothing else can be seen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import ModuleType

LARGE = ("torch", "transformers", "trl", "datasets")


class Importing:
    """Notices when the import of a large package begins; while it is entered, it stands first among the finders."""

    def __init__(self, told: Callable[[str], None]) -> None:
        """`told` is called with the name of each large package before it is looked for, once."""
        self._told, self._known = told, set[str]()

    def __enter__(self) -> Importing:
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Find nothing: the finders behind this one do."""
        if name in LARGE and name not in self._known:
            self._known.add(name)
            self._told(name)

    @property
    def current(self) -> str:
        """The large package whose import has begun and not ended; "" for none."""
        for name in LARGE:
            spec = sys.modules[name].__spec__ if name in sys.modules else None
            if spec is not None and vars(spec).get("_initializing"):
                return name
        return ""
