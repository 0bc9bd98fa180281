"""Where a server's load is answered: a port that is taken is no port, until it is free."""

import socket
from datetime import UTC, datetime

import aiohttp
import pytest

from statefulroute.api.statefulroute import HTTPLoad
from statefulroute.api.vocabulary import RoutingState
from statefulroute.driver.parts import PodReport
from statefulroute.driver.publishers import LoadEndpoint

SAID = PodReport(3, 1, RoutingState.READY, datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_port_that_is_taken_is_told_of_each_time_and_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        endpoint = LoadEndpoint("127.0.0.1", HTTPLoad(port=port, path="/load"))
        for _ in range(2):
            with pytest.raises(OSError, match="in use"):
                await endpoint.update(SAID)
    await endpoint.update(SAID)
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/load") as response:
        assert (await response.json())["loadState"] == 3
    await endpoint.close()
