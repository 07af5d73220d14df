"""A small real model for the tests of the model slot."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama folder with random weights and a chat template; copy it before changing it."""
    place = importlib.util.spec_from_file_location("small_llama", Path(__file__).parents[1] / "small_llama.py")
    assert place and place.loader
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module.build(tmp_path_factory.mktemp("models") / "llama", template=True)
