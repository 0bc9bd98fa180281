"""Keys to be worked on: each once, however often it was added, and never twice at the same time."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, NamedTuple, TypeVar

import structlog

from statefulroute.cluster.errors import ClusterError, ConflictError, NotFoundError, is_outage
from statefulroute.controllers.priority_queue import PriorityQueue

K = TypeVar("K", bound=Hashable)

log = structlog.get_logger(__name__)

_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.05, 30.0

#: The same where it was the API server that failed: links are to be bound within ten seconds of an outage's end.
_LAST_RETRY_OF_OUTAGE_SECONDS = 5.0

#: In an outage a worker pauses before each further key, for a time that doubles with each round of failures of all
#: workers, so many times: up to 0.8 s, and from the first success on not at all.
_FIRST_PAUSE_SECONDS, _PAUSE_ROUNDS = 0.05, 4

#: How many keys all workers together take before others have their turn: most need no request at all, and tens of
#: microseconds; whoever needs some turns, as a new link does, is to wait for none of them long.
_BATCH_SIZE = 64


class Backlog(NamedTuple):
    """What is yet to be done.

    Attributes:
        depth: how many keys wait, are worked on, or are to be tried again.
        oldest_seconds: for how long the oldest of them has waited for its work to succeed; 0 when there is none.
    """

    depth: int = 0
    oldest_seconds: float = 0.0

    def combined_with(self, other: "Backlog") -> "Backlog":
        """The backlog of two queues."""
        return Backlog(self.depth + other.depth, max(self.oldest_seconds, other.oldest_seconds))


def _as_key(key: Hashable) -> Mapping[str, object]:
    return {"key": key}


class WorkQueue(Generic[K]):
    """A level-triggered queue: a key says that something has changed, not what.

    A key that is added while it is worked on is worked on once more afterwards. One whose work fails is
    tried again after a time that doubles with every failure, up to half a minute, and while it is the API server that
    fails, the workers pause between keys. A key that has not changed itself
    waits in a line of its own: a look at a hundred thousand of them keeps no changed one waiting.

    Args:
        reconcile: works on a key. It judges anew each time what there is to do, and may give the seconds after
            which the key is to come again.
        concurrency: how many keys are worked on at the same time, at the most.
        log_fields: the fields by which a line of the log names a key.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        reconcile: Callable[[K], Awaitable[float | None]],
        concurrency: int,
        log_fields: Callable[[K], Mapping[str, object]] = _as_key,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reconcile = reconcile
        self._concurrency = concurrency
        self._batch_size = max(1, _BATCH_SIZE // concurrency)
        """How many of these keys one worker takes."""
        self._log_fields = log_fields
        self._clock = clock
        self._waiting: PriorityQueue[K] = PriorityQueue()
        self._processing: dict[K, float] = {}
        """Each with the time since when it had waited."""
        self._dirty: set[K] = set()
        self._failures: dict[K, int] = {}
        self._failing_since: dict[K, float] = {}
        self._retries: dict[K, asyncio.TimerHandle] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._outage_failures = 0
        """How many tries have failed in a row because the API server failed."""
        self._is_started = False

    def __len__(self) -> int:
        """How many keys wait or are worked on."""
        return len(self._waiting) + len(self._processing)

    def backlog(self) -> Backlog:
        """What waits for this queue's workers; nothing does before it is open."""
        if not self._is_started:
            return Backlog()
        depth = len(self) + sum(key not in self._waiting for key in self._retries)
        oldest = self._waiting.oldest()
        since = [*(() if oldest is None else (oldest,)), *self._processing.values(), *self._failing_since.values()]
        return Backlog(depth, self._clock() - min(since) if since else 0.0)

    def add(self, key: K) -> None:
        """Have the key worked on, soon: it has changed."""
        self._put(key, self._waiting.add)

    def add_low(self, key: K) -> None:
        """Have the key worked on beside those that have changed: something else has, or a time has come."""
        self._put(key, self._waiting.add_low)

    def _put(self, key: K, put: Callable[[K, float], None]) -> None:
        if key in self._processing:
            self._dirty.add(key)
            return
        put(key, self._clock())
        if self._is_started and len(self._workers) < self._concurrency:
            self._start_workers()

    def start(self) -> None:
        """Begin to work, with what was added before."""
        self._is_started = True
        self._waiting.restart_waits(self._clock())  # before, nobody was to work on them
        self._start_workers()

    async def stop(self) -> None:
        """Take no further key, and wait for the work under way to end. What is left waits for the next opening."""
        self._is_started = False
        for key in tuple(self._retries):
            self._retries.pop(key).cancel()
            self.add(key)
        if self._workers:
            await asyncio.wait(self._workers)

    def _start_workers(self) -> None:
        """Workers come with the work and go with it: an idle queue costs no task."""
        while len(self._workers) < min(self._concurrency, len(self._workers) + len(self._waiting)):
            worker = asyncio.get_running_loop().create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)  # for one that is cancelled before it begins
            if len(self._workers) >= len(self._waiting):
                break

    async def _work(self) -> None:
        taken = 0
        try:
            while self._waiting and self._is_started:
                key, since = self._waiting.pop()
                await self._process(key, since)
                if self._outage_failures:
                    await asyncio.sleep(self._pause())
                taken += 1
                if taken % self._batch_size == 0:
                    await asyncio.sleep(0)
        finally:
            # At once, and not when the loop calls back: a key that comes in between would find nobody and hire nobody.
            if (worker := asyncio.current_task()) is not None:
                self._workers.discard(worker)

    async def _process(self, key: K, since: float) -> None:
        self._processing[key] = since
        if (retry := self._retries.pop(key, None)) is not None:
            retry.cancel()
        try:
            await self._try(key)
        finally:
            del self._processing[key]
            if key in self._dirty:
                self._dirty.discard(key)
                self.add(key)

    async def _try(self, key: K) -> None:
        try:
            again_after = await self._reconcile(key)
        except (ConflictError, NotFoundError):  # somebody wrote or deleted in between; the watch brings it
            self._retry(key)
        except ClusterError as error:
            log.warning("a write failed: trying again", **self._log_fields(key), error=str(error))
            self._retry(key, in_outage=is_outage(error))
        except Exception:
            # One key's trouble must not end the work on all others.
            log.exception("an unexpected error: trying again", **self._log_fields(key))
            self._retry(key)
        else:
            self._outage_failures = 0
            self._failures.pop(key, None)
            self._failing_since.pop(key, None)
            if again_after is not None:
                asyncio.get_running_loop().call_later(again_after, self.add_low, key)

    def _retry(self, key: K, *, in_outage: bool = False) -> None:
        self._failing_since.setdefault(key, self._processing[key])
        if not self._is_started:
            self._dirty.add(key)
            return
        self._outage_failures += in_outage
        last_seconds = _LAST_RETRY_OF_OUTAGE_SECONDS if in_outage else _LAST_RETRY_SECONDS
        delay = min(_FIRST_RETRY_SECONDS * 2 ** self._failures.get(key, 0), last_seconds)
        if delay < last_seconds:  # the power of a night's failures would be too large for a float
            self._failures[key] = self._failures.get(key, 0) + 1
        self._retries[key] = asyncio.get_running_loop().call_later(delay, self._requeue, key)

    def _pause(self) -> float:
        """How long a worker waits before its next key: an API server that fails is not to be asked for every key."""
        rounds = min(self._outage_failures // self._concurrency, _PAUSE_ROUNDS)
        most = _FIRST_PAUSE_SECONDS * 2**rounds
        return random.uniform(most / 2, most)  # noqa: S311 - no secret

    def _requeue(self, key: K) -> None:
        del self._retries[key]
        self.add(key)
