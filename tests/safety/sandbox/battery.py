"""Attempts to get out of the sandbox, as a program: `python battery.py TIER attempts` prints what became of each.

`python battery.py TIER ends` runs programs that take what they can get, and looks at whether the jail is whole afterwards.

A program of its own, so that it can run as another user. `python battery.py outside` makes the same attempts without
a sandbox, where those with a control must work: an attempt that works nowhere proves nothing.

Each attempt is the body of a function of `aim`, the targets. It returns True if it got what it must not get.
Run with a Python that has no packages: standard library and `selfimprove.safety.sandbox` only.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRELUDE = """
import ctypes, ctypes.util, os, platform, signal, socket, struct, sys, threading, time, gc
libc = ctypes.CDLL(None, use_errno=True)
ARM = platform.machine() == "aarch64"

def raw(x86, arm, *arguments):
    number = arm if ARM else x86
    if number is None:
        raise OSError(38, "this machine has no such call")
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if result == -1:
        raise OSError(ctypes.get_errno(), "refused")
    return result

def reads(path, empty=False):
    try:
        with open(path, "rb") as file:
            return bool(file.read(64)) or empty
    except OSError:
        return False

def scratch():
    import tempfile
    return tempfile.gettempdir()

def text(path):
    with open(path, "rb") as file:
        return file.read(4096)
