"""Samples what this process spends its CPU time on, in all threads of Python; costs nothing unless it runs."""

import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType

#: The CPU time between two samples. It is no divisor of the intervals of timers.
INTERVAL_SECONDS = 0.0097

Stack = tuple[CodeType, ...]
"""The functions that run, the outermost first."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a process has spent its CPU time on.

    Attributes:
        cpu_seconds: the CPU time of the process, also that of threads without Python.
        samples: for each thread by name, the stacks with the CPU time until each of them, in seconds.
    """

    cpu_seconds: float
    samples: Mapping[str, Sequence[tuple[Stack, float]]]


class CpuProfiler:
    """Samples the stacks of all threads while it runs; for the main thread, which must run uvloop.

    A timer of the CPU time of the process interrupts the main thread, as in profilers of C and Go. So an idle process
    takes no samples, and short work of the event loop is seen, which a thread that samples would miss: such a thread
    has to wait until the event loop waits. uvloop wakes for the signal of another thread's CPU time, too.

    Raises:
        ValueError: this is not the main thread.
        OSError: this system has no such timer.
    """

    def __init__(self) -> None:
        self._samples: dict[str, list[tuple[Stack, float]]] = defaultdict(list)
        self._used = _cpu_times()
        self._began = time.process_time()
        signal.signal(signal.SIGPROF, self._sample)
        signal.siginterrupt(signal.SIGPROF, False)  # noqa: FBT003 - system calls of libraries go on
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_SECONDS, INTERVAL_SECONDS)

    def stop(self) -> Profile:
        """Ends the samples and returns the profile."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        # Not the default, which would end the process if a last signal is on its way.
        signal.signal(signal.SIGPROF, signal.SIG_IGN)
        return Profile(time.process_time() - self._began, self._samples)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        """Adds the stack of each thread that has used CPU time since the last sample."""
        frames = sys._current_frames()  # noqa: SLF001 - the documented way to the frames of threads
        used = _cpu_times()
        for thread in threading.enumerate():
            seconds = used.get(thread.ident, 0.0) - self._used.get(thread.ident, 0.0)
            running = frame if thread is threading.main_thread() else frames.get(thread.ident or 0)
            if seconds > 0 and running is not None:
                self._samples[thread.name].append((_stack(running), seconds))
        self._used = used


def _stack(frame: FrameType | None) -> Stack:
    codes: list[CodeType] = []
    while frame is not None:
        codes.append(frame.f_code)
        frame = frame.f_back
    return tuple(reversed(codes))


def _cpu_times() -> dict[int | None, float]:
    """Returns the CPU time of each thread by its identifier, in seconds."""
    times: dict[int | None, float] = {}
    for thread in threading.enumerate():
        # The identifier of the main thread is that of the process; Python 3.11 does not update it after a fork.
        native_id = os.getpid() if thread is threading.main_thread() else thread.native_id
        try:
            times[thread.ident] = time.clock_gettime(_clock_of(native_id or 0))
        except OSError:  # it has ended
            continue
    return times


def _clock_of(native_id: int) -> int:
    """Returns Linux' clock of the CPU time of a thread.

    This is what the C library computes. Its own function must not be called for a thread that may have ended.
    """
    return (~native_id << 3) | 6
