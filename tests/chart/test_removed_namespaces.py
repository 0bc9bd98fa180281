"""Which namespaces the Job after an upgrade releases, with an API that has only what Helm looks up."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.releases import Helm

_NAME = "statefulroute-operator"

_GROUPS: Mapping[str, Mapping[str, str]] = {
    "v1": {"services": "Service", "serviceaccounts": "ServiceAccount"},
    "apps/v1": {"deployments": "Deployment"},
    "batch/v1": {"jobs": "Job"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
    "networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
    "rbac.authorization.k8s.io/v1": {
        "roles": "Role",
        "rolebindings": "RoleBinding",
        "clusterroles": "ClusterRole",
        "clusterrolebindings": "ClusterRoleBinding",
    },
}


def _discovery() -> Iterator[tuple[str, dict[str, Any]]]:
    """Returns the paths and responses by which a client finds the kinds."""
    groups = [version.partition("/")[0] for version in _GROUPS if "/" in version]
    versions = {group: {"groupVersion": f"{group}/v1", "version": "v1"} for group in groups}
    yield "/version", {"major": "1", "minor": "33", "gitVersion": "v1.33.0"}
    yield "/api", {"kind": "APIVersions", "versions": ["v1"]}
    yield (
        "/apis",
        {
            "kind": "APIGroupList",
            "groups": [
                {"name": name, "versions": [version], "preferredVersion": version} for name, version in versions.items()
            ],
        },
    )
    for version, kinds in _GROUPS.items():
        resources = [
            {"name": plural, "kind": kind, "namespaced": not kind.startswith("Cluster"), "verbs": ["get", "list"]}
            for plural, kind in kinds.items()
        ]
        path = f"/apis/{version}" if "/" in version else f"/api/{version}"
        yield path, {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


@contextmanager
def _api(objects: Mapping[str, dict[str, Any] | None]) -> Iterator[str]:
    """Serves objects by path; None is one that the user may not read."""
    responses = {**dict(_discovery()), **objects}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            status, body = 200, responses.get(path)
            if body is None:
                status = 403 if path in responses else 404
                body = {"kind": "Status", "status": "Failure", "code": status, "message": f"refused: {path}"}
                body["reason"] = {403: "Forbidden", 404: "NotFound"}[status]
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


def released(  # noqa: PLR0913 - an installation and its upgrade
    helm: Helm,
    folder: Path,
    installed: tuple[str, ...],
    values: dict[str, Any],
    *,
    forbidden: tuple[str, ...] = (),
    sidecars: tuple[dict[str, Any], ...] = (),
) -> list[list[str]]:
    """Returns the arguments of the Job's containers in an upgrade of an operator that serves some namespaces."""
    arguments = ["operator", *(f"--watch-namespace={namespace}" for namespace in installed)]
    spec = {"template": {"spec": {"containers": [*sidecars, {"name": "operator", "args": arguments}]}}}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": _NAME}, "spec": spec}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": _NAME}}
    roles = f"/apis/{role['apiVersion']}/namespaces/{{}}/roles/{_NAME}"
    objects = {
        f"/apis/apps/v1/namespaces/play/deployments/{_NAME}": deployment,
        **{roles.format(namespace): None if namespace in forbidden else role for namespace in installed},
    }
    kubeconfig = folder / "kubeconfig"
    with _api(objects) as server:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "api", "cluster": {"server": server}}],
            "contexts": [{"name": "api", "context": {"cluster": "api", "user": ""}}],
            "current-context": "api",
        }
        kubeconfig.write_text(json.dumps(config))
        options = ("--namespace=play", "--is-upgrade", "--dry-run=server", "--disable-openapi-validation")
        apart = {
            "crds": {"install": False},
            "admissionPolicies": {"install": False},
            "flowSchemas": {"install": False},
        }
        text = helm.within(kubeconfig).render(values | apart, *options).expect_success().stdout
    jobs = [item for item in yaml.safe_load_all(text) if item and item["kind"] == "Job"]
    pods = [job["spec"]["template"]["spec"] for job in jobs if job["metadata"]["name"].endswith("release-removed")]
    return [each["args"] for pod in pods for each in (*pod.get("initContainers", ()), *pod["containers"])]


@pytest.mark.parametrize(
    ("installed", "values", "arguments"),
    [
        (("a", "b"), {"watchNamespaces": ["a", "b"]}, []),
        (("a", "b"), {"watchNamespaces": ["a"]}, [["release", "--namespace=b"]]),
        (("a", "b"), {}, []),
        ((), {"watchNamespaces": ["a"]}, [["release", "--all-namespaces", "--except-namespace=a"]]),
        (
            (),
            {"watchNamespaces": ["a"], "extraArgs": ["--watch-namespace=b"]},
            [["release", "--all-namespaces", "--except-namespace=a", "--except-namespace=b"]],
        ),
        (("a", "b"), {"watchNamespaces": ["a"], "extraArgs": ["--watch-namespace", "b"]}, []),
    ],
    ids=[
        "same",
        "fewer",
        "whole cluster",
        "from the whole cluster",
        "from the whole cluster, and one by an option",
        "one by an option",
    ],
)
def test_namespaces_that_are_served_no_longer_are_released(
    helm: Helm, tmp_path: Path, installed: tuple[str, ...], values: dict[str, Any], arguments: list[list[str]]
) -> None:
    assert released(helm, tmp_path, installed, values) == arguments


def test_upgrade_without_rights_in_a_former_namespace_is_possible_without_the_job(helm: Helm, tmp_path: Path) -> None:
    values = {"watchNamespaces": ["a"], "releaseOnUninstall": {"enabled": False}}
    assert released(helm, tmp_path, ("a", "b"), values, forbidden=("b",)) == []


@pytest.mark.parametrize(
    "arguments", [{}, {"args": ["run"]}, {"args": ["operator"]}], ids=["none", "others", "the same"]
)
def test_arguments_of_another_container_do_not_count(helm4: Helm, tmp_path: Path, arguments: dict[str, Any]) -> None:
    values = {"watchNamespaces": ["a"]}
    sidecar = {"name": "proxy", **arguments}
    assert released(helm4, tmp_path, ("a", "b"), values, sidecars=(sidecar,)) == [["release", "--namespace=b"]]
