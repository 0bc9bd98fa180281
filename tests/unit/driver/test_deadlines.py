"""Tests that the time limits of operations hold, also if an operation sends several requests."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from statefulroute import ClientDriver, DeadlineExceededError
from statefulroute.testing import InMemoryCluster
from support.simulated_loop import SimulatedLoop

HERE = "play"
LINKS = "/apis/statefulroute.io/v1alpha1/namespaces/play/podlinks"

DEADLINE_SECONDS = 1.0

Call = Callable[[ClientDriver], Awaitable[object]]

#: Each sends several requests, one after another.
CALLS: dict[str, Call] = {
    "compute_link_if_absent": lambda driver: driver.compute_link_if_absent("alice", "game"),
    "link_if_absent": lambda driver: driver.link_if_absent("alice", "game", 1),
    "renew": lambda driver: driver.renew("bob", "game"),
    "batch_get": lambda driver: driver.batch_get([f"user-{number}" for number in range(64)], "game"),
    "links_of": lambda driver: driver.links_of("alice", [f"service-{number}" for number in range(64)]),
}


def run(
    call: Call, request_seconds: float, check: Callable[[InMemoryCluster, Awaitable[object]], Awaitable[None]]
) -> None:
    """Calls a driver that caches no links, so that every operation reads.

    Args:
        call: the call.
        request_seconds: how long each request takes.
        check: awaits the call and checks its end.
    """

    async def main() -> None:
        cluster = InMemoryCluster(HERE)
        cluster.add_service("game", pods=2)
        client = cluster._client  # noqa: SLF001 - to delay its responses
        renewed = datetime.now(UTC) - timedelta(seconds=400)  # so it is to be renewed
        spec = {"routeName": "game", "uid": "bob", "podIndex": 0, "ttlSeconds": 600, "renewTime": renewed.isoformat()}
        client.create(LINKS, {"metadata": {"name": "game.bob"}, "spec": spec})

        async def slow(_method: str, _path: str) -> None:
            await asyncio.sleep(request_seconds)

        async with cluster.client_driver(services=[], deadline_seconds=DEADLINE_SECONDS) as driver:
            client._answer = slow  # type: ignore[method-assign] # noqa: SLF001
            await check(cluster, call(driver))

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(main())


@pytest.mark.parametrize("name", CALLS)
def test_time_limit_is_that_of_all_requests_together(name: str) -> None:
    async def check(_: InMemoryCluster, call: Awaitable[object]) -> None:
        started_at = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceededError, match="the API server did not answer within 1 s"):
            await call
        assert asyncio.get_running_loop().time() - started_at == pytest.approx(DEADLINE_SECONDS)

    run(CALLS[name], 0.7, check)


@pytest.mark.parametrize("name", CALLS)
def test_caller_may_set_a_shorter_time_limit(name: str) -> None:
    async def check(cluster: InMemoryCluster, call: Awaitable[object]) -> None:
        started_at = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await call
        assert asyncio.get_running_loop().time() - started_at == pytest.approx(0.1)
        await asyncio.sleep(DEADLINE_SECONDS)
        # A binding that callers may share goes on for the others.
        assert ("alice" in cluster.links("game")) is (name == "compute_link_if_absent")

    run(CALLS[name], 0.3, check)
