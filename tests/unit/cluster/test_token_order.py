"""Fencing tokens are in the order in which pods hold a user, by links and by slots, for any order of requests."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from statefulroute.cluster import token_reader
from statefulroute.cluster.link_requests import LinkRequests
from statefulroute.cluster.token_reader import TokenReader
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.errors import ContendedError
from statefulroute.domain.times import TimeInterval, format_rfc3339
from statefulroute.testing.in_memory_client import InMemoryClient

LINKS = "/apis/statefulroute.io/v1alpha1/namespaces/play/podlinks"
PIN, SLOT = "game.alice", "game.x-slot-0"
PODS = st.integers(0, 2)
TTL_SECONDS = 60


class Client:
    """The client of one reader, whose requests and answers arrive on command."""

    def __init__(self, store: InMemoryClient) -> None:
        self._store = store
        self.waiting: asyncio.Future[None] | None = None
        """A request on its way to the store, or an answer on its way back."""

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> bytes:
        await self._wait()
        answer = await self._store.get(path, params)
        await self._wait()
        return answer

    async def _wait(self) -> None:
        self.waiting = asyncio.get_running_loop().create_future()
        await self.waiting


async def one_slot(_route: str) -> int:
    return 1


class Reader:
    """A pod that reads its token.

    Attributes:
        pod: the pod.
        since: the number of changes of the holder at the beginning.
        task: the read.
    """

    def __init__(self, store: InMemoryClient, clock: Callable[[], TimeInterval], pod: int, since: int) -> None:
        self.pod, self.since = pod, since
        self._client = Client(store)
        requests = LinkRequests(self._client, "play")  # type: ignore[arg-type]
        self.task = asyncio.create_task(TokenReader(requests, one_slot, clock).read("game", "alice", pod))

    async def advance(self) -> None:
        """Lets a request or its answer arrive, and waits until the reader waits again, or has ended."""
        if self._client.waiting is not None:
            self._client.waiting.set_result(None)
            self._client.waiting = None
        while self._client.waiting is None and not self.task.done():  # noqa: ASYNC110 - it ends within a few steps
            await asyncio.sleep(0)

    async def finish(self) -> "Reader":
        """Lets all requests and answers arrive; returns this reader."""
        while not self.task.done():
            await self.advance()
        return self


class TokenMachine(RuleBasedStateMachine):
    """A user with or without a link of its own, a slot, and a store that keeps the greatest token."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(token_reader, "RETRY_BACKOFF", Backoff(0.0, 0.0, lambda: 0.0))
        self.store = InMemoryClient(lambda _: None)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.ends_at: datetime | None = None
        """When the user's own link expires."""
        self.history: list[tuple[int, int | None]] = []
        """The holders of the user, each with the revision of the store; an expiry is no write."""
        self.readers: list[Reader] = []
        self.tokens: list[tuple[int, int]] = []
        """The pods that have a token, with the token; some are former holders."""
        self.accepted: list[tuple[int, int]] = []
        """The writes that the store has accepted: the pod, and its token."""

    def teardown(self) -> None:
        async def end() -> None:
            for reader in self.readers:
                reader.task.cancel()
            await asyncio.gather(*(reader.task for reader in self.readers), return_exceptions=True)

        self.runner.run(end())
        self.runner.close()
        self.patch.undo()

    # What the cluster does.

    @initialize(pod=PODS)
    def begin(self, pod: int) -> None:
        self.put(SLOT, {"slot": 0}, pod)

    @rule(pod=PODS)
    def pin(self, pod: int) -> None:
        self.ends_at = None
        self.put(PIN, {"uid": "alice", "ttlSeconds": None, "renewTime": None}, pod)

    @rule(pod=PODS)
    def pin_for_a_time(self, pod: int) -> None:
        self.ends_at = self.now + timedelta(seconds=TTL_SECONDS)
        times = {"ttlSeconds": TTL_SECONDS, "renewTime": format_rfc3339(self.now)}
        self.put(PIN, {"uid": "alice", **times}, pod)

    @rule()
    def let_time_pass(self) -> None:
        """A temporary link that is not renewed meanwhile expires after two steps, without a write."""
        self.now += timedelta(seconds=TTL_SECONDS / 2)
        self.record()

    @precondition(lambda self: self.pod_of(PIN) is not None)
    @rule()
    def unpin(self) -> None:
        self.store.remove(LINKS, PIN)
        self.record()

    @rule(pod=PODS)
    def move_slot(self, pod: int) -> None:
        self.put(SLOT, {"slot": 0}, pod)

    @precondition(lambda self: self.pod_of(SLOT) is not None)
    @rule()
    def delete_slot(self) -> None:
        self.store.remove(LINKS, SLOT)
        self.record()

    @rule(name=st.sampled_from([PIN, SLOT]), number=st.integers())
    def write_status_or_renew(self, name: str, number: int) -> None:
        if self.pod_of(name) is not None:
            self.store.update(LINKS, name, {"status": {"number": number}})
            self.record()

    @rule()
    def write_another_link(self) -> None:
        self.put("game.bob", {"uid": "bob"}, 0)

    # What the pods do.

    @rule(pod=PODS)
    def begin_to_read(self, pod: int) -> None:
        self.readers.append(self.runner.run(self.start(pod)))

    async def start(self, pod: int) -> Reader:
        reader = Reader(self.store, self.clock, pod, len(self.history) - 1)
        await reader.advance()
        return reader

    async def read_own_link(self, pod: int) -> Reader:
        reader = await self.start(pod)
        await reader.advance()
        await reader.advance()
        return reader

    @rule(pod=PODS)
    def read_undisturbed(self, pod: int) -> None:
        self.end(self.runner.run(self.read(pod)))

    @rule(
        pod=PODS,
        changes=st.lists(st.tuples(st.sampled_from(["pin", "unpin", "move", "delete"]), PODS), min_size=1, max_size=3),
    )
    def read_while_links_change(self, pod: int, changes: list[tuple[str, int]]) -> None:
        """The link of the user and that of the slot change between the two requests."""
        reader = self.runner.run(self.read_own_link(pod))
        for change, other in changes:
            match change:
                case "pin":
                    self.pin(other)
                case "unpin" if self.pod_of(PIN) is not None:
                    self.unpin()
                case "move":
                    self.move_slot(other)
                case "delete" if self.pod_of(SLOT) is not None:
                    self.delete_slot()
        self.end(self.runner.run(reader.finish()))

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), steps=st.integers(1, 3))
    def advance(self, data: st.DataObject, steps: int) -> None:
        """Some requests and answers of a reader arrive."""
        reader = data.draw(st.sampled_from(self.readers))
        for _ in range(steps):
            self.runner.run(reader.advance())
        if reader.task.done():
            self.readers.remove(reader)
            self.end(reader)

    @rule()
    def present_holder_is_accepted(self) -> None:
        """Others get no token, and a holder that is not disturbed gets one that the store accepts."""
        self.write_another_link()  # an expiry alone changes no revision
        for pod in range(3):
            reader = self.runner.run(self.read(pod))
            assert (reader.task.result() is not None) is (self.history[-1][1] == pod)
            self.end(reader)
            if (token := reader.task.result()) is not None:
                assert self.accepts(token)

    async def read(self, pod: int) -> Reader:
        return await (await self.start(pod)).finish()

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        """A pod that was paused for any time writes with its token."""
        pod, token = data.draw(st.sampled_from(self.tokens))
        if not self.accepts(token):
            return
        self.accepted.append((pod, token))
        periods = [self.period_of(*each) for each in self.accepted]
        assert periods == sorted(periods)  # no former holder after a later one

    # The model.

    def end(self, reader: Reader) -> None:
        try:
            token = reader.task.result()
        except ContendedError:
            return
        if token is None:
            assert {holder for _, holder in self.history[reader.since :]} != {reader.pod}
        else:
            assert (token, reader.pod) in self.history
            self.tokens.append((reader.pod, token))

    def accepts(self, token: int) -> bool:
        return token >= max((accepted for _, accepted in self.accepted), default=0)

    def put(self, name: str, bound: dict[str, Any], pod: int) -> None:
        if self.pod_of(name) is None:
            spec = {"routeName": "game", **bound, "podIndex": pod}
            self.store.create(LINKS, {"metadata": {"name": name}, "spec": spec})
        else:
            self.store.update(LINKS, name, {"spec": {**bound, "podIndex": pod}})
        self.record()

    def pod_of(self, name: str) -> int | None:
        items = {item["metadata"]["name"]: item for item in self.store.objects(LINKS)}
        return items[name]["spec"]["podIndex"] if name in items else None

    def record(self) -> None:
        pin = self.pod_of(PIN)
        if self.ends_at is not None and self.ends_at <= self.now:
            pin = None
        revision = self.store._version  # noqa: SLF001
        self.history.append((revision, self.pod_of(SLOT) if pin is None else pin))

    def clock(self) -> TimeInterval:
        return TimeInterval(self.now, self.now)

    def period_of(self, pod: int, token: int) -> int:
        """Returns the number of the period in which the pod has held the user at the revision of a token."""
        periods = [list(entries) for _, entries in groupby(self.history, lambda entry: entry[1])]
        return max(number for number, entries in enumerate(periods) if (token, pod) in entries)


