"""Whatever the order in which lists, events, faults and answers to our own writes come: in the end, the truth."""

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
    """The truth, its history, and what the one client is waiting for; it answers only when it is told to."""

    def __init__(self) -> None:
        self.version = 1
        self.held: dict[str, int] = {}
        self.history: list[tuple[int, str, str]] = []
        self.forgotten = 0
        self.listing: asyncio.Future[bytes] | None = None
        self.listing_rest = ""
        self.snapshot: tuple[int, list[tuple[str, int]]] = (0, [])
        self.opening: asyncio.Future[None] | None = None
        self.watched_from = 0
        self.lines: asyncio.Queue[Line] | None = None

    def write(self, name: str) -> int:
        self.version += 1
        self.history.append((self.version, "MODIFIED" if name in self.held else "ADDED", name))
        self.held[name] = self.version
        return self.version

    def delete(self, name: str) -> None:
        self.version += 1
        self.history.append((self.version, "DELETED", name))
        del self.held[name]

    def untold(self) -> list[tuple[int, str, str]]:
        """The events that the watch has not told yet."""
        return [entry for entry in self.history if entry[0] > self.watched_from]

    async def get(self, _path: str, params: Mapping[str, str]) -> bytes:
        """The client's request for a page, as the reflector calls it."""
        self.listing_rest = params.get("continue", "")
        self.listing = asyncio.get_running_loop().create_future()
        try:
            return await self.listing
        finally:
            self.listing = None

    @asynccontextmanager
    async def watch(self, _path: str, params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """The client's watch, as the reflector opens it."""
        self.watched_from = int(params["resourceVersion"])
        self.opening = asyncio.get_running_loop().create_future()
        try:
            await self.opening
        finally:
            self.opening = None
        self.lines = asyncio.Queue()
        try:
            yield self._told(self.lines)
        finally:
            self.lines = None

    @staticmethod
    async def _told(lines: asyncio.Queue[Line]) -> AsyncIterator[bytes]:
        while (line := await lines.get()) is not None:
            if isinstance(line, Exception):
                raise line
            yield json.dumps(line).encode()

    def answer_the_list(self, size: int) -> None:
        """Give the next page; all pages are of the moment of the first."""
        assert self.listing is not None
        if not self.listing_rest:
            self.snapshot = self.version, sorted(self.held.items())
        moment, items = self.snapshot
        start = int(self.listing_rest or 0)
        rest = str(start + size) if start + size < len(items) else ""
        body = page([pod(name, version) for name, version in items[start : start + size]], moment, rest)
        self.listing.set_result(json.dumps(body).encode())

    def tell(self, count: int) -> None:
        """Tell the next events."""
        assert self.lines is not None
        for version, kind, name in self.untold()[:count]:
            self.watched_from = version
            self.lines.put_nowait(event(kind, pod(name, version)))


class AnyInterleaving(RuleBasedStateMachine):
    """The reflector between a server and somebody who writes through it."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(reflector_module, "_INITIAL_BACKOFF_SECONDS", 0.0)
        self.patch.setattr(reflector_module, "_MAX_BACKOFF_SECONDS", 0.0)
        self.loop = asyncio.new_event_loop()
        self.server = Server()
        self.answers: list[tuple[str, int]] = []
        self.told: dict[str, int] = {}
        self.lies: list[str] = []
        """What the listener was told wrongly; raised where the reflector does not take it for a fault."""
        self.reflector: Reflector[Pod] = Reflector(self.server, PODS)  # type: ignore[arg-type] # it answers like one
        self.reflector.cache.listen(self.note)
        self.task = self.loop.create_task(self.reflector.run())

    def note(self, old: Pod | None, new: Pod | None) -> None:
        name = (new or old).name  # type: ignore[union-attr] # one of the two exists
        if self.told.get(name) != (old and old.resource_version):
            self.lies.append(f"{name} was not {old}")
        if old is not None and new is not None and new.resource_version <= old.resource_version:
            self.lies.append(f"{name} goes back from {old.resource_version} to {new.resource_version}")
        if new is None:
            self.told.pop(name, None)
        else:
            self.told[name] = new.resource_version

    def settle(self) -> None:
        async def idle() -> None:
            for _ in range(12):
                await asyncio.sleep(0)

        self.loop.run_until_complete(idle())
        assert not self.task.done()

    @initialize(names=st.sets(NAMES), watching=st.booleans())
    def begin(self, names: set[str], *, watching: bool) -> None:
        for name in sorted(names):
            self.server.write(name)
        self.settle()
        if watching:
            self.bring_to_the_end()

    @rule(name=NAMES)
    def somebody_writes(self, name: str) -> None:
        self.server.write(name)

    @precondition(lambda self: self.server.held)
    @rule(data=st.data())
    def somebody_deletes(self, data: st.DataObject) -> None:
        self.server.delete(data.draw(st.sampled_from(sorted(self.server.held))))

    @rule(name=NAMES)
    def we_write(self, name: str) -> None:
        self.answers.append((name, self.server.write(name)))

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def an_answer_arrives(self, data: st.DataObject) -> None:
        name, version = self.answers.pop(data.draw(st.integers(0, len(self.answers) - 1)))
        self.reflector.observe(PODS.decode(json.dumps(pod(name, version)).encode()))

    @precondition(lambda self: self.server.listing)
    @rule(size=st.integers(1, 3))
    def a_page_arrives(self, size: int) -> None:
        self.server.answer_the_list(size)
        self.settle()

    @precondition(lambda self: self.server.listing)
    @rule(error=st.sampled_from([APIError(500, "", ""), GoneError(410, "Expired", ""), UnreachableError("cut")]))
    def a_list_fails(self, error: Exception) -> None:
        assert self.server.listing is not None
        self.server.listing.set_exception(error)
        self.settle()

    @precondition(lambda self: self.server.opening)
    @rule()
    def a_watch_begins(self) -> None:
        assert self.server.opening is not None
        if self.server.watched_from < self.server.forgotten:
            self.server.opening.set_exception(GoneError(410, "Expired", "too old resource version"))
        else:
            self.server.opening.set_result(None)
        self.settle()

    @precondition(lambda self: self.server.lines and self.server.untold())
    @rule(count=st.integers(1, 4))
    def events_arrive(self, count: int) -> None:
        self.server.tell(count)
        self.settle()

    @precondition(lambda self: self.server.lines and not self.server.untold())
    @rule()
    def a_bookmark_arrives(self) -> None:
        assert self.server.lines is not None
        self.server.watched_from = self.server.version
        self.server.lines.put_nowait(bookmark(self.server.version))
        self.settle()

    @precondition(lambda self: self.server.lines)
    @rule(
        line=st.sampled_from(
            [
                None,
                UnreachableError("cut"),
                event("ERROR", {"code": 410, "reason": "Expired", "message": "too old"}),
                event("ERROR", {"code": 500, "reason": "InternalError", "message": "etcd is away"}),
            ]
        )
    )
    def a_watch_ends(self, line: Line) -> None:
        assert self.server.lines is not None
        self.server.lines.put_nowait(line)
        self.settle()

    @rule()
    def the_server_forgets_its_history(self) -> None:
        self.server.forgotten = self.server.version

    @invariant()
    def the_listeners_know_what_the_cache_holds(self) -> None:
        held = self.reflector.cache.in_partition("games")
        assert self.lies == []
        assert self.told == {name: item.resource_version for name, item in held.items()}

    def teardown(self) -> None:
        try:
            self.bring_to_the_end()
            assert self.lies == []
            assert self.told == self.server.held
            while self.answers:
                name, version = self.answers.pop()
                self.reflector.observe(PODS.decode(json.dumps(pod(name, version)).encode()))
            assert self.told == self.server.held, "an answer that comes last changes nothing"
        finally:
            self.task.cancel()
            self.loop.run_until_complete(asyncio.wait([self.task]))
            self.loop.close()
            self.patch.undo()

    def bring_to_the_end(self) -> None:
        """No more faults: every page, and then every event."""
        self.settle()
        for _ in range(50):
            if self.server.listing:
                self.a_page_arrives(2)
            elif self.server.opening:
                self.a_watch_begins()
            elif self.server.untold():
                self.events_arrive(4)
            else:
                return
        pytest.fail("the reflector does not come to an end")


AnyInterleaving.TestCase.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
TestAnyInterleaving = AnyInterleaving.TestCase
