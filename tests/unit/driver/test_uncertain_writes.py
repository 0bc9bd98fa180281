"""Tests writes without a response: the store reads the link to find out whether they succeeded."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.link_store import LinkStore
from statefulroute.domain.errors import DeadlineExceededError
from statefulroute.domain.hand_over_request import HandOverRequest, request_hand_over
from statefulroute.domain.operations import LinkWrite
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


@pytest.fixture
def store(client: Client) -> LinkStore:
    return LinkStore(client, "play", deadline_seconds=5)


def link(version: int, **spec: Any) -> dict[str, Any]:
    metadata = {
        "name": "game.alice",
        "namespace": "play",
        "uid": "1",
        "resourceVersion": str(version),
        "generation": version,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return {"metadata": metadata, "spec": {"routeName": "game", "uid": "alice", **spec}}


async def test_create_that_succeeded_without_response_is_not_repeated(api: FakeAPI, store: LinkStore) -> None:
    work = asyncio.create_task(store.set("game", "alice", 1))
    (await api.call()).respond_error(404, "NotFound")
    (await api.call()).disconnect()
    (await api.call()).respond(link(7, podIndex=1))
    assert await work is None  # no pod held alice before
    assert api.has_no_calls


async def test_write_without_response_is_counted_once(api: FakeAPI, client: Client) -> None:
    changes: list[LinkWrite] = []
    work = asyncio.create_task(LinkStore(client, "play", on_write=changes.append).set("game", "alice", 2))
    (await api.call()).respond(link(7, podIndex=1))
    (await api.call()).disconnect()
    (await api.call()).respond(link(8, podIndex=2))
    assert await work == 1
    assert changes == [LinkWrite.MOVED]


async def test_create_that_failed_without_response_is_repeated(api: FakeAPI, store: LinkStore) -> None:
    work = asyncio.create_task(store.try_set("game", "alice", 1))
    (await api.call()).respond_error(404, "NotFound")
    (await api.call()).disconnect()
    (await api.call()).respond_error(404, "NotFound")
    again = await api.call()
    assert again.method == "POST"
    again.respond(link(8, podIndex=1), 201)
    assert (await work).won


async def test_create_that_lost_to_another_writer_keeps_its_link(api: FakeAPI, store: LinkStore) -> None:
    work = asyncio.create_task(store.try_set("game", "alice", 1))
    (await api.call()).respond_error(404, "NotFound")
    (await api.call()).disconnect()
    (await api.call()).respond(link(7, podIndex=2))
    attempt = await work
    assert (attempt.won, attempt.holder) == (False, 2)


async def test_change_that_succeeded_without_response_returns_the_pod_before(api: FakeAPI, store: LinkStore) -> None:
    work = asyncio.create_task(store.set("game", "alice", 1))
    (await api.call()).respond(link(3, podIndex=0))
    (await api.call()).respond_error(503, "ServiceUnavailable", "no store")
    (await api.call()).respond(link(4, podIndex=1))
    assert await work == 0  # pod 0, and not the pod of this write


async def test_request_of_a_hand_over_that_failed_without_response_is_repeated(api: FakeAPI, store: LinkStore) -> None:
    rule = partial(request_hand_over, pod=1, only_from=None, ttl_seconds=None)
    work = asyncio.create_task(store.execute("game", "alice", rule))
    (await api.call()).respond(link(3, podIndex=0))
    (await api.call()).disconnect()
    (await api.call()).respond(link(3, podIndex=0))
    hand_over = (await api.call()).json["spec"]["handOver"]
    assert hand_over["podIndex"] == 1
    work.cancel()


async def test_request_of_a_hand_over_that_succeeded_without_response_is_not_repeated(
    api: FakeAPI, store: LinkStore
) -> None:
    rule = partial(request_hand_over, pod=1, only_from=None, ttl_seconds=None)
    work = asyncio.create_task(store.execute("game", "alice", rule))
    (await api.call()).respond(link(3, podIndex=0))
    write = await api.call()
    hand_over = {key: value for key, value in write.json["spec"]["handOver"].items() if value is not None}
    write.disconnect()
    (await api.call()).respond(link(4, podIndex=0, handOver=hand_over))
    assert (await work).outcome is HandOverRequest.STARTED
    assert api.has_no_calls


async def test_removal_that_succeeded_without_response_returns_true(api: FakeAPI, store: LinkStore) -> None:
    work = asyncio.create_task(store.remove("game", "alice"))
    (await api.call()).respond(link(3, podIndex=0))
    (await api.call()).respond_error(504, "Timeout", "no answer of the store")
    (await api.call()).respond_error(404, "NotFound")
    assert await work


async def test_read_only_api_server_is_retried_with_growing_delays(api: FakeAPI, tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "kubeconfig", server=api.server)
    writes = 0

    async def play() -> None:
        nonlocal writes
        while True:
            call = await api.call()
            if call.method == "GET":
                call.respond(link(3, podIndex=0))
            else:
                writes += 1
                call.respond_error(503, "ServiceUnavailable", "no store")

    playing = asyncio.create_task(play())
    async with connect(path) as connection, Client(connection) as client:
        with pytest.raises(DeadlineExceededError):
            await LinkStore(client, "play", deadline_seconds=1.5).set("game", "alice", 1)
    playing.cancel()
    assert writes <= 12
