"""The rules find what servers do wrong that are broken on purpose: real drivers in a cluster in memory."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress

import pytest

from hand_over.application import Application, NotHereError, Session
from hand_over.record import Answered, AnyEntry, Record
from hand_over.rules import RULES, check
from hand_over.state import State
from hand_over.store import FencedStore, StaleTokenError
from hand_over.users import Users
from statefulroute import Configuration, HandOverConfiguration, LeavingUser, ServerEvent, UserLeft
from statefulroute.testing import InMemoryCluster
from support.link_recorder import Version
from support.waiting import wait_until

OWNERS, HOLDS, COMMITTED, LOST, FORMER, _, ENDS, QUIET, _ = (rule.__name__.replace("_", " ") for rule in RULES)

SETTINGS = Configuration(drain_seconds=0, hand_over=HandOverConfiguration())


class RecordingCluster(InMemoryCluster):
    """Records the versions of links."""

    def __init__(self) -> None:
        self.versions: dict[str, list[Version]] = {}
        super().__init__("play")

    def _written(self, collection: str) -> None:
        super()._written(collection)
        for item in self._client.objects(self._links):
            versions = self.versions.setdefault(item["spec"]["uid"], [])
            if not versions or versions[-1].object["metadata"] != item["metadata"]:
                status = {"phase": "Bound", "podIndex": item["spec"]["podIndex"]}  # as an operator does
                versions.append(Version("MODIFIED", {**item, "status": status}))


class TwoGateways:
    """Every other write goes by a gateway with an old cache: to the other pod, and then to the right one."""

    def __init__(self, cluster: InMemoryCluster, applications: Sequence[Application]) -> None:
        self._cluster = cluster
        self._applications = applications

    async def send(self, uid: str, number: int) -> Answered | None:
        pod = int(self._cluster.links("game")[uid])
        for each in [1 - pod, pod] if number % 2 else [pod]:
            with suppress(NotHereError):
                return await self._applications[each].write(uid, number)
        return None


class UnfencedStore(FencedStore):
    """Takes every write."""

    def _check(self, uid: str, pod: int, token: int) -> None:
        pass


async def run(kind: type[Application], store_kind: type[FencedStore] = FencedStore, *, is_ended: bool = True) -> Record:
    """Hands a user over to the other pod, and back again; all servers are of a kind."""
    cluster, entries = RecordingCluster(), list[AnyEntry]()
    cluster.add_service("game", 2, hand_over_seconds=10)
    store = store_kind(entries.append)
    async with AsyncExitStack() as stack:
        drivers = [cluster.server_driver("game", pod, configuration=SETTINGS, follow_users=True) for pod in range(2)]
        applications = [kind(pod, driver, store, entries.append) for pod, driver in enumerate(drivers)]
        for driver in drivers:
            await stack.enter_async_context(driver)
        users = Users(TwoGateways(cluster, applications), entries.append, pause=0.02)
        await drivers[0].set_linked_pod("play", "alice", "game", 0)
        writing = asyncio.create_task(users.live("alice"))
        for pod in (1, 0):
            await write_some(entries)
            cluster.hand_over("game", "alice", pod)
            if is_ended:
                await wait_until(lambda pod=pod: cluster.links("game")["alice"] == pod, "the user is handed over")
        await write_some(entries)
        users.end()
        await writing
        held = {each.pod: list(each.sessions) for each in applications}
    order = sorted(entries, key=lambda each: each.at)
    return Record(entries=order, links=cluster.versions, held=held, quiet_until=time.monotonic())


async def write_some(entries: list[AnyEntry]) -> None:
    """Waits until a few writes are acknowledged."""

    def answers() -> int:
        return sum(isinstance(each, Answered) for each in entries)

    wanted = answers() + 3
    await wait_until(lambda: answers() >= wanted, "the user gets answers")


class WritesOn(Application):
    """Writes on after the hand-over, and answers whether the store takes the write or not."""

    async def leave(self, leaving: LeavingUser) -> None:
        await leaving.send(self.sessions[leaving.uid].state.encode())

    def handle(self, event: ServerEvent) -> None:
        if not isinstance(event, UserLeft):
            super().handle(event)

    async def write(self, uid: str, number: int) -> Answered:
        session = await self._settled_session(uid)
        session.state = session.state.after(number)
        with suppress(StaleTokenError):
            await self._store.write(session.state, self.pod, session.token)
        at = time.monotonic()
        return Answered(at=at, uid=uid, pod=self.pod, number=number, digest=session.state.digest, sent=at)


class KeepsUsers(Application):
    """Does not notice that a user has left."""

    def handle(self, event: ServerEvent) -> None:
        if not isinstance(event, UserLeft):
            super().handle(event)


class LosesStates(Application):
    """Begins with an empty state."""

    async def load(self, uid: str) -> None:
        await super().load(uid)
        self.sessions[uid] = Session(State(uid), self.sessions[uid].token)


class IgnoresTransfers(Application):
    """Reads each state from the store."""

    async def load(self, uid: str) -> None:
        self._prepared.clear()
        await super().load(uid)


class SendsTooEarly(Application):
    """Sends the state and writes on until the hand-over; the new pod does not compare the state with the store."""

    async def leave(self, leaving: LeavingUser) -> None:
        await leaving.send(self.sessions[leaving.uid].state.encode())
        await asyncio.sleep(0.2)

    async def load(self, uid: str) -> None:
        sent, _ = self._prepared.get(uid, (None, 0))
        await super().load(uid)
        if sent is not None:
            self.sessions[uid].state = sent


class ForgesTokens(Application):
    """Writes with a greater token than it has."""

    async def load(self, uid: str) -> None:
        await super().load(uid)
        self.sessions[uid].token += 1


class AnswersBeforeItWrites(Application):
    """Acknowledges writes that the store has not got."""

    async def write(self, uid: str, number: int) -> Answered:
        session = await self._settled_session(uid)
        session.state = session.state.after(number)
        at = time.monotonic()
        return Answered(at=at, uid=uid, pod=self.pod, number=number, digest=session.state.digest, sent=at)


class NeverEnds(Application):
    """Never lets a user leave."""

    async def leave(self, leaving: LeavingUser) -> None:
        del leaving
        await asyncio.Event().wait()


async def test_servers_that_do_everything_right_keep_all_rules() -> None:
    assert check(await run(Application)) == []


@pytest.mark.parametrize(
    ("kind", "store", "rules"),
    [
        (WritesOn, FencedStore, {COMMITTED, LOST, FORMER, ENDS}),
        (WritesOn, UnfencedStore, {OWNERS, FORMER, ENDS}),
        (KeepsUsers, FencedStore, {ENDS}),
        (LosesStates, FencedStore, {LOST}),
        (IgnoresTransfers, FencedStore, {QUIET}),
        (SendsTooEarly, FencedStore, {LOST}),
        (ForgesTokens, FencedStore, {HOLDS}),
        (AnswersBeforeItWrites, FencedStore, {COMMITTED, LOST}),
        (NeverEnds, FencedStore, {ENDS}),
    ],
)
async def test_what_a_server_does_wrong_is_found(
    kind: type[Application], store: type[FencedStore], rules: set[str]
) -> None:
    violations = check(await run(kind, store, is_ended=kind is not NeverEnds))
    found = {each.partition(":")[0] for each in violations}
    assert rules <= found, violations
