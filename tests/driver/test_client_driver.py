"""Tests the client driver against a real API server and an operator."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from pykube.objects import Pod

from driver.recording import RecordingClient, RecordingLogger
from statefulroute import (
    Address,
    ClientDriver,
    ErrorCode,
    EventsLost,
    InternalError,
    InvalidParameterError,
    LinkChanged,
    PodNotAvailableError,
    PodNotFoundError,
    PodNotRoutableError,
    RoutingState,
    RoutingStateChanged,
    ServiceNotFoundError,
    StatefulRouteError,
)
from statefulroute.cluster.errors import APIError
from statefulroute.driver import events as events_module
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.objects import encoded_name
from support.service import NOT_READY, READY, Service
from support.waiting import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PORT = 7777
NAMED_PORT = "play"

#: The methods of the client driver; each that sends requests has a test here.
METHODS = {
    "get_linked_pod",
    "get_linked_pod_if_persistent",
    "bound_by",
    "slot_of",
    "links_of",
    "batch_get",
    "address_of",
    "link_if_absent",
    "compute_link_if_absent",
    "bind",
    "renew",
    "best_pod",
    "alive_pods",
    "routable_pods",
    "is_routable",
    "is_available",
    "is_workload_ready",
    "services_of_tag",
    "events",
    "start",
    "close",
    "is_healthy",
    "staleness_seconds",
    "cached_links",
}


class Game(Service):
    """A service whose container has a named port."""

    def pod_template(self) -> dict[str, Any]:
        template = super().pod_template()
        ports = [{"name": NAMED_PORT, "containerPort": 9000}]
        template["spec"]["containers"] = [{**template["spec"]["containers"][0], "ports": ports}]
        return template


@pytest.fixture(scope="module")
def shared_service(shared_kubectl: Kubectl, independent_client: IndependentClient) -> Service:
    """Two services in one namespace: `game` with three pods, and `chat` with one."""
    chat = Game(shared_kubectl, independent_client, "chat")
    chat.create_pods(1)
    chat.create_route(tags=["talk", "all"], port=NAMED_PORT)
    service = Game(shared_kubectl, independent_client)
    service.start(tags=["all"], port=PORT, onPodLost={"action": "Keep"})
    chat.await_pods(1)
    return service


@pytest.fixture
def game(shared_service: Service) -> Iterator[Service]:
    """The service; its links are deleted after each test."""
    yield shared_service
    shared_service.client.delete_all(PodLink, shared_service.namespace)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def following(
    recording_client: RecordingClient, shared_service: Service
) -> AsyncIterator[tuple[ClientDriver, RecordingLogger]]:
    logger = RecordingLogger()
    async with ClientDriver(recording_client, shared_service.namespace, logger=logger) as driver:
        yield driver, logger


@pytest.fixture
def driver(following: tuple[ClientDriver, RecordingLogger], client: RecordingClient, game: Service) -> ClientDriver:
    """A driver that caches all services. `client` records its requests."""
    del client, game
    following[1].entries.clear()
    return following[0]


@pytest.fixture
def logger(following: tuple[ClientDriver, RecordingLogger]) -> RecordingLogger:
    """The logger of that driver."""
    return following[1]


async def link(game: Service, uid: str, **spec: Any) -> None:
    """Creates a link with the independent client."""
    await asyncio.to_thread(game.link, uid, **spec)


async def knows(driver: ClientDriver, uid: str, pod: int | None, service: str = "game") -> None:
    """Waits until the driver's cache has the link of a uid to a pod."""
    await wait_until(lambda: _held(driver, uid, service) == pod, f"the cache has the link of {uid} to {pod}")


def _held(driver: ClientDriver, uid: str, service: str) -> Any:
    cached = driver._cached_link(uid, service)  # noqa: SLF001 - the public method may send a request
    return cached.pod if cached else None


async def test_every_public_method_is_listed() -> None:
    public = {name for name in dir(ClientDriver) if not name.startswith("_")}
    assert public == METHODS | {"connect"}


# Reads.