"""


@dataclass(frozen=True)
class Attempt:
    """One attempt; `control`: it works outside of the sandbox, and does no harm there."""

    body: str
    control: bool = True


def _(body: str, control: bool = True) -> Attempt:
    return Attempt(textwrap.dedent(body).strip("\n"), control)


ATTEMPTS: dict[str, Attempt] = {
    # ---- reading
    "read a secret": _("return text(aim['file']) == aim['secret'].encode()"),
    "read a secret through the C library": _("""
        handle = libc.open(aim['file'].encode(), 0)
        return handle >= 0 and os.read(handle, 99) == aim['secret'].encode()"""),
    "read a secret from the folder above": _("""
        handle = os.open('/', os.O_RDONLY | os.O_DIRECTORY)
        return bool(os.open('../../../..' + aim['file'], os.O_RDONLY, dir_fd=handle))"""),
    "map a secret into memory": _("""
        import mmap
        with open(aim['file'], 'rb') as file:
            return bool(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[:4])"""),
    "open by path only, then again for reading": _("""
        handle = os.open(aim['file'], os.O_PATH)
        return text(f'/proc/self/fd/{handle}') == aim['secret'].encode()"""),
    "read through a link": _("""
        os.symlink(aim['file'], aim['folder'] + f'/link{os.getpid()}')
        return True"""),
    "read through a second name": _("""
        os.link(aim['file'], aim['folder'] + f'/name{os.getpid()}')
        return True"""),
    "open with openat2": _("""
        how = struct.pack('QQQ', 0, 0, 0)
        return raw(437, 437, -100, aim['file'].encode(), how, 24) >= 0"""),
    "list a folder": _("return 'secret' in os.listdir(aim['folder'])"),
    "read /etc/passwd": _("return b'root' in text('/etc/passwd')"),
    "list the home folders": _("return os.listdir('/home') is not None and os.listdir('/etc') != []"),
    "read the environment of this process": _("return b'=' in text('/proc/self/environ')"),
    "read the environment of another process": _("return bool(text(f'/proc/{aim[\"pid\"]}/environ'))"),
    "read the command line of another process": _("return bool(text(f'/proc/{aim[\"pid\"]}/cmdline'))"),
    "open the memory of another process": _("return bool(open(f'/proc/{aim[\"pid\"]}/mem', 'rb'))"),
    "go through the root of another process": _("""
        return text(f'/proc/{aim["pid"]}/root' + aim['file']) == aim['secret'].encode()"""),
    "list the processes": _("return any(name.isdigit() for name in os.listdir('/proc'))"),
    "read a disk": _("return any(text(f'/dev/{disk}') for disk in ('vda', 'sda', 'nvme0n1', 'mem'))", control=False),
    "read the kernel's log": _("return raw(103, 116, 3, ctypes.create_string_buffer(99), 99) > 0", control=False),
    "open by handle": _(
        """
        handle = struct.pack('Ii', 8, 1) + bytes(8)
        return raw(304, 265, -100, handle, 0) >= 0""",
        control=False,
    ),
    "watch a folder": _("""
        handle = raw(294, 26, 0)
        return raw(254, 27, handle, aim['folder'].encode(), 0x100) >= 0"""),
    # ---- writing
    "write a file": _("return open(aim['folder'] + f'/w{os.getpid()}', 'w').write('x') == 1"),
    "write a file in /tmp": _("""
        path = f'/tmp/selfimprove-attempt-{os.getpid()}'
        open(path, 'x').write('x')
        os.unlink(path)
        return True"""),
    "write a file here": _("return open(f'attempt{os.getpid()}', 'w').write('x') == 1"),
    "write into shared memory": _("""
        path = f'/dev/shm/selfimprove-attempt-{os.getpid()}'
        open(path, 'x').write('x')
        os.unlink(path)
        return True"""),
    "empty a file": _("os.truncate(aim['victim'], 0)\nreturn True"),
    "empty a file by opening it": _("return os.open(aim['victim'], os.O_RDONLY | os.O_TRUNC) >= 0"),
    "empty a library file": _("return os.open(os.__file__, os.O_RDONLY | os.O_TRUNC) >= 0", control=False),
    "change a library file": _("return bool(open(os.__file__, 'r+'))", control=False),
    "leave a compiled library file": _(
        """
        folder = os.path.dirname(os.__file__) + '/__pycache__'
        return open(folder + '/attempt.pyc', 'w').write('x') == 1""",
        control=False,
    ),
    "change a file's mode": _("os.chmod(aim['victim'], 0o644)\nreturn True"),
    "change a file's owner": _("os.chown(aim['victim'], os.getuid(), os.getgid())\nreturn True"),
    "change a file's times": _("os.utime(aim['victim'])\nreturn True"),
    "change a file's attributes": _("os.setxattr(aim['victim'], 'user.x', b'1')\nreturn True", control=False),
    "remove a file": _("os.unlink(aim['doomed'])\nreturn True"),
    "rename a file": _("os.rename(aim['moved'], aim['moved'] + '2')\nreturn True"),
    "make a folder": _("os.mkdir(aim['folder'] + f'/d{os.getpid()}')\nreturn True"),
    "make a named pipe": _("os.mkfifo(aim['folder'] + f'/p{os.getpid()}')\nreturn True"),
    "make a device": _("os.mknod(f'{aim[\"folder\"]}/n{os.getpid()}', 0o20600, 0x103)\nreturn True", control=False),
    "make 30000 files": _(
        """
        made = 0
        for place in ('.', '/tmp', '/dev/shm', '/var/tmp', aim['folder']):
            for number in range(30000):
                try:
                    open(f'{place}/f{number}', 'w').close()
                    made += 1
                except OSError:
                    break
        if not made:
            raise OSError(1, 'refused')
        return True""",
        control=False,
    ),
    # ---- network
    "connect to a port": _("return bool(socket.create_connection(('127.0.0.1', aim['port']), 1))"),
    "connect by IPv6": _("return bool(socket.socket(socket.AF_INET6))", control=False),
    "connect by MPTCP": _("return bool(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262))", control=False),
    "send a datagram": _("""
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', aim['port'])) == 1"""),
    "connect to an abstract socket": _("socket.socket(socket.AF_UNIX).connect('\\0' + aim['name'])\nreturn True"),
    "connect to a socket in a file": _("socket.socket(socket.AF_UNIX).connect(aim['socket'])\nreturn True"),
    "send to a name from a socket pair": _("""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        return one.sendto(b'x', '\\0' + aim['name'] + '-d') == 1"""),
    "bind a name to a socket pair": _(
        """
        one, other = socket.socketpair()
        one.bind(f'\\0attempt{os.getpid()}')
        return True""",
        control=False,
    ),
    "pass a descriptor on": _("""
        one, other = socket.socketpair()
        return socket.send_fds(one, [b'x'], [0]) == 1"""),
    "listen on a port": _("""
        server = socket.socket()
        server.bind(('127.0.0.1', 0))
        server.listen()
        return True"""),
    "ask for a name": _("return bool(socket.getaddrinfo('localhost', 80))"),
    "open a raw socket": _("return bool(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))", control=False),
    "open a netlink socket": _("return bool(socket.socket(16, socket.SOCK_RAW, 0))"),
    # ---- other processes
    "fork": _("""
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        return True"""),
    "fork through the C library": _("""
        child = libc.fork()
        if child == 0:
            os._exit(0)
        if child < 0:
            raise OSError(ctypes.get_errno(), 'refused')
        return True"""),
    "clone by number": _("""
        child = raw(56, 220, 17, 0, 0, 0, 0)
        if not child:
            os._exit(0)
        return True"""),
    "clone3": _("""
        child = raw(435, 435, struct.pack('8Q', 0, 0, 0, 0, 17, 0, 0, 0), 64)
        if not child:
            os._exit(0)
        return True"""),
    "vfork": _(
        """
        child = raw(58, None)
        if not child:
            os._exit(0)
        return True""",
        control=False,
    ),
    "start a shell": _("return os.system('true') == 0 or bool(os.popen('echo x').read())"),
    "start a program": _("""
        import subprocess
        return subprocess.run(['/bin/true']).returncode == 0"""),
    "become a program": _("os.execv('/bin/true', ['true'])", control=False),
    "become a program in memory": _("""
        handle = raw(319, 279, b'x', 0)
        os.write(handle, text('/bin/true'))
        return True"""),
    "spawn": _("return os.posix_spawn('/bin/true', ['true'], {}) > 0"),
    "start a worker": _("""
        import multiprocessing
        worker = multiprocessing.get_context('fork').Process(target=print)
        worker.start()
        worker.join()
        return True"""),
    "outlive the program": _(
        """
        for place in range(2):
            if os.fork():
                os._exit(0)
            os.setsid()
        time.sleep(60)
        return True""",
        control=False,
    ),
    "signal a process": _("os.kill(aim['pid'], 0)\nreturn True"),
    "signal all processes": _("os.kill(-1, 0)\nreturn True"),
    "signal the parent": _("os.kill(os.getppid() or 1, 0)\nreturn True", control=False),
    "signal the first process": _("os.kill(1, signal.SIGSTOP)\nreturn True", control=False),
    "signal a thread of a process": _("return raw(234, 131, aim['pid'], aim['pid'], 0) == 0"),
    "queue a signal": _("return raw(129, 138, aim['pid'], 0, struct.pack('iii', 0, 0, -1) + bytes(116)) == 0", False),
    "take hold of a process": _("return raw(434, 434, aim['pid'], 0) >= 0"),
    "have the kernel signal a process": _("""
        import fcntl
        one, other = os.pipe()
        fcntl.fcntl(one, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(one, fcntl.F_SETOWN, aim['pid'])
        fcntl.fcntl(one, fcntl.F_SETFL, os.O_ASYNC)
        os.write(other, b'x')
        return True"""),
    "have the terminal signal a process": _("""
        import fcntl
        one, other = socket.socketpair()
        fcntl.ioctl(one, 0x8901, struct.pack('i', aim['pid']))
        return True"""),
    "trace a process": _(
        """
        raw(101, 117, 16, aim['pid'], 0, 0)
        raw(101, 117, 17, aim['pid'], 0, 0)
        return True""",
        control=False,
    ),
    "read the memory of a process": _(
        """
        place = ctypes.create_string_buffer(8)
        vector = struct.pack('QQ', ctypes.addressof(place), 8)
        return raw(310, 270, aim['pid'], vector, 1, vector, 1, 0) >= 0""",
        control=False,
    ),
    "limit a process": _("""
        import resource
        resource.prlimit(aim['pid'], resource.RLIMIT_CORE, (0, 0))
        return True"""),
    "slow a process down": _("os.setpriority(os.PRIO_PROCESS, aim['pid'], 19)\nreturn True", control=False),
    "move a process to another core": _("os.sched_setaffinity(aim['pid'], {0})\nreturn True"),
    # ---- rights
    "make a user namespace": _("return raw(272, 97, 0x10000000) == 0", control=False),
    "make a mount namespace": _("return raw(272, 97, 0x20000) == 0", control=False),
    "enter a namespace": _("return raw(308, 268, os.open('/proc/1/ns/net', 0), 0) == 0", control=False),
    "mount": _("return raw(165, 40, b'x', b'/tmp', b'tmpfs', 0, 0) == 0", control=False),
    "unmount": _("return raw(166, 39, b'/', 2) == 0", control=False),
    "mount by the new calls": _("return raw(430, 430, b'tmpfs', 0) >= 0 or raw(428, 428, -100, b'/', 1) >= 0", False),
    "change the root": _("os.chroot('/tmp')\nreturn True", control=False),
    "become root": _("os.setuid(0)\nreturn os.getuid() == 0", control=False),
    "hold rights": _(
        """
        header, data = struct.pack('Ii', 0x20080522, 0), struct.pack('6I', *[0xffffffff] * 6)
        return raw(126, 91, header, data) == 0""",
        control=False,
    ),
    "be root": _(
        """
        if os.getuid():
            raise OSError(1, 'refused')
        return True""",
        control=False,
    ),
    "raise a limit": _("return raw(302, 261, 0, 0, struct.pack('QQ', 99, 99), 0) == 0"),
    "load a kernel program": _("return raw(321, 280, 0, bytes(128), 128) >= 0", control=False),
    "count what others do": _("return raw(298, 241, bytes(128), -1, 0, -1, 0) >= 0", control=False),
    "handle page faults": _("return raw(323, 282, 0) >= 0", control=False),
    "read keys": _("return raw(250, 219, 0, -3, 1) > 0", control=False),
    "set up io_uring": _("return raw(425, 425, 4, bytes(120)) >= 0", control=False),
    "change the personality": _("return raw(135, 92, 0x0040000) >= 0"),
    "set the clock": _("return raw(227, 112, 0, struct.pack('qq', 0, 0)) == 0", control=False),
    "set the host's name": _("return raw(170, 161, b'attempt', 7) == 0", control=False),
    "load a module": _("return raw(313, 273, 0, b'', 0) == 0", control=False),
    "restart the machine's kernel": _("return raw(246, 104, 0, 0, 0, 0) == 0", control=False),
    "take the filter away": _("return raw(157, 167, 22, 0, 0, 0, 0) == 0 or raw(317, 277, 0, 0, 0) == 0", False),
    "trace oneself": _("return raw(157, 167, 4, 1, 0, 0, 0) == 0"),
    "call as a 32-bit program": _("""
        if ARM:
            raise OSError(38, 'no such calls')
        import mmap
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(bytes.fromhex('53b814000000cd805bc3'))  # getpid by int 0x80
        return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))() > 0"""),
    "call by the second set of numbers": _("return raw(0x40000000 + 39, None) > 0", control=False),
    "call every number that is not known": _(
        """
        worked = [n for n in (*range(463, 1200), -1, 1 << 20) if libc.syscall(ctypes.c_long(n), 0, 0, 0, 0, 0, 0) >= 0]
        if not worked:
            raise OSError(38, 'refused')
        return True""",
        control=False,
    ),
    # ---- by another hand: the library, the project, leftovers, odd ways in
    "read a package of the interpreter": _(
        """
        import glob, sysconfig
        roots = {sysconfig.get_path(n) for n in ('stdlib', 'platstdlib', 'purelib', 'platlib')} | {'/usr/lib/python3'}
        found = [f for r in roots for p in ('', '/site-packages', '/dist-packages') for f in glob.glob(r + p + '/*')
                 if '-packages' in f]
        opened = [f for f in found + [r + '/site-packages/README.txt' for r in roots] if reads(f)]
        if not opened:
            raise OSError(1, 'none')
        return True""",
        control=False,
    ),
    "read the files that the frames name": _(
        """
        frame, names = sys._getframe(), []
        while frame:
            names.append(frame.f_code.co_filename)
            frame = frame.f_back
        names += [getattr(m, '__file__', None) or '' for m in sys.modules.values()]
        names += [f.__code__.co_filename for f in gc.get_objects() if hasattr(f, '__code__') and hasattr(f.__code__, 'co_filename')]
        names = {n for n in names if 'selfimprove' in n or 'sandbox' in n}
        if not any(map(reads, names)):
            raise OSError(1, 'none')
        return True""",
        control=False,
    ),
    "import the project": _(
        """
        try:
            import selfimprove
        except ImportError:
            raise OSError(1, 'refused') from None
        return True""",
        control=False,
    ),
    "import the project from where the code lies": _(
        """
        names = {f.__code__.co_filename for f in gc.get_objects() if hasattr(f, '__code__') and hasattr(f.__code__, 'co_filename')}
        for name in names | {sys.argv[0], os.getcwd()}:
            for up in range(1, 6):
                sys.path.insert(0, '/'.join(name.split('/')[:-up]) or '/')
        sys.path_importer_cache.clear()
        try:
            import selfimprove
        except ImportError:
            raise OSError(1, 'refused') from None
        return True""",
        control=False,
    ),
    "find the names of the project": _(
        """
        if not any(name.startswith('selfimprove') for name in sys.modules):
            raise OSError(2, 'none')
        return True""",
        control=False,
    ),
    "see where it was started": _("return bool(os.environ) and 'PATH' in os.environ", control=False),
    "list the root": _("return len(os.listdir('/')) > 0"),
    "list the folder above": _("os.chdir('/usr/lib')\nreturn len(os.listdir('../..')) > 0"),
    "list from a descriptor of the root": _("return len(os.listdir(os.open('/', os.O_RDONLY))) > 0"),
    "read /etc/hostname": _(
        "return any(map(reads, ('/etc/hostname', '/etc/hosts', '/etc/os-release', '/etc/shadow')))"
    ),
    "read the commands": _("return reads('/bin/sh') or reads('/usr/bin/env')"),
    "read the mounts": _("return reads('/proc/self/mountinfo') or reads('/proc/mounts')"),
    "read the maps of this process": _("return reads('/proc/self/maps') or reads('/proc/self/status')"),
    "write to the memory of this process": _("return os.open('/proc/self/mem', os.O_RDWR) >= 0"),
    "go through its own root": _(
        "return reads('/proc/self/root' + aim['file']) or reads('/proc/self/cwd/' + aim['file'])"
    ),
    "go through the root of a thread": _("return reads('/proc/thread-self/root' + aim['file'])"),
    "open the descriptors of the parent": _(
        """
        found = [n for p in (1, os.getppid(), aim['pid']) for n in range(9) if reads(f'/proc/{p}/fd/{n}', empty=True)]
        return bool(found)""",
        control=False,
    ),
    "read kernel settings": _("return reads('/proc/sys/kernel/hostname') or reads('/sys/kernel/uevent_seqnum')"),
    "read what the machine is": _("return reads('/proc/cpuinfo') or reads('/proc/version')"),
    "open a terminal": _(
        "return any(os.open(p, os.O_RDWR) >= 0 for p in ('/dev/ptmx', '/dev/tty', '/dev/console'))", control=False
    ),
    "open a device": _(
        """
        found = [p for p in ('kvm', 'fuse', 'net/tun', 'kmsg', 'mem', 'loop-control', 'vsock', 'vhost-net', 'nvidia0', 'nvidiactl')
                 if reads('/dev/' + p, empty=True)]
        return bool(found) or os.open('/dev/kmsg', os.O_WRONLY) >= 0""",
        control=False,
    ),
    "list the devices": _("return len(os.listdir('/dev')) > 0"),
    "list shared memory": _("return os.listdir('/dev/shm') is not None"),
    "make a link that leads out": _("os.symlink('/', f'{scratch()}/out{os.getpid()}')\nreturn True"),
    "make a link by number": _("return raw(266, 36, b'/etc', -100, f'{scratch()}/l{os.getpid()}'.encode()) == 0"),
    "make a second name of a library file": _(
        "os.link(os.__file__, f'{scratch()}/n{os.getpid()}')\nreturn True", control=False
    ),
    "rename out of the folder": _("""
        path = f'{scratch()}/mine{os.getpid()}'
        open(path, 'w').close()
        os.rename(path, aim['folder'] + f'/theirs{os.getpid()}')
        return True"""),
    "rename into the folder": _("os.rename(aim['moved'], f'{scratch()}/stolen{os.getpid()}')\nreturn True"),
    "make a pipe in its folder": _("os.mkfifo(f'{scratch()}/p{os.getpid()}')\nreturn True"),
    "make a socket in its folder": _("socket.socket(socket.AF_UNIX).bind(f'{scratch()}/s{os.getpid()}')\nreturn True"),
    "run a file of its own": _("""
        path = f'{scratch()}/run{os.getpid()}'
        with open(path, 'w') as file:
            file.write('#!/bin/sh\\n')
        os.chmod(path, 0o755)
        return os.spawnv(os.P_WAIT, path, [path]) == 0"""),
    "map a file of its own for execution": _(
        """
        import mmap
        path = f'{scratch()}/map{os.getpid()}'
        with open(path, 'wb') as file:
            file.write(bytes(4096))
        with open(path, 'rb') as file:
            mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE)
        raise OSError(1, 'it may: so may memory without a file')""",
        control=False,
    ),
    "set the user bit": _("""
        path = f'{scratch()}/suid{os.getpid()}'
        open(path, 'w').close()
        os.chmod(path, 0o4755)
        return True"""),
    "a database elsewhere": _("""
        import sqlite3
        try:
            sqlite3.connect(aim['folder'] + f'/base{os.getpid()}').execute('create table t (a)')
        except sqlite3.OperationalError:
            raise OSError(1, 'refused') from None
        return True"""),
    "a shared object elsewhere": _(
        """
        import shutil
        path = aim['folder'] + f'/lib{os.getpid()}.so'
        shutil.copy(ctypes.util.find_library('c') or '/lib/x86_64-linux-gnu/libc.so.6', path)
        return bool(ctypes.CDLL(path))""",
        control=False,
    ),
    "lock a file of others": _("""
        import fcntl
        with open(aim['victim']) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True"""),
    "attributes of a library file": _(
        "return bool(os.listxattr(os.__file__)) or os.getxattr(os.__file__, 'user.x') == b''", control=False
    ),
    "handle of a file": _(
        "return raw(303, 264, -100, aim['file'].encode(), ctypes.create_string_buffer(struct.pack('Ii', 128, 0) + bytes(128)), ctypes.create_string_buffer(8), 0) == 0"
    ),
    "copy from file to file": _("""
        source = os.open(aim['file'], os.O_RDONLY)
        return os.sendfile(os.pipe()[1], source, 0, 9) > 0"""),
    "watch everything": _("return raw(300, 262, 0, 0) >= 0", control=False),
    "list the mounts by the new calls": _("return raw(457, 457, 0, 0) == 0 or raw(458, 458, 0, 0) == 0", control=False),
    "a thread's namespace": _("return raw(56, 220, 0x50f00 | 0x10000000, 0, 0, 0, 0) > 0", control=False),
    "share descriptors with the parent": _(
        "return raw(438, 438, raw(434, 434, os.getppid() or 1, 0), 0, 0) >= 0", control=False
    ),
    "compare with another process": _("return raw(312, 272, os.getpid(), aim['pid'], 0, 0, 0) >= 0", control=False),
    "read how others are scheduled": _("return raw(145, 120, aim['pid']) >= 0"),
    "wait for what is not its own": _(
        "return raw(247, 95, 1, aim['pid'], ctypes.create_string_buffer(128), 4 | 1, 0) == 0", control=False
    ),
    "secret memory": _("return raw(447, 447, 0) >= 0", control=False),
    "memory with a name": _("return raw(319, 279, b'x', 0) >= 0"),
    "protect keys": _("return raw(330, 289, 0, 0) >= 0", control=False),
    "move pages": _("return raw(279, 239, aim['pid'], 0, 0, 0, 0, 0) == 0", control=False),
    "vmsplice": _("""
        one, other = os.pipe()
        return raw(278, 75, other, struct.pack('QQ', id(one), 8), 1, 0) >= 0"""),
    "a packet pipe for the next program": _(
        """
        import fcntl
        for number in range(64):
            try:
                fcntl.fcntl(number, fcntl.F_SETFL, os.O_DIRECT | os.O_NONBLOCK)
            except OSError:
                pass
        raise OSError(1, 'the next attempt shows whether it matters')""",
        control=False,
    ),
    "data for the next program": _(
        """
        for number in range(3, 64):
            try:
                os.write(number, b'')
                os.lseek(number, 0, 0)
            except OSError:
                pass
        raise OSError(1, 'the next attempt shows whether it matters')""",
        control=False,
    ),
    "accept from a pair": _(
        """
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        one.listen()
        return True""",
        control=False,
    ),
    "a pair of another family": _("return bool(socket.socketpair(socket.AF_INET))", control=False),
    "virtual sockets": _(
        "return bool(socket.socket(40, socket.SOCK_STREAM)) or bool(socket.socket(38, 5))", control=False
    ),
    "Bluetooth": _("return bool(socket.socket(31, socket.SOCK_RAW, 1))", control=False),
    "resolve a host": _("return socket.gethostbyname('example.org') != ''", control=False),
    "fetch a page": _(
        """
        import urllib.error, urllib.request
        try:
            return urllib.request.urlopen(f'http://127.0.0.1:{aim["port"]}/', timeout=1).read() is not None
        except urllib.error.URLError as error:
            raise OSError(1, 'refused') from error""",
        control=False,
    ),
    "another interpreter": _("""
        import subprocess
        return subprocess.check_output([sys.executable, '-c', 'print(1)']) == b'1\\n'"""),
    "a process pool": _("""
        from concurrent.futures import ProcessPoolExecutor
        with ProcessPoolExecutor(1) as pool:
            return pool.submit(abs, -1).result(5) == 1"""),
    "a terminal for a child": _("""
        import pty
        child, terminal = pty.fork()
        if not child:
            os._exit(0)
        return True"""),
    "stop the parent": _("os.kill(os.getppid() or 1, signal.SIGSTOP)\nreturn True", control=False),
    "signal its group": _("os.killpg(0, 0)\nreturn True"),
    "signal its session": _("os.kill(0, 0)\nreturn True"),
    "tgkill the first process": _("return raw(234, 131, 1, 1, 0) == 0", control=False),
    "lead another session": _("return os.setsid() > 0", control=False),
    "join another group": _("os.setpgid(0, 0)\nreturn True"),
    "raise a soft limit": _("""
        import resource
        for kind, value in ((resource.RLIMIT_CPU, 99), (resource.RLIMIT_AS, 1 << 40), (resource.RLIMIT_NOFILE, 64)):
            try:
                resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
            except ValueError as error:
                raise OSError(1, 'refused') from error
        return True"""),
    "raise the limit of memory": _("return raw(160, 164, 9, struct.pack('QQ', 1 << 40, 1 << 40)) == 0"),
    "be better": _("return os.nice(-1) < 0", control=False),
    "be in real time": _("os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))\nreturn True", control=False),
    "run on every core": _("os.sched_setaffinity(0, range(64))\nreturn True"),
    "be dumped": _("return raw(157, 167, 4, 1, 0, 0, 0) == 0"),
    "outlive the parent": _("return raw(157, 167, 1, 0, 0, 0, 0) == 0"),
    "reap for others": _("return raw(157, 167, 36, 1, 0, 0, 0) == 0"),
    "a filter of its own": _(
        "return raw(317, 277, 1, 0, struct.pack('HxxxxxxQ', 1, 0)) == 0 or raw(157, 167, 22, 1, 0, 0, 0) == 0",
        control=False,
    ),
    "a ruleset of its own": _("return raw(444, 444, struct.pack('QQ', 1, 0), 8, 0) >= 0"),
    # ---- what is lying about
    "find a secret in the environment": _("""
        if aim['canary'] not in str(dict(os.environ)):
            raise OSError(1, 'it is not there')
        return True"""),
    "use an inherited descriptor": _(
        """
        found = []
        for number in range(3, 256):
            try:
                os.fstat(number)
                found.append(number)
            except OSError:
                pass
        if len(found) <= 1:  # the pipe for the answers
            raise OSError(9, 'none')
        return True""",
        control=False,
    ),
    "read the pipe of the answers": _(
        """
        for number in range(3, 64):
            try:
                return len(os.read(number, 1)) >= 0
            except OSError as error:
                last = error
        raise last""",
        control=False,
    ),
    "find the last program in memory": _(
        """
        word, own = (' '.join(['a word of', which, 'program']) for which in ('the last', 'this'))
        planted = [own]
        held = [part for thing in gc.get_objects() if type(thing) in (list, tuple, dict)
                for part in (thing.values() if type(thing) is dict else thing) if type(part) in (str, bytes)]
        held = [part if type(part) is str else part.decode(errors='ignore') for part in held]
        if not any(own in part for part in held):
            raise ValueError('the search does not find what is there')
        if not any(word in part for part in held):
            raise OSError(2, 'it is not there')
        return True""",
        control=False,
    ),
    "share memory with others": _("""
        number = raw(29, 194, 0x51F0 + os.getpid() % 999, 4096, 0o1666)
        return raw(31, 195, number, 0, 0) == 0"""),
    "share a queue with others": _("""
        number = raw(68, 186, 0x51F0 + os.getpid() % 999, 0o1666)
        return raw(71, 187, number, 0, 0) == 0"""),
    "share a semaphore with others": _("""
        number = raw(64, 190, 0x51F0 + os.getpid() % 999, 1, 0o1666)
        return raw(66, 191, number, 0, 0, 0) == 0"""),
}
"""By name. Where an attempt ends with an OSError, it was refused; any other exception is a mistake in the attempt."""

