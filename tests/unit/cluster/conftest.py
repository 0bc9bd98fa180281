"""Fixtures: a fake API server, and a client that connects as the operator does."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from unit.cluster.fake_api import FakeAPI, run_fake_api
from unit.cluster.kubeconfigs import write_kubeconfig


@pytest.fixture
async def api() -> AsyncIterator[FakeAPI]:
    async with run_fake_api() as api:
        yield api


@pytest.fixture
async def client(api: FakeAPI, tmp_path: Path) -> AsyncIterator[Client]:
    path = write_kubeconfig(tmp_path / "kubeconfig", server=api.server)
    async with connect(path) as connection, Client(connection) as client:
        yield client
