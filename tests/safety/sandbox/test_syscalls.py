"""The filter, run by a small machine here: what is listed passes, all else is refused, on both architectures."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.safety.sandbox import syscalls
from selfimprove.safety.sandbox.syscalls import MACHINES, Instruction, Machine

ALLOW, KILL = "allow", "kill"
PID = 4321
HEADERS = {"x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "/usr/include/asm-generic/unistd.h"}
machines = pytest.mark.parametrize("machine", MACHINES.values(), ids=list(MACHINES))


def judge(
    program: list[Instruction], machine: Machine, number: int, *arguments: int, audit: int | None = None
) -> object:
    """What a filter says of a call: `allow`, `kill` or an errno."""
    return judged(program, machine, number, *arguments, audit=audit)[0]


def judged(
    program: list[Instruction], machine: Machine, number: int, *arguments: int, audit: int | None = None
) -> tuple[object, int]:
    """The same, and how many instructions it took. Classic BPF, as far as the filters use it."""
    words = {0: number & 0xFFFFFFFF, 4: machine.audit if audit is None else audit}
    for place in range(6):
        value = (arguments[place] if place < len(arguments) else 0) & (1 << 64) - 1
        words |= {16 + 8 * place: value & 0xFFFFFFFF, 20 + 8 * place: value >> 32}
    loaded, at, steps = 0, 0, 0
    while True:
        code, yes, no, operand = program[at]
        at, steps = at + 1, steps + 1
        if code == 0x20:
            loaded = words[operand]
        elif code == 0x54:
            loaded &= operand
        elif code == 0x06:
            action, data = operand & 0xFFFF0000, operand & 0xFFFF
            return {0x7FFF0000: ALLOW, 0x80000000: KILL}.get(action, data), steps
        else:
            holds = {0x15: loaded == operand, 0x35: loaded >= operand, 0x45: bool(loaded & operand)}[code]
            at += yes if holds else no


def filter_of(machine: Machine, files: bool = False, truncation: bool = False) -> list[Instruction]:
    return syscalls.build(machine, PID, files, truncation)


@pytest.mark.parametrize("name", MACHINES)
def test_the_numbers_are_those_of_the_kernel_s_headers(name: str) -> None:
    header = Path(HEADERS[name])
    if not header.exists():
        pytest.skip(f"no {header}")
    known = dict(re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)", header.read_text()))
    known.setdefault("newfstatat", known.get("fstatat", ""))
    tables = syscalls._ALWAYS + syscalls._FILES + syscalls._ASKED + syscalls._UNKNOWN
    ours = syscalls.numbers(tables, MACHINES[name])
    assert {call: str(number) for call, number in ours.items()} == {call: known[call] for call in ours}
    assert len(ours) > 100


@machines
@given(
    number=st.integers(0, 2000) | st.integers(-(1 << 31), (1 << 32) - 1), words=st.lists(st.integers(0, 9), max_size=6)
)
def test_what_is_not_listed_is_refused_whatever_its_arguments_are(
    machine: Machine, number: int, words: list[int]
) -> None:
    program = filter_of(machine)
    listed = set(syscalls.allowed(machine, False).values())
    said = judge(program, machine, number, *words)
    if number in listed:
        assert said == ALLOW
    elif number not in syscalls.asked(machine).values():
        assert said in (errno.EPERM, errno.ENOSYS, KILL)


@machines
@pytest.mark.parametrize("files", [False, True])
def test_each_number_has_the_answer_of_its_list_within_a_few_instructions(machine: Machine, files: bool) -> None:
    """A list of 130 numbers, one after another, took 260: the kernel runs the filter for each number, at each start."""
    program = filter_of(machine, files)
    listed: dict[int, object] = dict.fromkeys(syscalls.allowed(machine, files).values(), ALLOW)
    listed |= dict.fromkeys(syscalls.numbers(syscalls._UNKNOWN, machine).values(), errno.ENOSYS)
    rules = set(syscalls.asked(machine).values())
    assert len(syscalls.packed(program)) == 8 * len(program) < 8 * 450, "and no jump is longer than 255"
    for number in {*range(600), *(1 << bit for bit in range(10, 30)), 0x3FFFFFFF} - rules:
        said, steps = judged(program, machine, number)
        assert said == listed.get(number, errno.EPERM) and steps <= 16, number


@machines
@given(number=st.integers(0, 600))
def test_calls_of_another_architecture_end_the_process(machine: Machine, number: int) -> None:
    assert judge(filter_of(machine), machine, number, audit=0x40000003) == KILL
    if machine.x32:
        assert judge(filter_of(machine), machine, number | 0x40000000) == KILL


@machines
@pytest.mark.parametrize(
    ("call", "arguments", "said"),
    [
        ("clone", (0x3D0F00,), ALLOW),  # a thread of the C library
        ("clone", (0x1200011,), errno.EPERM),  # fork of the C library
        ("clone", (17,), errno.EPERM),
        ("clone", (0x3D0F00 | 0x10000000,), errno.EPERM),  # a thread in a user namespace of its own
        ("socketpair", (1, 1), ALLOW),
        ("socketpair", (1, 1 | 0o4000 | 0o2000000), ALLOW),
        ("socketpair", (1, 2), errno.EPERM),  # datagrams can be sent to names
        ("socketpair", (2, 1), errno.EPERM),
        ("sendto", (3, 1, 1, 0, 0, 0), ALLOW),
        ("sendto", (3, 1, 1, 0, 0x7F00_0000_1000, 16), errno.EPERM),
        ("sendto", (3, 1, 1, 0, 1 << 32, 16), errno.EPERM),  # the upper half of an address counts
        ("fcntl", (3, 3), ALLOW),
        ("fcntl", (3, 8), errno.EPERM),  # F_SETOWN
        ("fcntl", (3, 10), errno.EPERM),  # F_SETSIG
        ("fcntl", (3, 1024), errno.EPERM),  # F_SETLEASE
        ("fcntl", (3, 1031), errno.EPERM),  # F_SETPIPE_SZ
        ("ioctl", (0, 0x5401), ALLOW),
        ("ioctl", (0, 0x5412), errno.EPERM),  # TIOCSTI
        ("prctl", (15,), ALLOW),
        ("prctl", (1,), errno.EPERM),
        ("prctl", (22,), errno.EPERM),
        ("tgkill", (PID, PID, 6), ALLOW),
        ("tgkill", (PID + 1, PID, 6), errno.EPERM),
        ("prlimit64", (0, 7, 0, 1), ALLOW),
        ("prlimit64", (0, 7, 1 << 33, 0), errno.EPERM),
        ("prlimit64", (99, 7, 0, 1), errno.EPERM),
        ("openat", (-100, 1, 0o2), ALLOW),  # which file may be opened is up to Landlock
    ],
)
def test_arguments_by_hand(machine: Machine, call: str, arguments: tuple[int, ...], said: object) -> None:
    assert judge(filter_of(machine), machine, syscalls.asked(machine)[call], *arguments) == said


@machines
def test_an_old_landlock_leaves_the_emptying_of_files_to_the_filter(machine: Machine) -> None:
    openat = syscalls.asked(machine)["openat"]
    assert judge(filter_of(machine, truncation=True), machine, openat, -100, 1, 0o1000) == errno.EPERM
    assert judge(filter_of(machine, truncation=True), machine, openat, -100, 1, 0o2000000) == ALLOW
    assert judge(filter_of(machine), machine, openat, -100, 1, 0o1000) == ALLOW


@machines
def test_files_can_be_made_only_where_there_is_a_folder_for_them(machine: Machine) -> None:
    mkdir = syscalls.numbers("mkdirat:258:34", machine)["mkdirat"]
    assert judge(filter_of(machine), machine, mkdir) == errno.EPERM
    assert judge(filter_of(machine, files=True), machine, mkdir) == ALLOW
