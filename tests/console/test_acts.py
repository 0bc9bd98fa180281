"""What the user of the console can do, against a real API server."""

from collections.abc import Iterator
from typing import Any

import pytest

from localcluster import LocalCluster
from support.console_process import ConsoleProcess, running_console
from support.independent_client import PodLink
from support.service import Service


@pytest.fixture(autouse=True)
def _cleanup(shared_service: Service) -> Iterator[None]:
    """Restores the route and deletes all links after each test."""
    yield
    shared_service.edit_route(pods=None, routingState=None, replicas=None, rollout=None, handOver=None)
    shared_service.client.delete_all(PodLink, shared_service.namespace)


def act(console: ConsoleProcess, service: Service, name: str, **fields: Any) -> tuple[int, Any]:
    """Does something; returns the status, and the messages or the message of the error."""
    status, body = console.post(f"api/routes/{service.namespace}/game/acts", {"act": name, **fields})
    return status, body.get("messages", body.get("message"))


@pytest.mark.parametrize(
    ("name", "fields", "message", "changed"),
    [
        ("drain", {"pod": "game-1"}, "game-1: DenyNewCall", {"pods": [{"index": 1, "routingState": "DenyNewCall"}]}),
        ("shutdown", {"pod": "1"}, "game-1: Shutdown", {"pods": [{"index": 1, "routingState": "Shutdown"}]}),
        ("set-state", {"state": "DenyNewCall"}, "game: DenyNewCall (was Ready)", {"routingState": "DenyNewCall"}),
        ("pause", {}, "game: rollout paused", {}),
    ],
)
def test_a_dry_run_persists_nothing_and_an_act_does(  # noqa: PLR0913, PLR0917 - the columns of the table
    console: ConsoleProcess, shared_service: Service, name: str, fields: Any, message: str, changed: dict[str, Any]
) -> None:
    if name == "pause":
        shared_service.edit_route(rollout={})
    before = shared_service.route()["spec"]
    assert act(console, shared_service, name, dryRun=True, **fields) == (200, [f"{message} (server dry run)"])
    assert shared_service.route()["spec"] == before
    assert act(console, shared_service, name, **fields) == (200, [message])
    spec = shared_service.route()["spec"]
    assert spec != before
    assert {field: spec.get(field) for field in changed} == changed


def test_scales_a_route_and_confirms_losses(console: ConsoleProcess, shared_service: Service) -> None:
    status, messages = act(console, shared_service, "scale", replicas=3)
    note = "note: game scales StatefulSet/game from now on: scale the route, not the workload"
    assert (status, messages) == (200, ["game: 3 pods (was not set)", note])
    assert shared_service.route()["spec"]["replicas"] == 3
    loss = {"message": "3 of 3 pods look lost", "since": "2026-01-01T12:00:00Z"}
    assert act(console, shared_service, "confirm-loss", loss=loss) == (200, ["game: no loss is suspended"])


def test_moves_and_unlinks_a_user_unless_another_was_faster(console: ConsoleProcess, shared_service: Service) -> None:
    link = shared_service.link("alice", podIndex=0)
    shared_service.await_bound(link)
    moved = {"uid": "alice", "pod": "game-2", "onlyFrom": "game-0"}
    assert act(console, shared_service, "move", dryRun=True, **moved)[0] == 200
    assert shared_service.get(link)["spec"]["podIndex"] == 0
    assert act(console, shared_service, "move", **moved) == (200, ["alice: game-2 (was game-0)"])
    assert act(console, shared_service, "move", **moved) == (409, "alice: stays on game-2, not on game-0")
    assert act(console, shared_service, "unlink", uid="alice", onlyFrom="game-0")[0] == 409
    assert act(console, shared_service, "unlink", uid="alice", onlyFrom="game-2") == (
        200,
        ["alice: no link any more (was on game-2)"],
    )
    assert shared_service.links() == []


def test_moves_and_unlinks_a_waiting_user_only_while_the_user_waits(
    console: ConsoleProcess, shared_service: Service
) -> None:
    shared_service.edit_route(routingState="DenyNewCall")
    link = shared_service.link("alice")
    shared_service.await_link(link, "Pending", "NoAvailablePod")
    waiting = {"uid": "alice", "onlyFrom": "-"}
    assert act(console, shared_service, "move", pod="game-2", **waiting) == (200, ["alice: game-2"])
    refusal = "alice: stays on game-2, and does not wait for a pod"
    for name in ("move", "unlink"):
        assert act(console, shared_service, name, pod="game-1", **waiting) == (409, refusal)
    assert shared_service.get(link)["spec"]["podIndex"] == 2


