"""The flags of every part of the control plane: pure functions from a layout to a command's arguments."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster.ports import LOOPBACK

SERVICE_RANGE = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"  # the first of the range: the `kubernetes` Service
POD_RANGE = "10.244.0.0/16"
# There is one of each, and nobody to share the API server with: waiting for a lease, or for one's turn, only costs
# time. With the usual 20 requests a second the controller manager starts 5 s later.
SINGLE_INSTANCE_FLAGS = ("--leader-elect=false", "--kube-api-qps=1000", "--kube-api-burst=2000")
ETCD_QUOTA_BYTES = 8 * 1024**3


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of one cluster find each other and their files.

    Attributes:
        folder: The cluster's private folder.
        etcd_port: Where etcd answers the API server.
        etcd_peer_port: Where etcd would answer other members; it insists on one.
        apiserver_port: Where the API server answers.
        pod_range: The addresses that pods get, as a CIDR.
    """

    folder: Path
    etcd_port: int
    etcd_peer_port: int
    apiserver_port: int
    pod_range: str = POD_RANGE

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{LOOPBACK}:{self.apiserver_port}"

    def path(self, file: str) -> str:
        """A file of the cluster's folder."""
        return str(self.folder / file)


def etcd(layout: Layout) -> list[str]:
    """One member of its own; a crash of the machine may cost its data, which nobody wants to keep."""
    client = f"http://{LOOPBACK}:{layout.etcd_port}"
    peer = f"http://{LOOPBACK}:{layout.etcd_peer_port}"
    return [
        f"--data-dir={layout.path('etcd')}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--socket-reuse-port",  # our reservation holds the port too
        f"--quota-backend-bytes={ETCD_QUOTA_BYTES}",
        "--log-level=warn",
    ]


def apiserver(layout: Layout, *, service_accounts: bool = True, extra: Sequence[str] = ()) -> list[str]:
    """The API server, with the authorization and admission of a cluster made by kubeadm.

    Args:
        layout: Where everything lies.
        service_accounts: Whether a controller manager makes a ServiceAccount in every namespace; where there is
            none, no pod could ever be admitted while one is demanded.
        extra: Flags that come last and so win.
    """
    return [
        f"--etcd-servers=http://{LOOPBACK}:{layout.etcd_port}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        f"--secure-port={layout.apiserver_port}",
        "--permit-port-sharing",  # our reservation holds the port too
        f"--tls-cert-file={layout.path('apiserver.crt')}",
        f"--tls-private-key-file={layout.path('apiserver.key')}",
        f"--client-ca-file={layout.path('ca.crt')}",
        f"--service-account-key-file={layout.path('service-account.pub')}",
        f"--service-account-signing-key-file={layout.path('service-account.key')}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        *([] if service_accounts else ["--disable-admission-plugins=ServiceAccount"]),
        # Loopback is no address that an EndpointSlice may hold, so the server must not publish its own.
        "--endpoint-reconciler-type=none",
        "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged",
        *extra,
    ]


def controller_manager(layout: Layout) -> list[str]:
    """All controllers, each with its own service account, and no wait for a leader's lease."""
    return [
        f"--kubeconfig={layout.path('controller-manager.kubeconfig')}",
        f"--service-account-private-key-file={layout.path('service-account.key')}",
        f"--root-ca-file={layout.path('ca.crt')}",
        "--use-service-account-credentials",
        *SINGLE_INSTANCE_FLAGS,
        "--secure-port=0",
    ]


def scheduler(layout: Layout) -> list[str]:
    """The default scheduler, with no wait for a leader's lease."""
    return [
        f"--kubeconfig={layout.path('scheduler.kubeconfig')}",
        *SINGLE_INSTANCE_FLAGS,
        "--secure-port=0",
    ]


def kwok(layout: Layout, stages: Path) -> list[str]:
    """Fake kubelets for all nodes; `stages` says how nodes and pods live."""
    return [
        f"--kubeconfig={layout.path('kwok.kubeconfig')}",
        f"--config={stages}",
        "--manage-all-nodes=true",
        "--node-lease-duration-seconds=40",
        f"--cidr={layout.pod_range}",
    ]
