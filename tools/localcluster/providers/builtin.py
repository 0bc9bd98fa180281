"""Our own: etcd, API server, controller manager and scheduler as one program built here, and kwok for nodes."""

from pathlib import Path

from localcluster import controlplane
from localcluster.guardian_client import GuardianClient
from localcluster.kubectl import find_kubectl
from localcluster.programs import build, kubernetes_version
from localcluster.providers import Delivery, Order

PARTS = ("etcd", "apiserver", "controller-manager", "scheduler")


def provide(order: Order, folder: Path, guardian: GuardianClient) -> Delivery:
    """Build the programs if need be, and start a whole control plane."""
    kubectl = find_kubectl(kubernetes_version())
    programs = build(order.progress)
    commands = {part: (str(programs.controlplane), part) for part in PARTS}
    request = controlplane.Request(
        order.name,
        {**commands, "kwok": (str(programs.kwok),)},
        order.node_count,
        order.apiserver_flags,
    )
    layout = controlplane.lay_out(folder, guardian, order.pod_range)
    started = controlplane.start(request, layout, guardian)
    return Delivery(started.server, started.kubeconfig, kubectl, started.version, has_controllers=request.runs_pods)
