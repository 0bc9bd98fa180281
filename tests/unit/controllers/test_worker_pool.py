"""The worker pool: it reconciles each key once, never twice at the same time, and retries the ones that fail."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from structlog.testing import capture_logs

from statefulroute.cluster.errors import APIError, ClusterError, ConflictError, NotFoundError, UnreachableError
from statefulroute.controllers.work_queue.priority_queue import Priority
from statefulroute.controllers.work_queue.rate_limiting import OutagePause, RetryBackoff, RetryDelays
from statefulroute.controllers.work_queue.worker_pool import WorkerPool

PATIENCE_SECONDS = 10.0


class Work:
    """The work on keys, each piece of which lasts until it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.under_way: Counter[str] = Counter()
        self.most_at_once = 0
        self._gates: dict[str, asyncio.Event] = {}

    def gate(self, key: str) -> asyncio.Event:
        return self._gates.setdefault(key, asyncio.Event())

    async def handle(self, key: str) -> None:
        self.begun.append(key)
        self.under_way[key] += 1
        self.most_at_once = max(self.most_at_once, self.under_way.total())
        assert self.under_way[key] == 1, "a key is worked on twice at the same time"
        try:
            await self.gate(key).wait()
        finally:
            self.under_way[key] -= 1
            self.gate(key).clear()

    def finish(self, *keys: str) -> None:
        for key in keys:
            self.gate(key).set()


async def idle() -> None:
    """Let everything run that is ready to."""
    for _ in range(10):
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)


async def worked_off(queue: WorkerPool[str]) -> None:
    await eventually(lambda: not len(queue))


@contextmanager
def scheduled() -> Iterator[list[float]]:
    """Retries are noted with their delays, and happen at once."""
    loop = asyncio.get_running_loop()
    later, delays = loop.call_later, list[float]()

    def soon(delay: float, callback: Callable[..., object], *arguments: object, **more: object) -> asyncio.TimerHandle:
        if getattr(callback, "__module__", "").startswith("asyncio"):
            return later(delay, callback, *arguments, **more)  # type: ignore[arg-type]
        delays.append(delay)
        return later(0, callback, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "call_later", soon)
        yield delays


@asynccontextmanager
async def opened(
    handle: Callable[[str], Awaitable[None]], parallel: int = 1, *, backoff: RetryBackoff[str] | None = None
) -> AsyncIterator[WorkerPool[str]]:
    queue = WorkerPool(handle, parallel, backoff=backoff)
    queue.start()
    yield queue
    await queue.stop()


async def test_a_key_is_worked_on_once_however_often_it_was_added() -> None:
    work = Work()
    queue = WorkerPool(work.handle, 4)
    for key in "abacab":
        queue.add(key)
    assert len(queue) == 3
    queue.start()
    await idle()
    work.finish("a", "b", "c")
    await worked_off(queue)
    assert work.begun == ["a", "b", "c"]


async def test_nothing_is_worked_on_before_the_queue_is_open() -> None:
    work = Work()
    queue = WorkerPool(work.handle, 4)
    queue.add("a")
    await idle()
    assert (work.begun, len(queue)) == ([], 1)


async def test_a_key_that_is_added_while_it_is_worked_on_is_worked_on_once_more_afterwards() -> None:
    work = Work()
    async with opened(work.handle, 4) as queue:
        queue.add("a")
        await idle()
        for _ in range(3):
            queue.add("a")
        await idle()
        assert work.begun == ["a"]
        work.finish("a")
        await idle()
        assert work.begun == ["a", "a"]
        work.finish("a")
        await worked_off(queue)
    assert work.begun == ["a", "a"]


@pytest.mark.parametrize("parallel", [1, 2, 5])
async def test_as_many_keys_are_worked_on_at_once_as_was_asked_for_and_no_more(parallel: int) -> None:
    work = Work()
    async with opened(work.handle, parallel) as queue:
        keys = [f"key-{number}" for number in range(12)]
        for key in keys[:6]:
            queue.add(key)
        await idle()
        for key in keys[6:]:
            queue.add(key)
        await idle()
        assert work.under_way.total() == parallel
        work.finish(*keys)
        await worked_off(queue)
        assert sorted(work.begun) == sorted(keys)
        assert work.most_at_once == parallel


async def test_a_key_that_comes_while_others_are_worked_on_does_not_wait_for_them() -> None:
    work = Work()
    async with opened(work.handle, 2) as queue:
        queue.add("slow")
        await idle()
        queue.add("quick")
        await idle()
        assert work.begun == ["slow", "quick"]
        work.finish("slow", "quick")


