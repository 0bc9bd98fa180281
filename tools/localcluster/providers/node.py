"""A real node: our control plane, and kubelet, containerd and CoreDNS in namespaces of their own, as root on Linux."""

from pathlib import Path

from localcluster import controlplane, programs
from localcluster.errors import LocalClusterError
from localcluster.guardian_client import GuardianClient
from localcluster.kubectl import find_kubectl
from localcluster.node import prerequisites, start
from localcluster.providers import Delivery, Order


def provide(order: Order, folder: Path, guardian: GuardianClient) -> Delivery:
    """Build the programs if need be, and start a control plane with one node that runs containers."""
    missing = prerequisites.missing()
    if missing:
        raise LocalClusterError(" ".join(missing))
    if order.node_count != 1:
        raise LocalClusterError(f"The provider 'node' has one node, and {order.node_count} were asked for.")
    kubectl = find_kubectl(programs.kubernetes_version())
    control, node = programs.build(order.progress), programs.build_node(order.progress)
    layout = controlplane.lay_out(folder, guardian, order.pod_range)
    request = start.Request(order.name, control, node, order.apiserver_flags)
    started = start.start(request, layout, guardian)
    return Delivery(started.server, started.kubeconfig, kubectl, started.version, has_controllers=True)
