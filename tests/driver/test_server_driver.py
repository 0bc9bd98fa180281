"""Tests each method of the original's server driver, by its name, against a real API server."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from driver.driver_factory import DriverFactory
from driver.recording import RecordingClient, RecordingLogger
from statefulroute import (
    Attempt,
    DriverAlreadyRunningError,
    ErrorCode,
    ForbiddenError,
    InternalError,
    InvalidParameterError,
    NotLocalNamespaceError,
    RoutingState,
    ServerDriver,
    StatefulRouteError,
)
from statefulroute.cluster.errors import APIError
from support.independent_client import PodLink
from support.service import Service
from support.waiting import eventually, wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: The methods of the original's server driver; each has a test of its name here.
ORIGINAL = (
    "SetLoadState",
    "GetLoadState",
    "SetRoutingState",
    "GetRoutingState",
    "SetLinkedPod",
    "TrySetLinkedPod",
    "RemoveLinkedPod",
    "RemoveLinkedPodWithId",
    "Init",
    "Start",
    "Stop",
)

#: Additional methods: the second measure of load, and those for Python and Kubernetes.
ADDED = {
    "set_waiting_tasks",
    "get_waiting_tasks",
    "get_linked_pod",
    "links_of",
    "address_of",
    "from_environment",
    "close",
    "is_running",
    "users",
    "slots",
    "token",
    "read_token",
    "owns",
    "slot_of",
    "number_of_slots",
    "events",
    "listen",
    "is_cut_off",
    "on_leaving",
    "on_slot_leaving",
    "on_arriving",
}

LOCAL_ONLY = "only local namespace is supported"

#: An operation on a link, called with the driver, the namespace and the uid.
Call = Callable[[ServerDriver, str, str], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "set_linked_pod": lambda driver, namespace, uid: driver.set_linked_pod(namespace, uid, "game", 0),
    "try_set_linked_pod": lambda driver, namespace, uid: driver.try_set_linked_pod(namespace, uid, "game", 0),
    "remove_linked_pod": lambda driver, namespace, uid: driver.remove_linked_pod(namespace, uid, "game"),
    "remove_linked_pod_with_id": lambda driver, namespace, uid: driver.remove_linked_pod_with_id(
        namespace, uid, "game", 0
    ),
    "get_linked_pod": lambda driver, namespace, uid: driver.get_linked_pod(namespace, uid, "game"),
    "links_of": lambda driver, namespace, uid: driver.links_of(namespace, uid, ["game"]),
    "address_of": lambda driver, namespace, uid: driver.address_of(namespace, uid, "game"),
}


def in_python(method: str) -> str:
    """Returns the Python name of a method."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", method).lower()


