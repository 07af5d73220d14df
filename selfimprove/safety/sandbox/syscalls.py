"""The system calls that a candidate may make, as a seccomp program; all others are refused.

An allow list also refuses calls that later kernels add.
"""

from __future__ import annotations

import struct
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

_ALWAYS = """
read:0:63 write:1:64 close:3:57 fstat:5:80 newfstatat:262:79 statx:332:291 ppoll:271:73 lseek:8:62 mmap:9:222
mprotect:10:226 munmap:11:215 mremap:25:216 msync:26:227 mincore:27:232 madvise:28:233 brk:12:214 rt_sigaction:13:134
rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigpending:127:136 rt_sigsuspend:130:133 rt_sigtimedwait:128:137
sigaltstack:131:132 pread64:17:67 pwrite64:18:68 preadv:295:69 pwritev:296:70 readv:19:65 writev:20:66 faccessat:269:48
faccessat2:439:439 pipe2:293:59 pselect6:270:72 sched_yield:24:124 dup:32:23 dup3:292:24 nanosleep:35:101
clock_nanosleep:230:115 getitimer:36:102 setitimer:38:103 getpid:39:172 getppid:110:173 gettid:186:178
recvfrom:45:207 shutdown:48:210 getsockname:51:204 getpeername:52:205 getsockopt:55:209
exit:60:93 exit_group:231:94 wait4:61:260 waitid:247:95 uname:63:160 getcwd:79:17 chdir:80:49
fchdir:81:50 readlinkat:267:78 getdents64:217:61 gettimeofday:96:169 clock_gettime:228:113 clock_getres:229:114
times:100:153 getrusage:98:165 sysinfo:99:179 getuid:102:174 geteuid:107:175 getgid:104:176 getegid:108:177
getgroups:115:158 getresuid:118:148 getresgid:120:150 umask:95:166 statfs:137:43 fstatfs:138:44
sched_getaffinity:204:123 sched_get_priority_max:146:125
sched_get_priority_min:147:126 futex:202:98 set_tid_address:218:96 set_robust_list:273:99 get_robust_list:274:100
rseq:334:293 membarrier:324:283 getrandom:318:278 getcpu:309:168 restart_syscall:219:128 epoll_create1:291:20
epoll_ctl:233:21 epoll_pwait:281:22 eventfd2:290:19 fadvise64:221:223 getrlimit:97:163
stat:4 lstat:6 poll:7 access:21 pipe:22 select:23 dup2:33 pause:34 alarm:37 getpgrp:111 readlink:89 getdents:78 time:201
epoll_create:213 epoll_wait:232 eventfd:284
"""
"""name:number on x86_64:number on aarch64, which lacks some; the numbers are from the kernel's headers."""

_FILES = """
mkdirat:258:34 unlinkat:263:35 renameat:264:38 renameat2:316:276 ftruncate:77:46 fsync:74:82 fdatasync:75:83 flock:73:32
mkdir:83 rmdir:84 unlink:87 rename:82
"""
"""Also allowed if the program has a folder to write in."""

_ASKED = """
open:2 openat:257:56 clone:56:220 fcntl:72:25 ioctl:16:29 prctl:157:167 prlimit64:302:261 tgkill:234:131
socketpair:53:199 sendto:44:206 getpgid:121:155 getsid:124:156 sched_getparam:143:121 sched_getscheduler:145:120
getpriority:140:141
"""
"""Allowed with some arguments only, see `_rules`."""

_UNKNOWN = "clone3:435:435 openat2:437:437 close_range:436:436"
"""Answered with ENOSYS, so that the C library falls back to calls whose arguments a filter can check."""

CLONE_THREAD = 0x10000
CLONE_NEW = 0x7E020080
"""All flags that make a namespace: time, mount, cgroup, uts, ipc, user, pid, net."""
_O_TRUNC = 0o1000
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032)
"""Duplicate, flags and locks; without those that direct signals (F_SETOWN, F_SETSIG, F_NOTIFY, leases)."""
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""Is it a terminal, its size, bytes to read, blocking or not, close on exec or not."""
_OF_A_PROCESS = ("getpgid", "getsid", "sched_getparam", "sched_getscheduler")
"""Tell something of a process, which must be the own one: else they tell which numbers are taken."""
_PRCTL = (3, 15, 16)
"""Whether it dumps core; the name of a thread."""

_EPERM, _ENOSYS = 1, 38
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LD, _AND, _JEQ, _JGE, _JSET, _RET = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand: classic BPF."""


@dataclass(frozen=True)
class Machine:
    """A processor architecture, as the kernel names it to a filter."""

    audit: int
    column: int
    x32: bool
    """Whether a second set of numbers reaches the same calls."""


MACHINES = {"x86_64": Machine(0xC000003E, 1, True), "aarch64": Machine(0xC00000B7, 2, False)}


def numbers(table: str, machine: Machine) -> dict[str, int]:
    """Name -> number on a machine, of the calls that it has."""
    rows = (entry.split(":") for entry in table.split())
    return {row[0]: int(row[machine.column]) for row in rows if machine.column < len(row)}


def allowed(machine: Machine, files: bool) -> dict[str, int]:
    """The calls that are allowed whatever their arguments are."""
    return numbers(_ALWAYS + (_FILES if files else ""), machine)


