"""The flags of the control plane's parts: pure functions from a layout to a command's arguments."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from localcluster.ports import LOOPBACK

IPV6_VERSION = 6
#: The addresses of Services, for pods whose first family is IPv4, and for pods with IPv6 alone.
SERVICE_RANGE, IPV6_SERVICE_RANGE = "10.96.0.0/16,fd00:10:96::/112", "fd00:10:96::/112"
POD_RANGE = "10.244.0.0/16"
#: Pods with addresses of both families, and with IPv6 alone. Only a real node has them.
DUAL_STACK_POD_RANGE, IPV6_POD_RANGE = f"{POD_RANGE},fd00:10:244::/64", "fd00:10:244::/64"
# Each component has one instance, and no other client uses the API server: waiting for a lease, or for client-side rate
# limits, only costs time. With the usual 20 requests per second the controller manager starts 5 s later.
SINGLE_INSTANCE_FLAGS = ("--leader-elect=false", "--kube-api-qps=1000", "--kube-api-burst=2000")
ETCD_QUOTA_BYTES = 8 * 1024**3


@dataclass(frozen=True, slots=True)
class Layout:
    """The ports and files of one cluster.

    Attributes:
        folder: The cluster's private folder.
        etcd_port: The port of etcd for clients.
        etcd_peer_port: The port of etcd for other members, which etcd requires.
        apiserver_port: The port of the API server.
        pod_range: The addresses of pods, as a CIDR; on a real node also two, of IPv4 and IPv6, joined by a comma.
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

    @property
    def service_range(self) -> str:
        """The addresses of Services."""
        is_ipv6_only = all(ip_network(each).version == IPV6_VERSION for each in self.pod_range.split(","))
        return IPV6_SERVICE_RANGE if is_ipv6_only else SERVICE_RANGE

    @property
    def service_address(self) -> str:
        """The address of the Service `kubernetes`: the first one of the range."""
        return str(ip_network(self.service_range.partition(",")[0])[1])

    @property
    def ports(self) -> tuple[int, int, int]:
        """All ports."""
        return self.etcd_port, self.etcd_peer_port, self.apiserver_port

    def path(self, file: str) -> str:
        """Returns the path of a file in the cluster's folder."""
        return str(self.folder / file)


def etcd(layout: Layout) -> list[str]:
    """Returns the flags of a single etcd member; a crash of the machine may lose its data, which is disposable."""
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
        "--socket-reuse-port",  # our reservation holds the port, too
        f"--quota-backend-bytes={ETCD_QUOTA_BYTES}",
        "--log-level=warn",
    ]


def apiserver(layout: Layout, *, service_accounts: bool = True, extra: Sequence[str] = ()) -> list[str]:
    """Returns the flags of the API server, with the authorization and admission of a kubeadm cluster.

    Args:
        layout: The ports and files of the cluster.
        service_accounts: Whether a controller manager creates a ServiceAccount in every namespace; without one, the
            ServiceAccount admission plugin would reject every pod.
        extra: Flags that come last and so override others.
    """
    return [
        f"--etcd-servers=http://{LOOPBACK}:{layout.etcd_port}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        f"--secure-port={layout.apiserver_port}",
        "--permit-port-sharing",  # our reservation holds the port, too
        f"--tls-cert-file={layout.path('apiserver.crt')}",
        f"--tls-private-key-file={layout.path('apiserver.key')}",
        f"--client-ca-file={layout.path('ca.crt')}",
        f"--service-account-key-file={layout.path('service-account.pub')}",
        f"--service-account-signing-key-file={layout.path('service-account.key')}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={layout.service_range}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        *([] if service_accounts else ["--disable-admission-plugins=ServiceAccount"]),
        # An EndpointSlice must not contain a loopback address, so the server must not publish its own.
        "--endpoint-reconciler-type=none",
        "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged",
        *extra,
    ]


def controller_manager(layout: Layout) -> list[str]:
    """Returns the flags of the controller manager: all controllers, with separate service accounts."""
    return [
        f"--kubeconfig={layout.path('controller-manager.kubeconfig')}",
        f"--service-account-private-key-file={layout.path('service-account.key')}",
        f"--root-ca-file={layout.path('ca.crt')}",
        "--use-service-account-credentials",
        # Of HorizontalPodAutoscalers, which few tests create.
        "--horizontal-pod-autoscaler-sync-period=1s",
        *SINGLE_INSTANCE_FLAGS,
        "--secure-port=0",
    ]


def scheduler(layout: Layout) -> list[str]:
    """Returns the flags of the default scheduler."""
    return [
        f"--kubeconfig={layout.path('scheduler.kubeconfig')}",
        *SINGLE_INSTANCE_FLAGS,
        "--secure-port=0",
    ]


def kwok(layout: Layout, stages: Path) -> list[str]:
    """Returns the flags of kwok, which simulates all kubelets; `stages` defines the life of nodes and pods."""
    return [
        f"--kubeconfig={layout.path('kwok.kubeconfig')}",
        f"--config={stages}",
        "--manage-all-nodes=true",
        "--node-lease-duration-seconds=40",
        f"--cidr={layout.pod_range}",
    ]
