"""The event loop of the blocking drivers, in a thread of its own, and what survives a fork."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from statefulroute.cluster.forks import call_in_forked_child
from statefulroute.domain.errors import DeadlineExceededError
from statefulroute.driver.lifetime import fork_count

D = TypeVar("D")
R = TypeVar("R")


class LoopThread:
    """Runs the event loop of the drivers in a thread, from the first call until the process exits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        call_in_forked_child(self._reset)

    def run(self, coroutine: Coroutine[Any, Any, R], timeout: float | None = None) -> R:
        """Runs a coroutine in the loop and returns its result. An interrupt such as Ctrl-C cancels the coroutine.

        Args:
            coroutine: the coroutine.
            timeout: the time limit in seconds; None is no limit.

        Raises:
            DeadlineExceededError: the time is over.
        """
        future = asyncio.run_coroutine_threadsafe(_limit(coroutine, timeout), self._get_loop())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _get_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="statefulroute", daemon=True).start()
            return self._loop

    def _reset(self) -> None:
        """Discards the loop: its thread does not exist in a forked process."""
        self._lock, self._loop = threading.Lock(), None


async def _limit(coroutine: Coroutine[Any, Any, R], timeout: float | None) -> R:  # noqa: ASYNC109 - see the caller
    if timeout is None:
        return await coroutine
    try:
        async with asyncio.timeout(timeout):
            return await coroutine
    except TimeoutError as error:
        raise DeadlineExceededError(f"the call did not end within {timeout:g} s") from error


loop_thread = LoopThread()


class DriverInLoop(Generic[D]):
    """An asynchronous driver that runs in the loop. A forked process makes its own at the first use.

    Args:
        make: makes the driver, in the loop.
        reopen: opens a driver that was open before the fork.
    """

    def __init__(self, make: Callable[[], Awaitable[D]], reopen: Callable[[D], Awaitable[Any]] | None = None) -> None:
        self._make = make
        self._reopen = reopen
        self._forks = fork_count()
        self._opening: asyncio.Task[D] | None = None
        self._of_parents: list[D] = []
        """The drivers of the parent processes: their destruction would disturb the connections of the parents."""
        self.is_open = False
        self._driver = loop_thread.run(self._made())

    @property
    def forks(self) -> int:
        """The process of the present driver, as the number of forks."""
        return self._forks

    def call(self, method: Callable[[D], Coroutine[Any, Any, R]], timeout: float | None = None) -> R:
        """Calls a coroutine method, and returns its result. Raises as `LoopThread.run` does."""

        async def call() -> R:
            return await method(await self._current())

        return loop_thread.run(call(), timeout)

    def read(self, method: Callable[[D], R]) -> R:
        """Calls a plain method in the loop, because a driver is not thread-safe, and returns its result."""

        async def call() -> R:
            return method(await self._current())

        return loop_thread.run(call())

    async def _current(self) -> D:
        if self._forks != fork_count():
            self._forks = fork_count()
            self._of_parents.append(self._driver)
            self._opening = asyncio.create_task(self._open_again())
        if self._opening is not None:
            self._driver = await asyncio.shield(self._opening)
            self._opening = None
        return self._driver

    async def _open_again(self) -> D:
        try:
            driver = await self._make()
            if self.is_open and self._reopen is not None:
                await self._reopen(driver)
        except BaseException:
            self._forks = -1  # the next call tries again
            raise
        return driver

    async def _made(self) -> D:
        return await self._make()
