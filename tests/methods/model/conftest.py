"""A small real model for the tests of the model slot."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def llama(small_llama: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama folder with random weights and a chat template; copy it before changing it."""
    return small_llama.build(tmp_path_factory.mktemp("models") / "llama", template=True)
