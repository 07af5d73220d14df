"""A sandbox for all tests of this folder, and the honest programs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from selfimprove.errors import EngineError
from selfimprove.safety.sandbox.jail_process import Limits
from selfimprove.safety.sandbox.open import open_sandbox
from selfimprove.safety.sandbox.runner import Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Two jails of the best tier of this machine, one second of computing time for each program."""
    try:
        opened = open_sandbox(Limits(cpu_seconds=1), workers=2)
    except EngineError as error:
        pytest.skip(str(error))
    with opened:
        yield opened


@pytest.fixture(scope="session")
def honest() -> ModuleType:
    place = importlib.util.spec_from_file_location("honest", Path(__file__).with_name("honest.py"))
    assert place and place.loader
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module
