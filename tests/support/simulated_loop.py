"""An event loop with a simulated clock: the time for which it would wait passes at once."""

import asyncio
import selectors
from typing import Any


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Runs coroutines that wait for each other and for time only: it never waits for a connection or a thread."""

    def __init__(self) -> None:
        self._selector_of_time = _Selector()
        super().__init__(self._selector_of_time)

    def time(self) -> float:
        return self._selector_of_time.seconds


class _Selector(selectors.DefaultSelector):
    """Lets the time pass at once for which a loop would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 1_000.0

    def select(self, timeout: float | None = None) -> Any:
        self.seconds += timeout or 0.0
        return super().select(0)