async def test_reads_a_link_from_the_cache(
    driver: ClientDriver, client: RecordingClient, logger: RecordingLogger, game: Service, uid: str
) -> None:
    assert await driver.get_linked_pod(uid, "game") is None
    await link(game, uid, podIndex=0)
    await knows(driver, uid, 0)
    assert await driver.get_linked_pod(uid, "game") == 0
    assert await driver.get_linked_pod(uid, "chat") is None
    assert client.requests == []
    assert logger.entries == []  # reads from the cache log nothing


async def test_fresh_read_requests_the_link_and_logs_it(
    driver: ClientDriver, client: RecordingClient, logger: RecordingLogger, game: Service, uid: str
) -> None:
    await link(game, uid, podIndex=2)
    assert await driver.get_linked_pod(uid, "game", fresh=True) == 2
    assert [request.method for request in client.requests] == ["GET"]
    (line,) = logger.entries
    assert (line["event"], line["uid"], line["service"], line["pod"]) == ("get_linked_pod", uid, "game", 2)
    assert await driver.get_linked_pod(uid, "game") == 2  # the read updated the cache
    assert await driver.get_linked_pod(f"{uid}-nobody", "game", fresh=True) is None


async def test_reads_only_persistent_links_on_request(driver: ClientDriver, game: Service, uid: str) -> None:
    await link(game, uid, podIndex=0)
    await link(game, f"{uid}-t", podIndex=1, ttlSeconds=600)
    for fresh in (True, False):
        assert await driver.get_linked_pod_if_persistent(uid, "game", fresh=fresh) == 0
        assert await driver.get_linked_pod_if_persistent(f"{uid}-t", "game", fresh=fresh) is None
        assert await driver.get_linked_pod_if_persistent(f"{uid}-n", "game", fresh=fresh) is None
        assert await driver.get_linked_pod(f"{uid}-t", "game", fresh=fresh) == 1


async def test_expired_link_is_absent_at_once(driver: ClientDriver, game: Service, uid: str) -> None:
    # It expires in one second; the operator deletes it some time after that.
    renewed = datetime.now(UTC) - timedelta(seconds=599)
    await link(game, uid, podIndex=0, ttlSeconds=600, renewTime=renewed.isoformat())
    await knows(driver, uid, 0)
    expiry = renewed + timedelta(seconds=600)

    async def ask() -> tuple[object, bool]:
        is_before = datetime.now(UTC) < expiry
        return await driver.get_linked_pod(uid, "game"), is_before

    answers = [await ask()]
    # A busy machine may pause this process past the expiry: it is asked at least once afterwards.
    while datetime.now(UTC) < expiry + timedelta(seconds=0.1) or answers[-1][1]:
        await asyncio.sleep(0.001)
        answers.append(await ask())
    assert {is_before for _, is_before in answers} == {True, False}
    assert [pod for pod, is_before in answers if not is_before and pod is not None] == []
    assert answers[0] == (0, True)


@pytest.mark.parametrize(
    "uid", ["Guest 7", "GÜNTHER", "日本語", "x-ray", "x-47756573742037", "a_b", ".dot", "-dash", "UPPER"]
)
async def test_finds_uids_that_are_encoded_in_names(
    driver: ClientDriver, client: RecordingClient, game: Service, uid: str
) -> None:
    await asyncio.to_thread(game.link_encoded, uid, podIndex=1)
    name = encoded_name("game", uid)
    (links,) = driver._cache.reflectors  # noqa: SLF001 - no public method reads the cache by the encoded name
    await wait_until(
        lambda: any(link.uid == uid for link in links.cache.in_partition((game.namespace, "game")).values()),
        f"the cache has {name}",
    )
    client.requests.clear()
    assert await driver.get_linked_pod(uid, "game") == 1
    assert await driver.get_linked_pod_if_persistent(uid, "game") == 1
    assert (await driver.batch_get([uid], "game")) == {1: [uid]}
    assert client.requests == []
    assert await driver.get_linked_pod(uid, "game", fresh=True) == 1
    assert await driver.link_if_absent(uid, "game", 2) == 1


