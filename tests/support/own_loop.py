"""Runs coroutines in a test that is not a coroutine itself."""

import asyncio
from collections.abc import Coroutine
from typing import Any


def run_in_own_loop(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine in an event loop of its own; `asyncio.run` would discard the loop of pytest-asyncio."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(coroutine)
