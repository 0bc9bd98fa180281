"""The built-in provider: etcd, API server, controller manager and scheduler as one program, and kwok for nodes."""

from pathlib import Path

from localcluster import controlplane
from localcluster.guardian_client import GuardianClient
from localcluster.kubectl import find_kubectl
from localcluster.programs import build, kubernetes_version
from localcluster.providers import ClusterSpec, ProvidedCluster

PARTS = ("etcd", "apiserver", "controller-manager", "scheduler")


def provide(spec: ClusterSpec, folder: Path, guardian: GuardianClient) -> ProvidedCluster:
    """Builds the programs if needed, and starts a whole control plane."""
    programs = build(spec.progress, spec.kubernetes)
    kubectl = programs.kubectl or find_kubectl(kubernetes_version())
    commands = {part: (str(programs.controlplane), part) for part in PARTS}
    request = controlplane.ControlPlaneSpec(
        spec.name,
        {**commands, "kwok": (str(programs.kwok),)},
        spec.node_count,
        spec.apiserver_flags,
    )
    layout = controlplane.create_layout(folder, guardian, spec.pod_range)
    started = controlplane.start(request, layout, guardian)
    return ProvidedCluster(
        started.server, started.kubeconfig, kubectl, started.version, has_controllers=request.can_run_pods
    )
