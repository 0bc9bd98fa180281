"""Adapts the configurations of deploy/gateways to this machine: the same text with local addresses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

CONFIGURATIONS = Path(__file__).parents[2] / "deploy" / "gateways"

#: The placeholders in the configurations.
_PODS = "game-pods.play.svc.cluster.local"
_RESOLVER = "statefulroute-resolver.statefulroute-system.svc.cluster.local"
_PATH = "/authorize/play/game"
_PLAIN = "#plain"
_UID_HEADER = "x-user-id"
_CREDENTIALS = ("/var/run/secrets/statefulroute", "/etc/statefulroute")


class Authentication(StrEnum):
    """How a gateway authenticates itself to the resolver: the mark of lines that are commented out otherwise."""

    NONE = "plain"
    TOKEN = "token"  # noqa: S105 - no password
    MTLS = "mtls"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a gateway authenticates itself with.

    Attributes:
        kind: How it does so.
        folder: The folder with `token`, or with `tls.crt`, `tls.key` and `ca.crt`.
    """

    kind: Authentication
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAddresses:
    """The addresses of a gateway and of what is behind it.

    Attributes:
        port: The gateway's port, on loopback.
        grpc_port: The port for gRPC of a gateway that needs another one.
        admin_port: The port of Envoy's admin interface.
        folder: The folder for the gateway's files.
        namespace: The service's namespace.
        route: The service's StatefulRoute.
        pods: The DNS name of the pods, or the address of the only one.
        pod_addresses: The address of each pod, for a gateway that uses their names.
        pod_range: The first number of the pods' addresses.
        pod_port: The port of the pods.
        resolvers: HOST:PORT of each resolver.
        dns_port: The port of the DNS server on loopback; None uses the system's.
        credentials: What the gateway authenticates itself with; None is nothing.
        uid_header: The header with the uid.
        is_public: Whether it listens at all addresses and at the ports of its configuration, and not on loopback.
    """

    port: int
    grpc_port: int = 0
    admin_port: int
    folder: Path
    namespace: str
    route: str = "game"
    pods: str
    pod_addresses: Sequence[str] = ()
    pod_range: str = "127"
    pod_port: int = 7777
    resolvers: Sequence[str]
    dns_port: int | None = None
    credentials: Credentials | None = None
    uid_header: str = _UID_HEADER
    is_public: bool = False

    def local(self, listeners: Mapping[str, str]) -> Mapping[str, str]:
        """Returns the replacements of listeners, unless the gateway is public."""
        return {} if self.is_public else listeners