def public_names(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.fixture
def here(game: Service) -> str:
    """The driver's own namespace."""
    return game.namespace


@pytest_asyncio.fixture(loop_scope="module")
async def driver(
    servers: DriverFactory, client: RecordingClient, logger: RecordingLogger
) -> AsyncIterator[ServerDriver]:
    """A driver of the pod game-0 that is not started; its requests are recorded from here on."""
    driver = await servers.make(logger=logger)
    client.requests.clear()
    yield driver
    await driver.close()


async def test_every_method_of_the_original_exists_and_has_a_test_of_its_name() -> None:
    named = [in_python(method) for method in ORIGINAL]
    assert [name for name in named if not callable(getattr(ServerDriver, name, None))] == []
    assert [name for name in named if f"test_{name}" not in globals()] == []
    assert public_names(ServerDriver) == {*named, *ADDED}


async def test_set_load_state(driver: ServerDriver, client: RecordingClient) -> None:
    driver.set_load_state(7)
    assert driver.get_load_state() == 7
    driver.set_load_state(2**31 - 1)
    assert driver.get_load_state() == 2**31 - 1
    assert client.requests == []  # the state timer publishes it


async def test_get_load_state(driver: ServerDriver) -> None:
    assert driver.get_load_state() == 0
    driver.set_load_state(3)
    driver.set_load_state(0)
    assert driver.get_load_state() == 0


async def test_set_routing_state(driver: ServerDriver, servers: DriverFactory) -> None:
    await driver.set_routing_state(RoutingState.DENY_NEW_CALL)
    assert "routing-state" not in await asyncio.to_thread(servers.published)  # the driver is not started
    await driver.start()
    assert (await asyncio.to_thread(servers.published))["routing-state"] == "DenyNewCall"
    for state in (RoutingState.SHUTDOWN, RoutingState.UNKNOWN, RoutingState.READY):
        await driver.set_routing_state(state)
        assert (await asyncio.to_thread(servers.published))["routing-state"] == state
        assert driver.get_routing_state() is state


async def test_get_routing_state(driver: ServerDriver) -> None:
    assert driver.get_routing_state() is RoutingState.READY
    await driver.set_routing_state("DenyNewCall")  # type: ignore[arg-type] # a string from a configuration
    assert driver.get_routing_state() is RoutingState.DENY_NEW_CALL


async def test_set_linked_pod(driver: ServerDriver, game: Service, here: str, uid: str) -> None:
    assert await driver.set_linked_pod(here, uid, "game", 0) is None
    assert await driver.set_linked_pod(here, uid, "game", 2) == 0  # pod 0 is a pod
    assert await driver.set_linked_pod(here, uid, "game", 1, ttl_seconds=600) == 2
    spec = (await asyncio.to_thread(game.get, f"game.{uid}"))["spec"]
    assert (spec["podIndex"], spec["ttlSeconds"]) == (1, 600)
    assert await driver.set_linked_pod(here, uid, "game", 1) == 1
    assert "ttlSeconds" not in (await asyncio.to_thread(game.get, f"game.{uid}"))["spec"]


async def test_try_set_linked_pod(driver: ServerDriver, here: str, uid: str) -> None:
    assert await driver.try_set_linked_pod(here, uid, "game", 0, ttl_seconds=600) == Attempt(won=True, holder=0)
    assert await driver.try_set_linked_pod(here, uid, "game", 1) == Attempt(
        won=True, holder=1
    )  # the link was temporary
    assert await driver.try_set_linked_pod(here, uid, "game", 1) == Attempt(won=True, holder=1)
    assert await driver.try_set_linked_pod(here, uid, "game", 0) == Attempt(won=False, holder=1)
    assert await driver.set_linked_pod(here, uid, "game", 0) == 1
    assert await driver.try_set_linked_pod(here, uid, "game", 2) == Attempt(won=False, holder=0)  # pod 0 is a pod


async def test_remove_linked_pod(driver: ServerDriver, game: Service, here: str, uid: str) -> None:
    assert not await driver.remove_linked_pod(here, uid, "game")
    await driver.set_linked_pod(here, uid, "game", 0)
    assert await driver.remove_linked_pod(here, uid, "game")
    assert not await driver.remove_linked_pod(here, uid, "game")

    await driver.set_linked_pod(here, uid, "game", 0)
    assert await driver.remove_linked_pod(here, uid, "game", grace_seconds=2)
    spec = (await asyncio.to_thread(game.get, f"game.{uid}"))["spec"]
    assert (spec["podIndex"], spec["ttlSeconds"]) == (0, 2)  # it remains as a temporary link
    await asyncio.to_thread(
        eventually, lambda: not game.exists(PodLink, f"game.{uid}"), "the operator has removed it after its grace"
    )
    assert not await driver.remove_linked_pod(here, uid, "game")


async def test_grace_of_0_removes_a_link_at_once(driver: ServerDriver, game: Service, here: str, uid: str) -> None:
    await driver.set_linked_pod(here, uid, "game", 0)
    assert await driver.remove_linked_pod(here, uid, "game", grace_seconds=0)
    assert not await asyncio.to_thread(game.exists, PodLink, f"game.{uid}")
    await driver.set_linked_pod(here, uid, "game", 0)
    assert await driver.remove_linked_pod_with_id(here, uid, "game", 0, grace_seconds=0)
    assert not await asyncio.to_thread(game.exists, PodLink, f"game.{uid}")


async def test_remove_linked_pod_with_id_takes_a_grace(
    driver: ServerDriver, game: Service, here: str, uid: str
) -> None:
    await driver.set_linked_pod(here, uid, "game", 1)
    assert not await driver.remove_linked_pod_with_id(here, uid, "game", 0, grace_seconds=600)
    assert "ttlSeconds" not in (await asyncio.to_thread(game.get, f"game.{uid}"))["spec"]
    assert await driver.remove_linked_pod_with_id(here, uid, "game", 1, grace_seconds=600)
    spec = (await asyncio.to_thread(game.get, f"game.{uid}"))["spec"]
    assert (spec["podIndex"], spec["ttlSeconds"]) == (1, 600)


async def test_remove_linked_pod_with_id(driver: ServerDriver, here: str, uid: str) -> None:
    assert not await driver.remove_linked_pod_with_id(here, uid, "game", 0)
    await driver.set_linked_pod(here, uid, "game", 1)
    assert not await driver.remove_linked_pod_with_id(here, uid, "game", 0)
    assert await driver.remove_linked_pod_with_id(here, uid, "game", 1)
    assert not await driver.remove_linked_pod_with_id(here, uid, "game", 1)


async def test_init(driver: ServerDriver, here: str) -> None:
    server = await driver.init()
    assert (server.namespace, server.service, server.pod_name, server.pod) == (here, "game", "game-0", 0)
    assert await driver.init() == server
    assert not driver.is_running


async def test_start(driver: ServerDriver, servers: DriverFactory, client: RecordingClient) -> None:
    await driver.start()
    assert driver.is_running
    assert (await asyncio.to_thread(servers.published)).keys() == {
        "load-state",
        "waiting-tasks",
        "routing-state",
        "report-time",
    }
    client.requests.clear()
    with pytest.raises(DriverAlreadyRunningError, match=r"^driver is already running$") as refused:
        await driver.start()
    assert refused.value.code is ErrorCode.DRIVER_ALREADY_RUNNING
    assert client.requests == []
    assert driver.is_running


async def test_stop(driver: ServerDriver, servers: DriverFactory, client: RecordingClient) -> None:
    await driver.stop()  # the driver was never started
    assert client.requests == []
    await driver.start()
    await driver.stop()
    assert not driver.is_running
    assert (await asyncio.to_thread(servers.published))["routing-state"] == "DenyNewCall"
    client.requests.clear()
    await driver.stop()
    assert client.requests == []
    await driver.start()
    assert (await asyncio.to_thread(servers.published))["routing-state"] == "Ready"
    assert driver.is_running


# Errors.


@pytest.mark.parametrize("name", CALLS)
async def test_rejects_other_namespace_before_any_request(
    driver: ServerDriver, client: RecordingClient, logger: RecordingLogger, uid: str, name: str
) -> None:
    for namespace in ("kube-system", "", "Not a name"):
        with pytest.raises(NotLocalNamespaceError) as refused:
            await CALLS[name](driver, namespace, uid)
        assert str(refused.value) == LOCAL_ONLY
        assert refused.value.code is ErrorCode.NOT_LOCAL_NAMESPACE
    assert client.requests == []
    assert [(line["event"], line["error"]) for line in logger.entries] == [(name, LOCAL_ONLY)] * 3


async def test_rejects_other_namespace_before_it_reads_its_identity() -> None:
    async def make(_: object) -> Any:
        raise AssertionError("the identity was read")

    driver = ServerDriver("here", make, logger=RecordingLogger())
    for call in CALLS.values():
        with pytest.raises(NotLocalNamespaceError):
            await call(driver, "elsewhere", "alice")


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("uid", ["", "a\0b", "a" * 190, "Ü" * 47, None, 7])
async def test_rejects_invalid_uid_before_any_request(
    driver: ServerDriver, client: RecordingClient, here: str, name: str, uid: Any
) -> None:
    with pytest.raises(InvalidParameterError, match=r"^uid ") as refused:
        await CALLS[name](driver, here, uid)
    assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_PARAMETER, "uid")
    assert client.requests == []


