"""Nothing gets out: every attempt of `battery` in every tier of this machine, as root and as an ordinary user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

BATTERY = Path(__file__).with_name("battery.py")
NOBODY = 65534
ROOT = os.geteuid() == 0


@cache
def python_for(uid: int) -> str | None:
    """A Python that this user can start and that an unknown user can read, or None."""
    for python in (os.path.realpath(sys.executable), "/usr/bin/python3", "/usr/local/bin/python3"):
        code = "import sys, ctypes, sqlite3; sys.exit(sys.version_info < (3, 11))"
        try:
            subprocess.run([python, "-c", code], check=True, capture_output=True, cwd="/", **_user(uid))
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    return None


def _user(uid: int) -> dict:
    return {} if uid == os.geteuid() else {"user": uid, "group": uid, "extra_groups": []}


def run(what: str, uid: int, python: str | None = None, *more: str) -> dict[str, str]:
    python = python or python_for(uid)
    if python is None:
        pytest.skip(f"no Python 3.11 here that user {uid} can start")
    done = subprocess.run(
        [python, str(BATTERY), what, *more], capture_output=True, text=True, cwd="/", timeout=300, **_user(uid)
    )
    if "EngineError" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def users() -> list:
    ordinary = NOBODY if ROOT else os.geteuid()
    return [ordinary, pytest.param(0, marks=[pytest.mark.faults, pytest.mark.skipif(not ROOT, reason="needs root")])]


@pytest.mark.long
@pytest.mark.parametrize("uid", users(), ids=lambda uid: "user" if uid else "root")
def test_the_attempts_work_outside(uid: int) -> None:
    found = run("outside", uid)
    needs_root = {"move a process to another core"} if uid else set()
    assert {name: how for name, how in found.items() if how != "works" and name not in needs_root} == {}
    assert len(found) >= 40


@pytest.mark.long
@pytest.mark.parametrize("tier", ["A", pytest.param("B", marks=pytest.mark.faults)])
@pytest.mark.parametrize("uid", users(), ids=lambda uid: "user" if uid else "root")
def test_no_attempt_gets_out(uid: int, tier: str, record_property: Callable[[str, object], None]) -> None:
    found = run(tier, uid, python_for(NOBODY) if ROOT and tier == "B" else None, "attempts")
    record_property(f"attempts to get out of tier {tier} as {'user' if uid else 'root'}", len(found))
    assert {name: how for name, how in found.items() if not how.startswith("held")} == {}
    assert len(found) >= 100


LESS = """
import ctypes, platform, struct, sys
sys.path.insert(0, {package!r})
from selfimprove.errors import EngineError
from selfimprove.safety.sandbox.jail_process import Program
from selfimprove.safety.sandbox.runner import Sandbox
from selfimprove.safety.sandbox.open import open_sandbox
arm = platform.machine() == "aarch64"
numbers = {{"unshare": 97 if arm else 272, "mount": 40 if arm else 165, "landlock": 444, "setgroups": 159 if arm else 116}}
code = [(0x20, 0, 0, 0)]
for name in {refused!r}:
    code += [(0x15, 0, 1, numbers[name]), (0x06, 0, 0, 0x00050000 | (38 if name == "landlock" else 1))]
code = b"".join(struct.pack("=HBBI", *one) for one in [*code, (0x06, 0, 0, 0x7FFF0000)])
libc, kept = ctypes.CDLL(None), ctypes.create_string_buffer(code)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, struct.pack("@HP", len(code) // 8, ctypes.addressof(kept)), 0, 0) == 0
try:
    with open_sandbox(workers=1) as sandbox:
        print(sandbox.tier, sandbox.run(Program("print(6 * 7)")).output)
except EngineError as error:
    print(error.code, error)
"""


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        ([], ["A 42"]),
        (["unshare"], ["B 42"]),  # what most containers do
        (["mount"], ["B 42"]),  # a user namespace without rights, as AppArmor makes them
        (["landlock"], ["69 no sandbox", "tier A: this kernel has no Landlock", "tier B: this kernel has no Landlock"]),
    ],
)
def test_a_machine_that_offers_less_gets_the_next_tier_or_is_refused(refused: list[str], words: list[str]) -> None:
    python = python_for(NOBODY if ROOT else os.geteuid())
    if python is None:
        pytest.skip("no Python here that an ordinary user can start")
    code = LESS.format(package=str(BATTERY.parents[3]), refused=refused)
    user = _user(NOBODY) if ROOT else {}
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd="/", **user)
    if not refused and not done.stdout.startswith("A"):
        pytest.skip("this machine does not offer tier A")
    assert all(word in done.stdout for word in words), done.stdout + done.stderr


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_root_that_may_not_step_down_is_refused() -> None:
    code = LESS.format(package=str(BATTERY.parents[3]), refused=["setgroups"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.stdout.startswith("69 ") and "root may not become another user here" in done.stdout, done.stderr


@pytest.mark.faults
@pytest.mark.sweep
@pytest.mark.parametrize("tier", ["A", "B"])
@pytest.mark.parametrize("uid", users(), ids=lambda uid: "user" if uid else "root")
def test_no_program_takes_more_than_its_share_or_breaks_the_jail(
    uid: int, tier: str, record_property: Callable[[str, object], None]
) -> None:
    found = run(tier, uid, python_for(NOBODY) if ROOT and tier == "B" else None, "ends")
    record_property(f"attempts to exhaust or break tier {tier} as {'user' if uid else 'root'}", len(found))
    assert {name: how for name, how in found.items() if not how.startswith("held")} == {}
    assert len(found) >= 15
