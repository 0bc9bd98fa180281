"""Notices that the API server has not answered a driver for a time."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable

from statefulroute.cluster.field_logger import get_logger
from statefulroute.driver.user_events import CutOff, Reconnected

log = get_logger(__name__)

#: Parts of the limit: the time between requests, the time limit of each, and the pause after one that has failed.
_PERIOD, _TIMEOUT, _RETRY = 0.25, 0.25, 0.05

_MAX_RETRY_SECONDS = 1.0


class ContactMonitor:
    """Sends a request now and then, and notifies when none was answered for longer than a limit.

    The last contact is the time when the last answered request was sent: the answer may be older than its arrival.

    Args:
        limit_seconds: the limit.
        probe: sends a small request; raises an error if it fails.
        read_again: reads everything that may have changed after a loss of contact; returns the seconds since it began.
        notify: takes the events.
        clock: returns monotonic seconds; not the time of the event loop, which may stand still while a callback runs.
    """

    def __init__(
        self,
        limit_seconds: float,
        probe: Callable[[], Awaitable[object]],
        read_again: Callable[[], Awaitable[float]],
        notify: Callable[[CutOff | Reconnected], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit_seconds
        self._probe = probe
        self._read_again = read_again
        self._notify = notify
        self._clock = clock
        self._error = "no answer"
        """Why the last request was not answered."""
        self._contact_at = -math.inf
        self._is_cut_off = False

    @property
    def is_cut_off(self) -> bool:
        """Whether no request was answered for longer than the limit, or the users were not read again since."""
        return self._is_cut_off or self.seconds > self._limit

    @property
    def seconds(self) -> float:
        """The time since the last contact."""
        return self._clock() - self._contact_at

    def record_contact(self, seconds: float) -> None:
        """Records that a request was answered which was sent a time ago, in seconds."""
        self._contact_at = self._clock() - seconds

    async def run(self) -> None:
        """Watches until it is cancelled. A contact must be recorded before."""
        while True:
            await self._wait_for_silence()
            self._is_cut_off, lost_at = True, self._contact_at
            log.warning("the API server does not answer", seconds=round(self.seconds, 1), error=self._error)
            self._notify(CutOff(self.seconds))
            while not await self._try_read():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(min(_MAX_RETRY_SECONDS, _RETRY * self._limit))
            self._is_cut_off = False
            log.info("the API server answers again", seconds=round(self._clock() - lost_at, 1))
            self._notify(Reconnected(self._clock() - lost_at))

    async def _wait_for_silence(self) -> None:
        """Sends requests until none was answered for the limit."""
        pause = self._period()
        while (left := self._limit - self.seconds) > 0:
            await asyncio.sleep(min(left, pause))
            left = self._limit - self.seconds
            if left > 0:
                pause = self._period() if await self._try_probe(left) else _RETRY * self._limit

    async def _try_read(self) -> bool:
        """Reads everything again if the API server answers; returns whether it has, and still answers."""
        if not await self._try_probe():
            return False
        self.record_contact(await self._read_again())
        # The reading may have taken longer than the limit: what has changed since it began comes by the watches.
        return self.seconds <= self._limit or await self._try_probe()

    async def _try_probe(self, seconds: float = math.inf) -> bool:
        """Sends a request; returns whether it was answered in time, which is at most the given one."""
        started_at = self._clock()
        try:
            async with asyncio.timeout(min(_TIMEOUT * self._limit, seconds)):
                await self._probe()
        except Exception as error:  # noqa: BLE001 - the monitor must survive: without it, no loss is noticed
            self._error = str(error) or repr(error)
            return False
        self._contact_at = started_at
        return True

    def _period(self) -> float:
        """Returns the time between requests; it is random, so that the drivers of many pods do not send at once."""
        return _PERIOD * self._limit * random.uniform(0.6, 1.0)  # noqa: S311 - not a secret