TestTokens = TokenMachine.TestCase
TestTokens.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@pytest.fixture
def machine() -> Iterator[TokenMachine]:
    """A machine, whose rules a test applies in an order of its own."""
    machine = TokenMachine()
    yield machine
    machine.teardown()


def test_user_whose_temporary_link_has_just_expired(machine: TokenMachine) -> None:
    """No write separates the two holders: the token of the second one must be greater nevertheless."""
    machine.begin(0)
    machine.pin_for_a_time(1)
    machine.read_undisturbed(1)
    machine.let_time_pass()
    machine.let_time_pass()
    with pytest.raises(ContendedError, match="just expired"):
        machine.runner.run(machine.read(0)).task.result()
    assert [pod for pod, _ in machine.tokens] == [1]
    machine.write_another_link()  # in a cluster, the operator deletes the link, and others write, too
    machine.read_undisturbed(0)
    (first, earlier), (second, later) = machine.tokens
    assert (first, second) == (1, 0)
    assert earlier < later


def test_slot_whose_link_is_deleted_after_the_user_got_a_link_to_the_same_pod(machine: TokenMachine) -> None:
    """The pod holds the user all the time, first by the slot, then by the link: it gets a token."""
    machine.begin(0)
    reader = machine.runner.run(machine.read_own_link(0))
    machine.pin(0)
    machine.delete_slot()
    machine.end(machine.runner.run(reader.finish()))
    assert len(machine.tokens) == 1


def test_link_that_is_renewed_while_an_older_version_of_it_is_on_its_way_to_a_reader(machine: TokenMachine) -> None:
    """That version has expired when it arrives, but the link has not: its pod holds the user all the time."""
    machine.begin(0)
    machine.pin_for_a_time(1)
    machine.write_another_link()
    readers = [machine.runner.run(machine.start(pod)) for pod in (0, 1)]
    for reader in readers:
        machine.runner.run(reader.advance())
    machine.let_time_pass()
    machine.pin_for_a_time(1)
    machine.let_time_pass()
    for reader in readers:
        machine.end(machine.runner.run(reader.finish()))
    assert [pod for pod, _ in machine.tokens] == [1]
