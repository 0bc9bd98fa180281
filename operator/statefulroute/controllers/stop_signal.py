"""The request to stop: SIGTERM, as a kubelet sends it, or SIGINT."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


class StopSignal:
    """Whether the process was asked to stop; listens to the signals from its creation on."""

    def __init__(self) -> None:
        self._is_set = asyncio.Event()
        self.listen()

    def listen(self) -> None:
        """Listens to the signals, also after a library has installed its own handlers."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._is_set.set)

    async def wait(self) -> None:
        """Waits for a signal."""
        await self._is_set.wait()

    async def comes_before(self, work: Coroutine[Any, Any, object]) -> bool:
        """Waits for work, and cancels it if the process is asked to stop; returns whether it was.

        Raises:
            Exception: the error with which the work ended.
        """
        working, stopping = asyncio.create_task(work), asyncio.create_task(self.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, working):
            task.cancel()  # no-op for a task that has ended
        await asyncio.wait({working, stopping})
        if not working.cancelled():
            working.result()
        return self._is_set.is_set()
