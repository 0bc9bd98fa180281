"""Tests what server drivers publish and when, how they stop, and how they read their identity."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from pykube.objects import Pod

from driver.driver_factory import NO_REPORT, DriverFactory
from driver.recording import RecordedRequest, RecordingClient, RecordingLogger, hang
from localcluster.ports import free_port, is_listening
from statefulroute import (
    Configuration,
    ErrorCode,
    InternalError,
    InvalidParameterError,
    RoutingState,
    ServerDriver,
    ServiceNotFoundError,
    StatefulRouteError,
)
from statefulroute.cluster.errors import UnreachableError
from support.independent_client import StatefulRoute
from support.load_servers import pod_ip
from support.service import Service
from support.waiting import wait_until, wait_until_in_thread

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: The tolerance of the duration of a stop.
SLACK_SECONDS = 3.0


async def seconds_of(work: Any) -> float:
    started_at = asyncio.get_running_loop().time()
    await work
    return asyncio.get_running_loop().time() - started_at


async def down(request: RecordedRequest) -> None:
    raise UnreachableError(f"{request.method} {request.path}: the connection is broken")


def publications(client: RecordingClient) -> list[RecordedRequest]:
    return client.recorded("PATCH", about="/pods/")


# Reports.


async def test_publishes_load_and_report_time_every_period(servers: DriverFactory) -> None:
    before = datetime.now(UTC)
    async with servers.started(state_period_seconds=0.2) as driver:
        driver.set_load_state(7)
        driver.set_waiting_tasks(3)
        await wait_until_in_thread(lambda: servers.published().get("load-state") == "7", "its load is on the pod")
        report = await asyncio.to_thread(servers.published)
        assert (report["waiting-tasks"], report["routing-state"]) == ("3", "Ready")
        first = datetime.fromisoformat(report["report-time"])
        assert before - timedelta(seconds=1) <= first <= datetime.now(UTC)
        await wait_until_in_thread(
            lambda: datetime.fromisoformat(servers.published()["report-time"]) > first + timedelta(seconds=1),
            "it reports again and again",
        )
        await wait_until_in_thread(
            lambda: servers.service.pod_status(0).get("loadState") == 7, "the operator has read it"
        )


async def test_publishes_routing_state_at_once_and_load_with_the_next_report(servers: DriverFactory) -> None:
    async with servers.started() as driver:
        driver.set_load_state(9)
        await driver.set_routing_state(RoutingState.DENY_NEW_CALL)
        report = await asyncio.to_thread(servers.published)
        assert (report["routing-state"], report["load-state"]) == ("DenyNewCall", "9")
        await wait_until_in_thread(
            lambda: servers.service.pod_status(0).get("routingState") == "DenyNewCall", "the operator has read it"
        )


async def test_last_of_concurrent_routing_states_wins(servers: DriverFactory) -> None:
    states = [RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN, RoutingState.READY, RoutingState.DENY_NEW_CALL]
    async with servers.started() as driver:
        await asyncio.gather(*(driver.set_routing_state(state) for state in states))
        assert driver.get_routing_state() is states[-1]
        assert (await asyncio.to_thread(servers.published))["routing-state"] == states[-1]


async def test_publishes_routing_state_after_broken_connections(
    servers: DriverFactory, client: RecordingClient
) -> None:
    broken = iter([True, True, False])

    async def break_twice(request: RecordedRequest) -> None:
        if next(broken, False):
            await down(request)

    async with servers.started() as driver, client.before_each(break_twice):
        await driver.set_routing_state(RoutingState.DENY_NEW_CALL)
    assert len(publications(client)) >= 3


async def test_timer_retries_a_failed_publication(servers: DriverFactory, logger: RecordingLogger) -> None:
    refused: list[RecordedRequest] = []

    async def refuse(request: RecordedRequest) -> None:
        refused.append(request)
        raise ValueError("an answer that is none")

    async with servers.started(state_period_seconds=0.1, logger=logger) as driver:
        driver.set_load_state(8)
        client = servers.client
        assert isinstance(client, RecordingClient)
        async with client.before_each(refuse):
            await wait_until(lambda: refused, "the timer has failed")
        await wait_until_in_thread(
            lambda: servers.published().get("load-state") == "8", "the timer has published the load"
        )
    assert logger.of("the load was not published: trying again")


# The load endpoint.


@pytest_asyncio.fixture(loop_scope="module")
async def web(game: Service) -> AsyncIterator[Service]:
    """The service with HTTP as its load source; afterwards its source is the annotations again."""
    port = free_port()
    load = {"source": "HTTP", "http": {"path": "/load", "port": port, "timeoutSeconds": 1}}
    await asyncio.to_thread(game.edit_route, load=load, statePeriodSeconds=1)
    await asyncio.to_thread(game.await_observed)
    yield game
    await asyncio.to_thread(
        game.edit_route, load={"source": "Reported", "http": None, "timeoutSeconds": None}, statePeriodSeconds=None
    )
    await asyncio.to_thread(game.await_observed)


async def test_serves_load_at_the_polled_endpoint(web: Service, servers: DriverFactory) -> None:
    ip = await asyncio.to_thread(pod_ip, web, "game-1")
    await wait_until(lambda: (route := servers.routes.get("game")) and route.spec.load.http, "the routes are known")
    async with servers.started(1, listen_host=ip, state_period_seconds=0.2) as driver:
        assert "load-state" not in await asyncio.to_thread(servers.published, 1)
        assert (await asyncio.to_thread(servers.published, 1))["routing-state"] == "Ready"
        driver.set_load_state(11)
        driver.set_waiting_tasks(2)
        await wait_until_in_thread(lambda: web.pod_status(1).get("loadState") == 11, "the operator has polled its load")
        assert (await asyncio.to_thread(web.pod_status, 1))["waitingTasks"] == 2
        await driver.set_routing_state(RoutingState.DENY_NEW_CALL)
        assert (await asyncio.to_thread(servers.published, 1))["routing-state"] == "DenyNewCall"  # published at once
        await wait_until_in_thread(
            lambda: web.pod_status(1).get("routingState") == "DenyNewCall", "the operator has read it"
        )
        await driver.stop()
        await driver.start()  # the port is free again
        assert driver.is_running


async def test_running_driver_follows_changes_of_the_load_source(servers: DriverFactory, game: Service) -> None:
    ip, port = await asyncio.to_thread(pod_ip, game, "game-2"), free_port()

    def listens() -> bool:
        return is_listening(port, ip)

    async with servers.started(2, listen_host=ip, state_period_seconds=0.2):
        assert not listens()
        load = {"source": "HTTP", "http": {"path": "/load", "port": port}}
        await asyncio.to_thread(game.edit_route, load=load)
        try:
            await wait_until_in_thread(listens, "the endpoint responds")
        finally:
            await asyncio.to_thread(game.edit_route, load={"source": "Reported", "http": None})
        await wait_until_in_thread(lambda: not listens(), "the endpoint is closed")


async def test_start_with_a_port_in_use_fails_and_can_be_retried(
    web: Service, servers: DriverFactory, logger: RecordingLogger
) -> None:
    ip = await asyncio.to_thread(pod_ip, web, "game-1")
    await wait_until(lambda: (route := servers.routes.get("game")) and route.spec.load.http, "the routes are known")
    route = servers.routes.get("game")
    assert route is not None
    assert route.spec.load.http is not None
    driver = await servers.make(1, listen_host=ip, logger=logger)
    with socket.create_server((ip, route.spec.load.http.port)):
        with pytest.raises(InternalError):
            await driver.start()
        assert not driver.is_running
    assert [line["code"] for line in logger.of("start")] == ["Internal"]
    await driver.start()
    await driver.close()


#: Another process of the pod, as a second worker of a web server.
_WORKER = """
import asyncio, os
from statefulroute import Configuration, DriverAlreadyRunningError, ServerDriver

