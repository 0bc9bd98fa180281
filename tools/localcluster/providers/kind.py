"""Runs Kubernetes in Docker, if Docker and kind are installed: real nodes that pull and run real images."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from localcluster.errors import LocalClusterError
from localcluster.guardian_client import GuardianClient
from localcluster.kubeconfigs import server_of
from localcluster.kubectl import candidates, find_kubectl, server_version
from localcluster.providers import ClusterSpec, ProvidedCluster
from localcluster.toolchain import run_with_progress

READY = "180s"
IMAGE_VARIABLE = "STATEFULROUTE_KIND_IMAGE"


def provide(spec: ClusterSpec, folder: Path, guardian: GuardianClient) -> ProvidedCluster:
    """Creates a kind cluster; the guardian deletes it at the end."""
    kind = _require("kind")
    _require("docker")
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:  # noqa: S607
        raise LocalClusterError("Docker is installed but does not respond: start it, or use the provider 'builtin'.")
    cluster = f"statefulroute-{spec.name}"
    guardian.add_cleanup([kind, "delete", "cluster", "--name", cluster])
    kubeconfig, config = folder / "admin.kubeconfig", folder / "kind.json"
    config.write_text(json.dumps(kind_configuration(spec)), encoding="utf-8")
    create = [kind, "create", "cluster", "--name", cluster, "--wait", READY]
    files = ["--config", str(config), "--kubeconfig", str(kubeconfig)]
    failure = run_with_progress([*create, *files], "Creating a kind cluster", spec.progress)
    if failure is not None:
        raise LocalClusterError(f"kind could not create the cluster:\n{failure}")
    any_kubectl = next(iter(candidates()), None)
    version = server_version(any_kubectl, kubeconfig) if any_kubectl else None
    if version is None:
        raise LocalClusterError("The kind cluster does not respond to kubectl: is kubectl on PATH?")
    kubectl = find_kubectl(version, skew=1)
    return ProvidedCluster(server_of(kubeconfig), kubeconfig, kubectl, version, has_controllers=True)


def kind_configuration(spec: ClusterSpec) -> dict[str, Any]:
    """Returns kind's configuration: a control-plane node, workers, their image, and the API server's flags."""
    roles = ["control-plane", *["worker"] * (spec.node_count - 1)]
    image = spec.environment.get(IMAGE_VARIABLE)
    flags = dict(flag.removeprefix("--").partition("=")[::2] for flag in spec.apiserver_flags)
    patch = {"kind": "ClusterConfiguration", "apiServer": {"extraArgs": flags}}
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{"role": role, **({"image": image} if image else {})} for role in roles],
        "networking": {"podSubnet": spec.pod_range},
        "kubeadmConfigPatches": [json.dumps(patch)] if flags else [],
    }


def _require(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise LocalClusterError(
            f"The provider 'kind' needs Docker and kind, and {program} is not on PATH: install it, or use the "
            "provider 'builtin', which needs neither."
        )
    return path