async def test_a_key_that_has_changed_does_not_wait_for_a_sweep_nor_the_sweep_for_changes() -> None:
    work = Work()
    queue = WorkerPool(work.handle, 1)
    for key in ("swept-1", "swept-2", "swept-3"):
        queue.add(key, Priority.LOW)
    for key in ("new-1", "new-2"):
        queue.add(key)
    work.finish("swept-1", "swept-2", "swept-3", "new-1", "new-2")
    queue.start()
    await worked_off(queue)
    await queue.stop()
    assert work.begun == ["new-1", "swept-1", "new-2", "swept-2", "swept-3"]


async def test_a_swept_key_that_changes_is_worked_on_once_and_with_those_that_have_changed() -> None:
    work = Work()
    queue = WorkerPool(work.handle, 1)
    for key in ("swept", "both", "also"):
        queue.add(key, Priority.LOW)
    queue.add("both")
    queue.add("both", Priority.LOW)
    assert len(queue) == 3
    work.finish("swept", "both", "also")
    queue.start()
    await worked_off(queue)
    await queue.stop()
    assert work.begun == ["both", "swept", "also"]


async def test_an_idle_queue_has_no_task() -> None:
    before = asyncio.all_tasks()
    work = Work()
    async with opened(work.handle, 4) as queue:
        assert asyncio.all_tasks() == before
        queue.add("a")
        assert len(asyncio.all_tasks() - before) == 1
        await idle()
        work.finish("a")
        await worked_off(queue)
        await idle()
        assert asyncio.all_tasks() == before


@pytest.mark.parametrize("parallel", [1, 3])
async def test_a_key_that_comes_in_the_moment_in_which_the_workers_end_is_not_forgotten(parallel: int) -> None:
    """The workers find nothing to do; in the same turn of the loop, before they are gone, a key comes."""
    done: list[str] = []

    async def handle(key: str) -> None:
        done.append(key)

    async with opened(handle, parallel) as queue:
        for number in range(50):
            for other in range(parallel):
                queue.add(f"first-{number}-{other}")
            asyncio.get_running_loop().call_soon(queue.add, f"second-{number}")
            await idle()
            assert done[-1] == f"second-{number}"


@pytest.mark.parametrize(
    ("error", "later"),
    [
        (APIError(422, "Invalid", "it cannot be so"), [6.4, 12.8, 25.6, 30.0, 30.0, 30.0]),
        (UnreachableError("PATCH /a: nobody answered"), [5.0] * 6),
        (APIError(500, "InternalError", "out of order"), [5.0] * 6),
        (APIError(429, "TooManyRequests", "later"), [5.0] * 6),
    ],
)
async def test_a_key_that_fails_is_tried_again_after_a_time_that_doubles_up_to_half_a_minute_and_in_an_outage_up_to_5_s(
    error: ClusterError, later: list[float]
) -> None:
    tries = 0

    async def fail_thirteen_times(_key: str) -> None:
        nonlocal tries
        tries += 1
        if tries <= 13:
            raise error

    with scheduled() as delays:
        async with opened(fail_thirteen_times) as queue:
            queue.add("a")
            await eventually(lambda: tries == 14)
    assert delays == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, *later]


async def test_a_key_that_fails_for_days_is_tried_again_for_days() -> None:
    tries = 0

    async def fail(_key: str) -> None:
        nonlocal tries
        tries += 1
        raise ConflictError(409, "Conflict", "the object has been modified")

    with scheduled() as delays:
        async with opened(fail) as queue:
            queue.add("a")
            await eventually(lambda: tries == 3000)
    assert delays[-1] == 30.0


async def test_a_success_lets_the_next_failure_be_tried_again_soon() -> None:
    outcomes = iter([True, True, False, True, False])
    tries = 0

    async def handle(_key: str) -> None:
        nonlocal tries
        tries += 1
        if next(outcomes):
            raise UnreachableError("nobody answered")

    with scheduled() as delays:
        async with opened(handle) as queue:
            queue.add("a")
            await eventually(lambda: tries == 3 and not len(queue))
            queue.add("a")
            await eventually(lambda: tries == 5)
    assert delays == [0.05, 0.1, 0.05]


