"""What Linux offers and Python 3.11 does not: new namespaces, other processes' namespaces, and to die with a parent.

Only the standard library is used, for processes that are to start quickly.
"""

import ctypes
import os
import select
import signal
from collections.abc import Iterable
from typing import NoReturn

#: The flag of each namespace, by its name in `/proc/PID/ns`; in the order in which they are entered.
NAMESPACES = {
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "net": 0x40000000,
    "pid": 0x20000000,
    "mnt": 0x00020000,  # the last one: with it the view of /proc changes
}
FORWARDED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
SET_PARENT_DEATH_SIGNAL = 1

_libc = ctypes.CDLL(None, use_errno=True)


def unshare() -> None:
    """Leave every namespace for a new one; the pid namespace is that of the next child."""
    flags = 0
    for flag in NAMESPACES.values():
        flags |= flag
    _checked(_libc.unshare(flags), "unshare")


def enter(pid: int, names: Iterable[str] = tuple(NAMESPACES)) -> None:
    """Enter namespaces of a process; the pid namespace is that of the next child."""
    handles = [(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY), NAMESPACES[name]) for name in names]
    for handle, flag in handles:
        _checked(_libc.setns(handle, flag), "setns")
        os.close(handle)


def fork_forwarding_signals() -> None:
    """Fork: the child returns, and dies with its parent; the parent passes signals on to it, and ends as it ends."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        _forward_signals_to(child)
    os.close(writer)
    _libc.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if select.select([reader], [], [], 0)[0]:  # the pipe has lost its other end: the parent died before that call
        os._exit(1)
    os.close(reader)


def _forward_signals_to(child: int) -> NoReturn:
    for number in FORWARDED_SIGNALS:
        signal.signal(number, lambda which, _: os.kill(child, which))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:  # ended by a signal, and so shall we be
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _checked(result: int, call: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