def envoy(name: str, addresses: GatewayAddresses, changes: Mapping[str, str] = MappingProxyType({})) -> str:
    """Returns a configuration of Envoy with local addresses.

    Args:
        name: The name of its file.
        addresses: The local addresses.
        changes: Further replacements.

    Raises:
        ValueError: A text to replace is missing.
    """
    replacements = {
        _PODS: addresses.pods,
        "play/game": f"{addresses.namespace}/{addresses.route}",
        f"exact: {_UID_HEADER}": f"exact: {addresses.uid_header}",
        **changes,
    }
    text = replace_all((CONFIGURATIONS / name).read_text(), replacements)
    text = _with_credentials(text, addresses).replace("/etc/envoy/", f"{addresses.folder}/")
    for secret in ("envoy-token.yaml", "envoy-certificate.yaml"):
        (addresses.folder / secret).write_text(_with_credentials((CONFIGURATIONS / secret).read_text(), addresses))
    configuration = yaml.safe_load(text)
    configuration["admin"]["address"] = _socket_address("127.0.0.1", addresses.admin_port)
    resources = configuration["static_resources"]
    if not addresses.is_public:
        resources["listeners"][0]["address"] = _socket_address("127.0.0.1", addresses.port)
    clusters = {cluster["name"]: cluster for cluster in resources["clusters"]}
    for cluster in (clusters["pods"], clusters["pods-http2"]):
        (pods,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        pods["endpoint"]["address"]["socket_address"]["port_value"] = addresses.pod_port
        if addresses.dns_port is not None:
            dns_cluster = cluster["cluster_type"]["typed_config"]
            dns_cluster["typed_dns_resolver_config"] = _dns_resolver(addresses.dns_port)
    resolvers = [resolver.rpartition(":") for resolver in addresses.resolvers]
    clusters["resolver"]["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
        {"endpoint": {"address": _socket_address(host.strip("[]"), int(port))}} for host, _, port in resolvers
    ]
    return yaml.safe_dump(configuration)


def nginx(name: str, addresses: GatewayAddresses, headless: str | None = None) -> str:
    """Returns a configuration of nginx, by the name of its file. Raises the same errors as `envoy`.

    Args:
        name: The name of the file.
        addresses: The local addresses.
        headless: NAME:PORT of the resolver in the DNS server on loopback, if nginx is to follow its addresses.
    """
    text = (CONFIGURATIONS / name).read_text()
    if headless is not None:
        server = {"kube-dns.kube-system.svc.cluster.local": f"127.0.0.1:{addresses.dns_port}"}
        resolver = {f"$resolver {_RESOLVER}:8080": f"$resolver {headless}"}
        text = replace_all(text, {"#headless ": ""} | server | resolver)
    servers = "; server ".join(addresses.resolvers)
    replacements = {
        f"{_RESOLVER}:8080": servers,
        _PATH: f"/authorize/{addresses.namespace}/{addresses.route}",
        "^10\\.": f"^{addresses.pod_range}\\.",
        ":7777": f":{addresses.pod_port}",
        **addresses.local(
            {
                "listen 8000": f"listen 127.0.0.1:{addresses.port}",
                "listen [::]:8000 so_keepalive=60s:10s:3;": "",
                "listen 8001": f"listen 127.0.0.1:{addresses.grpc_port}",
                "listen [::]:8001 http2 so_keepalive=60s:10s:3;": "",
            }
        ),
        "/tmp/": f"{addresses.folder}/",  # noqa: S108 - it is replaced
    }
    if addresses.credentials is not None and addresses.credentials.kind is Authentication.TOKEN:
        token = (addresses.credentials.folder / "token").read_text()
        (addresses.folder / "token.conf").write_text(f'proxy_set_header Authorization "Bearer {token}";\n')
    text = replace_all(text, replacements)
    return _with_credentials(text, addresses).replace("/etc/nginx/", f"{addresses.folder}/")


def haproxy(name: str, addresses: GatewayAddresses) -> str:
    """Returns a configuration of HAProxy, by the name of its file. Raises the same errors as `envoy`."""
    servers = [f"server resolver-{number} {address}" for number, address in enumerate(addresses.resolvers)]
    socket = {"abns@resolver": f"abns@resolver-{addresses.port}"}
    header = {f'uid_header = "{_UID_HEADER}"': f'uid_header = "{addresses.uid_header}"'}
    script = addresses.folder / "haproxy.lua"
    script.write_text(replace_all((CONFIGURATIONS / script.name).read_text(), socket | header))
    replacements = {
        f"server resolver {_RESOLVER}:8080": "\n  ".join(servers),
        _PATH: f"/authorize/{addresses.namespace}/{addresses.route}",
        "^10\\.": f"^{addresses.pod_range}\\.",
        ":7777": f":{addresses.pod_port}",
        **addresses.local({"bind 0.0.0.0:8000": f"bind 127.0.0.1:{addresses.port}", "bind [::]:8000 v6only": ""}),
        "/etc/haproxy/": f"{addresses.folder}/",
        **socket,
    }
    return _with_credentials(replace_all((CONFIGURATIONS / name).read_text(), replacements), addresses)


def traefik(addresses: GatewayAddresses) -> str:
    """Writes the dynamic configuration of Traefik, and returns the static one. Raises the same errors as `envoy`."""
    folder = addresses.folder / "dynamic"
    folder.mkdir()
    # The DNS of this machine does not know the names of the pods.
    ips = " ".join(f'"{ip}"' for ip in addresses.pod_addresses)
    replacements = {
        "game-{{ $pod }}.game.play.svc.cluster.local": f"{{{{ index (list {ips}) $pod }}}}",
        f"{_RESOLVER}:8080": addresses.resolvers[-1],
        _PATH: f"/authorize/{addresses.namespace}/{addresses.route}",
        ":7777": f":{addresses.pod_port}",
        "127.0.0.1:8002": f"127.0.0.1:{addresses.admin_port}",
        f"[{_UID_HEADER.title()}]": f"[{addresses.uid_header}]",
    }
    game = replace_all((CONFIGURATIONS / "traefik-game.yaml").read_text(), replacements)
    (folder / "traefik-game.yaml").write_text(_with_credentials(game, addresses))
    if addresses.credentials is not None and addresses.credentials.kind is Authentication.TOKEN:
        token = {"TOKEN": (addresses.credentials.folder / "token").read_text()}
        (folder / "traefik-token.yaml").write_text(
            replace_all((CONFIGURATIONS / "traefik-token.yaml").read_text(), token)
        )
    replacements = {
        **addresses.local({"address: :8000": f"address: 127.0.0.1:{addresses.port}"}),
        "127.0.0.1:8002": f"127.0.0.1:{addresses.admin_port}",
        "/etc/traefik/dynamic": str(folder),
    }
    return _with_credentials(replace_all((CONFIGURATIONS / "traefik.yaml").read_text(), replacements), addresses)


def _with_credentials(text: str, addresses: GatewayAddresses) -> str:
    """Returns a configuration with the lines for the gateway's credentials, and with their folder."""
    if addresses.credentials is not None:
        lines = (line for line in text.splitlines(keepends=True) if not line.rstrip().endswith(_PLAIN))
        text = "".join(lines).replace(f"#{addresses.credentials.kind} ", "")
        for folder in _CREDENTIALS:
            text = text.replace(folder, str(addresses.credentials.folder))
    return text


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