async def test_encoded_name_of_another_uid_is_not_a_uid(driver: ClientDriver, game: Service, uid: str) -> None:
    encoded = f"{uid} Ü"
    await asyncio.to_thread(game.link_encoded, encoded, podIndex=1)
    await driver.get_linked_pod(encoded, "game", fresh=True)
    assert await driver.get_linked_pod(f"x-{encoded.encode().hex()}", "game") is None


async def test_reads_the_links_of_a_user_by_service(
    driver: ClientDriver, client: RecordingClient, game: Service, uid: str
) -> None:
    assert await driver.links_of(uid) == {}
    await link(game, uid, podIndex=2)
    chat = Service(game.kubectl, game.client, "chat")
    await link(chat, uid, podIndex=0)
    await knows(driver, uid, 2)
    await knows(driver, uid, 0, "chat")
    client.requests.clear()
    assert await driver.links_of(uid) == {"game": 2, "chat": 0}
    assert await driver.links_of(uid, ["chat"]) == {"chat": 0}
    assert await driver.links_of(uid, []) == {}
    assert client.requests == []


async def test_reads_many_users_at_once(driver: ClientDriver, client: RecordingClient, game: Service, uid: str) -> None:
    uids = [f"{uid}-{number}" for number in range(9)]
    await asyncio.to_thread(game.link_each, {name: {"podIndex": n % 3} for n, name in enumerate(uids)})
    for number, name in enumerate(uids):
        await knows(driver, name, number % 3)
    client.requests.clear()
    batch = [*uids, f"{uid}-nobody"]
    assert await driver.batch_get(iter(batch), "game") == {0: uids[0::3], 1: uids[1::3], 2: uids[2::3]}
    assert await driver.batch_get([], "game") == {}
    assert client.requests == []


# Bindings.


async def test_links_only_an_unlinked_uid(
    driver: ClientDriver, client: RecordingClient, game: Service, uid: str
) -> None:
    assert await driver.link_if_absent(uid, "game", 0) == 0
    client.requests.clear()
    assert await driver.get_linked_pod(uid, "game") == 0  # the driver sees its own write at once
    assert client.requests == []
    assert await driver.link_if_absent(uid, "game", 1) == 0  # pod 0 is a pod
    assert (await asyncio.to_thread(game.get, f"game.{uid}"))["spec"]["podIndex"] == 0


async def test_renews_an_existing_temporary_link(driver: ClientDriver, game: Service, uid: str) -> None:
    renewed = datetime.now(UTC) - timedelta(seconds=400)
    await link(game, uid, podIndex=1, ttlSeconds=600, renewTime=renewed.isoformat())
    assert await driver.link_if_absent(uid, "game", 0, ttl_seconds=60) == 1
    spec = (await asyncio.to_thread(game.get, f"game.{uid}"))["spec"]
    assert spec["ttlSeconds"] == 600
    assert datetime.now(UTC) - datetime.fromisoformat(spec["renewTime"]) < timedelta(seconds=60)
    assert await driver.renew(uid, "game")
    assert not await driver.renew(f"{uid}-nobody", "game")
    assert (await asyncio.to_thread(game.get, f"game.{uid}"))["spec"]["renewTime"] == spec["renewTime"]  # not yet due


async def test_sixty_four_concurrent_tasks_create_one_link_and_get_one_answer(
    driver: ClientDriver, client: RecordingClient, logger: RecordingLogger, uid: str
) -> None:
    answers = await asyncio.gather(*(driver.compute_link_if_absent(uid, "game") for _ in range(64)))
    assert len(answers) == 64
    assert len(set(answers)) == 1
    assert [asked.method for asked in client.recorded("POST", "PATCH")] == ["POST"]
    assert await driver.get_linked_pod(uid, "game") == answers[0]
    assert {line["holder"] for line in logger.of("compute_link_if_absent")} == set(answers)
    assert await driver.compute_link_if_absent(uid, "game") == answers[0]


