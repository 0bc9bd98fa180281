"""Kubernetes' own scalers scale a route: kubectl, and the HorizontalPodAutoscaler by the number of links."""

from pathlib import Path

import pytest
from pykube.objects import StatefulSet

from support.external_metrics import external_metrics
from support.independent_client import PodLink
from support.kubectl import Kubectl
from support.service import Service
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")

#: The controller reads the kinds of the cluster every 30 seconds, and syncs each autoscaler every second.
PATIENCE = 90.0


def autoscaler(**spec: object) -> dict[str, object]:
    """Returns a HorizontalPodAutoscaler of the route, with a pod for each two links."""
    links = {"metric": {"name": "links"}, "target": {"type": "AverageValue", "averageValue": "2"}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "game"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "statefulroute.io/v1alpha1", "kind": "StatefulRoute", "name": "game"},
            "minReplicas": 1,
            "maxReplicas": 5,
            "metrics": [{"type": "External", "external": links}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
            **spec,
        },
    }


def test_horizontal_pod_autoscaler_scales_a_route_and_pods_wait_for_their_users(
    service: Service, installed: Kubectl, tmp_path: Path
) -> None:
    service.create_pods(1)
    service.create_route(replicas=1)
    service.await_pods(1)
    names = service.link_each({f"user-{number}": {"podIndex": 2 if number == 4 else 0} for number in range(5)})

    def count_links(namespace: str, metric: str) -> int:
        assert (namespace, metric) == (service.namespace, "links")
        return len(service.links())

    def replicas() -> int:
        return int(service.client.get(StatefulSet, "game", service.namespace)["spec"]["replicas"])

    with external_metrics(installed, service.namespace, tmp_path, count_links):
        service.kubectl.create(autoscaler())
        eventually(lambda: service.route()["spec"]["replicas"] == 3, "the route is scaled up", seconds=PATIENCE)
        service.await_pods(3)
        service.await_bound(names[4])
        service.client.in_parallel(lambda name: service.client.delete(PodLink, name, service.namespace), names[:4])
        eventually(lambda: service.route()["spec"]["replicas"] == 1, "the route is scaled down", seconds=PATIENCE)
        service.await_condition("Scaled", "False", "WaitingForUsers")
        assert replicas() == 3
        service.client.delete(PodLink, names[4], service.namespace)
        service.await_status(replicas=1, desiredReplicas=1)
    # Its controller would read the scale of the route every second, and later tests count such requests.
    service.kubectl.run("delete", "hpa", "game").expect_success()
