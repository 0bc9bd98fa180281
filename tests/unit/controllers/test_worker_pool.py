"""The worker pool: it reconciles each key once, never twice at the same time, and retries the ones that fail."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from itertools import count

import pytest
from structlog.testing import capture_logs

from statefulroute.cluster.errors import (
    APIError,
    ClusterError,
    ConflictError,
    NotFoundError,
    NotLeadingError,
    UnreachableError,
)
from statefulroute.controllers.deadlines import Deadlines
from statefulroute.controllers.work_queue.priority_queue import Priority
from statefulroute.controllers.work_queue.rate_limiting import OutagePause, RetryBackoff, RetryDelays
from statefulroute.controllers.work_queue.worker_pool import WorkerPool
from support.simulated_loop import SimulatedLoop

PATIENCE_SECONDS = 10.0


class Work:
    """A reconciler that works on each key until the test finishes it."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.in_progress: Counter[str] = Counter()
        self.max_in_progress = 0
        self._finished: dict[str, asyncio.Event] = {}

    def finished(self, key: str) -> asyncio.Event:
        return self._finished.setdefault(key, asyncio.Event())

    async def reconcile(self, key: str) -> None:
        self.started.append(key)
        self.in_progress[key] += 1
        self.max_in_progress = max(self.max_in_progress, self.in_progress.total())
        assert self.in_progress[key] == 1, "a key is reconciled twice at the same time"
        try:
            await self.finished(key).wait()
        finally:
            self.in_progress[key] -= 1
            self.finished(key).clear()

    def finish(self, *keys: str) -> None:
        for key in keys:
            self.finished(key).set()


async def idle() -> None:
    """Lets all tasks run that are ready."""
    for _ in range(10):
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        for turn in count():
            if condition():
                return
            await asyncio.sleep(0 if turn < 20_000 else 0.001)  # some conditions are true only after a pause


async def finished(pool: WorkerPool[str]) -> None:
    await eventually(lambda: not len(pool))


@contextmanager
def scheduled() -> Iterator[list[float]]:
    """Records the delays of retries, which happen at once."""
    delays, set_deadline = list[float](), Deadlines.set

    def soon(deadlines: Deadlines[str], key: str, seconds: float) -> None:
        delays.append(seconds)
        set_deadline(deadlines, key, 0.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Deadlines, "set", soon)
        yield delays


@asynccontextmanager
async def started(
    reconcile: Callable[[str], Awaitable[None]], concurrency: int = 1, *, backoff: RetryBackoff[str] | None = None
) -> AsyncIterator[WorkerPool[str]]:
    pool = WorkerPool(reconcile, concurrency, backoff=backoff)
    pool.start()
    yield pool
    await pool.stop()


async def test_key_is_reconciled_once_however_often_it_was_added() -> None:
    work = Work()
    pool = WorkerPool(work.reconcile, 4)
    for key in "abacab":
        pool.add(key)
    assert len(pool) == 3
    pool.start()
    await idle()
    work.finish("a", "b", "c")
    await finished(pool)
    assert work.started == ["a", "b", "c"]


async def test_nothing_is_reconciled_before_the_start() -> None:
    work = Work()
    pool = WorkerPool(work.reconcile, 4)
    pool.add("a")
    await idle()
    assert (work.started, len(pool)) == ([], 1)


async def test_key_that_is_added_while_it_is_reconciled_is_reconciled_once_more_afterwards() -> None:
    work = Work()
    async with started(work.reconcile, 4) as pool:
        pool.add("a")
        await idle()
        for _ in range(3):
            pool.add("a")
        await idle()
        assert work.started == ["a"]
        work.finish("a")
        await idle()
        assert work.started == ["a", "a"]
        work.finish("a")
        await finished(pool)
    assert work.started == ["a", "a"]