async def test_two_concurrent_drivers_get_one_answer(
    driver: ClientDriver, client: RecordingClient, game: Service, uid: str
) -> None:
    async with ClientDriver(client, game.namespace, logger=RecordingLogger()) as other:
        for number in range(8):
            user = f"{uid}-{number}"
            answers = await asyncio.gather(
                *(each.compute_link_if_absent(user, "game", ttl_seconds=600) for each in (driver, other) * 8)
            )
            assert len(set(answers)) == 1
            assert await other.get_linked_pod(user, "game") == await driver.get_linked_pod(user, "game") == answers[0]
    spec = (await asyncio.to_thread(game.get, f"game.{uid}-0"))["spec"]
    assert spec["ttlSeconds"] == 600


async def test_spreads_a_wave_of_new_users_over_the_pods(driver: ClientDriver, uid: str) -> None:
    await wait_until(lambda: not driver._routes.get("game").status.links, "the users of other tests are gone")  # type: ignore[union-attr] # noqa: SLF001
    uids = [f"{uid}-{number}" for number in range(30)]
    answers = await asyncio.gather(*(driver.compute_link_if_absent(each, "game") for each in uids))
    assert sorted(answers.count(pod) for pod in (0, 1, 2)) == [10, 10, 10]


async def test_sees_its_own_writes_at_once(driver: ClientDriver, client: RecordingClient, game: Service) -> None:
    async with ClientDriver(client, game.namespace, logger=RecordingLogger()) as other:

        async def life(uid: str) -> None:
            assert await driver.link_if_absent(uid, "game", 1, ttl_seconds=600) == 1
            assert await driver.get_linked_pod(uid, "game") == 1
            assert await other._store.remove("game", uid)  # noqa: SLF001 - a server's call
            assert await driver.get_linked_pod(uid, "game", fresh=True) is None
            assert await driver.link_if_absent(uid, "game", 2) == 2
            assert await driver.get_linked_pod(uid, "game") == 2

        await asyncio.gather(*(life(f"own-{number}") for number in range(20)))


# Services and pods.


async def test_reads_the_states_of_pods(driver: ClientDriver, game: Service) -> None:
    pods = [0, 1, 2]
    assert driver.alive_pods("game") == driver.routable_pods("game") == pods
    assert driver.best_pod("game") in pods
    assert driver.is_workload_ready("game")
    try:
        await asyncio.to_thread(
            game.edit_route,
            pods=[{"index": 0, "routingState": "Shutdown"}, {"index": 1, "routingState": "DenyNewCall"}],
        )
        await wait_until(lambda: driver.routable_pods("game") == [1, 2], "the cache has the change")
        assert driver.alive_pods("game") == pods
        assert [driver.is_routable("game", pod) for pod in pods] == [False, True, True]
        assert [driver.is_available("game", pod) for pod in pods] == [False, False, True]
        assert driver.best_pod("game") == 2
        assert driver.is_workload_ready("game")
        await asyncio.to_thread(game.edit_route, routingState="DenyNewCall")
        await wait_until(lambda: not driver.is_available("game", 2), "the cache has the change")
        assert not driver.is_workload_ready("game")
        with pytest.raises(PodNotAvailableError) as refused:
            driver.best_pod("game")
        assert refused.value.code is ErrorCode.POD_NOT_AVAILABLE
        with pytest.raises(PodNotAvailableError):
            await driver.compute_link_if_absent("no-pod-accepts-me", "game")
    finally:
        await asyncio.to_thread(game.edit_route, pods=None, routingState="Ready")
    await wait_until(lambda: driver.is_available("game", 0), "the cache has the change")
    with pytest.raises(PodNotFoundError) as missing:
        driver.is_routable("game", 3)
    assert missing.value.code is ErrorCode.POD_NOT_FOUND
    with pytest.raises(PodNotFoundError):
        driver.is_available("game", "game-0")  # the pods of this service have indexes


