"""Commands meet a route and links of a newer version."""

from collections.abc import Iterator

import pytest

from resolver.stub_service import StubService
from support.command import Command
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.newer_definitions import NEWER, NEWER_FIELD, newer_definitions
from support.objects import condition


@pytest.fixture
def newer_service(installed: Kubectl, namespace: str, independent_client: IndependentClient) -> Iterator[StubService]:
    """A service with three pods and without an operator, and the definitions of a newer version."""
    with newer_definitions(installed):
        service = StubService(independent_client, namespace)
        service.create()
        yield service
        service.delete()


def test_commands_show_values_of_a_newer_version(newer_service: StubService, statefulroute: Command) -> None:
    service, client = newer_service, newer_service.independent_client
    service.patch_route(routingState=NEWER, onPodLost={"action": NEWER}, **{NEWER_FIELD: "x"})
    service.pods[0] |= {"serviceState": NEWER, "routingState": NEWER, "notServingReason": NEWER}
    conditions = [condition(reason=NEWER), condition(type=NEWER)]
    service.patch_route_status(routingState=NEWER, workloadState=NEWER, conditions=conditions)
    service.link("alice", 1)
    status = {"phase": NEWER, "podIndex": 1, "podName": "game-1", "host": "game-1.game", "conditions": conditions}
    status["previous"] = {"podIndex": 0, "reason": NEWER, "time": "2026-01-01T00:00:00Z"}
    client.patch_status(PodLink, "game.alice", service.namespace, status)
    for arguments in ("routes", "pods game", "links", "whereis alice"):
        assert NEWER in statefulroute.run_quickly(*arguments.split(), "-o", "wide").expect_success().stdout, arguments
    assert "10.9.0.2:7777" in statefulroute.run_quickly("whereis", "alice").stdout
    assert f"1 link is {NEWER} ({NEWER})" in statefulroute.run_quickly("check").stdout
    statefulroute.run_quickly("drain", "game", "game-2").expect_success()
    statefulroute.run_quickly("move", "game", "alice", "2").expect_success()
    exported = statefulroute.run_quickly("export").expect_success().stdout
    assert '"alice"' in exported