@pytest.mark.parametrize("concurrency", [1, 2, 5])
async def test_concurrency_is_reached_and_not_exceeded(concurrency: int) -> None:
    work = Work()
    async with started(work.reconcile, concurrency) as pool:
        keys = [f"key-{number}" for number in range(12)]
        for key in keys[:6]:
            pool.add(key)
        await idle()
        for key in keys[6:]:
            pool.add(key)
        await idle()
        assert work.in_progress.total() == concurrency
        work.finish(*keys)
        await finished(pool)
        assert sorted(work.started) == sorted(keys)
        assert work.max_in_progress == concurrency


async def test_key_does_not_wait_for_others_in_progress() -> None:
    work = Work()
    async with started(work.reconcile, 2) as pool:
        pool.add("slow")
        await idle()
        pool.add("quick")
        await idle()
        assert work.started == ["slow", "quick"]
        work.finish("slow", "quick")


async def test_neither_priority_waits_for_all_keys_of_the_other() -> None:
    work = Work()
    pool = WorkerPool(work.reconcile, 1)
    for key in ("low-1", "low-2", "low-3"):
        pool.add(key, Priority.LOW)
    for key in ("high-1", "high-2"):
        pool.add(key)
    work.finish("low-1", "low-2", "low-3", "high-1", "high-2")
    pool.start()
    await finished(pool)
    await pool.stop()
    assert work.started == ["high-1", "low-1", "high-2", "low-2", "low-3"]


async def test_key_of_low_priority_that_changes_is_reconciled_once_and_with_high_priority() -> None:
    work = Work()
    pool = WorkerPool(work.reconcile, 1)
    for key in ("low", "both", "other"):
        pool.add(key, Priority.LOW)
    pool.add("both")
    pool.add("both", Priority.LOW)
    assert len(pool) == 3
    work.finish("low", "both", "other")
    pool.start()
    await finished(pool)
    await pool.stop()
    assert work.started == ["both", "low", "other"]


async def test_idle_pool_has_no_task() -> None:
    before = asyncio.all_tasks()
    work = Work()
    async with started(work.reconcile, 4) as pool:
        assert asyncio.all_tasks() == before
        pool.add("a")
        assert len(asyncio.all_tasks() - before) == 1
        await idle()
        work.finish("a")
        await finished(pool)
        await idle()
        assert asyncio.all_tasks() == before


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_key_that_arrives_while_the_workers_stop_is_not_forgotten(concurrency: int) -> None:
    """A key arrives in the turn of the event loop in which the workers find no other key and stop."""
    done: list[str] = []

    async def reconcile(key: str) -> None:
        done.append(key)

    async with started(reconcile, concurrency) as pool:
        for number in range(50):
            for other in range(concurrency):
                pool.add(f"first-{number}-{other}")
            asyncio.get_running_loop().call_soon(pool.add, f"second-{number}")
            await idle()
            assert done[-1] == f"second-{number}"


@pytest.mark.parametrize(
    ("error", "later"),
    [
        (APIError(422, "Invalid", "it cannot be so"), [6.4, 12.8, 25.6, 30.0, 30.0, 30.0]),
        (UnreachableError("PATCH /a: no answer"), [5.0] * 6),
        (APIError(500, "InternalError", "out of order"), [5.0] * 6),
        (APIError(429, "TooManyRequests", "later"), [5.0] * 6),
    ],
)
def test_failed_key_is_retried_with_exponential_backoff_up_to_30_s_and_in_an_outage_up_to_5_s(
    error: ClusterError, later: list[float]
) -> None:
    tries = 0

    async def fail_thirteen_times(_key: str) -> None:
        nonlocal tries
        tries += 1
        if tries <= 13:
            raise error

    async def run() -> None:
        async with started(fail_thirteen_times) as pool:
            pool.add("a")
            await eventually(lambda: tries == 14)

    with scheduled() as delays, closing(SimulatedLoop()) as loop:  # the workers pause in an outage
        loop.run_until_complete(run())
    assert delays == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, *later]


async def test_key_that_fails_for_days_is_retried_for_days() -> None:
    tries = 0

    async def fail(_key: str) -> None:
        nonlocal tries
        tries += 1
        raise ConflictError(409, "Conflict", "the object has been modified")

    with scheduled() as delays:
        async with started(fail) as pool:
            pool.add("a")
            await eventually(lambda: tries == 3000)
    assert delays[-1] == 30.0