async def test_missing_service_raises(driver: ClientDriver, uid: str) -> None:
    for call in (driver.best_pod, driver.alive_pods, driver.routable_pods, driver.is_workload_ready):
        with pytest.raises(ServiceNotFoundError) as refused:
            call("lobby")
        assert refused.value.code is ErrorCode.SERVICE_NOT_FOUND
    for check in (driver.is_routable, driver.is_available):
        with pytest.raises(ServiceNotFoundError):
            check("lobby", 0)
    with pytest.raises(ServiceNotFoundError):
        await driver.compute_link_if_absent(uid, "lobby")
    assert await driver.get_linked_pod(uid, "lobby") is None


async def test_finds_services_by_tag(driver: ClientDriver) -> None:
    assert driver.services_of_tag("all") == ["chat", "game"]
    assert driver.services_of_tag("talk") == ["chat"]
    assert driver.services_of_tag("nothing") == []


# Addresses.


async def test_reads_the_address_of_a_users_pod(driver: ClientDriver, game: Service, uid: str) -> None:
    assert await driver.address_of(uid, "game") is None
    await driver.link_if_absent(uid, "game", 1)
    await asyncio.to_thread(game.await_bound, f"game.{uid}")
    pod = await asyncio.to_thread(game.client.get, Pod, "game-1", game.namespace)
    expected = Address("game-1", pod["status"]["podIP"], f"game-1.game.{game.namespace}.svc", PORT)
    await wait_until(lambda: _host(driver, uid) is not None, "the cache has the status of the link")
    assert await driver.address_of(uid, "game") == expected

    await driver.link_if_absent(uid, "chat", 0)
    address = await driver.address_of(uid, "chat")
    assert address is not None
    assert (address.pod, address.port) == ("chat-0", 9000)  # the number of the named port
    try:
        await asyncio.to_thread(game.edit_route, port=None)
        await wait_until(lambda: (route := driver._routes.get("game")) and route.spec.port is None, "the port is gone")  # noqa: SLF001
        without = await driver.address_of(uid, "game")
        assert without is not None
        assert without.port is None
    finally:
        await asyncio.to_thread(game.edit_route, port=PORT)


async def test_one_call_binds_and_returns_the_address(
    driver: ClientDriver, client: RecordingClient, game: Service, uid: str
) -> None:
    address = await driver.bind(uid, "game")
    holder = await driver.get_linked_pod(uid, "game")
    assert (address.pod, address.port, address.host) == (
        f"game-{holder}",
        PORT,
        f"game-{holder}.game.{game.namespace}.svc",
    )
    assert await driver.bind(uid, "game", ttl_seconds=600) == address
    await driver.link_if_absent(f"{uid}-gone", "game", 7)
    with pytest.raises(PodNotFoundError):
        await driver.bind(f"{uid}-gone", "game")
    async with ClientDriver(client, game.namespace, services=[], logger=RecordingLogger()) as other:
        client.requests.clear()
        assert await other.bind(uid, "game") == address
        assert len(client.requests) == 1  # without a cache: only the read of the link


async def test_starts_and_closes_without_a_context(client: RecordingClient, game: Service) -> None:
    driver = ClientDriver(client, game.namespace, logger=RecordingLogger())
    assert not driver.is_healthy
    await driver.start()
    assert driver.is_healthy
    assert 0 <= driver.staleness_seconds < 60
    assert driver.alive_pods("game") == [0, 1, 2]
    await driver.close()
    await driver.close()
    assert not driver.is_healthy


def _host(driver: ClientDriver, uid: str) -> str | None:
    cached = driver._cached_link(uid, "game")  # noqa: SLF001
    return cached.status.host if cached and cached.status else None


