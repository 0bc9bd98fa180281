"""A Lease from the point of view of its holder."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.cluster.lease import LeaseLock, LeaseTimes
from unit.cluster.fake_api import FakeAPI, run_fake_api

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
async def api() -> AsyncIterator[FakeAPI]:
    async with run_fake_api() as api:
        yield api


async def serve_lease(api: FakeAPI, records: list[dict[str, Any]]) -> None:
    """Serves a Lease, and appends its record whenever that changes."""
    version = 0
    while True:
        call = await api.call()
        if call.method == "GET":
            call.respond_error(404, "NotFound", "there is none")
            continue
        record = {**(records[-1] if records else {}), **json.loads(call.body)["spec"]}
        if not records or record != records[-1]:
            records.append(record)
            version += 1
        call.respond(
            {"metadata": {"name": "lease", "namespace": "ns", "resourceVersion": str(version)}, "spec": record}
        )


async def test_each_renewal_changes_the_record_also_while_the_time_of_day_stands_still(api: FakeAPI) -> None:
    """Another candidate takes a record for expired that does not change for the lease duration."""
    records: list[dict[str, Any]] = []
    serving = asyncio.create_task(serve_lease(api, records))
    connection = Connection(server=api.server, tls=ssl.create_default_context())
    async with Client(connection) as client:
        lock = LeaseLock(client, "ns", "lease", times=LeaseTimes(), identity="this", time_of_day=lambda: NOON)
        for _ in range(4):
            assert await lock.try_acquire_or_renew() is not None
    serving.cancel()
    assert len(records) == 4
    assert lock.acquired_version == 1
    assert {record["holderIdentity"] for record in records} == {"this"}
