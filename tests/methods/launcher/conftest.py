"""An interpreter that only notes what it is asked, a step that must not run here, and a run that is as small as can be."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """`python("exit 3")`: the interpreter is a shell script that does this.

    First it adds a line to the file whose path is returned: its variables, then each argument behind a bar.
    """
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR")

    def make(then: str) -> Path:
        script, notes = tmp_path / "python", tmp_path / "notes"
        variables = " ".join(f"${name}" for name in names)
        script.write_text(f'#!/bin/sh\nwords=$(printf "|%s" "$@")\necho "{variables}$words" >> {notes}\n{then}\n')
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))
        for name in names:
            monkeypatch.delenv(name, raising=False)
        return notes

    return make


@pytest.fixture
def never() -> Callable[[], None]:
    """A step that must not run in this process."""

    def step() -> None:
        raise AssertionError("the step must not run in this process")

    return step


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides that make a run of the quickstart take seconds, with a cache of its own and one thread."""
    monkeypatch.setenv("SELFIMPROVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return [
        *("rounds=1", "gate_problems=12", "sealed_problems=12", "probe_problems=4"),
        *("audit_problems=4", "audit_samples=2", "reward=random", "acquisition.seed_prompts.problems=12"),
        *("acquisition.rejection_sampling.samples=2", "acquisition.rejection_sampling.max_completion_length=12"),
        *("engine.transformers.max_completion_length=12", "model.tiny.max_steps=2", "model.tiny.check_every=2"),
        *("model.tiny.probes=8", "optimization.sft.max_steps=2"),
    ]
