"""Adapts the configurations of deploy/gateways to this machine: the same text with local addresses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

CONFIGURATIONS = Path(__file__).parents[2] / "deploy" / "gateways"

#: The placeholders in the configurations.
_PODS = "game-pods.play.svc.cluster.local"
_RESOLVER = "statefulroute-resolver.statefulroute-system.svc.cluster.local"
_PATH = "/authorize/play/game"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAddresses:
    """The addresses of a gateway and of what is behind it.

    Attributes:
        port: The gateway's port, on loopback.
        admin_port: The port of Envoy's admin interface.
        folder: The folder for nginx's files.
        namespace: The service's namespace.
        pods: The DNS name of the pods, or the address of the only one.
        pod_range: The first number of the pods' addresses.
        pod_port: The port of the pods.
        resolvers: HOST:PORT of each resolver.
        dns_port: The port of the DNS server on loopback; None uses the system's.
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
    """Returns a configuration of Envoy with local addresses.

    Args:
        name: The name of its file.
        addresses: The local addresses.
        changes: Further replacements.

    Raises:
        ValueError: A text to replace is missing.
    """
    replacements = {_PODS: addresses.pods, "play/game": f"{addresses.namespace}/game", **changes}
    text = replace_all((CONFIGURATIONS / name).read_text(), replacements)
    configuration = yaml.safe_load(text)
    configuration["admin"]["address"] = _socket_address("127.0.0.1", addresses.admin_port)
    resources = configuration["static_resources"]
    resources["listeners"][0]["address"] = _socket_address("127.0.0.1", addresses.port)
    clusters = {cluster["name"]: cluster for cluster in resources["clusters"]}
    (pods,) = clusters["pods"]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    pods["endpoint"]["address"]["socket_address"]["port_value"] = addresses.pod_port
    if addresses.dns_port is not None:
        dns_cluster = clusters["pods"]["cluster_type"]["typed_config"]
        dns_cluster["typed_dns_resolver_config"] = _dns_resolver(addresses.dns_port)
    resolvers = [resolver.rpartition(":") for resolver in addresses.resolvers]
    clusters["resolver"]["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
        {"endpoint": {"address": _socket_address(host, int(port))}} for host, _, port in resolvers
    ]
    return yaml.safe_dump(configuration)


def nginx(name: str, addresses: GatewayAddresses) -> str:
    """Returns a configuration of nginx, by the name of its file. Raises the same errors as `envoy`."""
    servers = "; server ".join(addresses.resolvers)
    replacements = {
        f"{_RESOLVER}:8080": servers,
        _PATH: f"/authorize/{addresses.namespace}/game",
        "^10\\.": f"^{addresses.pod_range}\\.",
        ":7777": f":{addresses.pod_port}",
        "listen 8000": f"listen 127.0.0.1:{addresses.port}",
        "/tmp/": f"{addresses.folder}/",  # noqa: S108 - it is replaced
    }
    return replace_all((CONFIGURATIONS / name).read_text(), replacements)


def replace_all(text: str, replacements: Mapping[str, str]) -> str:
    """Replaces each key with its value.

    Raises:
        ValueError: A key is missing: the text has changed.
    """
    for placeholder, value in replacements.items():
        if placeholder not in text:
            raise ValueError(f"the configuration does not contain {placeholder!r} any more")
        text = text.replace(placeholder, value)
    return text


def _socket_address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _dns_resolver(port: int) -> dict[str, Any]:
    kind = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
    server = {"socket_address": {"protocol": "UDP", "address": "127.0.0.1", "port_value": port}}
    typed = {"@type": f"type.googleapis.com/{kind}", "resolvers": [server]}
    return {"name": "envoy.network.dns_resolver.cares", "typed_config": typed}
