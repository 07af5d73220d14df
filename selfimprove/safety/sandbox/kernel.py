"""Confine a process on Linux through ctypes: namespaces, Landlock, seccomp, capabilities, limits.

Every function raises OSError if the kernel refuses. Runs inside the jail: standard library only.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selfimprove.safety.sandbox import syscalls

_LIBC = ctypes.CDLL(None, use_errno=True)
_FORK = ctypes.PyDLL(None, use_errno=True).fork  # it keeps the interpreter's lock
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PIVOT_ROOT, _CAPSET = {"x86_64": (155, 126), "aarch64": (41, 91)}.get(platform.machine(), (-1, -1))
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_GET_SECCOMP, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 21, 22, 38
_SECCOMP_FILTER = 2
_SOMEBODY = 0x7A7A7A7A
"""Placeholder for the process id in a filter that is built before the process exists."""
_NEW_NS, _NEW_UTS, _NEW_IPC, _NEW_USER = 0x00020000, 0x04000000, 0x08000000, 0x10000000
_NEW_PID, _NEW_NET = 0x20000000, 0x40000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _NOATIME, _NODIRATIME, _RELATIME = 1, 2, 4, 8, 1024, 2048, 1 << 21
_REMOUNT, _BIND, _REC, _PRIVATE = 32, 4096, 16384, 1 << 18
_DETACH = 2
_READ_FILE, _READ_DIR, _WRITE_FILE, _TRUNCATE = 1 << 2, 1 << 3, 1 << 1, 1 << 14
_MAKE_REG, _MAKE_DIR, _REMOVE_FILE, _REMOVE_DIR = 1 << 8, 1 << 7, 1 << 5, 1 << 4
SIGKILL = 9


def call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """A function of the C library that says -1 when it failed.

    Raises:
        OSError: it failed.
    """
    words = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = getattr(_LIBC, name)(*words)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def fork() -> int:
    """Fork this process, which must have one thread, and leave out what Python does in a child besides: it makes locks
    anew that nobody holds and draws a new seed, and writes to 170 pages of memory for that, which the kernel copies.

    Raises:
        OSError: there is no further process.
    """
    if (child := _FORK()) < 0:
        raise OSError(ctypes.get_errno(), "fork: " + os.strerror(ctypes.get_errno()))
    return child


# ---- namespaces ----------------------------------------------------------------------------------------------------
def leave(user: bool) -> None:
    """Leave the host's namespaces (mounts, processes, network, IPC, host name) for new ones.

    Args:
        user: make a user namespace as well, which gives an ordinary user the right to do this.
    """
    uid, gid = os.getuid(), os.getgid()
    try:
        call("unshare", _NEW_NS | _NEW_UTS | _NEW_IPC | _NEW_PID | _NEW_NET | (_NEW_USER if user else 0))
    except OSError as error:
        raise OSError(error.errno, f"namespaces are not allowed here ({error.strerror})") from error
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    call("sethostname", b"jail", 4)


def new_root(shown: Sequence[str], hidden: Sequence[str], scratch: str | None, owner: int) -> None:
    """Change the root to a new file system in memory that contains only the given paths.

    Args:
        shown: files and folders of the host, shown read-only at the same place.
        hidden: folders below them, each covered by an empty one.
        scratch: a folder that can be written, 64 MB and 4096 files in memory; None: there is none.
        owner: the user whom the scratch folder belongs to.
    """
    call("mount", b"none", b"/", None, _REC | _PRIVATE, None)
    call("mount", b"jail", b"/tmp", b"tmpfs", _NOSUID | _NODEV, b"mode=0755,size=1m,nr_inodes=1k")
    Path("/tmp/old").mkdir()
    os.chdir("/tmp")
    call("syscall", _PIVOT_ROOT, b".", b"old")
    os.chdir("/")
    for path in shown:
        _show(path)
    empty = _RDONLY | _NOSUID | _NODEV | _NOEXEC
    for path in hidden:
        call("mount", b"nothing", os.fsencode(path), b"tmpfs", empty, b"mode=0555,size=4k")
    if scratch:
        Path(scratch).mkdir()
        options = f"mode=0700,uid={owner},size=64m,nr_inodes=4096"
        call("mount", b"scratch", scratch.encode(), b"tmpfs", _NOSUID | _NODEV | _NOEXEC, options.encode())
    call("umount2", b"/old", _DETACH)
    Path("/old").rmdir()
    call("mount", b"none", b"/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV, None)


def _show(path: str) -> None:
    """Bind one path of the old root read-only; a link at the top, such as /lib, stays a link."""
    old, new = Path("/old" + path), Path(path)
    if old.is_symlink() and new.parent == Path("/"):
        new.symlink_to(old.readlink())
        return
    if not old.exists() or new.exists():
        return
    new.parent.mkdir(parents=True, exist_ok=True)
    new.mkdir() if old.is_dir() else new.touch()
    call("mount", os.fsencode(old), os.fsencode(new), None, _BIND, None)
    flags = os.statvfs(new).f_flag  # what the host has locked must be asked for again
    kept = flags & (_NODEV | _NOEXEC | _NOATIME | _NODIRATIME)
    kept |= _RELATIME if flags & 4096 else 0
    call("mount", b"none", os.fsencode(new), None, _REMOUNT | _BIND | _RDONLY | _NOSUID | kept, None)


# ---- who we are ----------------------------------------------------------------------------------------------------
def drop(uid: int | None) -> None:
    """Give up every privilege for good.

    Args:
        uid: the user to become, for root; None: stay who we are, without the rights inside a user namespace.
    """
    if uid is not None:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        except OSError as error:
            raise OSError(error.errno, f"root may not become another user here ({error.strerror})") from error
    header, nothing = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    call("syscall", _CAPSET, header, nothing)
    call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)


def die_with(parent: int) -> None:
    """Be killed when the parent process ends, however it ends."""
    call("prctl", _PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    if os.getppid() != parent and os.getppid() != 0:  # 0: a parent outside of the namespace
        os._exit(1)


def unused_uid() -> int:
    """An unused user id of this machine, below the largest one available in this namespace."""
    import pwd

    taken = {entry.pw_uid for entry in pwd.getpwall()}
    spans = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    start, length = max((int(inside), int(count)) for inside, _, count in spans)
    last = min(start + length - 1, 1_999_999_999)
    for uid in range(last - os.getpid() % min(50_000, length), start, -1):  # jails side by side get different ones
        if uid not in taken and uid != 65534:
            return uid
    raise OSError(1, "there is no unused user to become")


# ---- Landlock ------------------------------------------------------------------------------------------------------
def landlock_version() -> int:
    """The Landlock version of this kernel; 0 without Landlock."""
    try:
        return call("syscall", _CREATE_RULESET, None, 0, 1)
    except OSError:
        return 0


def landlock(readable: Sequence[str], scratch: str | None) -> int:
    """A ruleset for `landlock_enter`: everything is forbidden but reading these files and using the scratch folder."""
    version = landlock_version()
    if not version:
        raise OSError(38, "this kernel has no Landlock, or it is not switched on")
    files = (1 << (13 + (version >= 2) + (version >= 3))) - 1 | (1 << 15 if version >= 5 else 0)
    network, scopes = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    attributes = struct.pack("=QQQ", files, network, scopes)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = call("syscall", _CREATE_RULESET, attributes, size, 0)
    for path in readable:
        _rule(ruleset, path, _READ_FILE | _READ_DIR, files)
    _rule(ruleset, "/dev/null", _READ_FILE | _WRITE_FILE | _TRUNCATE, files)
    if scratch:
        inside = _MAKE_REG | _MAKE_DIR | _REMOVE_FILE | _REMOVE_DIR | _READ_FILE | _READ_DIR | _WRITE_FILE | _TRUNCATE
        _rule(ruleset, scratch, inside, files)
    return ruleset


def _rule(ruleset: int, path: str, access: int, handled: int) -> None:
    try:
        where = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not os.path.isdir(path):  # noqa: PTH112 - a file may only be given what a file can have
        access &= _READ_FILE | _WRITE_FILE | _TRUNCATE
    call("syscall", _ADD_RULE, ruleset, 1, struct.pack("=Qi", access & handled, where), 0)
    os.close(where)


def landlock_enter(ruleset: int) -> None:
    """Confine this thread, for good."""
    call("syscall", _RESTRICT_SELF, ruleset, 0)


# ---- seccomp and limits --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Filter:
    """The filter of `seccomp`, ready to be installed by a process that does not exist yet."""

    code: ctypes.Array[ctypes.c_char]
    own: Sequence[int]
    """Where in it the process id belongs."""
    header: bytes
    """What the kernel is told: how long it is, and where it lies."""


def prepare_filter(files: bool) -> Filter:
    """Build the filter, which takes longer than the rest of the confinement."""
    machine, somebody = syscalls.MACHINES[platform.machine()], struct.pack("=I", _SOMEBODY)
    packed = syscalls.packed(syscalls.build(machine, _SOMEBODY, files, landlock_version() < 3))
    own = [at for at in range(4, len(packed), 8) if packed[at : at + 4] == somebody]
    code = ctypes.create_string_buffer(packed, len(packed))
    return Filter(code, own, struct.pack("@HP", len(packed) // 8, ctypes.addressof(code)))


def check() -> None:
    """Check that this machine has a filter and a kernel with seccomp.

    Raises:
        OSError: one of them is missing.
    """
    if platform.machine() not in syscalls.MACHINES:
        raise OSError(38, f"there is no list of system calls for {platform.machine()}")
    try:
        call("prctl", _PR_GET_SECCOMP, 0, 0, 0, 0)
    except OSError as error:
        raise OSError(38, "this kernel has no seccomp") from error


def seccomp(prepared: Filter) -> None:
    """Refuse every system call that `syscalls` does not allow to this process, for good."""
    for at in prepared.own:
        struct.pack_into("=I", prepared.code, at, os.getpid())
    call("prctl", _PR_SET_SECCOMP, _SECCOMP_FILTER, prepared.header, 0, 0)


def limit(memory: int, processes: int | None) -> None:
    """Bound what this process and each of its children may use, for good.

    Args:
        memory: bytes of address space.
        processes: threads and processes of this user together; None: not bounded here.
    """
    bounds = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: 16 << 20,
        resource.RLIMIT_NOFILE: 32,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_STACK: 64 << 20,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: 64,
    }
    if processes is not None:
        bounds[resource.RLIMIT_NPROC] = processes
    for kind, value in bounds.items():
        most = _at_most(kind, value)
        resource.setrlimit(kind, (most, most))


def limit_time(cpu: int) -> None:
    """Bound the computing time of this process, for good: so many seconds until SIGXCPU, one more until SIGKILL, which
    may be for memory as well."""
    most = _at_most(resource.RLIMIT_CPU, cpu)
    resource.setrlimit(resource.RLIMIT_CPU, (most, _at_most(resource.RLIMIT_CPU, cpu + 1)))


def _at_most(kind: int, value: int) -> int:
    """A bound, or what this process may have at most."""
    hard = resource.getrlimit(kind)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)
