"""The workers: tasks that take keys from a work queue, reconcile them, and retry the ones that fail."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, TypeVar

import structlog

from statefulroute.cluster.errors import ClusterError, ConflictError, NotFoundError, NotLeadingError, is_outage
from statefulroute.controllers.deadlines import Deadlines
from statefulroute.controllers.work_queue.backlog import Backlog, measure_backlog
from statefulroute.controllers.work_queue.priority_queue import Priority
from statefulroute.controllers.work_queue.queue import WorkQueue
from statefulroute.controllers.work_queue.rate_limiting import OutagePause, RetryBackoff
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import RouteKey

K = TypeVar("K", bound=Hashable)

log = structlog.get_logger(__name__)

#: How many keys all workers together process before other tasks run. Most keys need no request and take tens of
#: microseconds; a new link needs several turns of the event loop, and none of them may come late.
_BATCH_SIZE = 64

#: How long a worker that pauses keeps its slot. A webhook may refuse the writes of one tenant, with a pause of half a
#: minute: the slots go to other routes meanwhile. An API server that refuses all writes still receives at most one
#: request in this time for each slot.
_SLOT_PAUSE_SECONDS = 1.0

#: The route of a pool that shares its workers with no other.
_NO_ROUTE = RouteKey("", "")


def _default_log_fields(key: Hashable) -> Mapping[str, object]:
    return {"key": key}


class WorkerPool(Generic[K]):
    """Reconciles keys, each one at a time and several keys at the same time.

    A key that fails is retried with backoff, and while the API server fails, the workers pause between keys.

    Args:
        reconcile: works on a key. It decides each time from the present state what to do.
        concurrency: the largest number of keys that are reconciled at the same time.
        log_fields: returns the log fields that name a key.
        failure: the log message for a key whose request failed.
        backoff: when failed keys are retried.
        outage_pause: how long workers pause while the API server fails.
        slots: the workers that several pools share; each worker needs a slot. None shares them with no other pool.
        route: the route that the slots are counted for.
        clock: returns monotonic seconds.
    """

    def __init__(  # noqa: PLR0913 - the parts are replaceable
        self,
        reconcile: Callable[[K], Awaitable[object]],
        concurrency: int,
        log_fields: Callable[[K], Mapping[str, object]] = _default_log_fields,
        *,
        failure: str = "a write failed: trying again",
        backoff: RetryBackoff[K] | None = None,
        outage_pause: OutagePause | None = None,
        slots: FairSlots | None = None,
        route: RouteKey = _NO_ROUTE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reconcile = reconcile
        self._concurrency = concurrency
        self._log_fields = log_fields
        self._failure = failure
        self._backoff: RetryBackoff[K] = RetryBackoff() if backoff is None else backoff
        self._outage_pause = OutagePause(concurrency) if outage_pause is None else outage_pause
        self._clock = clock
        self._queue: WorkQueue[K] = WorkQueue(clock)
        self._batch_size = max(1, _BATCH_SIZE // concurrency)
        """How many of those keys are one worker's."""
        self._retries: Deadlines[K] = Deadlines(self.add)
        self._failing_since: dict[K, float] = {}
        """The keys that have failed, each with the time since which it had waited at its first failure."""
        self._workers: set[asyncio.Task[None]] = set()
        self._slots = FairSlots(concurrency, namespace_share=math.inf) if slots is None else slots
        self._route = route
        self._waits_for_slot = False
        self._without_slot: set[asyncio.Task[None] | None] = set()
        """The workers that have given their slot back, because they pause for long."""
        self._pauses: set[asyncio.Future[None]] = set()
        """The pauses of workers while the API server fails."""
        self._is_started = False

    def __len__(self) -> int:
        """Returns the number of keys that wait or are reconciled."""
        return len(self._queue)

    def backlog(self) -> Backlog:
        """Returns the work that is left; a pool that is not started has none."""
        if not self._is_started:
            return Backlog()
        return measure_backlog(self._queue, self._retries, self._failing_since.values(), self._clock())

    def add(self, key: K, priority: Priority = Priority.HIGH) -> None:
        """Reconciles a key soon."""
        if self._queue.add(key, priority) and self._is_started and len(self._workers) < self._concurrency:
            self._start_workers()

    def is_processing(self, key: K) -> bool:
        """Returns whether a key is reconciled now."""
        return self._queue.is_processing(key)

    def start(self) -> None:
        """Starts reconciling, with the keys that were added before."""
        self._is_started = True
        self._queue.restart_waits()  # no worker could have reconciled them earlier
        self._failing_since.clear()
        self._start_workers()

    async def stop(self) -> None:
        """Finishes the keys in progress, and takes no others; these wait for the next start.

        If it is cancelled, it cancels the work in progress, too.
        """
        self._is_started = False
        if self._waits_for_slot:
            self._waits_for_slot = not self._slots.cancel(self._route, self._take_slot)
        for key in tuple(self._retries):
            self._retries.cancel(key)
            self.add(key)
        workers = tuple(self._workers)
        for pause in self._pauses:
            pause.cancel()
        try:
            if workers:
                await asyncio.wait(workers)
        finally:
            for worker in workers:
                worker.cancel()  # no-op for a worker that has ended

    def _start_workers(self) -> None:
        """Starts workers for the waiting keys; a worker stops when no key waits, so that an idle pool has no task."""
        while self._queue.waiting and len(self._workers) < self._concurrency:
            if not self._slots.take(self._route):
                self._wait_for_slot()
                break
            self._start_worker()
            if len(self._workers) >= self._queue.waiting:
                break

    def _start_worker(self) -> None:
        worker = asyncio.get_running_loop().create_task(self._work())
        self._workers.add(worker)
        worker.add_done_callback(self._worker_done)

    def _wait_for_slot(self) -> None:
        """Waits for one slot at a time, however many keys wait, so that the memory for it does not grow with them."""
        if not self._waits_for_slot:
            self._waits_for_slot = True
            self._slots.wait(self._route, self._take_slot)

    def _take_slot(self) -> bool:
        """Starts a worker with the slot that the pool has waited for; returns False if no key needs it any more."""
        self._waits_for_slot = False
        if not (self._is_started and self._queue.waiting and len(self._workers) < self._concurrency):
            return False
        self._start_worker()
        if len(self._workers) < min(self._concurrency, self._queue.waiting):
            self._wait_for_slot()
        return True

    async def _work(self) -> None:
        processed = 0
        try:
            while self._queue.waiting and self._is_started:
                retry_after_seconds = await self._process(self._queue.get())
                if pause := self._outage_pause.seconds(retry_after_seconds):
                    await self._pause(min(pause, _SLOT_PAUSE_SECONDS))
                    if pause > _SLOT_PAUSE_SECONDS and self._is_started:
                        await self._pause_without_slot(pause - _SLOT_PAUSE_SECONDS)
                        break
                if self._slots.waiting:
                    break
                processed += 1
                if processed % self._batch_size == 0:
                    await asyncio.sleep(0)
        finally:
            # Now, and not in a callback of the event loop: a key that arrives in between would start no worker.
            if (worker := asyncio.current_task()) is not None:
                self._end_worker(worker)
        if self._is_started:  # other pools that wait have had the slot before the keys of this pool
            self._start_workers()

    def _worker_done(self, worker: asyncio.Task[None]) -> None:
        if worker in self._workers:  # it was cancelled before it started
            self._end_worker(worker)

    def _end_worker(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if worker in self._without_slot:
            self._without_slot.discard(worker)
        else:
            self._slots.release(self._route)

    async def _pause_without_slot(self, seconds: float) -> None:
        """Lets a worker pause without its slot. It is still one of the workers that the pool may have."""
        self._without_slot.add(asyncio.current_task())
        self._slots.release(self._route)
        await self._pause(seconds)

    async def _pause(self, seconds: float) -> None:
        """Lets a worker pause, which `stop` ends."""
        pause = asyncio.ensure_future(asyncio.sleep(seconds))
        self._pauses.add(pause)
        try:
            await asyncio.wait([pause])
        finally:
            self._pauses.discard(pause)
            pause.cancel()

    async def _process(self, key: K) -> float:
        """Reconciles a key; returns the pause that the API server asks for, in seconds."""
        retry_after_seconds = 0.0
        self._retries.cancel(key)
        try:
            await self._reconcile(key)
        except (ConflictError, NotFoundError):  # another client wrote or deleted the object; the watch delivers it
            self._retry(key)
        except NotLeadingError:  # the pool is stopped in a moment
            self._retry(key)
        except ClusterError as error:
            log.warning(self._failure, **self._log_fields(key), error=str(error))
            retry_after_seconds = error.retry_after_seconds
            self._retry(key, in_outage=is_outage(error), retry_after_seconds=retry_after_seconds)
        except Exception:
            # An error of one key must not stop the work on all others.
            log.exception("an unexpected error: trying again", **self._log_fields(key))
            self._retry(key)
        else:
            self._outage_pause.reset()
            self._backoff.forget(key)
            self._failing_since.pop(key, None)
        finally:
            if self._queue.done(key) and self._is_started and len(self._workers) < self._concurrency:
                self._start_workers()
        return retry_after_seconds

    def _retry(self, key: K, *, in_outage: bool = False, retry_after_seconds: float = 0.0) -> None:
        self._failing_since.setdefault(key, self._queue.processing_since(key))
        if not self._is_started:
            self._queue.add(key)  # it waits again when it is done
            return
        if in_outage:
            self._outage_pause.record_failure()
        delay = self._backoff.next_delay(key, in_outage=in_outage, retry_after_seconds=retry_after_seconds)
        self._retries.set(key, delay)