def test_asks_the_pod_of_a_user_to_hand_the_user_over(console: ConsoleProcess, shared_service: Service) -> None:
    shared_service.edit_route(handOver={"timeoutSeconds": 600})
    link = shared_service.link("alice", podIndex=0)
    shared_service.await_bound(link)
    status, messages = act(console, shared_service, "hand-over", uid="alice", pod="game-1", onlyFrom="game-0")
    assert (status, "game-1" in messages[0]) == (200, True), messages
    spec = shared_service.get(link)["spec"]
    assert (spec["podIndex"], spec["handOver"]["podIndex"]) == (0, 1)
    shared_service.await_link(link, "HandingOver", "HandingOver")


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"act": "drain", "pod": "chat-1"}, 409, "'game' has no pod 'chat-1'"),
        ({"act": "drain", "pod": ""}, 409, "'game' has no pod ''"),
        ({"act": "move", "uid": "nobody", "pod": "1"}, 409, "nobody has no link in game"),
        ({"act": "unlink", "uid": ""}, 409, "uid"),
        ({"act": "hand-over", "uid": "alice", "pod": "1"}, 409, "game has no spec.handOver"),
        ({"act": "resume"}, 409, "game has no spec.rollout"),
        ({"act": "scale"}, 400, "scale needs a value"),
        ({"act": "confirm-loss"}, 400, "confirm-loss needs a value"),
        ({"act": "set-state"}, 400, "set-state needs a value"),
        ({"act": "set-state", "state": "Unknown"}, 400, "this is not an act"),
        ({"act": "scale", "replicas": -1}, 400, "this is not an act"),
        ({"act": "delete"}, 400, "this is not an act"),
        ({"act": "drain", "pod": "1", "force": True}, 400, "this is not an act"),
    ],
    ids=str,
)
def test_names_why_an_act_is_not_done(
    console: ConsoleProcess, shared_service: Service, fields: dict[str, Any], status: int, words: str
) -> None:
    before = shared_service.route()["metadata"]["generation"]
    name = fields.pop("act")
    result = act(console, shared_service, name, **fields)
    fields["act"] = name  # the table is used again
    assert (result[0], words in result[1]) == (status, True), result
    assert shared_service.route()["metadata"]["generation"] == before


@pytest.mark.parametrize(
    ("headers", "status"), [({"Origin": "http://evil.example"}, 403), ({"Content-Type": "text/plain"}, 415)], ids=str
)
def test_does_nothing_for_pages_of_other_sites(
    console: ConsoleProcess, shared_service: Service, headers: dict[str, str], status: int
) -> None:
    path = f"api/routes/{shared_service.namespace}/game/acts"
    before = shared_service.route()["metadata"]["generation"]
    assert console.post(path, {"act": "drain", "pod": "1"}, **headers)[0] == status
    assert shared_service.route()["metadata"]["generation"] == before


def test_what_the_user_may_not_do_is_refused_by_the_api_server(
    cluster: LocalCluster, console: ConsoleProcess, shared_service: Service
) -> None:
    kubectl, path = shared_service.kubectl, f"api/routes/{shared_service.namespace}/game/rights"
    assert console.get(path) == {"patchRoutes": True, "patchLinks": True, "deleteLinks": True}
    rules = ("--verb=get,list,watch,delete", "--resource=statefulroutes.statefulroute.io,podlinks.statefulroute.io")
    kubectl.run("create", "role", "cleaner", *rules).expect_success()
    kubectl.run("create", "rolebinding", "cleaner", "--role=cleaner", "--user=cleaner").expect_success()
    options = ("--namespace", shared_service.namespace, "--as", "cleaner")
    with running_console(cluster.kubeconfig, *options) as own:
        assert own.get(path) == {"patchRoutes": False, "patchLinks": False, "deleteLinks": True}
        status, message = act(own, shared_service, "drain", pod="1")
    assert (status, 'User "cleaner" cannot patch' in message) == (403, True), message