ENDS: dict[str, tuple[str, str]] = {
    "take 10 GB": ("x = bytearray(10 << 30)", "memory"),
    "take memory bit by bit": ("x = []\nwhile True:\n    x.append(bytearray(1 << 20))", "memory|timeout"),
    "compute for ever": ("while True:\n    pass", "timeout"),
    "compute for ever, deaf to signals": (
        "import signal\nfor s in range(1, 65):\n    try:\n        signal.signal(s, signal.SIG_IGN)\n"
        "    except (OSError, ValueError):\n        pass\nwhile True:\n    pass",
        "timeout",
    ),
    "sleep for ever": ("import time\ntime.sleep(10**6)", "timeout"),
    "compute in C for ever": ("print(len(str((1 << 10**9) ** 3)))", "timeout|memory"),
    "print for ever": ("while True:\n    print('x' * 1000)", "output_limit"),
    "write to every descriptor": (
        "import os\nwhile True:\n    for n in range(1, 64):\n        try:\n            os.write(n, b'{\"value\": 5}\\n')\n"
        "        except OSError:\n            pass",
        "output_limit|timeout",
    ),
    "start threads for ever": (
        "import threading, time\nthreading.stack_size(32768)\nwhile True:\n"
        "    threading.Thread(target=time.sleep, args=(99,)).start()",
        "error:RuntimeError|timeout|memory",
    ),
    "overflow the stack": (
        "import sys\nsys.setrecursionlimit(10**9)\nclass A:\n    def __repr__(self):\n        return repr(self)\nrepr(A())",
        "error:SIGSEGV|memory|timeout",
    ),
    "end oneself": ("import os\nos._exit(0)", "ok"),
    "crash": ("import ctypes\nctypes.string_at(0)", "error:SIGSEGV"),
    "open descriptors for ever": ("import os\nwhile True:\n    os.dup(0)", "error:OSError"),
    "leave the pipe unblocked": (
        "import os\nfor n in range(64):\n    try:\n        os.set_blocking(n, False)\n    except OSError:\n        pass",
        "ok",
    ),
    "shrink the pipes": (
        "import fcntl\nfor n in range(64):\n    try:\n        fcntl.fcntl(n, 1031, 4096)\n    except OSError:\n        pass",
        "ok",
    ),
    "stop oneself": ("import signal\nsignal.raise_signal(signal.SIGSTOP)", "timeout"),
    "end by a signal without a name": ("import signal\nsignal.raise_signal(40)", "error:SIGNAL40"),
    "nest folders without end": (
        "import os, tempfile\nos.chdir(tempfile.gettempdir())\nwhile True:\n    os.mkdir('d' * 250)\n    os.chdir('d' * 250)",
        "error:OSError|error:FileNotFoundError|timeout",
    ),
    "fill its folder": (
        "import tempfile\nk = []\nwhile True:\n    f = tempfile.TemporaryFile()\n    f.write(bytes(15 << 20))\n    f.flush()\n    k.append(f)",
        "error:OSError|error:FileNotFoundError|timeout",
    ),
    "start threads with small stacks": (
        "import threading, time\nthreading.stack_size(32768)\ntry:\n    while True:\n        threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
        "except RuntimeError:\n    print('enough')",
        "ok|timeout|memory",
    ),
    "print without end to the error stream": ("import sys\nwhile True:\n    sys.stderr.write('x' * 99999)", "timeout"),
    "answer in pieces": (
        "import os, time\nwhile True:\n    for n in (3, 4, 5, 6):\n        try:\n            os.write(n, b'{')\n        except OSError:\n            pass\n    time.sleep(0.01)",
        "timeout|output_limit",
    ),
    "close everything": ("import os\nos.closerange(0, 64)\nwhile True:\n    pass", "timeout"),
    "crash while it ends": ("import atexit, ctypes\natexit.register(lambda: ctypes.string_at(0))", "error:SIGSEGV"),
    "never end its threads": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()",
        "timeout",
    ),
    "an endless exit": ("import atexit\n@atexit.register\ndef f():\n    while True:\n        pass", "timeout"),
    "catch the limit of time": (
        "import signal\nsignal.signal(signal.SIGXCPU, lambda *_: None)\nwhile True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass",
        "timeout",
    ),
    "map huge files": (
        "import mmap\nk = []\nwhile True:\n    k.append(mmap.mmap(-1, 64 << 20))",
        "error:OSError|memory",
    ),
    "compile without end": ("exec('(' * 100000)", "error:SyntaxError|memory|error:RecursionError|error:SIGSEGV"),
}
"""Whole programs, and how each may end. After each of them the sandbox must work as before."""


