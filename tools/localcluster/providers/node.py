"""Runs a real node: our control plane with kubelet, containerd and CoreDNS in separate namespaces, as root."""

from pathlib import Path

from localcluster import controlplane, programs
from localcluster.errors import LocalClusterError
from localcluster.guardian_client import GuardianClient
from localcluster.kubectl import find_kubectl
from localcluster.node import prerequisites, start
from localcluster.providers import ClusterSpec, ProvidedCluster


def provide(spec: ClusterSpec, folder: Path, guardian: GuardianClient) -> ProvidedCluster:
    """Builds the programs if needed, and starts a control plane with one node that runs containers."""
    missing = prerequisites.missing_prerequisites(spec.pod_range)
    if missing:
        raise LocalClusterError(" ".join(missing))
    if spec.node_count != 1:
        raise LocalClusterError(f"The provider 'node' has one node, and {spec.node_count} were requested.")
    kubectl = find_kubectl(programs.kubernetes_version())
    control, node = programs.build(spec.progress), programs.build_node(spec.progress)
    layout = controlplane.create_layout(folder, guardian, spec.pod_range)
    request = start.NodeClusterSpec(spec.name, control, node, spec.apiserver_flags)
    started = start.start(request, layout, guardian)
    return ProvidedCluster(started.server, started.kubeconfig, kubectl, started.version, has_controllers=True)