async def test_success_resets_the_backoff() -> None:
    outcomes = iter([True, True, False, True, False])
    tries = 0

    async def reconcile(_key: str) -> None:
        nonlocal tries
        tries += 1
        if next(outcomes):
            raise UnreachableError("no answer")

    with scheduled() as delays:
        async with started(reconcile) as pool:
            pool.add("a")
            await eventually(lambda: tries == 3 and not len(pool))
            pool.add("a")
            await eventually(lambda: tries == 5)
    assert delays == [0.05, 0.1, 0.05]


async def test_failed_key_waits_for_one_retry_however_often_it_was_added_meanwhile() -> None:
    tries = 0

    async def fail(_key: str) -> None:
        nonlocal tries
        tries += 1
        raise APIError(422, "Invalid", "no")

    async with started(fail, backoff=RetryBackoff(RetryDelays(3600.0, 3600.0))) as pool:
        for _ in range(5):
            pool.add("a")
            await idle()
        assert tries == 5
        assert list(pool._retries) == ["a"]  # noqa: SLF001 - nothing else shows a retry in an hour
    assert list(pool._retries) == [], "a stopped pool waits for no retry"  # noqa: SLF001 - as above
    pool.start()
    await idle()
    await pool.stop()
    assert tries == 6, "the key is retried when the pool starts again"


async def test_key_that_fails_during_the_stop_is_retried_at_the_next_start() -> None:
    unblocked, tries = asyncio.Event(), 0

    async def reconcile(_key: str) -> None:
        nonlocal tries
        tries += 1
        await unblocked.wait()
        if tries == 1:
            raise UnreachableError("no answer")

    pool = WorkerPool(reconcile, 2)
    pool.start()
    pool.add("a")
    await idle()
    stopping = asyncio.create_task(pool.stop())
    await idle()
    unblocked.set()
    await stopping
    assert (tries, len(pool)) == (1, 1)
    pool.start()
    await finished(pool)
    assert tries == 2


async def test_key_that_failed_before_a_stop_has_not_waited_since_then() -> None:
    seconds = 0.0

    async def fail(_key: str) -> None:
        raise UnreachableError("no answer")

    pool = WorkerPool(fail, 1, clock=lambda: seconds)
    pool.start()
    pool.add("a")
    await idle()
    await pool.stop()
    seconds = 3600.0
    pool.start()
    await idle()
    assert pool.backlog().oldest_seconds == 0
    await pool.stop()


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (ConflictError(409, "Conflict", "the object has been modified"), []),
        (NotFoundError(404, "NotFound", "the object was deleted"), []),
        (NotLeadingError("the Lease is lost"), []),
        (UnreachableError("no answer"), [("warning", "a write failed: trying again")]),
        (RuntimeError("a defect"), [("error", "an unexpected error: trying again")]),
    ],
)
async def test_failure_is_logged_by_its_kind_and_delays_no_other_key(
    error: Exception, logged: list[tuple[str, str]]
) -> None:
    done: list[str] = []
    failed = False

    async def reconcile(key: str) -> None:
        nonlocal failed
        if key == "bad" and not failed:
            failed = True
            raise error
        done.append(key)

    with capture_logs() as logs, scheduled() as delays:
        async with started(reconcile) as pool:
            for key in ("first", "bad", "last"):
                pool.add(key)
            await eventually(lambda: len(done) == 3)
    assert done == ["first", "last", "bad"]
    assert delays == [0.05]
    assert [(line["log_level"], line["event"]) for line in logs] == logged


async def test_stop_finishes_keys_in_progress_and_takes_no_others() -> None:
    work = Work()
    pool = WorkerPool(work.reconcile, 2)
    pool.start()
    for key in ("a", "b", "c"):
        pool.add(key)
    await idle()
    stopping = asyncio.create_task(pool.stop())
    pool.add("a")
    pool.add("d")
    await idle()
    assert not stopping.done()
    work.finish("a")
    await idle()
    assert not stopping.done()
    work.finish("b", "c", "d")
    await stopping
    await idle()
    assert work.started == ["a", "b"]
    assert not work.in_progress.total()


