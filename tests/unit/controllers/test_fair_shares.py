"""Links of many routes are written in turn: counted with a simulated API server, whose time passes write by write."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from statefulroute.cluster.errors import APIError
from statefulroute.controllers.links import orphans
from statefulroute.controllers.links.controller import LinkController, link_slots
from statefulroute.controllers.links.reconciler import ReconcileResult
from statefulroute.controllers.work_queue import worker_pool
from statefulroute.controllers.work_queue.worker_pool import WorkerPool
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import LinkKey, RouteKey
from unit.controllers.environment import Environment, idle, link, route, running_route

CONCURRENCY = 32
QUIET = RouteKey("quiet", "game")


class SimulatedServer:
    """An API server that processes writes in the order of their arrival, one at each step."""

    def __init__(self) -> None:
        self.in_progress: dict[LinkKey, asyncio.Future[None]] = {}
        self.written: list[LinkKey] = []
        self.hanging: set[str] = set()
        """The namespaces whose writes are not answered."""

    async def write(self, key: LinkKey) -> ReconcileResult:
        self.in_progress[key] = asyncio.get_running_loop().create_future()
        try:
            await self.in_progress[key]
        finally:
            del self.in_progress[key]
        return ReconcileResult()

    async def step(self) -> None:
        """Processes the write that arrived first, and lets the operator react."""
        for key, response in self.in_progress.items():
            if key.route.namespace not in self.hanging:
                self.written.append(key)
                response.set_result(None)
                break
        await idle()

    async def steps_until_written(self, key: LinkKey) -> int:
        """Returns how many writes are processed until that of a link is."""
        before = len(self.written)
        while key not in self.written[before:]:
            await self.step()
        return len(self.written) - before


def links_of(key: RouteKey, count: int) -> list[LinkKey]:
    return [LinkKey(key, f"{key.name}.{number}") for number in range(count)]


@asynccontextmanager
async def busy_operator(server: SimulatedServer, *busy: RouteKey, links: int = 100) -> AsyncIterator[Environment]:
    """Runs the link controller with busy routes and a quiet one."""
    environment = Environment()
    environment.controller = LinkController(environment.informers, environment.route_store, server.write, CONCURRENCY)
    for key in (*busy, QUIET):
        environment.routes.put(route(10, key))
    async with AsyncExitStack() as stack:
        for key in (*busy, QUIET):
            await stack.enter_async_context(running_route(environment, key))
        for number in range(links):
            for key in busy:
                environment.links.put(link(100 + number, str(number), key))
        await idle()
        try:
            yield environment
        finally:
            for key in (*busy, QUIET):
                environment.controller.remove_route(key)
            server.hanging.clear()
            while server.in_progress:
                await server.step()


async def user_arrives(environment: Environment, number: int) -> LinkKey:
    """Creates a link of the quiet route."""
    environment.links.put(link(1000 + number, f"user-{number}", QUIET))
    await idle()
    return LinkKey(QUIET, f"game.user-{number}")


@pytest.mark.parametrize("routes", [1, 10, 40, 200])
@pytest.mark.parametrize("same_namespace", [True, False])
async def test_link_is_behind_the_writes_in_progress_and_not_behind_the_queues(
    routes: int, same_namespace: bool
) -> None:
    server = SimulatedServer()
    busy = [RouteKey("busy" if same_namespace else f"busy-{number}", f"game-{number}") for number in range(routes)]
    async with busy_operator(server, *busy, links=max(6, 400 // routes)) as environment:
        for number in range(3):
            for _ in range(2 + (0 if same_namespace else routes)):  # more than one round of the other namespaces
                await server.step()
            key = await user_arrives(environment, number)
            assert await server.steps_until_written(key) <= link_slots(CONCURRENCY) + 1


async def test_writes_in_progress_are_limited_over_all_routes_and_busy_routes_progress_alike() -> None:
    server = SimulatedServer()
    busy = [RouteKey(f"busy-{number}", "game") for number in range(10)]
    async with busy_operator(server, *busy):
        for _ in range(500):
            assert len(server.in_progress) <= link_slots(CONCURRENCY)
            await server.step()
        counts = Counter(key.route for key in server.written)
        assert max(counts.values()) - min(counts[key] for key in busy) <= 4


async def test_single_busy_route_has_its_parallel_writes() -> None:
    server = SimulatedServer()
    async with busy_operator(server, RouteKey("busy", "game")):
        assert len(server.in_progress) == CONCURRENCY


async def test_tenants_whose_writes_hang_do_not_delay_another_one() -> None:
    server = SimulatedServer()
    hanging = [RouteKey(f"hanging-{number}", "game") for number in range(4)]
    server.hanging = {key.namespace for key in hanging}
    async with busy_operator(server, *hanging) as environment:
        for number in range(20):
            key = await user_arrives(environment, number)
            assert await server.steps_until_written(key) == 1


async def test_links_without_a_route_whose_writes_hang_delay_no_other_namespace() -> None:
    server = SimulatedServer()
    tenants = [RouteKey(f"hanging-{number}", "none") for number in range(4)]
    server.hanging = {key.namespace for key in tenants}
    environment = Environment()
    controller = LinkController(environment.informers, environment.route_store, server.write, CONCURRENCY)
    controller.start()
    for tenant in tenants:
        for number in range(100):
            environment.links.put(link(100 + number, str(number), tenant))
    await idle()
    for number in range(3):
        key = await user_arrives(environment, number)
        assert await server.steps_until_written(key) == 1
    assert len(server.in_progress) < 16
    server.hanging.clear()
    ended = asyncio.create_task(controller.stop())
    while not ended.done():
        await server.step()
    assert (controller._orphans._slots.used, controller.backlog().depth) == (0, 0)  # noqa: SLF001


async def test_namespace_without_waiting_links_keeps_no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "_RETENTION_SECONDS", 0.01)
    server, environment = SimulatedServer(), Environment()
    controller = LinkController(environment.informers, environment.route_store, server.write, CONCURRENCY)
    controller.start()
    for number in range(10):
        environment.links.put(link(100 + number, "alice", RouteKey(f"play-{number}", "none")))
    await asyncio.sleep(0.05)
    queue = controller._orphans  # noqa: SLF001
    assert (len(queue._pools), queue.backlog().depth) == (10, 10)  # noqa: SLF001
    while server.in_progress:
        await server.step()
    async with asyncio.timeout(5):
        while queue._pools:  # noqa: ASYNC110, SLF001 - there is no event to wait for
            await asyncio.sleep(0.01)
    environment.links.put(link(200, "alice", RouteKey("play-0", "none")))
    await idle()
    assert len(server.in_progress) == 1
    await server.step()
    await controller.stop()


async def test_tenants_whose_writes_hang_one_after_the_other_do_not_delay_another_one() -> None:
    server = SimulatedServer()
    hanging = [RouteKey(f"hanging-{number}", "game") for number in range(6)]
    server.hanging = {key.namespace for key in hanging}
    async with busy_operator(server, *hanging, links=0) as environment:
        for key in hanging:
            for number in range(100):
                environment.links.put(link(100 + number, str(number), key))
            await idle()
        for number in range(3):
            arrived = await user_arrives(environment, number)
            assert await server.steps_until_written(arrived) == 1


async def test_pool_has_no_task_for_keys_that_wait_for_a_slot() -> None:
    slots, may_end = FairSlots(4), asyncio.Event()

    async def work(_: int) -> None:
        await may_end.wait()

    pools = [WorkerPool(work, 32, slots=slots, route=RouteKey(f"{number}", "x")) for number in range(40)]
    before = len(asyncio.all_tasks())
    for pool in pools:
        for key in range(100):
            pool.add(key)
        pool.start()
    await idle()
    assert len(asyncio.all_tasks()) - before == slots.used == 4
    may_end.set()
    for _ in range(4000):
        await idle()
        if not any(map(len, pools)):
            break
    assert not any(map(len, pools))
    assert (slots.used, slots.waiting) == (0, 0)


async def test_pool_that_stops_while_it_waits_takes_no_slot() -> None:
    slots, may_end, done = FairSlots(1), asyncio.Event(), list[str]()

    async def work(key: str) -> None:
        await may_end.wait()
        done.append(key)

    first, second = (WorkerPool(work, 1, slots=slots, route=RouteKey(name, "x")) for name in ("a", "b"))
    for pool, key in ((first, "a"), (second, "b")):
        pool.add(key)
        pool.start()
    await idle()
    await second.stop()
    may_end.set()
    await idle()
    assert (done, slots.used) == (["a"], 0)
    second.start()
    await idle()
    assert (done, slots.used) == (["a", "b"], 0)


async def test_route_whose_writes_are_refused_leaves_its_slots_to_others_while_it_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_pool, "_SLOT_PAUSE_SECONDS", 0.01)
    slots, refused, served = FairSlots(4), list[int](), asyncio.Event()

    async def refuse(key: int) -> None:
        refused.append(key)
        error = APIError(429, "TooManyRequests", "denied by a webhook")
        error.retry_after_seconds = 32.0
        raise error

    async def serve(_: int) -> None:
        served.set()

    pool = WorkerPool(refuse, 4, slots=slots, route=RouteKey("tenant", "refused"))
    neighbour = WorkerPool(serve, 4, slots=slots, route=RouteKey("tenant", "neighbour"))
    for key in range(100):
        pool.add(key)
    pool.start()
    neighbour.start()
    await idle()
    assert slots.used == 2  # the share of the namespace
    neighbour.add(0)
    async with asyncio.timeout(5):
        await served.wait()
    while slots.used:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.01)
    assert len(refused) == 4  # all of its workers pause
    await pool.stop()
    assert (slots.used, slots.waiting, len(pool._workers)) == (0, 0, 0)  # noqa: SLF001
    pool.start()  # and the workers start again
    await idle()
    assert (slots.used, len(refused)) == (2, 6)
    workers = tuple(pool._workers)  # noqa: SLF001
    while slots.used:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    for worker in (*workers, *pool._workers):  # noqa: SLF001 - what the end of the event loop does
        worker.cancel()
    await idle()
    await pool.stop()
    await neighbour.stop()
    assert (slots.used, slots.waiting, len(pool._workers)) == (0, 0, 0)  # noqa: SLF001


async def test_worker_that_is_cancelled_before_it_starts_gives_its_slot_back() -> None:
    slots = FairSlots(1)

    async def work(_: str) -> None:
        pass

    pool = WorkerPool(work, 1, slots=slots, route=RouteKey("a", "x"))
    pool.add("a")
    pool.start()
    for worker in pool._workers:  # noqa: SLF001 - what `stop` does when it is cancelled
        worker.cancel()
    await idle()
    await pool.stop()
    assert slots.used == 0


async def test_cancelled_workers_are_not_replaced() -> None:
    async def work(_: int) -> None:
        await asyncio.Event().wait()

    pool = WorkerPool(work, 2)
    for key in range(10):
        pool.add(key)
    pool.start()
    await idle()
    for worker in tuple(pool._workers):  # noqa: SLF001 - what the end of the event loop does
        worker.cancel()
    await idle()
    assert not pool._workers  # noqa: SLF001
    await pool.stop()