async def main():
    driver = ServerDriver.from_environment(configuration=Configuration(deadline_seconds=5.0))
    try:
        await driver.start()
    except DriverAlreadyRunningError as error:
        print(error)
    else:
        print("started")
    await driver.set_linked_pod(os.environ["POD_NAMESPACE"], "of-the-worker", "game", 0)
    await driver.stop()
    await driver.close()

asyncio.run(main())
"""


async def test_second_process_of_a_pod_does_not_report_and_its_stop_drains_nothing(
    in_a_pod: pytest.MonkeyPatch, servers: DriverFactory, game: Service
) -> None:
    del in_a_pod
    async with servers.started() as driver:
        command = [sys.executable, "-c", _WORKER]
        worker = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
        assert worker.returncode == 0, worker.stderr
        assert worker.stdout.startswith("driver is already running in another process of this pod: start it in one")
        assert (await asyncio.to_thread(servers.published))["routing-state"] == "Ready"
        assert await driver.remove_linked_pod(game.namespace, "of-the-worker", "game")
        await driver.stop(0)
        after = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
        assert after.stdout == "started\n", after.stderr  # the lock was released


# The workload state.


async def test_pod_of_the_first_index_logs_the_workload_state(game: Service, servers: DriverFactory) -> None:
    first, second = RecordingLogger(), RecordingLogger()
    await asyncio.to_thread(game.edit_route, workloadPeriodSeconds=1)
    periods = {"state_period_seconds": 0.2, "workload_period_seconds": 0.1}
    async with (
        servers.started(0, logger=first, **periods) as driver,
        servers.started(1, logger=second, **periods) as other,
    ):
        for running in (driver, other):
            running.set_load_state(100)
            running.set_waiting_tasks(100)
        await wait_until(
            lambda: any(line["state"] == "Overloaded" for line in first.of("workload state")),
            "it logs the workload state",
        )
        line = first.of("workload state")[-1]
        assert (line["service"], line["state"]) == ("game", "Overloaded")
        logged = len(first.of("workload state"))
        await asyncio.sleep(0.5)
        assert len(first.of("workload state")) == logged  # only changes are logged
        assert second.of("workload state") == []


# Stops.


async def linked(driver: ServerDriver, game: Service, uid: str, pod: int = 0) -> None:
    """Binds a user to a pod, and waits until the operator counts it."""
    await driver.set_linked_pod(game.namespace, uid, "game", pod)
    await wait_until_in_thread(lambda: game.pod_status(pod).get("links"), "the operator counts the user")


async def test_stop_denies_new_calls_and_returns_when_the_users_have_left(
    servers: DriverFactory, game: Service, logger: RecordingLogger, uid: str
) -> None:
    async with servers.started(logger=logger) as driver:
        await linked(driver, game, uid)
        await wait_until(lambda: remaining(servers), "the driver has the count")
        stopping = asyncio.create_task(driver.stop(40))
        await wait_until_in_thread(
            lambda: servers.published()["routing-state"] == "DenyNewCall", "it takes no new users"
        )
        await asyncio.sleep(0.5)
        assert not stopping.done()
        assert driver.is_running
        assert await seconds_of(driver.remove_linked_pod(game.namespace, uid, "game")) < SLACK_SECONDS
        assert await seconds_of(stopping) < SLACK_SECONDS
    (line,) = logger.of("stop")
    assert (line["remaining"], line["drain_seconds"]) == (0, 40)


async def test_stop_waits_at_most_the_given_time(
    servers: DriverFactory, game: Service, logger: RecordingLogger, uid: str
) -> None:
    async with servers.started(logger=logger, drain_seconds=1) as driver:
        await linked(driver, game, uid)
        await wait_until(lambda: remaining(servers), "the driver has the count")
        assert 1 <= await seconds_of(driver.stop()) < 1 + SLACK_SECONDS
        await driver.start()
        assert 0.3 <= await seconds_of(driver.stop(0.3)) < 0.3 + SLACK_SECONDS
        await driver.start()
        assert await seconds_of(driver.stop(0)) < SLACK_SECONDS
    assert [line["remaining"] for line in logger.of("stop")] == [1, 1, 1]


@pytest.mark.parametrize("grace", [6.0, 1.0, 0.0])
async def test_stop_returns_within_the_termination_grace_period(
    servers: DriverFactory, client: RecordingClient, game: Service, uid: str, grace: float
) -> None:
    most = grace / 2  # of more than ten seconds, five are reserved
    async with servers.started(grace=grace) as driver:
        await linked(driver, game, uid)
        await wait_until(lambda: remaining(servers), "the driver has the count")
        async with client.before_each(hang):
            assert most <= await seconds_of(driver.stop(600)) < most + (grace - most) / 2 + 0.2
        assert not driver.is_running


@pytest.mark.parametrize("trouble", [hang, down])
async def test_stop_returns_while_the_api_server_is_unavailable(
    servers: DriverFactory, client: RecordingClient, logger: RecordingLogger, trouble: Any
) -> None:
    async with servers.started(logger=logger) as driver:
        async with client.before_each(trouble):
            assert await seconds_of(driver.stop()) < 2 + SLACK_SECONDS
        assert not driver.is_running
        (line,) = logger.of("stop")
        assert line["not_published"]
        await driver.start()


async def test_stop_is_shortened_during_its_last_publication(
    servers: DriverFactory, client: RecordingClient, game: Service, uid: str
) -> None:
    async with servers.started() as driver:
        await linked(driver, game, uid)
        await wait_until(lambda: remaining(servers), "the driver has the count")
        async with client.before_each(hang):
            long = asyncio.create_task(driver.stop(50))
            await wait_until(lambda: driver._drain, "the drain has started")  # noqa: SLF001
            assert await seconds_of(driver.stop(0)) < 2 + SLACK_SECONDS
            await long


async def test_concurrent_stops_share_one_and_the_shortest_wait_applies(
    servers: DriverFactory, client: RecordingClient, game: Service, logger: RecordingLogger, uid: str
) -> None:
    async with servers.started(logger=logger) as driver:
        await linked(driver, game, uid)
        await wait_until(lambda: remaining(servers), "the driver has the count")
        client.requests.clear()
        first = asyncio.create_task(driver.stop(50))
        second = asyncio.create_task(driver.stop(50))
        await wait_until(lambda: publications(client), "the last publication has started")
        await asyncio.sleep(0.3)
        given_up = asyncio.create_task(driver.stop())
        await asyncio.sleep(0)
        given_up.cancel()
        with suppress(asyncio.CancelledError):
            await given_up
        assert not first.done()
        assert await seconds_of(driver.stop(0)) < SLACK_SECONDS
        await asyncio.gather(first, second)
    assert len(publications(client)) == 1
    assert len(logger.of("stop")) == 1


async def test_stop_during_start_ends_both(servers: DriverFactory, client: RecordingClient) -> None:
    driver = await servers.make()
    async with client.before_each(hang):
        client.requests.clear()
        starting = asyncio.create_task(driver.start())
        await wait_until(lambda: publications(client), "the start publishes")
        assert await seconds_of(driver.stop()) < SLACK_SECONDS
        with pytest.raises(StatefulRouteError, match="stopped before it had started"):
            await starting
    assert not driver.is_running
    await driver.start()
    await driver.close()


async def test_cancelled_start_can_be_retried(servers: DriverFactory, client: RecordingClient) -> None:
    driver = await servers.make()
    async with client.before_each(hang):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await driver.start()
    assert not driver.is_running
    await driver.start()
    assert driver.is_running
    await driver.close()


async def test_stopped_driver_publishes_nothing(servers: DriverFactory, client: RecordingClient) -> None:
    async with servers.started(state_period_seconds=0.05) as driver:
        await wait_until(lambda: len(publications(client)) > 3, "the timer publishes")
        await driver.stop()
        client.requests.clear()
        await asyncio.sleep(0.4)
        assert client.requests == []


async def test_context_manager_starts_and_stops(servers: DriverFactory) -> None:
    driver = await servers.make()
    async with driver as entered:
        assert entered is driver
        assert driver.is_running
    assert not driver.is_running
    assert (await asyncio.to_thread(servers.published))["routing-state"] == "DenyNewCall"


# Identity.


async def test_reads_its_identity_from_the_environment(
    in_a_pod: pytest.MonkeyPatch, game: Service, servers: DriverFactory
) -> None:
    del in_a_pod
    async with ServerDriver.from_environment(
        configuration=Configuration(drain_seconds=0), logger=RecordingLogger()
    ) as driver:
        server = await driver.init()
        assert (server.namespace, server.service, server.pod) == (game.namespace, "game", 0)
        assert server.termination_grace_seconds == 1  # the pod's own
        assert await driver.set_linked_pod(game.namespace, "from-environment", "game", 0) is None
        assert await driver.remove_linked_pod(game.namespace, "from-environment", "game")
        assert (await asyncio.to_thread(servers.published))["routing-state"] == "Ready"
    await driver.start()  # it opens what it has closed
    await driver.close()
    await asyncio.sleep(0.25)
    await asyncio.to_thread(game.annotate, 0, NO_REPORT)


@pytest.mark.parametrize(
    ("variable", "label", "service"),
    [(None, None, "game"), (None, "labelled", "labelled"), ("named", "labelled", "named")],
    ids=["the StatefulSet", "the label", "the variable"],
)
async def test_reads_its_service_from_variable_then_label_then_stateful_set(
    in_a_pod: pytest.MonkeyPatch, game: Service, variable: str | None, label: str | None, service: str
) -> None:
    if variable:
        in_a_pod.setenv("STATEFULROUTE_NAME", variable)
    labels = {"metadata": {"labels": {"statefulroute.io/route": label}}}
    await asyncio.to_thread(game.client.patch, Pod, "game-0", game.namespace, labels)
    try:
        driver = ServerDriver.from_environment(logger=RecordingLogger())
        assert (await driver.init()).service == service
        await driver.close()
        await asyncio.sleep(0.25)
    finally:
        nothing = {"metadata": {"labels": {"statefulroute.io/route": None}}}
        await asyncio.to_thread(game.client.patch, Pod, "game-0", game.namespace, nothing)


async def test_rejects_environment_without_namespace(
    in_a_pod: pytest.MonkeyPatch,
) -> None:
    in_a_pod.delenv("POD_NAMESPACE")
    with pytest.raises(InvalidParameterError, match=r"^POD_NAMESPACE must be set outside of a pod"):
        ServerDriver.from_environment()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("POD_NAME", "game-7", r"^POD_NAME must be the name of this pod: there is no pod 'game-7' in namespace"),
        ("KUBECONFIG", "/nowhere/kubeconfig", "cannot load the cluster's configuration"),
        ("STATEFULROUTE_NAME", "No Name", "must be a DNS label"),
    ],
)
async def test_wrong_environment_raises_a_stateful_route_error(
    in_a_pod: pytest.MonkeyPatch, logger: RecordingLogger, variable: str, value: str, message: str
) -> None:
    in_a_pod.setenv(variable, value)
    driver = ServerDriver.from_environment(logger=logger)
    for name, call in (("init", driver.init), ("start", driver.start)):
        with pytest.raises(StatefulRouteError, match=message) as refused:
            await call()
        assert refused.value.code in {ErrorCode.INTERNAL, ErrorCode.INVALID_PARAMETER}
        assert len(logger.of(name)) == 1
    assert not driver.is_running
    await driver.close()
    await asyncio.sleep(0.25)


async def test_start_refuses_a_service_that_is_not_the_pods_own(
    in_a_pod: pytest.MonkeyPatch, game: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statefulroute.driver.server._PATIENCE_SECONDS", 0.5)
    in_a_pod.setenv("STATEFULROUTE_NAME", "gaem")
    driver = ServerDriver.from_environment(logger=RecordingLogger())
    with pytest.raises(
        ServiceNotFoundError, match=r"there is no StatefulRoute 'gaem' in namespace .*STATEFULROUTE_NAME"
    ):
        await driver.start()
    assert not driver.is_running
    await driver.close()
    chat = Service(game.kubectl, game.client, "chat")
    await asyncio.to_thread(chat.create_route)
    in_a_pod.setenv("STATEFULROUTE_NAME", "chat")
    driver = ServerDriver.from_environment(logger=RecordingLogger())
    message = "routes to the pods of StatefulSet 'chat', but the pod 'game-0' belongs to StatefulSet 'game'"
    with pytest.raises(InvalidParameterError, match=message):
        await driver.start()
    await driver.close()
    await asyncio.to_thread(game.client.delete, StatefulRoute, "chat", game.namespace)
    await asyncio.sleep(0.25)


async def test_start_waits_for_a_route_that_is_created_after_the_pod(
    in_a_pod: pytest.MonkeyPatch, game: Service
) -> None:
    in_a_pod.setenv("STATEFULROUTE_NAME", "late")
    driver = ServerDriver.from_environment(logger=RecordingLogger())
    starting = asyncio.create_task(driver.start())
    await asyncio.sleep(0.5)
    assert not starting.done()
    late = Service(game.kubectl, game.client, "late")
    await asyncio.to_thread(late.create_route, workloadRef={"name": "game"})
    await starting
    assert driver.is_running
    await driver.close()
    await asyncio.to_thread(game.client.delete, StatefulRoute, "late", game.namespace)
    await asyncio.sleep(0.25)
    await asyncio.to_thread(game.annotate, 0, NO_REPORT)


def remaining(servers: DriverFactory) -> int:
    """Returns the number of users of game-0 in the drivers' cache."""
    route = servers.routes.get("game")
    return route.status.pods[0].links if route and route.status.pods else 0