async def test_a_key_that_fails_waits_for_one_retry_however_often_it_was_added_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, handles = asyncio.get_running_loop(), list[asyncio.TimerHandle]()
    later = loop.call_later

    def noting(delay: float, *arguments: object) -> asyncio.TimerHandle:
        handle = later(delay, *arguments)  # type: ignore[arg-type]
        if delay == 3600.0:
            handles.append(handle)
        return handle

    tries = 0

    async def fail(_key: str) -> None:
        nonlocal tries
        tries += 1
        raise APIError(422, "Invalid", "no")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "call_later", noting)
        async with opened(fail, backoff=RetryBackoff(RetryDelays(3600.0, 3600.0))) as queue:
            for _ in range(5):
                queue.add("a")
                await idle()
            assert tries == 5
            assert [handle.cancelled() for handle in handles] == [True, True, True, True, False]
    assert handles[-1].cancelled(), "a closed queue waits for no retry"
    queue.start()
    await idle()
    await queue.stop()
    assert tries == 6, "what was to be tried again is tried when the queue is opened again"


async def test_a_key_that_fails_while_the_queue_closes_is_tried_when_it_is_opened_again() -> None:
    gate, tries = asyncio.Event(), 0

    async def handle(_key: str) -> None:
        nonlocal tries
        tries += 1
        await gate.wait()
        if tries == 1:
            raise UnreachableError("nobody answered")

    queue = WorkerPool(handle, 2)
    queue.start()
    queue.add("a")
    await idle()
    closing = asyncio.create_task(queue.stop())
    await idle()
    gate.set()
    await closing
    assert (tries, len(queue)) == (1, 1)
    queue.start()
    await worked_off(queue)
    assert tries == 2


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (ConflictError(409, "Conflict", "the object has been modified"), []),
        (NotFoundError(404, "NotFound", "the object was deleted"), []),
        (UnreachableError("nobody answered"), [("warning", "a write failed: trying again")]),
        (RuntimeError("a defect"), [("error", "an unexpected error: trying again")]),
    ],
)
async def test_a_failure_is_logged_by_its_kind_and_keeps_no_other_key_waiting(
    error: Exception, logged: list[tuple[str, str]]
) -> None:
    done: list[str] = []
    failed = False

    async def handle(key: str) -> None:
        nonlocal failed
        if key == "bad" and not failed:
            failed = True
            raise error
        done.append(key)

    with capture_logs() as logs, scheduled() as delays:
        async with opened(handle) as queue:
            for key in ("first", "bad", "last"):
                queue.add(key)
            await eventually(lambda: len(done) == 3)
    assert done == ["first", "last", "bad"]
    assert delays == [0.05]
    assert [(line["log_level"], line["event"]) for line in logs] == logged


async def test_closing_finishes_what_is_under_way_and_takes_no_further_key() -> None:
    work = Work()
    queue = WorkerPool(work.handle, 2)
    queue.start()
    for key in ("a", "b", "c"):
        queue.add(key)
    await idle()
    closing = asyncio.create_task(queue.stop())
    queue.add("a")
    queue.add("d")
    await idle()
    assert not closing.done()
    work.finish("a")
    await idle()
    assert not closing.done()
    work.finish("b", "c", "d")
    await closing
    await idle()
    assert work.begun == ["a", "b"]
    assert not work.under_way.total()


async def test_a_queue_that_was_closed_goes_on_where_it_was_when_it_is_opened_again() -> None:
    work = Work()
    queue = WorkerPool(work.handle, 1)
    queue.start()
    queue.add("a")
    queue.add("b")
    await idle()
    work.finish("a")
    await queue.stop()
    queue.add("c")
    queue.start()
    await idle()
    work.finish("b", "c")
    await worked_off(queue)
    await queue.stop()
    assert work.begun == ["a", "b", "c"]


async def test_closing_an_idle_queue_is_done_at_once() -> None:
    await WorkerPool(Work().handle, 2).stop()


@pytest.mark.parametrize("parallel", [1, 16])
async def test_keys_that_need_no_waiting_leave_others_their_turn(parallel: int) -> None:
    keys, done, turns = 100_000, 0, 0

    async def handle(_key: str) -> None:
        nonlocal done
        done += 1

    queue = WorkerPool(handle, parallel)
    for number in range(keys):
        queue.add(f"key-{number}")
    queue.start()
    while done < keys:
        await asyncio.sleep(0)
        turns += 1
    await queue.stop()
    assert turns >= 30


async def test_an_api_server_that_fails_is_not_asked_for_every_key() -> None:
    tries, is_out, done = 0, True, set[str]()

    async def handle(key: str) -> None:
        nonlocal tries
        tries += 1
        if is_out:
            raise UnreachableError("nobody answered")
        done.add(key)

    queue = WorkerPool(handle, 4, outage_pause=OutagePause(4, initial_seconds=0.01))
    queue.start()
    for number in range(1000):
        queue.add(f"key-{number}")
    await asyncio.sleep(0.5)
    assert tries < 200  # four at a time, which pause for 0.01 s and then for up to 0.16 s
    is_out = False
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(done) < 1000:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
    await queue.stop()
