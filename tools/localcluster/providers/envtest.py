"""Runs the binaries of controller-runtime's envtest, from the folder in KUBEBUILDER_ASSETS.

That folder contains etcd and kube-apiserver, and often nothing else: then objects can be stored and validated but no
pod runs, and `has_controllers` is False. Other parts in the folder are started, too.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from localcluster import controlplane
from localcluster.errors import LocalClusterError
from localcluster.guardian_client import GuardianClient
from localcluster.kubectl import find_kubectl
from localcluster.providers import ASSETS_VARIABLE, ClusterSpec, ProvidedCluster

FILES = {
    "etcd": "etcd",
    "apiserver": "kube-apiserver",
    "controller-manager": "kube-controller-manager",
    "scheduler": "kube-scheduler",
    "kwok": "kwok",
}
REQUIRED_PARTS = ("etcd", "apiserver")


def provide(spec: ClusterSpec, folder: Path, guardian: GuardianClient) -> ProvidedCluster:
    """Starts the parts in the folder."""
    request = controlplane.ControlPlaneSpec(
        spec.name,
        {part: (str(program),) for part, program in find_programs(spec.environment).items()},
        spec.node_count,
        spec.apiserver_flags,
    )
    layout = controlplane.create_layout(folder, guardian, spec.pod_range)
    started = controlplane.start(request, layout, guardian)
    kubectl = find_kubectl(started.version, skew=1)
    return ProvidedCluster(
        started.server, started.kubeconfig, kubectl, started.version, has_controllers=request.can_run_pods
    )


def find_programs(environment: Mapping[str, str]) -> dict[str, Path]:
    """Returns the programs of the parts in the folder of envtest's binaries.

    Raises:
        LocalClusterError: The variable is not set, or etcd or kube-apiserver is missing.
    """
    folder = environment.get(ASSETS_VARIABLE)
    if not folder:
        raise LocalClusterError(
            f"The provider 'envtest' needs {ASSETS_VARIABLE}: set it to what `setup-envtest use -p path` prints."
        )
    found = {part: Path(folder).absolute() / file for part, file in FILES.items()}
    programs = {part: path for part, path in found.items() if os.access(path, os.X_OK) and path.is_file()}
    missing = [FILES[part] for part in REQUIRED_PARTS if part not in programs]
    if missing:
        raise LocalClusterError(
            f"{ASSETS_VARIABLE} is {folder}, but there is no program {' and no '.join(missing)} in it: set it to what "
            "`setup-envtest use -p path` prints, or unset it."
        )
    return programs
