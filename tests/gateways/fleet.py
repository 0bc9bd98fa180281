"""Runs gateways of each kind, with each authentication, in front of the pods of a service."""

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from localcluster.certificates import Authority
from localcluster.ports import free_port
from localgateways import configurations, dns, processes
from localgateways.configurations import Authentication, Credentials, GatewayAddresses
from localgateways.processes import Gateway

EXT_AUTHZ, EXT_AUTHZ_GRPC, EXT_PROC, DUPLEX, NGINX, HAPROXY, TRAEFIK = GATEWAYS = (
    "Envoy by ext_authz",
    "Envoy by ext_authz over gRPC",
    "Envoy by ext_proc",
    "Envoy by ext_proc in full duplex",
    "nginx",
    "HAProxy",
    "Traefik",
)

#: An Envoy that closes each WebSocket and stream after two seconds.
LIMITED = "Envoy by ext_authz, with a maximal duration of streams"

#: An nginx that asks no resolver: it sends requests to the pods in turn, as a Service of Kubernetes does.
ROUND_ROBIN = "nginx without a resolver"

#: Gateways that wait for a resolver with `--hold-seconds 60`, by the changes that docs/reference/gateways.md names.
HOLDING = HOLDING_EXT_AUTHZ, HOLDING_EXT_AUTHZ_GRPC, HOLDING_EXT_PROC, HOLDING_NGINX = (
    "Envoy by ext_authz, for held requests",
    "Envoy by ext_authz over gRPC, for held requests",
    "Envoy by ext_proc, for held requests",
    "nginx, for held requests",
)

#: Gateways that send the resolver responses that may name sessions. The second one tries other pods if one fails, and
#: the third one sends all headers and bodies, as gateways with endpoint pickers do.
LINKING, RETRYING, LINKING_DUPLEX = (
    "Envoy by ext_proc, for sessions of servers",
    "Envoy by ext_proc, for sessions of servers, with retries",
    "Envoy by ext_proc in full duplex, for sessions of servers",
)

#: The gateways that call the resolver over gRPC.
GRPC_CALLERS = frozenset(
    (EXT_AUTHZ_GRPC, EXT_PROC, DUPLEX, HOLDING_EXT_AUTHZ_GRPC, HOLDING_EXT_PROC, LINKING, RETRYING, LINKING_DUPLEX)
)

#: The configurations of Envoy, and the changes in them. Gateways with endpoint pickers send bodies in full duplex.
_ENVOYS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    EXT_AUTHZ: ("envoy-ext-authz.yaml", {}),
    LIMITED: ("envoy-ext-authz.yaml", {"#limit max_stream_duration: 600s": "max_stream_duration: 2s"}),
    EXT_AUTHZ_GRPC: ("envoy-ext-authz-grpc.yaml", {}),
    EXT_PROC: ("envoy-ext-proc.yaml", {}),
    HOLDING_EXT_AUTHZ: (
        "envoy-ext-authz.yaml",
        {
            "timeout: 3s": "timeout: 65s",
            "max_interval: 3s": "max_interval: 65s",
            "max_connections: 1024": "max_connections: 10000",
        },
    ),
    HOLDING_EXT_AUTHZ_GRPC: ("envoy-ext-authz-grpc.yaml", {"timeout: 3s": "timeout: 65s"}),
    HOLDING_EXT_PROC: ("envoy-ext-proc.yaml", {"message_timeout: 3s": "message_timeout: 65s"}),
    LINKING: ("envoy-ext-proc.yaml", {"#link ": ""}),
    RETRYING: (
        "envoy-ext-proc.yaml",
        {
            "#link ": "",
            "cluster: pods, timeout": "cluster: pods, retry_policy: {retry_on: 5xx, num_retries: 20}, timeout",
            "fallback_policy: NO_FALLBACK": "fallback_policy: ANY_ENDPOINT",
        },
    ),
    LINKING_DUPLEX: (
        "envoy-ext-proc.yaml",
        {
            "#link ": "",
            "response_header_mode: SKIP": "response_header_mode: SEND",
            "_body_mode: NONE": "_body_mode: FULL_DUPLEX_STREAMED",
            "_trailer_mode: SKIP": "_trailer_mode: SEND",
        },
    ),
    DUPLEX: (
        "envoy-ext-proc.yaml",
        {
            "request_body_mode: NONE": "request_body_mode: FULL_DUPLEX_STREAMED",
            "request_trailer_mode: SKIP": "request_trailer_mode: SEND",
        },
    ),
}

#: The audience of the gateways' tokens.
AUDIENCE = "statefulroute-resolver"

