"""Tests that the time limits of operations hold, also if an operation sends several requests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from driver.recording import RecordedRequest, RecordingClient, RecordingLogger
from statefulroute import ClientDriver, DeadlineExceededError
from support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEADLINE_SECONDS = 1.0
SLACK_SECONDS = 0.35

Call = Callable[[ClientDriver, str], Awaitable[object]]

CALLS: dict[str, Call] = {
    "compute_link_if_absent": lambda driver, uid: driver.compute_link_if_absent(uid, "game"),
    "link_if_absent": lambda driver, uid: driver.link_if_absent(uid, "game", 1),
    "renew": lambda driver, uid: driver.renew(uid, "game"),
    "batch_get": lambda driver, uid: driver.batch_get([f"{uid}-{number}" for number in range(64)], "game"),
    "links_of": lambda driver, uid: driver.links_of(uid, [f"service-{number}" for number in range(64)]),
}


@pytest_asyncio.fixture(loop_scope="module")
async def driver(client: RecordingClient, game: Service) -> AsyncIterator[ClientDriver]:
    """A driver that caches no links, so that every operation reads."""
    async with ClientDriver(
        client, game.namespace, services=[], deadline_seconds=DEADLINE_SECONDS, logger=RecordingLogger()
    ) as driver:
        yield driver


async def slow(_: RecordedRequest) -> None:
    """Delays a request by less than the time limit."""
    await asyncio.sleep(0.7)


@pytest.mark.parametrize("name", CALLS)
async def test_operation_with_several_slow_requests_ends_in_time(
    driver: ClientDriver, client: RecordingClient, uid: str, name: str
) -> None:
    loop = asyncio.get_running_loop()
    async with client.before_each(slow):
        started_at = loop.time()
        try:
            await CALLS[name](driver, uid)
        except DeadlineExceededError as error:
            assert str(error) == "the API server did not answer within 1 s"  # noqa: PT017 - it may also succeed
        assert loop.time() - started_at < DEADLINE_SECONDS + SLACK_SECONDS


@pytest.mark.parametrize("name", CALLS)
async def test_caller_may_set_a_shorter_time_limit(
    driver: ClientDriver, client: RecordingClient, uid: str, name: str
) -> None:
    loop = asyncio.get_running_loop()
    async with client.before_each(slow):
        started_at = loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await CALLS[name](driver, uid)
        assert loop.time() - started_at < 0.1 + SLACK_SECONDS
        await asyncio.sleep(DEADLINE_SECONDS)  # a shared binding goes on for its other callers
