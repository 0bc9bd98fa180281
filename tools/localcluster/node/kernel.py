"""Linux features that Python 3.11 lacks: new namespaces, other processes' namespaces, and the parent death signal.

It uses only the standard library, for processes that must start quickly.
"""

import ctypes
import os
import select
import signal
from collections.abc import Iterable
from typing import NoReturn

#: The flag of each namespace, by its name in `/proc/PID/ns`, in the order in which they are entered.
NAMESPACES = {
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "net": 0x40000000,
    "pid": 0x20000000,
    "mnt": 0x00020000,  # last, because it changes the view of /proc
}
FORWARDED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
SET_PARENT_DEATH_SIGNAL = 1

_libc = ctypes.CDLL(None, use_errno=True)


def unshare() -> None:
    """Leaves every namespace for a new one; the new pid namespace applies to the next child."""
    flags = 0
    for flag in NAMESPACES.values():
        flags |= flag
    _checked(_libc.unshare(flags), "unshare")


def enter(pid: int, names: Iterable[str] = tuple(NAMESPACES)) -> None:
    """Enters namespaces of a process; the pid namespace applies to the next child."""
    handles = [(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY), NAMESPACES[name]) for name in names]
    for handle, flag in handles:
        _checked(_libc.setns(handle, flag), "setns")
        os.close(handle)


def fork_forwarding_signals() -> None:
    """Forks: the child returns and dies with its parent; the parent forwards signals to it and exits as it exits."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        _forward_signals_to(child)
    os.close(writer)
    _libc.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if select.select([reader], [], [], 0)[
        0
    ]:  # the other end of the pipe is closed: the parent died before the call of prctl
        os._exit(1)
    os.close(reader)


def _forward_signals_to(child: int) -> NoReturn:
    for number in FORWARDED_SIGNALS:
        signal.signal(number, lambda which, _: os.kill(child, which))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:  # killed by a signal: this process kills itself in the same way
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _checked(result: int, call: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
