"""Envoy in a pod: it finds the release's resolver by DNS, calls it for each request, and routes to the user's pod."""

from typing import Any

from chart.releases import RESTRICTED_NAMESPACE
from localgateways.configurations import CONFIGURATIONS, replace_all
from node.images import ENVOY
from support.service import Service


def deploy_gateway(service: Service) -> str:
    """Deploys Envoy in front of a service's port 8080, and waits until it listens.

    Returns:
        HOST:PORT of the gateway inside the cluster.
    """
    # The addresses of the service and the release, in place of those in the repository's configuration.
    own = {
        "address: game-pods.play.svc.cluster.local, port_value: 7777": (
            f"address: {service.name}.{service.namespace}.svc.cluster.local, port_value: 8080"
        ),
        "/authorize/play/game": f"/authorize/{service.namespace}/{service.name}",
        "statefulroute-resolver.statefulroute-system.svc": f"statefulroute-resolver.{RESTRICTED_NAMESPACE}.svc",
    }
    text = replace_all((CONFIGURATIONS / "envoy-ext-authz.yaml").read_text(encoding="utf-8"), own)
    for item in (_configuration(text), _pod(), _service()):
        service.kubectl.create({"apiVersion": "v1", **item})
    service.kubectl.run("wait", "--for=condition=Ready", "pod/gateway", "--timeout=50s").expect_success()
    return f"gateway.{service.namespace}.svc:8000"


def _configuration(text: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": "gateway"}, "data": {"envoy.yaml": text}}


def _pod() -> dict[str, Any]:
    envoy = {
        "name": "envoy",
        "image": ENVOY,
        "args": ["--config-path", "/configuration/envoy.yaml", "--log-level", "warn", "--concurrency", "1"],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1},
        "volumeMounts": [{"name": "configuration", "mountPath": "/configuration"}],
    }
    return {
        "kind": "Pod",
        "metadata": {"name": "gateway", "labels": {"app": "gateway"}},
        "spec": {
            "containers": [envoy],
            "volumes": [{"name": "configuration", "configMap": {"name": "gateway"}}],
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
        },
    }


def _service() -> dict[str, Any]:
    ports = [{"name": "http", "port": 8000, "targetPort": "http"}]
    return {
        "kind": "Service",
        "metadata": {"name": "gateway"},
        "spec": {"selector": {"app": "gateway"}, "ports": ports},
    }