async def test_cancelled_stop_cancels_the_keys_in_progress_and_the_next_start_takes_the_others() -> None:
    work = Work()
    pool = WorkerPool(work.reconcile, 1)
    pool.start()
    pool.add("a")
    pool.add("b")
    await idle()
    stopping = asyncio.create_task(pool.stop())
    await idle()
    stopping.cancel()
    await idle()
    assert stopping.cancelled()
    assert not work.in_progress.total()
    pool.start()
    await idle()
    work.finish("b")
    await finished(pool)
    assert work.started == ["a", "b"]


async def test_pool_that_starts_again_continues_with_the_waiting_keys() -> None:
    work = Work()
    pool = WorkerPool(work.reconcile, 1)
    pool.start()
    pool.add("a")
    pool.add("b")
    await idle()
    work.finish("a")
    await pool.stop()
    pool.add("c")
    pool.start()
    await idle()
    work.finish("b", "c")
    await finished(pool)
    await pool.stop()
    assert work.started == ["a", "b", "c"]


async def test_stop_of_an_idle_pool_is_immediate() -> None:
    await WorkerPool(Work().reconcile, 2).stop()


@pytest.mark.parametrize("concurrency", [1, 16])
async def test_keys_that_never_wait_let_other_tasks_run(concurrency: int) -> None:
    keys, done, turns = 100_000, 0, 0

    async def reconcile(_key: str) -> None:
        nonlocal done
        done += 1

    pool = WorkerPool(reconcile, concurrency)
    for number in range(keys):
        pool.add(f"key-{number}")
    pool.start()
    while done < keys:
        await asyncio.sleep(0)
        turns += 1
    await pool.stop()
    assert turns >= 30


async def test_failing_api_server_does_not_get_a_request_for_every_key() -> None:
    tries, is_failing, done = 0, True, set[str]()

    async def reconcile(key: str) -> None:
        nonlocal tries
        tries += 1
        if is_failing:
            raise UnreachableError("no answer")
        done.add(key)

    pool = WorkerPool(reconcile, 4, outage_pause=OutagePause(4, initial_seconds=0.01))
    pool.start()
    for number in range(1000):
        pool.add(f"key-{number}")
    await asyncio.sleep(0.5)
    assert tries < 200  # four workers, which pause for 0.01 s and then for up to 0.16 s
    is_failing = False
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(done) < 1000:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
    await pool.stop()


async def test_worker_whose_request_was_refused_pauses_while_the_others_work() -> None:
    busy = APIError(429, "TooManyRequests", "later")
    busy.retry_after_seconds = 3600.0
    started_keys: list[str] = []

    async def reconcile(key: str) -> None:
        started_keys.append(key)
        if key.startswith("refused"):
            raise busy

    async with started(reconcile, 2) as pool:
        pool.add("refused")
        for number in range(5):
            pool.add(f"accepted-{number}")
        await eventually(lambda: len(started_keys) == 6)
        pool.add("refused-2")
        pool.add("not started")  # both workers pause
        await eventually(lambda: "refused-2" in started_keys)
        await idle()
        assert "not started" not in started_keys
        async with asyncio.timeout(PATIENCE_SECONDS):
            await pool.stop()  # which ends the pauses


async def test_refused_key_is_retried_after_the_pause_that_the_api_server_asks_for() -> None:
    busy = APIError(429, "TooManyRequests", "later")
    busy.retry_after_seconds = 8.0
    tries = 0

    async def refuse_twice(_key: str) -> None:
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise busy

    with scheduled() as delays, pytest.MonkeyPatch.context() as patch:
        patch.setattr(OutagePause, "seconds", lambda *_: 0.0)
        async with started(refuse_twice) as pool:
            pool.add("a")
            await eventually(lambda: tries == 3)
    assert all(8.0 <= delay <= 10.0 for delay in delays)
    assert len(delays) == 2
