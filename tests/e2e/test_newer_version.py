"""The operator meets objects of a newer version, as after a rollback: each value counts by itself."""

from collections.abc import Iterator

import pytest

from support.independent_client import PodLink, StatefulRoute
from support.kubectl import Kubectl
from support.link_recorder import LinkRecorder
from support.newer_definitions import NEWER, NEWER_FIELD, newer_definitions
from support.objects import condition
from support.operator_process import OperatorProcess
from support.service import SHUT_DOWN, Service
from support.waiting import eventually

WARNING = "a route has values that this version does not know"


@pytest.fixture
def newer_game(own_operator: OperatorProcess, installed: Kubectl, game: Service) -> Iterator[Service]:
    """The service with the definitions of a newer version, whose objects are gone before the present ones return."""
    with newer_definitions(installed):
        yield game
        if not own_operator.is_running:
            own_operator.start()
        for kind in (PodLink, StatefulRoute):
            game.client.delete_all(kind, game.namespace)
        eventually(lambda: not game.client.all(StatefulRoute, game.namespace), "the route is gone")
        eventually(lambda: not game.links(), "the links are gone")


def test_route_with_settings_of_a_newer_version_keeps_and_binds_links(
    own_operator: OperatorProcess, newer_game: Service, recorder: LinkRecorder
) -> None:
    newer_game.await_bound(newer_game.link("alice", podIndex=1))
    newer_game.edit_route(
        **{NEWER_FIELD: "x"},
        routingState=NEWER,
        load={"source": NEWER, NEWER_FIELD: "x"},
        onPodLost={"action": NEWER, "graceSeconds": 0},
        pods=[{"index": 2, "routingState": NEWER}],
    )
    own_operator.restart()
    newer_game.await_bound(newer_game.link("bob"))
    newer_game.await_observed()
    newer_game.annotate(1, SHUT_DOWN)
    newer_game.await_link("game.alice", "Lost", "PodLost")  # an action of a newer version is handled as Keep
    assert recorder.transitions("game.alice") == ["created", "Bound", "Lost"]
    assert WARNING in {line["event"] for line in own_operator.lines}


def test_statuses_of_a_newer_version_move_no_link_and_are_replaced(
    own_operator: OperatorProcess, newer_game: Service
) -> None:
    names = newer_game.link_all([f"user-{number}" for number in range(6)])
    newer_game.await_all_bound(6)
    before = {link["metadata"]["name"]: link["spec"] for link in newer_game.links()}
    eventually(lambda: all(newer_game.events_of(name) for name in names), "the events are written")
    own_operator.stop()  # which drops those that wait
    for name in names:
        newer = {"phase": NEWER, NEWER_FIELD: "x", "conditions": [condition(reason=NEWER), condition(type=NEWER)]}
        newer_game.client.patch_status(PodLink, name, newer_game.namespace, newer)
    pods = [pod | {"serviceState": NEWER, "routingState": NEWER} for pod in newer_game.route_status()["pods"]]
    route_status = {"routingState": NEWER, "workloadState": NEWER, "pods": pods, "conditions": [condition(type=NEWER)]}
    newer_game.client.patch_status(StatefulRoute, "game", newer_game.namespace, route_status)
    own_operator.start()
    newer_game.await_all_bound(6)
    newer_game.await_status(routingState="Ready", workloadState=None)
    newer_game.await_pod(0, serviceState="Ready", routingState="Ready")
    newer_game.await_condition("Ready", "True")
    assert {link["metadata"]["name"]: link["spec"] for link in newer_game.links()} == before
    for name in names:
        assert [event[1] for event in newer_game.events_of(name)] == ["Bound"]  # it was not bound again