async def test_missing_or_unroutable_pod_has_no_address(driver: ClientDriver, game: Service, uid: str) -> None:
    await driver.link_if_absent(uid, "game", 7)
    with pytest.raises(PodNotFoundError) as missing:
        await driver.address_of(uid, "game")
    assert missing.value.code is ErrorCode.POD_NOT_FOUND
    await driver.link_if_absent(f"{uid}-2", "game", 2)
    try:
        await asyncio.to_thread(game.annotate, 2, NOT_READY)
        await wait_until(lambda: 2 not in driver.alive_pods("game"), "the cache has the change")
        with pytest.raises(PodNotRoutableError) as unroutable:
            await driver.address_of(f"{uid}-2", "game")
        assert unroutable.value.code is ErrorCode.POD_NOT_ROUTABLE
    finally:
        await asyncio.to_thread(game.annotate, 2, READY)
    await wait_until(lambda: 2 in driver.alive_pods("game"), "the cache has the change")
    await asyncio.to_thread(game.edit_route, pods=[{"index": 2, "routingState": "Shutdown"}])
    await wait_until(lambda: not driver.is_routable("game", 2), "the cache has the change")
    with pytest.raises(PodNotRoutableError):
        await driver.address_of(f"{uid}-2", "game")
    await asyncio.to_thread(game.edit_route, pods=None)
    await wait_until(lambda: driver.is_routable("game", 2), "the cache has the change")
    await driver.link_if_absent(f"{uid}-l", "lobby", 0)
    with pytest.raises(ServiceNotFoundError):
        await driver.address_of(f"{uid}-l", "lobby")


# Events.


async def test_events_contain_changes_of_routing_states_and_links(
    driver: ClientDriver, game: Service, uid: str
) -> None:
    received: list[Any] = []

    async def listen() -> None:
        async for event in events:
            received.append(event)  # noqa: PERF401 - the loop is endless

    events = driver.events()
    listening = asyncio.create_task(listen())
    await link(game, uid, podIndex=0)
    await wait_until(lambda: LinkChanged("game", uid, None, 0) in received, "the event of the link")
    await asyncio.to_thread(game.client.patch, PodLink, f"game.{uid}", game.namespace, {"spec": {"podIndex": 1}})
    await wait_until(lambda: LinkChanged("game", uid, 0, 1) in received, "the event of the move")
    await asyncio.to_thread(game.client.delete, PodLink, f"game.{uid}", game.namespace)
    await wait_until(lambda: LinkChanged("game", uid, 1, None) in received, "the event of the deletion")
    ready, deny = RoutingState.READY, RoutingState.DENY_NEW_CALL
    await asyncio.to_thread(game.edit_route, pods=[{"index": 1, "routingState": "DenyNewCall"}])
    await wait_until(lambda: RoutingStateChanged("game", 1, ready, deny) in received, "the event of the pod")
    await asyncio.to_thread(game.edit_route, pods=None, routingState="DenyNewCall")
    await wait_until(lambda: RoutingStateChanged("game", None, ready, deny) in received, "the event of the service")
    await asyncio.to_thread(game.edit_route, routingState="Ready")
    await wait_until(lambda: RoutingStateChanged("game", None, deny, ready) in received, "the event of the service")
    listening.cancel()
    changes = [event for event in received if isinstance(event, LinkChanged) and event.uid == uid]
    assert len(changes) == 3  # each once
    await wait_until(lambda: driver.is_available("game", 1), "the pod is available again")


async def test_slow_consumer_gets_the_number_of_lost_events(
    driver: ClientDriver, monkeypatch: pytest.MonkeyPatch, uid: str
) -> None:
    monkeypatch.setattr(events_module, "_MAX_QUEUED_EVENTS", 4)
    slow = driver.events()
    for number in range(10):
        await driver.link_if_absent(f"{uid}-{number}", "game", 0)
    assert await anext(slow) == EventsLost(6)
    assert [await anext(slow) for _ in range(4)] == [
        LinkChanged("game", f"{uid}-{number}", None, 0) for number in range(6, 10)
    ]


async def test_events_end_when_the_driver_closes(client: RecordingClient, game: Service) -> None:
    async with ClientDriver(client, game.namespace, services=[], logger=RecordingLogger()) as short:
        events = short.events()
        waiting = asyncio.create_task(anext(short.events(), None))
        await asyncio.sleep(0)
    assert [event async for event in events] == []
    assert [event async for event in events] == []
    assert [event async for event in short.events()] == []
    async with asyncio.timeout(5):
        assert await waiting is None


# The limits of the cache.


