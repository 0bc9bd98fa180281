"""The process and the event loop that a driver belongs to."""

import asyncio
from asyncio import _get_running_loop  # documented, and returns None where `get_running_loop` raises an error
from collections.abc import Coroutine
from typing import Any, TypeVar

from statefulroute.cluster.forks import call_in_forked_child
from statefulroute.domain.errors import DriverNotOpenError

R = TypeVar("R")

_ANOTHER_LOOP = (
    "the driver belongs to another event loop: open a driver in each asyncio.run(), and close it before that ends; "
    "threads use the drivers of statefulroute.sync"
)
_CLOSED = "the driver is closed: open a new one"
_NOT_OPEN = "the driver is not open: use it as `async with`"
_FORKED = (
    "the driver was opened before this process was forked, and its connections belong to the parent: open a driver in "
    "each process after the fork (in gunicorn: post_fork; in Celery: worker_process_init)"
)


class _ForkCounter:
    """Counts the forks between the first process and this one."""

    def __init__(self) -> None:
        self.count = 0
        call_in_forked_child(self._increment)

    def _increment(self) -> None:
        self.count += 1


_forks = _ForkCounter()


def fork_count() -> int:
    """Returns the number of forks between the first process and this one; a changed number is another process."""
    return _forks.count


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancels a task and waits for its end."""
    task.cancel()
    await asyncio.wait({task})


async def result_of(work: asyncio.Future[R]) -> R:
    """Waits for work that another task may cancel because it closes the driver, and returns the result of the work.

    Raises:
        DriverNotOpenError: the driver was closed meanwhile.
    """
    try:
        return await work
    except asyncio.CancelledError:
        if work.cancelled() and (caller := asyncio.current_task()) is not None and not caller.cancelling():
            raise DriverNotOpenError("the driver was closed meanwhile") from None
        raise


class Lifetime:
    """Where a driver may be used: in the process and the event loop that it was opened in, until it is closed.

    Anywhere else its watches do not run: it would return stale answers without a sign.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._forks = 0
        self._is_open = self._is_closed = False
        self._work: set[asyncio.Task[Any]] = set()
        """The work that the end cancels."""

    @property
    def is_open(self) -> bool:
        """Whether the driver is open in this process."""
        return self._is_open and self._forks == _forks.count

    @property
    def is_forked(self) -> bool:
        """Whether this process was forked since the driver was opened."""
        return self._loop is not None and self._forks != _forks.count

    def bind(self) -> None:
        """Binds the driver to the running event loop, in which its connections are made."""
        self._loop, self._forks = asyncio.get_running_loop(), _forks.count

    def begin(self) -> None:
        """Opens the driver in the running event loop.

        Raises:
            DriverNotOpenError: it was closed, or it is bound to another event loop or process.
        """
        if self._is_closed:
            raise DriverNotOpenError(_CLOSED)
        if self._loop is None:
            self.bind()
        self.check_place()
        self._is_open = True

    def end(self, *, final: bool = True) -> None:
        """Closes the driver; unless it is final, the driver may be opened again, also in another event loop."""
        self._is_open, self._is_closed, self._loop = False, final, None
        for task in self._work:
            task.cancel()

    async def during(self, work: Coroutine[Any, Any, R]) -> R:
        """Does work that ends at the latest with the driver.

        Raises:
            DriverNotOpenError: the driver was closed meanwhile.
        """
        task = asyncio.create_task(work)
        self._work.add(task)
        try:
            return await result_of(task)
        finally:
            self._work.discard(task)

    def check(self) -> None:
        """Checks that the driver is open, in this process and in the running event loop.

        Raises:
            DriverNotOpenError: it is not.
        """
        # Every read from a cache is checked.
        if self._is_open and self._forks == _forks.count and _get_running_loop() is self._loop:
            return
        if not self._is_open:
            raise DriverNotOpenError(_CLOSED if self._is_closed else _NOT_OPEN)
        self.check_place()

    def check_process(self) -> None:
        """Checks that this process has not been forked since the driver was opened. Raises as `check` does."""
        if self.is_forked:
            raise DriverNotOpenError(_FORKED)

    def check_place(self) -> None:
        """Checks that a driver that was opened is used in its process and event loop. Raises as `check` does."""
        self.check_process()
        if self._loop is not None and self._loop is not _get_running_loop():
            raise DriverNotOpenError(_ANOTHER_LOOP)
