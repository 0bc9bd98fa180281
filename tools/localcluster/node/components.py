"""The configuration of the node's programs: pure functions from a layout to files and flags."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.components import Layout
from localcluster.node.addresses import NodeAddress, node_addresses
from localcluster.node.machine import HOSTNAME

SOCKET = "/run/containerd/containerd.sock"
NETWORKS = "networks"
BRIDGE = "pods"
CLUSTER_DOMAIN = "cluster.local"
DNS_SECONDS = 2
PAUSE_IMAGE = "localhost/pause:1"
STATUS_SECONDS = "2s"


@dataclass(frozen=True, slots=True)
class NodeConfiguration:
    """The inputs of the configuration.

    Attributes:
        layout: The files of the cluster and the address of the API server.
        control_group: The control group of all pods.
        plugins: The folder of the CNI plugins.
    """

    layout: Layout
    control_group: str
    plugins: Path

    @property
    def addresses(self) -> list[NodeAddress]:
        """The node's addresses; the first is of the family that Services have by default."""
        return node_addresses(self.layout.pod_range)

    def files(self) -> dict[str, str]:
        """Returns the programs' configuration files by name; each lies in the cluster's folder."""
        return {
            "containerd.toml": _containerd(self.plugins, self.layout.path(NETWORKS)),
            "kubelet.json": json.dumps(_kubelet(self), indent=2),
            "kube-proxy.json": json.dumps(_kube_proxy(self), indent=2),
            f"{NETWORKS}/pods.conflist": json.dumps(_network(self.layout.pod_range), indent=2),
            "Corefile": _corefile(self.addresses, self.layout.path("coredns.kubeconfig")),
            "resolv.conf": "".join(f"nameserver {each.address}\n" for each in self.addresses),
        }

    def flags(self) -> dict[str, list[str]]:
        """Returns the flags of each program, in starting order."""
        path = self.layout.path
        return {
            "containerd": [f"--config={path('containerd.toml')}"],
            "kubelet": [
                f"--config={path('kubelet.json')}",
                f"--kubeconfig={path('kubelet.kubeconfig')}",
                f"--hostname-override={HOSTNAME}",
                f"--node-ip={','.join(each.address for each in self.addresses)}",
                f"--node-labels=topology.kubernetes.io/region=local,topology.kubernetes.io/zone={HOSTNAME}",
            ],
            "kube-proxy": [f"--config={path('kube-proxy.json')}"],
            "coredns": [f"-conf={path('Corefile')}"],
        }


def apiserver_flags(layout: Layout) -> list[str]:
    """Returns additional flags of the API server for a real node: pods reach it, and it reaches the kubelet."""
    node = node_addresses(layout.pod_range)[0]
    return [
        f"--bind-address={node.unspecified}",
        f"--advertise-address={node.address}",
        "--endpoint-reconciler-type=lease",
        f"--kubelet-client-certificate={layout.path('admin.crt')}",
        f"--kubelet-client-key={layout.path('admin.key')}",
    ]


def _containerd(plugins: Path, networks: str) -> str:
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "{SOCKET}"
[{cri}]
  sandbox_image = "{PAUSE_IMAGE}"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE, no process may get a lower OOM score than containerd itself.
  restrict_oom_score_adj = true
  [{cri}.containerd]
    snapshotter = "overlayfs"
    [{cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [{cri}.containerd.runtimes.runc.options]
        SystemdCgroup = false
  [{cri}.cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
"""


def _kubelet(node: NodeConfiguration) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.addresses[0].unspecified,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": node.layout.path("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.control_group}",
        "clusterDNS": [each.address for each in node.addresses],
        "clusterDomain": CLUSTER_DOMAIN,
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "evictionHard": {"memory.available": "100Mi"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,  # a removed image could not be pulled again
        "localStorageCapacityIsolation": False,  # files in memory do not count as disk usage
        "makeIPTablesUtilChains": False,
        "nodeStatusUpdateFrequency": STATUS_SECONDS,
        "resolvConf": node.layout.path("resolv.conf"),
        "serializeImagePulls": False,
        "volumePluginDir": "/var/lib/kubelet/plugins",
    }


def _kube_proxy(node: NodeConfiguration) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": node.addresses[0].address,
        "clientConnection": {"kubeconfig": node.layout.path("kube-proxy.kubeconfig")},
        "clusterCIDR": node.layout.pod_range,
        # The limits apply to the whole machine, so the node must not set them.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpCloseWaitTimeout": "0s", "tcpEstablishedTimeout": "0s"},
        "hostnameOverride": HOSTNAME,
        "mode": "nftables",
    }


def _network(pod_range: str) -> dict[str, Any]:
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": each}] for each in pod_range.split(",")],
        "routes": [{"dst": each.everything} for each in node_addresses(pod_range)],
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipMasq": False, "hairpinMode": True}
    return {"cniVersion": "0.4.0", "name": "localcluster", "plugins": [{**bridge, "ipam": addresses}]}


def _corefile(addresses: list[NodeAddress], kubeconfig: str) -> str:
    return f"""\
.:53 {{
  bind {" ".join(each.address for each in addresses)}
  errors
  ready {addresses[0].host}:8181
  cache {DNS_SECONDS}
  kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
    kubeconfig {kubeconfig}
    ttl {DNS_SECONDS}
  }}
}}
"""
