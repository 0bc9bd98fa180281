"""Runs functions in threads that do not delay the exit of the process."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def run_in_daemon_thread(work: Callable[[], T], name: str) -> T:
    """Runs a function in a thread of its own; the event loop goes on.

    Not a thread of an executor, because Python waits for these when it exits.

    Args:
        work: the function; it ends by itself, also after this call is cancelled.
        name: the name of the thread.

    Returns:
        What the function returns; its errors are raised.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # it cannot be cancelled any more

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised where the result is awaited
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(future)