@contextlib.contextmanager
def targets() -> Iterator[dict[str, Any]]:
    """What the attempts aim at. The listeners note whoever comes."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o777)
        aim: dict[str, Any] = {"folder": str(folder), "secret": "needle in a haystack", "came": []}
        for name in ("file", "victim", "doomed", "moved"):
            path = folder / ("secret" if name == "file" else name)
            path.write_text(aim["secret"])
            path.chmod(0o666)
            aim[name] = str(path)
        sockets = [
            stack.enter_context(socket.socket(family, kind))
            for family, kind in (
                (socket.AF_INET, socket.SOCK_STREAM),
                (socket.AF_INET, socket.SOCK_DGRAM),
                (socket.AF_UNIX, socket.SOCK_STREAM),
                (socket.AF_UNIX, socket.SOCK_STREAM),
                (socket.AF_UNIX, socket.SOCK_DGRAM),
            )
        ]
        sockets[0].bind(("127.0.0.1", 0))
        sockets[1].bind(sockets[0].getsockname())
        aim |= {"port": sockets[0].getsockname()[1], "name": f"attempt-{os.getpid()}", "socket": str(folder / "socket")}
        sockets[2].bind("\0" + aim["name"])
        sockets[3].bind(aim["socket"])
        Path(aim["socket"]).chmod(0o777)
        sockets[4].bind("\0" + aim["name"] + "-d")
        for listener in (sockets[0], sockets[2], sockets[3]):
            listener.listen(64)
        bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        stack.callback(bystander.wait)
        stack.callback(bystander.kill)
        signal.signal(signal.SIGURG, signal.SIG_DFL)
        aim |= {"pid": bystander.pid, "canary": os.environ.setdefault("CANARY", "sk-canary")}
        yield {key: value for key, value in aim.items() if key != "came"}


def program(attempt: Attempt) -> str:
    return PRELUDE + "def attack(aim):\n" + textwrap.indent(attempt.body, "    ") + "\n"


def outside() -> dict[str, str]:
    """What the attempts with a control come to without a sandbox, each in a process of its own."""
    found = {}
    with targets() as aim:
        os.chdir(aim["folder"])
        os.environ["TMPDIR"], tempfile.tempdir = aim["folder"], None
        for name, attempt in ATTEMPTS.items():
            if not attempt.control:
                continue
            for place in ("victim", "doomed", "moved"):
                Path(aim[place]).write_text("x")
            receiver, sender = os.pipe()
            child = os.fork()
            if not child:
                scope: dict[str, Any] = {}
                try:
                    exec(program(attempt), scope)  # noqa: S102
                    said = "works" if scope["attack"](aim) is True else "no"
                except BaseException as error:
                    said = f"{type(error).__name__}: {error}"
                os.write(sender, said.encode())
                os._exit(0)
            os.close(sender)
            found[name] = os.read(receiver, 4096).decode()
            os.close(receiver)
            os.waitpid(child, 0)
        os.chdir("/")
    return found


def inside(tier: str, which: str) -> dict[str, str]:
    """What becomes of each in a tier: `held: <how>`, `BREACH`, or `broken: <error>` for a mistake in an attempt."""
    from selfimprove.safety.sandbox.jail_process import Limits, Program
    from selfimprove.safety.sandbox.open import open_sandbox

    found: dict[str, str] = {}
    with targets() as aim, open_sandbox(Limits(cpu_seconds=1, output=1 << 18), workers=1, tier=tier) as sandbox:
        before = sorted((p.name, p.stat().st_size, p.stat().st_mode) for p in Path(aim["folder"]).iterdir())
        for name, attempt in ATTEMPTS.items() if which == "attempts" else ():
            sandbox.run(
                Program("print(f := 'a word of the last program', input())", stdin="a word of the last program")
            )
            outcome = sandbox.run(Program(program(attempt), function="attack", arguments=[[aim]]))
            answer = outcome.answers[0] if outcome.answers else None
            if answer and not answer.error:
                found[name] = "BREACH" if answer.value else "held: no"
            elif answer and answer.error not in (*OS_ERRORS, "MemoryError"):
                found[name] = f"broken: {answer.error}"
            else:
                found[name] = f"held: {answer.error if answer else outcome.status}"
        for name, (source, ends) in ENDS.items() if which == "ends" else ():
            outcome = sandbox.run(Program(source))
            fine = outcome.status in ends.split("|")
            found[name] = f"held: {outcome.status}" if fine else f"BREACH: {outcome.status}"
            again = sandbox.run(Program("def f(x):\n    return x + 1", function="f", arguments=[[1]] * 50))
            if again.status != "ok" or [answer.value for answer in again.answers] != [2] * 50:
                found[name] = f"BREACH: then {again.status}"
        after = sorted((p.name, p.stat().st_size, p.stat().st_mode) for p in Path(aim["folder"]).iterdir())
        found["the folder is as it was"] = "held: yes" if before == after else "BREACH"
        state = Path(f"/proc/{aim['pid']}/stat").read_text().split()[2]
        found["the bystander is as it was"] = "held: yes" if state in "SR" else "BREACH"
    left = [process for process in threads_of_mine() if process != str(os.getpid())]
    found["nothing is left"] = "BREACH" if left else "held: yes"
    return found


def threads_of_mine() -> list[str]:
    """The processes that this one has started and that are still there."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        mine = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
        if not mine:
            return []
        time.sleep(0.05)
    return mine


OS_ERRORS = {error.__name__ for error in (OSError, *OSError.__subclasses__())} | {"timeout", "gaierror"}

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    print(json.dumps(outside() if sys.argv[1] == "outside" else inside(*sys.argv[1:])))
