"""A watching command continues after a lost connection, unless etcd was restored from a backup in between."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

import pytest

from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.cli import cluster as cluster_module
from statefulroute.cli.cluster import Cluster, CommandError
from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import GoneError, UnreachableError


class FakeClient:
    """A client whose watches end after one event.

    Args:
        present_version: the version of the collection after the first watch.
    """

    def __init__(self, present_version: int) -> None:
        self._present_version = present_version
        self.requests: list[Mapping[str, str]] = []

    async def get(self, _: str, params: Mapping[str, str], **_more: object) -> bytes:
        self.requests.append(params)
        return json.dumps({"metadata": {"resourceVersion": str(self._present_version)}}).encode()

    @asynccontextmanager
    async def watch(self, _: str, params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        version = int(params["resourceVersion"]) + 1

        async def lines() -> AsyncIterator[bytes]:
            changed = {"metadata": {"name": "a", "resourceVersion": str(version)}}
            yield json.dumps({"type": "MODIFIED", "object": changed}).encode()

        yield lines()


@pytest.mark.parametrize(("present_version", "has_failed"), [(11, False), (50, False), (10, True)])
async def test_a_watch_is_not_continued_after_etcd_was_restored(
    monkeypatch: pytest.MonkeyPatch, present_version: int, *, has_failed: bool
) -> None:
    monkeypatch.setattr(cluster_module, "_RETRY_SECONDS", 0.0)
    client = FakeClient(present_version)
    changes = Cluster(cast("Client", client), "games").watch("/links", "10", {"fieldSelector": "a=b"})
    assert (await anext(changes))[1]["metadata"]["resourceVersion"] == "11"
    assert client.requests == []
    if has_failed:
        with pytest.raises(CommandError, match="etcd was restored from a backup"):
            await anext(changes)
    else:
        assert (await anext(changes))[1]["metadata"]["resourceVersion"] == "12"
    assert client.requests == [{"fieldSelector": "a=b", "limit": "1"}]


class BrokenClient:
    """A client whose first watch ends as a test says, and whose lists return the present version.

    Args:
        failure: the error of the first watch, or the event in its stream.
    """

    def __init__(self, failure: Exception | dict[str, object]) -> None:
        self._failure: Exception | dict[str, object] | None = failure
        self._outages = 1
        self._version = 10

    async def get(self, _: str, _params: Mapping[str, str], **_more: object) -> bytes:
        if self._failure is None and self._outages:  # the list after the watch
            self._outages -= 1
            raise UnreachableError("connection refused")
        item = {"metadata": {"name": "a", "resourceVersion": str(self._version)}}
        return json.dumps({"metadata": {"resourceVersion": str(self._version)}, "items": [item]}).encode()

    @asynccontextmanager
    async def watch(self, _: str, _params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        failure, self._failure = self._failure, None
        self._version = 20
        if isinstance(failure, Exception):
            raise failure

        async def lines() -> AsyncIterator[bytes]:
            if failure is not None:
                yield json.dumps({"type": "ERROR", "object": failure}).encode()
            yield json.dumps({"type": "DELETED", "object": {"metadata": {"resourceVersion": "21"}}}).encode()

        yield lines()


@pytest.mark.parametrize(
    "failure",
    [
        GoneError(410, "Expired", "too old resource version"),
        {"code": 410, "message": "too old"},
        {"code": 500, "message": "etcd has no leader"},
    ],
)
async def test_an_object_is_followed_beyond_the_end_of_a_watch(
    monkeypatch: pytest.MonkeyPatch, failure: Exception | dict[str, object]
) -> None:
    monkeypatch.setattr(cluster_module, "_RETRY_SECONDS", 0.0)
    versions = Cluster(cast("Client", BrokenClient(failure)), "games").follow_object(STATEFUL_ROUTE, "a")
    seen = [await anext(versions) for _ in range(3)]
    assert [each and each["metadata"]["resourceVersion"] for each in seen] == ["10", "20", None]
