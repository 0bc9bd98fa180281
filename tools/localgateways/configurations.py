"""The configurations of deploy/gateways, put on this machine: the same text, with this machine's addresses in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

CONFIGURATIONS = Path(__file__).parents[2] / "deploy" / "gateways"

#: What the configurations call what is the reader's own.
_PODS = "game-pods.play.svc.cluster.local"
_RESOLVER = "statefulroute-resolver.statefulroute-system.svc.cluster.local"
_PATH = "/authorize/play/game"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAddresses:
    """Where a gateway and what is behind it are on this machine.

    Attributes:
        port: where the gateway listens, on loopback.
        admin_port: where Envoy tells of itself.
        folder: what nginx writes goes there.
        namespace: the service's namespace.
        pods: the DNS name of the pods, or the address of the only one.
        pod_range: the first number of the pods' addresses.
        pod_port: where the pods listen.
        resolvers: HOST:PORT of each resolver, as the gateway asks it.
        dns_port: where names are asked for, on loopback; None asks the system.
    """

    port: int
    admin_port: int
    folder: Path
    namespace: str
    pods: str
    pod_range: str = "127"
    pod_port: int = 7777
    resolvers: Sequence[str]
    dns_port: int | None = None


def envoy(name: str, addresses: GatewayAddresses, changes: Mapping[str, str] = MappingProxyType({})) -> str:
    """One of the configurations of Envoy.

    Args:
        name: of its file.
        addresses: what stands in it for the reader's own.
        changes: what else is replaced by what.

    Raises:
        ValueError: something that is to be replaced is not there.
    """
    own = {_PODS: addresses.pods, "play/game": f"{addresses.namespace}/game", **changes}
    text = replace_all((CONFIGURATIONS / name).read_text(), own)
    said = yaml.safe_load(text)
    said["admin"]["address"] = _socket_address("127.0.0.1", addresses.admin_port)
    resources = said["static_resources"]
    resources["listeners"][0]["address"] = _socket_address("127.0.0.1", addresses.port)
    clusters = {cluster["name"]: cluster for cluster in resources["clusters"]}
    (pods,) = clusters["pods"]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    pods["endpoint"]["address"]["socket_address"]["port_value"] = addresses.pod_port
    if addresses.dns_port is not None:
        found_by_dns = clusters["pods"]["cluster_type"]["typed_config"]
        found_by_dns["typed_dns_resolver_config"] = _dns_resolver(addresses.dns_port)
    resolvers = [each.rpartition(":") for each in addresses.resolvers]
    clusters["resolver"]["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
        {"endpoint": {"address": _socket_address(host, int(port))}} for host, _, port in resolvers
    ]
    return yaml.safe_dump(said)


def nginx(name: str, addresses: GatewayAddresses) -> str:
    """One of the configurations of nginx, by the name of its file. Raises as `envoy` does."""
    servers = "; server ".join(addresses.resolvers)
    own = {
        f"{_RESOLVER}:8080": servers,
        _PATH: f"/authorize/{addresses.namespace}/game",
        "^10\\.": f"^{addresses.pod_range}\\.",
        ":7777": f":{addresses.pod_port}",
        "listen 8000": f"listen 127.0.0.1:{addresses.port}",
        "/tmp/": f"{addresses.folder}/",  # noqa: S108 - it is taken away
    }
    return replace_all((CONFIGURATIONS / name).read_text(), own)


def replace_all(text: str, own: Mapping[str, str]) -> str:
    """The text with the reader's own in it.

    Raises:
        ValueError: something that is to be replaced is not there: the text has changed.
    """
    for named, mine in own.items():
        if named not in text:
            raise ValueError(f"the configuration has no {named!r} any more")
        text = text.replace(named, mine)
    return text


def _socket_address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _dns_resolver(port: int) -> dict[str, Any]:
    kind = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
    server = {"socket_address": {"protocol": "UDP", "address": "127.0.0.1", "port_value": port}}
    typed = {"@type": f"type.googleapis.com/{kind}", "resolvers": [server]}
    return {"name": "envoy.network.dns_resolver.cares", "typed_config": typed}