@pytest.mark.parametrize("pod", [-1, 2**31, True, 1.0, None, "", "Game-0", "a" * 254])
async def test_rejects_invalid_pod_before_any_request(
    driver: ServerDriver, client: RecordingClient, here: str, uid: str, pod: Any
) -> None:
    for call in (
        driver.set_linked_pod(here, uid, "game", pod),
        driver.try_set_linked_pod(here, uid, "game", pod),
        driver.remove_linked_pod_with_id(here, uid, "game", pod),
    ):
        with pytest.raises(InvalidParameterError, match=r"^pod ") as refused:
            await call
        assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_PARAMETER, "pod")
    assert client.requests == []


@pytest.mark.parametrize("seconds", [-1, 2**31, 1.5, True, "60"])
async def test_rejects_invalid_ttl_or_grace_before_any_request(
    driver: ServerDriver, client: RecordingClient, here: str, uid: str, seconds: Any
) -> None:
    for field, call in (
        ("ttl_seconds", driver.set_linked_pod(here, uid, "game", 0, ttl_seconds=seconds)),
        ("ttl_seconds", driver.try_set_linked_pod(here, uid, "game", 0, ttl_seconds=seconds)),
        ("grace_seconds", driver.remove_linked_pod(here, uid, "game", grace_seconds=seconds)),
        ("grace_seconds", driver.remove_linked_pod_with_id(here, uid, "game", 0, grace_seconds=seconds)),
    ):
        with pytest.raises(InvalidParameterError, match=f"^{field} ") as refused:
            await call
        assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_PARAMETER, field)
    assert client.requests == []


