"""A wait goes on while the API server is away."""

from typing import Any

from localcluster import LocalCluster
from support.command import Command
from support.independent_client import IndependentClient, StatefulRoute
from support.kubectl import Kubectl
from support.objects import condition, stateful_route

_CLOSING = {"reason": "ScaleDown", "since": "2026-01-01T00:00:00Z", "deadline": "2026-01-01T01:00:00Z"}


def write_status(client: IndependentClient, namespace: str, links: int, *, is_scaled: bool) -> None:
    """Writes the status of the route, as an operator does."""
    pod = {"name": "game-1", "index": 1, "serviceState": "Ready", "routingState": "DenyNewCall", "links": links}
    reason = "Scaled" if is_scaled else "WaitingForUsers"
    scaled = condition(type="Scaled", status="True" if is_scaled else "False", reason=reason)
    status: dict[str, Any] = {"replicas": 1 if is_scaled else 2, "readyReplicas": 1, "observedGeneration": 1}
    status |= {"pods": [{**pod, "closing": _CLOSING}], "conditions": [{**scaled, "observedGeneration": 1}]}
    client.patch_status(StatefulRoute, "game", namespace, status)


def test_scale_waits_while_the_api_server_restarts(
    killable_cluster: LocalCluster, installed: Kubectl, namespace: str, statefulroute: Command
) -> None:
    del installed
    client = IndependentClient(killable_cluster.kubeconfig)
    client.create(stateful_route(replicas=1), namespace)
    write_status(client, namespace, 2, is_scaled=False)
    with statefulroute.launch("scale", "game", "1", "--wait", "--timeout", "2m") as scaling:
        assert scaling.stdout is not None
        assert scaling.stderr is not None
        assert scaling.stdout.readline() == "game: 1 pod already\n"
        waits = "game: 2 pods, 1 desired; waits for the users of game-1 ({}, deadline over)\n"
        assert scaling.stdout.readline() == waits.format("2 links")
        apiserver = killable_cluster.part("apiserver")
        apiserver.kill()
        assert scaling.stderr.readline() == "note: the API server does not answer: trying again\n"
        apiserver.restart()
        write_status(client, namespace, 1, is_scaled=False)
        assert scaling.stdout.readline() == waits.format("1 link")
        write_status(client, namespace, 0, is_scaled=True)
        assert scaling.stdout.readline() == "game: 1 pod as desired\n"
        assert scaling.wait(30) == 0