_RESOLVER_NAME = "statefulroute-resolver.statefulroute-system.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of the gateways."""

    envoy: Path
    nginx: Path
    haproxy: Path
    traefik: Path


class GatewayFleet:
    """Starts gateways when they are needed, and stops them when the context exits.

    Args:
        programs: the programs.
        folder: the folder for their files.
        namespace: the namespace of the service `game`.
        addresses: returns the addresses of its pods, in the order of their indices.
        resolvers: the resolvers of each authentication.
        credentials: the folder with the credentials of the gateways.
        place: other fields of the gateways' addresses.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what gateways are between
        self,
        programs: Programs,
        folder: Path,
        namespace: str,
        addresses: Callable[[], Collection[str]],
        resolvers: Mapping[Authentication, Collection[Any]],
        credentials: Path | None = None,
        **place: Any,
    ) -> None:
        self._programs = programs
        self._folder = folder
        self._namespace = namespace
        self._addresses = addresses
        self._resolvers = resolvers
        self._credentials = credentials
        self._common = place
        self._running: dict[tuple[str, Authentication], Gateway] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._dns_port = self._stack.enter_context(dns.serve_dns(self._addresses))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def gateway(self, kind: str, authentication: Authentication = Authentication.NONE) -> Gateway:
        """Returns the gateway of a kind that authenticates itself in this way."""
        key = (kind, authentication)
        if key not in self._running:
            self._running[key] = self._stack.enter_context(self._start(kind, authentication))
        return self._running[key]

    def _start(self, kind: str, authentication: Authentication) -> Any:
        resolvers = self._resolvers[authentication]
        called = [each.picker if kind in GRPC_CALLERS else each.lookups for each in resolvers]
        place = self._place(called, authentication)
        match kind:
            case "nginx":
                return processes.nginx(self._programs.nginx, configurations.nginx("nginx.conf", place), place)
            case "nginx, for held requests":
                text = configurations.nginx("nginx.conf", place)
                text = configurations.replace_all(text, {"proxy_read_timeout 3s": "proxy_read_timeout 65s"})
                return processes.nginx(self._programs.nginx, text, place)
            case "nginx without a resolver":
                servers = " ".join(f"server {ip}:{place.pod_port};" for ip in place.pod_addresses)
                changes = {
                    "auth_request /-/resolve;": "",
                    "http://$pod;": "http://pods;",
                    "upstream resolver {": f"upstream pods {{ {servers} }}\n  upstream resolver {{",
                }
                text = configurations.replace_all(configurations.nginx("nginx.conf", place), changes)
                return processes.nginx(self._programs.nginx, text, place)
            case "HAProxy":
                return processes.haproxy(self._programs.haproxy, configurations.haproxy("haproxy.cfg", place), place)
            case "Traefik":
                return processes.traefik(self._programs.traefik, configurations.traefik(place), place)
        file, changes = _ENVOYS[kind]
        return processes.envoy(self._programs.envoy, configurations.envoy(file, place, changes), place)

    def _place(self, called: Collection[str], authentication: Authentication) -> GatewayAddresses:
        folder = self._folder / f"gateway-{len(self._running)}"
        folder.mkdir()
        credentials = None
        if authentication is not Authentication.NONE:
            assert self._credentials is not None
            credentials = Credentials(authentication, self._credentials)
        return GatewayAddresses(
            port=free_port(),
            grpc_port=free_port(),
            admin_port=free_port(),
            folder=folder,
            namespace=self._namespace,
            pods=f"game-pods.{self._namespace}.svc.cluster.local",
            pod_addresses=[*self._addresses()],
            resolvers=[*called],
            dns_port=self._dns_port,
            credentials=credentials,
            **self._common,
        )


def create_credentials(folder: Path, token: str) -> Mapping[Authentication, tuple[str, ...]]:
    """Writes the token and the certificates of the gateways; returns the options of resolvers that require them."""
    authority = Authority()
    resolver, gateway = authority.server(("127.0.0.1",), (_RESOLVER_NAME,)), authority.client("gateway")
    files = {
        "token": token.encode(),
        "ca.crt": authority.certificate,
        "tls.crt": gateway.certificate,
        "tls.key": gateway.key,
        "resolver.crt": resolver.certificate,
        "resolver.key": resolver.key,
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    certificate, key, client_ca = (str(folder / name) for name in ("resolver.crt", "resolver.key", "ca.crt"))
    return {
        Authentication.NONE: (),
        Authentication.TOKEN: ("--token-audience", AUDIENCE),
        Authentication.MTLS: ("--tls-certificate", certificate, "--tls-key", key, "--client-ca", client_ca),
    }
