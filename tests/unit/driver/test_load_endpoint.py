"""Tests the load endpoint with a port that is in use."""

import socket
from datetime import UTC, datetime

import aiohttp
import pytest

from statefulroute.api.load import HTTPLoad
from statefulroute.api.vocabulary import RoutingState
from statefulroute.driver.parts import PodReport
from statefulroute.driver.publishers import LoadEndpoint

REPORT = PodReport(3, 1, RoutingState.READY, datetime(2026, 1, 1, tzinfo=UTC))


async def test_port_in_use_fails_each_time_and_is_retried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        endpoint = LoadEndpoint("127.0.0.1", HTTPLoad(port=port, path="/load"))
        for _ in range(2):
            with pytest.raises(OSError, match="in use"):
                await endpoint.update(REPORT)
    await endpoint.update(REPORT)
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/load") as response:
        assert (await response.json())["loadState"] == 3
    await endpoint.close()