@pytest.mark.parametrize("service", ["", "Game", "game.x", "a" * 64, None])
async def test_rejects_invalid_service_before_any_request(
    driver: ServerDriver, client: RecordingClient, here: str, uid: str, service: Any
) -> None:
    with pytest.raises(InvalidParameterError) as refused:
        await driver.set_linked_pod(here, uid, service, 0)
    assert refused.value.code is ErrorCode.INVALID_PARAMETER
    assert client.requests == []


@pytest.mark.parametrize("load", [-1, 2**31, 1.5, True, "3", None])
async def test_rejects_invalid_load_and_keeps_the_old_one(load: Any) -> None:
    driver = ServerDriver("here", _fail_to_open, logger=RecordingLogger())
    driver.set_load_state(1)
    driver.set_waiting_tasks(2)
    for field, call in (("load_state", driver.set_load_state), ("waiting_tasks", driver.set_waiting_tasks)):
        with pytest.raises(InvalidParameterError, match=f"^{field} ") as refused:
            call(load)
        assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_PARAMETER, field)
    assert (driver.get_load_state(), driver.get_waiting_tasks()) == (1, 2)


@pytest.mark.parametrize("state", ["ready", "", None, 1, ["Ready"]])
async def test_rejects_unknown_routing_state_and_keeps_the_old_one(
    driver: ServerDriver, client: RecordingClient, state: Any
) -> None:
    await driver.start()
    client.requests.clear()
    with pytest.raises(InvalidParameterError, match=r"^routing_state must be one of Unknown, Ready") as refused:
        await driver.set_routing_state(state)
    assert refused.value.code is ErrorCode.INVALID_PARAMETER
    assert driver.get_routing_state() is RoutingState.READY
    assert client.requests == []


@pytest.mark.parametrize("seconds", [-1, float("nan")])
async def test_rejects_negative_drain_time(driver: ServerDriver, seconds: float) -> None:
    await driver.start()
    with pytest.raises(InvalidParameterError, match=r"^drain_seconds ") as refused:
        await driver.stop(seconds)
    assert refused.value.code is ErrorCode.INVALID_PARAMETER
    assert driver.is_running


async def test_errors_of_the_api_server_are_stateful_route_errors(
    driver: ServerDriver, client: RecordingClient, logger: RecordingLogger, here: str, uid: str
) -> None:
    for status, kind, code in ((500, InternalError, "Internal"), (403, ForbiddenError, "Forbidden")):

        async def refuse(_: object, status: int = status) -> None:
            raise APIError(status, "Reason", "you may not")

        logger.entries.clear()
        async with client.before_each(refuse):
            for name, call in CALLS.items():
                with pytest.raises(StatefulRouteError, match="you may not") as refused:
                    await call(driver, here, uid)
                assert type(refused.value) is kind
                assert refused.value.code == code
                assert [line["code"] for line in logger.of(name)] == [code]


# The log.


