"""The addresses of a node: one of each family that its pods have."""

from dataclasses import dataclass
from ipaddress import ip_network

from localcluster.components import IPV6_VERSION


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """The address of the node in one family.

    Attributes:
        family: The option of `ip` that selects the family.
        address: The address.
        prefix: The length of the prefix of its network.
        gateway: An address in this network that no host has: only a default route is needed.
        everything: The CIDR of all addresses of the family.
        unspecified: The address that stands for all addresses of a host.
    """

    family: str
    address: str
    prefix: int
    gateway: str
    everything: str
    unspecified: str

    @property
    def host(self) -> str:
        """The address as it stands before a port."""
        return f"[{self.address}]" if ":" in self.address else self.address


IPV4 = NodeAddress("-4", "10.88.0.1", 24, "10.88.0.254", "0.0.0.0/0", "0.0.0.0")  # noqa: S104 - of a private network
IPV6 = NodeAddress("-6", "fd00:10:88::1", 64, "fd00:10:88::fe", "::/0", "::")


def node_addresses(pod_range: str) -> list[NodeAddress]:
    """Returns the node's addresses.

    Args:
        pod_range: The addresses of pods: a CIDR, or one of each family with a comma between them. The first one is of
            the family that Services have by default.
    """
    return [IPV6 if ip_network(each).version == IPV6_VERSION else IPV4 for each in pod_range.split(",")]