async def test_requests_links_of_uncached_services(client: RecordingClient, game: Service, uid: str) -> None:
    async with ClientDriver(client, game.namespace, services=["chat"], logger=RecordingLogger()) as narrow:
        await link(game, uid, podIndex=1)
        client.requests.clear()
        assert await narrow.get_linked_pod(uid, "game") == 1
        assert await narrow.get_linked_pod(uid, "game") == 1
        assert len(client.recorded("GET")) == 2
        client.requests.clear()
        assert await narrow.get_linked_pod(uid, "chat") is None
        assert client.requests == []
        await narrow.link_if_absent(uid, "chat", 0)
        client.requests.clear()
        assert await narrow.get_linked_pod(uid, "chat") == 0
        assert client.requests == []
        assert await narrow.links_of(uid) == {"chat": 0, "game": 1}
        assert await narrow.compute_link_if_absent(uid, "game") == 1


# Connections and errors.


async def test_connects_by_a_kubeconfig(cluster: Any, game: Service, uid: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setenv("POD_NAMESPACE", game.namespace)
    await link(game, uid, podIndex=1)
    async with await ClientDriver.connect(logger=RecordingLogger()) as driver:
        assert await driver.get_linked_pod(uid, "game") == 1
    await asyncio.sleep(0.25)
    monkeypatch.delenv("KUBECONFIG")
    async with await ClientDriver.connect(
        game.namespace, kubeconfig=cluster.kubeconfig, logger=RecordingLogger()
    ) as driver:
        assert await driver.get_linked_pod(uid, "game") == 1
    await asyncio.sleep(0.25)


async def test_failed_connection_raises_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/kubeconfig")
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    with pytest.raises(InvalidParameterError, match="POD_NAMESPACE"):
        await ClientDriver.connect()
    with pytest.raises(InternalError, match="cannot load the cluster's configuration"):
        await ClientDriver.connect("play")


@pytest.mark.parametrize("uid", ["", "a\0b", "a" * 190, None, 7, ["alice"]])
async def test_rejects_invalid_uid_before_any_request(driver: ClientDriver, client: RecordingClient, uid: Any) -> None:
    for call in (
        driver.get_linked_pod(uid, "game"),
        driver.get_linked_pod(uid, "game", fresh=True),
        driver.get_linked_pod_if_persistent(uid, "game"),
        driver.links_of(uid),
        driver.batch_get([uid], "game"),
        driver.address_of(uid, "game"),
        driver.link_if_absent(uid, "game", 0),
        driver.compute_link_if_absent(uid, "game"),
        driver.renew(uid, "game"),
    ):
        with pytest.raises(InvalidParameterError, match=r"^uid ") as refused:
            await call
        assert refused.value.code is ErrorCode.INVALID_PARAMETER
    assert client.requests == []


@pytest.mark.parametrize("service", ["", "Game", "a.b", None, ["game"]])
async def test_rejects_invalid_service_before_any_request(
    driver: ClientDriver, client: RecordingClient, uid: str, service: Any
) -> None:
    for call in (
        driver.get_linked_pod(uid, service),
        driver.get_linked_pod(uid, service, fresh=True),
        driver.batch_get([uid], service),
        driver.address_of(uid, service),
        driver.link_if_absent(uid, service, 0),
        driver.compute_link_if_absent(uid, service),
    ):
        with pytest.raises(InvalidParameterError):
            await call
    assert client.requests == []


async def test_errors_of_the_api_server_are_stateful_route_errors(
    driver: ClientDriver, client: RecordingClient, logger: RecordingLogger, uid: str
) -> None:
    async def refuse(_: object) -> None:
        raise APIError(500, "InternalError", "you may not")

    async with client.before_each(refuse):
        for call in (
            driver.get_linked_pod(uid, "game", fresh=True),
            driver.link_if_absent(uid, "game", 0),
            driver.compute_link_if_absent(uid, "game"),
            driver.renew(uid, "game"),
        ):
            with pytest.raises(StatefulRouteError, match="you may not") as refused:
                await call
            assert refused.value.code is ErrorCode.INTERNAL
    assert len(logger.entries) == 4