async def test_each_operation_logs_one_line_with_arguments_and_result(
    driver: ServerDriver, logger: RecordingLogger, here: str, uid: str
) -> None:
    about = {"namespace": here, "uid": uid, "service": "game"}
    driver.set_load_state(7)
    driver.set_waiting_tasks(3)
    await driver.set_routing_state(RoutingState.READY)
    await driver.set_linked_pod(here, uid, "game", 1, ttl_seconds=60)
    await driver.try_set_linked_pod(here, uid, "game", 0)
    await driver.remove_linked_pod_with_id(here, uid, "game", 1)
    await driver.remove_linked_pod(here, uid, "game", grace_seconds=60)
    with pytest.raises(InvalidParameterError):
        await driver.set_linked_pod(here, uid, "game", -1)
    await driver.init()
    await driver.start()
    await driver.stop(0)
    logged = [{key: value for key, value in line.items() if key != "milliseconds"} for line in logger.entries]
    assert logged[:7] == [
        {"level": "info", "event": "set_load_state", "load_state": 7},
        {"level": "info", "event": "set_waiting_tasks", "waiting_tasks": 3},
        {"level": "info", "event": "set_routing_state", "routing_state": "Ready"},
        {"level": "info", "event": "set_linked_pod", **about, "pod": 1, "ttl_seconds": 60, "previous": None},
        {
            "level": "info",
            "event": "try_set_linked_pod",
            **about,
            "pod": 0,
            "ttl_seconds": None,
            "won": True,
            "holder": 0,
        },
        {
            "level": "info",
            "event": "remove_linked_pod_with_id",
            **about,
            "pod": 1,
            "grace_seconds": None,
            "removed": False,
        },
        {"level": "info", "event": "remove_linked_pod", **about, "grace_seconds": 60, "removed": True},
    ]
    assert (logged[7]["level"], logged[7]["event"], logged[7]["code"]) == (
        "warning",
        "set_linked_pod",
        "InvalidParameter",
    )
    assert logged[8:10] == [
        {"level": "info", "event": "init", "service": "game", "pod": "game-0"},
        {"level": "info", "event": "start", "service": "game", "pod": "game-0"},
    ]
    assert [line["event"] for line in logged[10:] if line["event"] != "workload state"] == ["stop"]


async def test_logs_by_a_logger_of_structlog(servers: DriverFactory, here: str, uid: str) -> None:
    import structlog  # noqa: PLC0415
    from structlog.testing import capture_logs  # noqa: PLC0415

    parts = (await servers.make())._parts.opened  # noqa: SLF001
    assert parts is not None
    with capture_logs() as captured:
        await ServerDriver(here, parts, logger=structlog.get_logger()).set_linked_pod(here, uid, "game", 0)
    assert [(line["event"], line["log_level"], line["uid"]) for line in captured] == [("set_linked_pod", "info", uid)]


# Concurrency.


async def test_many_tasks_use_one_driver_concurrently(
    driver: ServerDriver, game: Service, logger: RecordingLogger, here: str
) -> None:
    async def life(number: int) -> tuple[Any, ...]:
        uid = f"many-{number}"
        driver.set_load_state(number)
        first = await driver.set_linked_pod(here, uid, "game", number % 3)
        await driver.set_routing_state(RoutingState.READY)
        attempt = await driver.try_set_linked_pod(here, uid, "game", (number + 1) % 3)
        return first, attempt.won, attempt.holder, await driver.remove_linked_pod_with_id(here, uid, "game", number % 3)

    await driver.start()
    answers = await asyncio.gather(*(life(number) for number in range(32)))
    assert answers == [(None, False, number % 3, True) for number in range(32)]
    assert [line for line in logger.entries if line["level"] != "info"] == []
    assert len(logger.of("set_linked_pod")) == 32
    assert await asyncio.to_thread(game.links) == []


async def test_concurrent_claims_of_one_user_have_one_winner(driver: ServerDriver, here: str, uid: str) -> None:
    claims = [driver.try_set_linked_pod(here, uid, "game", pod) for pod in range(12)]
    attempts = await asyncio.gather(*claims)
    holders = {attempt.holder for attempt in attempts}
    assert len(holders) == 1
    assert [attempt.won for attempt in attempts] == [pod in holders for pod in range(12)]


async def _fail_to_open(_: object) -> Any:
    raise AssertionError("the identity was read")


async def test_concurrent_starts_have_one_winner(driver: ServerDriver) -> None:
    answers = await asyncio.gather(*(driver.start() for _ in range(5)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["DriverAlreadyRunningError"] * 4 + ["NoneType"]
    await wait_until(lambda: driver.is_running, "the driver runs")
