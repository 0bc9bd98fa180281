"""A lock between processes, which the kernel releases when its holder dies."""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.2


@contextmanager
def exclusive(path: Path, waiting: Callable[[float], None]) -> Iterator[None]:
    """Holds the lock file at `path`; while another process holds it, calls `waiting` with the seconds waited so far."""
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with path.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting(time.monotonic() - started)
                time.sleep(POLL_SECONDS)
        yield
