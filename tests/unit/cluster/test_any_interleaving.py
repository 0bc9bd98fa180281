"""The cache converges for any order of lists, events, failures, restored backups and responses to writes."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from statefulroute.cluster import reflector as reflector_module
from statefulroute.cluster.codec import PODS
from statefulroute.cluster.errors import APIError, GoneError, UnreachableError
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.pod import Pod
from unit.cluster.objects import bookmark, event, page, pod

NAMES = st.sampled_from(["a", "b", "c", "d"])

Line = dict[str, Any] | Exception | None


class Server:
    """A fake server with its objects, its history and the open request of its client; it responds only on command."""

    def __init__(self) -> None:
        self.version = 1
        self.versions: dict[str, int] = {}
        self.history: list[tuple[int, str, str]] = []
        self.compacted_version = 0
        self.listing: asyncio.Future[bytes] | None = None
        self.continue_token, self.is_small = "", False
        self.snapshot: tuple[int, list[tuple[str, int]]] = (0, [])
        self.opening: asyncio.Future[None] | None = None
        self.sent_version = 0
        self.lines: asyncio.Queue[Line] | None = None
        self.backup: tuple[int, dict[str, int]] = (1, {})

    def write(self, name: str) -> int:
        self.version += 1
        self.history.append((self.version, "MODIFIED" if name in self.versions else "ADDED", name))
        self.versions[name] = self.version
        return self.version

    def delete(self, name: str) -> None:
        self.version += 1
        self.history.append((self.version, "DELETED", name))
        del self.versions[name]

    def back_up(self) -> None:
        """Saves all objects."""
        self.backup = self.version, dict(self.versions)

    def restore(self) -> None:
        """Restores all objects and their versions, and drops all connections: the server was restarted."""
        self.version, versions = self.backup
        self.versions = dict(versions)
        self.history = [entry for entry in self.history if entry[0] <= self.version]
        self.compacted_version = min(self.compacted_version, self.version)
        lost = UnreachableError("connection lost")
        if self.listing is not None:
            self.listing.set_exception(lost)
        if self.opening is not None:
            self.opening.set_exception(lost)
        if self.lines is not None:
            self.lines.put_nowait(lost)

    def unsent(self) -> list[tuple[int, str, str]]:
        """Returns the events that the watch has not sent yet."""
        return [entry for entry in self.history if entry[0] > self.sent_version]

    async def get(self, _path: str, params: Mapping[str, str], **_more: object) -> bytes:
        """Waits for the response to a request for a page; the reflector calls this method of its client."""
        self.continue_token, self.is_small = params.get("continue", ""), params.get("limit") == "1"
        self.listing = asyncio.get_running_loop().create_future()
        try:
            return await self.listing
        finally:
            self.listing = None

    @asynccontextmanager
    async def watch(self, _path: str, params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Opens a watch; the reflector calls this method of its client."""
        self.sent_version = int(params["resourceVersion"])
        self.opening = asyncio.get_running_loop().create_future()
        try:
            await self.opening
        finally:
            self.opening = None
        self.lines = asyncio.Queue()
        try:
            yield self._events(self.lines)
        finally:
            self.lines = None

    @staticmethod
    async def _events(lines: asyncio.Queue[Line]) -> AsyncIterator[bytes]:
        while (line := await lines.get()) is not None:
            if isinstance(line, Exception):
                raise line
            yield json.dumps(line).encode()

    def respond_to_list(self, size: int) -> None:
        """Responds with the next page; all pages represent the version of the first."""
        assert self.listing is not None
        if self.is_small:
            self.listing.set_result(json.dumps(page([], self.version)).encode())
            return
        if not self.continue_token:
            self.snapshot = self.version, sorted(self.versions.items())
        list_version, items = self.snapshot
        start = int(self.continue_token or 0)
        token = str(start + size) if start + size < len(items) else ""
        body = page([pod(name, version) for name, version in items[start : start + size]], list_version, token)
        self.listing.set_result(json.dumps(body).encode())

    def send_events(self, count: int) -> None:
        """Sends the next events."""
        assert self.lines is not None
        for version, kind, name in self.unsent()[:count]:
            self.sent_version = version
            self.lines.put_nowait(event(kind, pod(name, version)))


