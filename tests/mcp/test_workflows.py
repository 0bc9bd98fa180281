"""Workflows of MCP clients keep their notebooks while pods are added, replaced and drained."""

import logging
import subprocess
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

import pytest
from pykube.objects import StatefulSet

from mcp.conftest import PODS, Environment
from mcp.load import Load, running_load
from mcp.rules import figures, hand_overs, pods_of, violations
from support.independent_client import PodLink
from support.link_recorder import ObjectRecorder
from support.scale import scaled
from support.service import Service, is_bound
from support.waiting import eventually

WORKFLOWS = scaled(100, 10_000)
MORE_PODS = scaled(3, 6)
CLIENTS, CLIENTS_BESIDE = scaled(6, 15), scaled(1, 2)
PAUSE_SECONDS = 0.1
PATIENCE = scaled(600, 3600)

#: The ways that ask the resolver.
ROUTED = ("Envoy", "nginx")
ROUND_ROBIN = "round robin"

#: Gateways, and how clients of the SDK connect.
SDK_CLIENTS = [("Envoy", "auto"), ("nginx", "legacy"), ("nginx", "auto"), ("Envoy", "legacy")][: scaled(2, 4)]

log = logging.getLogger(__name__)

pytestmark = pytest.mark.timeout(scaled(1800, 7200))


def test_workflows_keep_their_notebooks(environment: Environment, tmp_path: Path) -> None:
    service = environment.service
    links = ObjectRecorder(service.client, PodLink, service.namespace)
    ways = {name: (url, CLIENTS if name in ROUTED else CLIENTS_BESIDE) for name, url in environment.urls.items()}
    try:
        with running_load(tmp_path / "workflows", PAUSE_SECONDS, ways, PATIENCE, ROUND_ROBIN) as load:
            change_pods(service, load, links)
            workflows = load.finish()
        last = service.link("last", podIndex=0)
        versions = links.all_versions()  # with those of all links that were deleted before
        service.await_deleted(last)  # by the server, which has no such notebook
    finally:
        links.stop()
    by_way = {way: [each for each in workflows if each.way == way] for way in ways}
    for way, its in by_way.items():
        log.info("%s: %s", way, figures(its))
    handed_over = hand_overs(versions)
    log.info("%s hand-overs", handed_over)
    found = [each for way in ROUTED for each in violations(by_way[way], versions, service.name)]
    for violation in found[:50]:
        log.error("%s", violation)
    assert found == []
    assert handed_over > 0
    assert sum(each.not_found for each in by_way[ROUND_ROBIN]) > 0


def change_pods(service: Service, load: Load, links: ObjectRecorder) -> None:
    """Adds pods, replaces all, and drains one after another, while clients run workflows."""
    load.await_workflows(WORKFLOWS // 10)
    service.scale_route(MORE_PODS)
    eventually(lambda: are_ready(service), "the new pods are ready", seconds=PATIENCE)
    log.info("there are %s pods", MORE_PODS)
    load.await_workflows(WORKFLOWS * 3 // 10)
    roll_out(service)
    log.info("all pods are replaced")
    load.await_workflows(WORKFLOWS * 6 // 10)
    for number, pod in enumerate(cycle(range(MORE_PODS)), 1):
        drain(service, pod)
        if load.number >= WORKFLOWS and hand_overs(links.all_versions()):
            log.info("pods were drained %s times", number)
            return


def are_ready(service: Service) -> bool:
    status = service.route_status()
    return bool(status.get("replicas") == status.get("readyReplicas") == MORE_PODS)


def roll_out(service: Service) -> None:
    """Changes the template, and waits until all pods have it."""
    change = {"metadata": {"annotations": {"example.com/version": "2"}}}
    service.client.patch(StatefulSet, service.name, service.namespace, {"spec": {"template": change}})
    generation = service.client.get(StatefulSet, service.name, service.namespace)["metadata"]["generation"]
    eventually(lambda: is_rolled_out(service, generation), "all pods are replaced", seconds=PATIENCE)
    for pod in range(MORE_PODS):
        service.await_pod(pod, routingState="Ready")


def is_rolled_out(service: Service, generation: int) -> bool:
    status = service.client.get(StatefulSet, service.name, service.namespace).get("status", {})
    is_observed = status.get("observedGeneration", 0) >= generation
    return bool(
        is_observed
        and status["replicas"] == MORE_PODS  # without the pod of the surge
        and status.get("updatedReplicas") == status.get("readyReplicas") == MORE_PODS
    )


def drain(service: Service, pod: int) -> None:
    """Empties a pod by hand-overs, and lets it take notebooks again."""
    service.edit_route(pods=[{"index": pod, "routingState": "Shutdown"}])
    service.await_observed()
    eventually(lambda: pod not in service.links_by_pod(), f"pod {pod} is empty", seconds=PATIENCE)
    service.edit_route(pods=None)
    service.await_pod(pod, routingState="Ready")


@pytest.mark.parametrize(("way", "mode"), SDK_CLIENTS)
def test_clients_of_the_sdk_notice_no_hand_over(environment: Environment, way: str, mode: str, tmp_path: Path) -> None:
    service, number, errors = environment.service, 3, tmp_path / "errors"
    links = ObjectRecorder(service.client, PodLink, service.namespace)
    command = [environment.python, Path(__file__).with_name("sdk_workflows.py"), environment.urls[way], mode, "3"]
    with (
        errors.open("wb") as log_file,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log_file, text=True) as client,
    ):
        try:
            assert client.stdout is not None
            for _ in range(number):
                client.stdout.readline()  # a notebook is open
            eventually(lambda: len(bound_links(service)) == number, "all links are bound")
            for name, pod in bound_links(service).items():
                start_time = datetime.now(UTC).isoformat()
                change = {"spec": {"handOver": {"podIndex": (pod + 1) % PODS, "startTime": start_time}}}
                service.client.patch(PodLink, name, service.namespace, change)
            answers = {handle: pods for handle, *pods in map(str.split, client.stdout)}
            assert client.wait(PATIENCE) == 0, errors.read_text()
        finally:
            client.kill()
            links.stop()
    linked = {handle: pods_of(links.versions(f"{service.name}.{handle}"), service.name) for handle in answers}
    # An older client ends its session after it has closed the notebook: its request is for any pod.
    assert answers == {handle: pods[:2] for handle, pods in linked.items()}
    assert [len(pods) for pods in answers.values()] == [2] * number


def bound_links(service: Service) -> dict[str, int]:
    """Returns the pod of each bound link by its name."""
    return {each["metadata"]["name"]: each["spec"]["podIndex"] for each in service.links() if is_bound(each)}
