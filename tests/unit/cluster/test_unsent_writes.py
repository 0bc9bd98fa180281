"""The client that sends no writes."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import ConflictError
from statefulroute.cluster.unsent_writes import ReadOnlyClient
from unit.cluster.fake_api import FakeAPI
from unit.cluster.kubeconfigs import write_kubeconfig

PRESENT = {"metadata": {"name": "game.alice", "resourceVersion": "7"}, "spec": {"podIndex": 1, "ttlSeconds": 60}}


@pytest.fixture
async def client(api: FakeAPI, tmp_path: Path) -> AsyncIterator[ReadOnlyClient]:
    async with connect(write_kubeconfig(tmp_path / "kubeconfig", api.server)) as connection, Client(connection) as real:
        yield ReadOnlyClient.sharing(real)


async def result_of(api: FakeAPI, write: Any, present: dict[str, Any] | None) -> dict[str, Any]:
    """Returns what a write returns if the object is the present one; it may only read."""
    task = asyncio.create_task(write)
    call = await api.call()
    assert (call.method, call.path) == ("GET", "/links/game.alice")
    if present is None:
        call.respond_error(404, "NotFound")
    else:
        call.respond(present)
    return dict(json.loads(await task))


async def test_a_patch_returns_the_merged_object(client: ReadOnlyClient, api: FakeAPI) -> None:
    patch = {"metadata": {"resourceVersion": "7"}, "spec": {"podIndex": 2, "ttlSeconds": None}}
    write = client.merge_patch("/links/game.alice", json.dumps(patch).encode())
    assert await result_of(api, write, PRESENT) == {**PRESENT, "spec": {"podIndex": 2}}


async def test_a_post_returns_the_new_object(client: ReadOnlyClient, api: FakeAPI) -> None:
    new = {"metadata": {"name": "game.alice"}}
    assert await result_of(api, client.post("/links", json.dumps(new).encode()), None) == new


async def test_writes_conflict_as_those_that_are_sent(client: ReadOnlyClient, api: FakeAPI) -> None:
    stale = {"resourceVersion": "6"}
    for write in (
        client.post("/links", json.dumps({"metadata": {"name": "game.alice"}}).encode()),
        client.merge_patch("/links/game.alice", json.dumps({"metadata": stale}).encode()),
        client.delete("/links/game.alice", json.dumps({"preconditions": stale}).encode()),
    ):
        with pytest.raises(ConflictError):
            await result_of(api, write, PRESENT)
