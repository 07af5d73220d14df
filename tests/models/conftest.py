"""Published models as they are: each test that takes `published` is run for every model that MODELS names.

    make fixtures MODELS="qwen3 gptoss gemma3"       builds them, see scripts/fixtures
    make test-models MODELS="qwen3 gptoss gemma3"    runs these tests with them; without MODELS, with all

A test gets the models with random weights. With the mark `lesson("taught")` it gets those that were taught that lesson,
`qwen3-taught`; with `only("gptoss")` those of the architectures that it names. `figure(what, number)` is printed at the
end.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent
SCRIPTS = HERE.parents[1] / "scripts" / "fixtures"


@functools.cache
def script(name: str) -> ModuleType:
    """A module of scripts/fixtures; those import each other by their names."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(SCRIPTS))


@dataclass(frozen=True)
class Published:
    """One fixture."""

    name: str
    """`qwen3`, or with its lesson `qwen3-taught`."""
    root: Path
    """FIXTURES."""

    @property
    def folder(self) -> Path:
        """The model folder; tests copy it before they change anything."""
        return self.root / "models" / self.name

    @property
    def sums(self) -> Path:
        """The problems that a taught model has learned, as JSON lines with prompt and answer."""
        return self.root / "data" / "sums.jsonl"

    @property
    def architecture(self) -> Any:
        """What scripts/fixtures/architectures.py says of it."""
        return script("architectures").ARCHITECTURES[self.name.partition("-")[0]]

    @property
    def tokenizer(self) -> Any:
        """Loaded once in each process."""
        return _tokenizer(self.folder)

    @property
    def model(self) -> Any:
        """In float32, loaded once in each process; tests leave it as it is."""
        return _model(self.folder)


@functools.cache
def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@functools.lru_cache(maxsize=3)
def _model(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each model that MODELS names and the marks of the test allow."""
    if "published" not in metafunc.fixturenames:
        return
    asked = os.environ.get("MODELS", "all").split()
    names = script("build").every() if asked == ["all"] else asked
    marks = {mark.name: mark.args for mark in metafunc.definition.iter_markers()}
    lesson, only = marks.get("lesson", ("",))[0], marks.get("only", ())
    parts = [name.partition("-") for name in names]
    fit = [f"{kind}{dash}{own}" for kind, dash, own in parts if own == lesson and (not only or kind in only)]
    metafunc.parametrize("published", fit, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder are marked `models`."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("models")


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder FIXTURES."""
    place = os.environ.get("FIXTURES", "")
    if not place or not Path(place).is_dir():
        pytest.fail(f"no folder FIXTURES ({place or 'not set'}): make fixtures", pytrace=False)
    return Path(place)


@pytest.fixture
def published(request: pytest.FixtureRequest, fixtures: Path) -> Published:
    """One fixture, see above."""
    found = Published(request.param, fixtures)
    if not found.folder.is_dir():
        pytest.fail(f"{found.folder} was not built: make fixtures MODELS={found.name}", pytrace=False)
    return found


@pytest.fixture
def figure(record_property: Callable[[str, Any], None], request: pytest.FixtureRequest) -> Callable[[str, Any], None]:
    """`figure("greedy equal", "50 of 50")`: printed at the end, with the name of the model."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    model = params.get("published", "")
    return lambda what, value: record_property(f"{what}, {model}" if model else what, value)