class AnyInterleaving(RuleBasedStateMachine):
    """A reflector, its server, and clients that write."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(reflector_module, "_INITIAL_BACKOFF_SECONDS", 0.0)
        self.patch.setattr(reflector_module, "_MAX_BACKOFF_SECONDS", 0.0)
        self.loop = asyncio.new_event_loop()
        self.server = Server()
        self.responses: list[tuple[str, int]] = []
        self.observed: dict[str, int] = {}
        self.has_restored = False
        self.errors: list[str] = []
        """Wrong calls of the listener; they are asserted later, because the reflector catches exceptions."""
        self.reflector: Reflector[Pod] = Reflector(self.server, PODS)  # type: ignore[arg-type] # it has the needed methods of a client
        self.reflector.cache.listen(self.record)
        self.task = self.loop.create_task(self.reflector.run())

    def record(self, old: Pod | None, new: Pod | None) -> None:
        name = (new or old).name  # type: ignore[union-attr] # one of the two exists
        if self.observed.get(name) != (old and old.resource_version):
            self.errors.append(f"{name} was not {old}")
        goes_back = old is not None and new is not None and new.resource_version <= old.resource_version
        if goes_back and not self.has_restored:
            self.errors.append(f"{name} goes back from {old.resource_version} to {new.resource_version}")
        if new is None:
            self.observed.pop(name, None)
        else:
            self.observed[name] = new.resource_version

    def settle(self) -> None:
        async def idle() -> None:
            for _ in range(12):
                await asyncio.sleep(0)

        self.loop.run_until_complete(idle())
        assert not self.task.done()

    @initialize(names=st.sets(NAMES), watching=st.booleans())
    def start(self, names: set[str], *, watching: bool) -> None:
        for name in sorted(names):
            self.server.write(name)
        self.settle()
        if watching:
            self.complete()

    @rule(name=NAMES)
    def another_client_writes(self, name: str) -> None:
        self.server.write(name)

    @precondition(lambda self: self.server.versions)
    @rule(data=st.data())
    def another_client_deletes(self, data: st.DataObject) -> None:
        self.server.delete(data.draw(st.sampled_from(sorted(self.server.versions))))

    @rule(name=NAMES)
    def this_process_writes(self, name: str) -> None:
        self.responses.append((name, self.server.write(name)))

    @precondition(lambda self: self.responses)
    @rule(data=st.data())
    def a_response_to_a_write_arrives(self, data: st.DataObject) -> None:
        name, version = self.responses.pop(data.draw(st.integers(0, len(self.responses) - 1)))
        self.reflector.observe(PODS.decode(json.dumps(pod(name, version)).encode()))

    @precondition(lambda self: self.server.listing)
    @rule(size=st.integers(1, 3))
    def a_page_arrives(self, size: int) -> None:
        self.server.respond_to_list(size)
        self.settle()

    @precondition(lambda self: self.server.listing)
    @rule(
        error=st.sampled_from(
            [APIError(500, "", ""), GoneError(410, "Expired", ""), UnreachableError("connection lost")]
        )
    )
    def a_list_fails(self, error: Exception) -> None:
        assert self.server.listing is not None
        self.server.listing.set_exception(error)
        self.settle()

    @precondition(lambda self: self.server.opening)
    @rule()
    def a_watch_starts(self) -> None:
        assert self.server.opening is not None
        if self.server.sent_version < self.server.compacted_version:
            self.server.opening.set_exception(GoneError(410, "Expired", "too old resource version"))
        else:
            self.server.opening.set_result(None)
        self.settle()

    @precondition(lambda self: self.server.lines and self.server.unsent())
    @rule(count=st.integers(1, 4))
    def events_arrive(self, count: int) -> None:
        self.server.send_events(count)
        self.settle()

    @precondition(lambda self: self.server.lines and not self.server.unsent())
    @rule()
    def a_bookmark_arrives(self) -> None:
        assert self.server.lines is not None
        self.server.sent_version = self.server.version
        self.server.lines.put_nowait(bookmark(self.server.version))
        self.settle()

    @precondition(lambda self: self.server.lines)
    @rule(
        line=st.sampled_from(
            [
                None,
                UnreachableError("connection lost"),
                event("ERROR", {"code": 410, "reason": "Expired", "message": "too old"}),
                event("ERROR", {"code": 500, "reason": "InternalError", "message": "etcd is unavailable"}),
            ]
        )
    )
    def a_watch_ends(self, line: Line) -> None:
        assert self.server.lines is not None
        self.server.lines.put_nowait(line)
        self.settle()

    @rule()
    def the_history_is_compacted(self) -> None:
        self.server.compacted_version = self.server.version

    @rule()
    def a_backup_is_made(self) -> None:
        self.server.back_up()

    @precondition(lambda self: self.reflector._newest_version > self.server.backup[0])  # noqa: SLF001 - else unknown
    @rule()
    def the_backup_is_restored(self) -> None:
        self.has_restored = True
        self.responses.clear()
        self.server.restore()
        self.settle()
        while self.reflector._newest_version > self.server.version:  # noqa: SLF001 - it has not reconnected
            if self.server.opening:
                self.a_watch_starts()
                self.a_watch_ends(None)
            else:
                self.a_page_arrives(3)

    @invariant()
    def the_listener_and_the_cache_agree(self) -> None:
        cached = self.reflector.cache.in_partition("games")
        assert self.errors == []
        assert self.observed == {name: item.resource_version for name, item in cached.items()}

    def teardown(self) -> None:
        try:
            self.complete()
            assert self.errors == []
            assert self.observed == self.server.versions
            while self.responses:
                name, version = self.responses.pop()
                self.reflector.observe(PODS.decode(json.dumps(pod(name, version)).encode()))
            assert self.observed == self.server.versions, "a late response changes nothing"
        finally:
            self.task.cancel()
            self.loop.run_until_complete(asyncio.wait([self.task]))
            self.loop.close()
            self.patch.undo()

    def complete(self) -> None:
        """Sends all pages and then all events, without failures."""
        self.settle()
        for _ in range(50):
            if self.server.listing:
                self.a_page_arrives(2)
            elif self.server.opening:
                self.a_watch_starts()
            elif self.server.unsent():
                self.events_arrive(4)
            else:
                return
        pytest.fail("the reflector does not converge")


AnyInterleaving.TestCase.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
TestAnyInterleaving = AnyInterleaving.TestCase
