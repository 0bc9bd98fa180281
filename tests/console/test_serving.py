"""What the console serves of a real cluster, with the rights of its user."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from localcluster import LocalCluster
from support.console_process import ConsoleProcess, launch_console, running_console, status_of
from support.independent_client import PodLink
from support.kubectl import Kubectl
from support.service import Service
from support.waiting import eventually

VIEWER = "viewer@example.com"


@pytest.fixture(autouse=True)
def _cleanup(shared_service: Service) -> Iterator[None]:
    """Deletes all links after each test."""
    yield
    shared_service.client.delete_all(PodLink, shared_service.namespace)


def pods_of(page: Any) -> dict[str, int]:
    """Returns the links of each pod on the page of a route."""
    return {pod["name"]: pod["links"] for pod in page["pods"]}


def test_overview_has_the_routes_of_the_namespace(console: ConsoleProcess, shared_service: Service) -> None:
    shared_service.await_bound(shared_service.link("alice", podIndex=1))
    eventually(lambda: console.get("api/routes")["links"] == 1, "the console shows the link")
    page = console.get("api/routes")
    (item,) = page["routes"]
    assert page["connection"]["isCurrent"]
    assert (item["card"]["name"], item["card"]["state"], item["links"]) == ("game", "Ready", 1)
    assert (item["card"]["routablePods"], item["card"]["replicas"]) == (3, 3)


def test_a_move_arrives_at_an_open_page(console: ConsoleProcess, shared_service: Service) -> None:
    name = shared_service.link("bob", podIndex=0)
    shared_service.await_bound(name)
    path = f"api/routes/{shared_service.namespace}/game"
    eventually(lambda: pods_of(console.get(path))["game-0"] == 1, "the console shows the link")
    events = console.events(f"{path}/stream")
    assert next(events)[0] == "snapshot"
    shared_service.kubectl.run(
        "patch", "podlink", name, "--type=merge", "--patch", '{"spec": {"podIndex": 2}}'
    ).expect_success()
    changes = next(data for kind, data in events if kind == "changes")
    snapshot = next(data for kind, data in events if kind == "snapshot" and pods_of(data)["game-2"])
    events.close()
    assert [(each["kind"], each["change"]["before"], each["change"]["after"]) for each in changes] == [
        ("moved", "game-0", "game-2")
    ]
    assert pods_of(snapshot)["game-0"] == 0


def test_links_are_paged_and_searched(console: ConsoleProcess, shared_service: Service) -> None:
    shared_service.link_all([f"user-{number}" for number in range(5)], podIndex=1)
    path = f"api/routes/{shared_service.namespace}/game/links"
    eventually(lambda: console.get(path, search="user-")["total"] == 5, "the console shows the links")
    first = console.get(path, search="user-", podIndex=1, limit=3)
    second = console.get(path, search="user-", podIndex=1, limit=3, after=first["next"])
    uids = [link["uid"] for link in first["links"] + second["links"]]
    assert (uids, second["next"]) == ([f"user-{number}" for number in range(5)], "")
    assert [link["uid"] for link in console.get("api/links", uid="USER-3")["links"]] == ["user-3"]


def test_shows_the_events_of_a_route_and_the_checks_of_the_installation(
    console: ConsoleProcess, shared_service: Service
) -> None:
    path = f"api/routes/{shared_service.namespace}/game/events"
    shared_service.edit_route(routingState="DenyNewCall")
    eventually(
        lambda: "DrainStarted" in {event["reason"] for event in console.get(path)["events"]},
        "the console shows the event",
    )
    shared_service.edit_route(routingState=None)
    eventually(
        lambda: not [each for each in console.get("api/checks") if each["level"] == "problem"],
        "the Leases of operators that earlier tests have killed are over, and the results are checked again",
        seconds=90.0,
    )


def test_malformed_requests_do_not_fill_the_terminal(cluster: LocalCluster, shared_service: Service) -> None:
    with running_console(cluster.kubeconfig, "--namespace", shared_service.namespace) as console:
        port = int(console.address.rpartition(":")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(b"GET /\xff HTTP/1.1\r\n\r\n")
            assert b" 400 " in connection.recv(1024)
        assert console.stop() == ""


def test_nothing_is_served_without_the_token(console: ConsoleProcess) -> None:
    base = console.address.removesuffix("/").rpartition("/")[0]
    for path in ("", "/", "/api/routes", f"/{'x' * 43}/", f"/{'x' * 43}/api/routes", "/open/x"):
        assert status_of(base + path) in {401, 403}, path
    assert status_of(console.address) == 200


def test_shows_the_namespaces_that_the_user_may_read(
    cluster: LocalCluster, shared_kubectl: Kubectl, shared_service: Service
) -> None:
    rules = ("--verb=get,list,watch", "--resource=statefulroutes.statefulroute.io,podlinks.statefulroute.io")
    shared_kubectl.run("create", "role", "viewer", *rules).expect_success()
    shared_kubectl.run("create", "rolebinding", "viewer", "--role=viewer", f"--user={VIEWER}").expect_success()
    listing = f"list-namespaces-{shared_service.namespace}"
    shared_kubectl.run("create", "clusterrole", listing, "--verb=list", "--resource=namespaces").expect_success()
    shared_kubectl.run(
        "create", "clusterrolebinding", listing, f"--clusterrole={listing}", f"--user={VIEWER}"
    ).expect_success()
    try:
        with running_console(cluster.kubeconfig, "--as", VIEWER) as console:
            eventually(lambda: console.get("api/routes")["connection"]["isSynced"], "the console has listed all")
            page = console.get("api/routes")
            assert page["connection"]["scope"] == f"namespace {shared_service.namespace}"
            assert [item["card"]["namespace"] for item in page["routes"]] == [shared_service.namespace]
            events = console.get(f"api/routes/{shared_service.namespace}/game/events")
            assert events["events"] == []
            assert "you do not have the permission" in events["problem"]
    finally:
        shared_kubectl.run("delete", "clusterrole,clusterrolebinding", listing).expect_success()


def test_says_why_it_cannot_start(cluster: LocalCluster, shared_service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        cases = {
            ("--port", str(port)): f"error: cannot listen on 127.0.0.1, port {port}: ",
            ("--as", "nobody", "--namespace", shared_service.namespace): "error: you do not have the permission",
        }
        for options, message in cases.items():
            with launch_console(cluster.kubeconfig, *options) as process:
                output, errors = process.communicate(timeout=60)
            assert (process.returncode, output) == (1, "")
            assert errors.startswith(message)
            assert errors.count("\n") == 1


def test_warns_if_other_machines_can_reach_it(cluster: LocalCluster, shared_service: Service) -> None:
    with running_console(
        cluster.kubeconfig,
        "--namespace",
        shared_service.namespace,
        "--address",
        "0.0.0.0",  # noqa: S104 - that is tested
    ) as console:
        assert "warning: 0.0.0.0 can be reached from other machines" in console.stop()
    assert console.process.returncode == 130