def asked(machine: Machine) -> dict[str, int]:
    """The calls whose arguments decide."""
    return numbers(_ASKED, machine)


def build(machine: Machine, pid: int, files: bool, truncation: bool) -> list[Instruction]:
    """The filter for one process: a search tree by the number of a call, so that few instructions decide. The kernel
    runs it once for each number that there is, whenever a process installs it.

    Args:
        pid: the process, which may signal its own threads.
        files: whether it has a folder to write in.
        truncation: whether the filter must refuse truncation, because Landlock is too old to do it.
    """
    known, said = asked(machine), dict[int, Sequence[Instruction]]()
    said |= dict.fromkeys(allowed(machine, files).values(), ((_RET, 0, 0, _ALLOW),))
    said |= dict.fromkeys(numbers(_UNKNOWN, machine).values(), ((_RET, 0, 0, _ERRNO | _ENOSYS),))
    said |= {known[name]: rule for name, rule in _rules(pid, truncation).items() if name in known}
    refused = ((_RET, 0, 0, _ERRNO | _EPERM),)
    ranges = [(0, said.get(0, refused))]  # the first number of each range of calls with one answer
    for number in sorted({*said, *(one + 1 for one in said)}):
        if (answer := said.get(number, refused)) != ranges[-1][1]:
            ranges.append((number, answer))
    if machine.x32:
        ranges.append((0x40000000, ((_RET, 0, 0, _KILL),)))
    begin = [(_LD, 0, 0, 4), (_JEQ, 1, 0, machine.audit), (_RET, 0, 0, _KILL), (_LD, 0, 0, 0)]
    return [*begin, *_tree(ranges)]


def _tree(ranges: Sequence[tuple[int, Sequence[Instruction]]]) -> list[Instruction]:
    """What finds the answer of the range that a number is in; both halves have about the same length."""
    if len(ranges) == 1:
        return [*ranges[0][1]]
    lengths = [*accumulate(len(answer) + 1 for _, answer in ranges)]
    middle = max(1, bisect(lengths, lengths[-1] // 2))
    lower, upper = _tree(ranges[:middle]), _tree(ranges[middle:])
    return [(_JGE, len(lower), 0, ranges[middle][0]), *lower, *upper]  # a jump is at most 255 long, as `packed` checks


def packed(program: list[Instruction]) -> bytes:
    """A filter as the kernel takes it."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _rules(pid: int, truncation: bool) -> dict[str, Sequence[Instruction]]:
    """The rule of each call. A rule loads arguments and ends with allow or refuse on every path."""
    emptied = _O_TRUNC if truncation else 0
    return {
        "open": [(_LD, 0, 0, _low(1)), *_without(emptied)],
        "openat": [(_LD, 0, 0, _low(2)), *_without(emptied)],
        "clone": [
            (_LD, 0, 0, _low(0)),
            (_AND, 0, 0, CLONE_THREAD | CLONE_NEW),
            *_among((CLONE_THREAD,)),
        ],
        "fcntl": [(_LD, 0, 0, _low(1)), *_among(_FCNTL)],
        "ioctl": [(_LD, 0, 0, _low(1)), *_among(_IOCTL)],
        "prctl": [(_LD, 0, 0, _low(0)), *_among(_PRCTL)],
        "tgkill": [(_LD, 0, 0, _low(0)), *_among((pid,))],
        "getpriority": [*_zero(_low(0)), (_LD, 0, 0, _low(1)), *_among((0, pid))],
        **dict.fromkeys(_OF_A_PROCESS, ((_LD, 0, 0, _low(0)), *_among((0, pid)))),
        "prlimit64": [*_zero(_low(0)), *_zero(_low(2)), *_zero(_low(2) + 4), (_RET, 0, 0, _ALLOW)],
        "sendto": [*_zero(_low(4)), *_zero(_low(4) + 4), (_RET, 0, 0, _ALLOW)],
        "socketpair": [
            (_LD, 0, 0, _low(0)),
            (_JEQ, 1, 0, 1),
            (_RET, 0, 0, _ERRNO | _EPERM),
            (_LD, 0, 0, _low(1)),
            (_AND, 0, 0, 0xF),
            *_among((1,)),
        ],
    }


def _low(argument: int) -> int:
    """The offset of an argument's lower half; the upper half follows 4 bytes later."""
    return 16 + 8 * argument


def _among(values: tuple[int, ...]) -> list[Instruction]:
    """Allow if what was loaded is one of these values, refuse otherwise."""
    checks = [(_JEQ, len(values) - place, 0, value) for place, value in enumerate(values)]
    return [*checks, (_RET, 0, 0, _ERRNO | _EPERM), (_RET, 0, 0, _ALLOW)]


def _zero(offset: int) -> list[Instruction]:
    """Refuse unless this word is 0."""
    return [(_LD, 0, 0, offset), (_JEQ, 1, 0, 0), (_RET, 0, 0, _ERRNO | _EPERM)]


def _without(bits: int) -> list[Instruction]:
    """Allow if what was loaded has none of these bits, refuse otherwise."""
    return [(_JSET, 0, 1, bits), (_RET, 0, 0, _ERRNO | _EPERM), (_RET, 0, 0, _ALLOW)]
