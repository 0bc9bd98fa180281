"""Envoy in a pod: it finds the release's resolver by DNS, calls it for each request, and routes to the user's pod."""

from typing import Any

from chart.releases import RESTRICTED_NAMESPACE
from localgateways.configurations import CONFIGURATIONS, replace_all
from node.chat import NAMESPACE
from node.images import ENVOY
from support.service import Service

#: The gateway's address inside the cluster.
ADDRESS = f"gateway.{NAMESPACE}.svc:8000"

#: Replacements in the repository's configuration: the addresses of the chat and the release.
_OWN = {
    "address: game-pods.play.svc.cluster.local, port_value: 7777": (
        f"address: chat.{NAMESPACE}.svc.cluster.local, port_value: 8080"
    ),
    "/authorize/play/game": f"/authorize/{NAMESPACE}/chat",
    "statefulroute-resolver.statefulroute-system.svc": f"statefulroute-resolver.{RESTRICTED_NAMESPACE}.svc",
}


def deploy_gateway(chat: Service) -> None:
    """Deploys Envoy in front of the chat, and waits until it listens."""
    text = replace_all((CONFIGURATIONS / "envoy-ext-authz.yaml").read_text(encoding="utf-8"), _OWN)
    for item in (_configuration(text), _pod(), _service()):
        chat.kubectl.create({"apiVersion": "v1", **item})
    chat.kubectl.run("wait", "--for=condition=Ready", "pod/gateway", "--timeout=50s").expect_success()


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
