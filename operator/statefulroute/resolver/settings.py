"""How the resolver runs."""

from dataclasses import dataclass
from pathlib import Path

from statefulroute.domain.keys import RouteKey
from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.resolver.uid_sources import UidSource
from statefulroute.resolver.unlinked_uid import UnlinkedUidPolicy

#: The header that the Gateway API's endpoint pickers answer in.
ENDPOINT_HEADER = "x-gateway-destination-endpoint"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files that connections are made secure by, each in PEM.

    Attributes:
        certificate: the resolver's certificate, and those up to its authority.
        key: its key.
        client_ca: the authorities of the callers' certificates; None lets callers in without one.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the resolver runs.

    Attributes:
        kubeconfig: the path of a kubeconfig; None looks where kubectl looks.
        context: the kubeconfig's context; None is its current one.
        namespaces: what it answers for; none is the whole cluster.
        http_address: where it answers look-ups and gateways over HTTP.
        grpc_address: where it answers Envoy's ext_proc; None is nowhere.
        bind_address: where it answers probes and Prometheus; None is nowhere.
        unlinked_uid: what becomes of a gateway's request whose uid is not linked.
        uid_sources: where a gateway's request says whose it is, in the order in which they are looked at.
        endpoint_header: the header that a gateway is told the endpoint in.
        temporary_links: whether new links are temporary, and live as long as their route says.
        bindings_per_second: how many new links of one route it makes in a second, at the most.
        requests_per_second: how often one caller may ask in a second; None is as often as it likes.
        token_audience: the audience that a caller's bearer token must be for; None asks for no token.
        allowed_users: whose tokens are let in; none is everybody's whom the API server knows.
        tls: how connections are made secure; None leaves them plain.
        default_route: the route of ext_proc requests that name none.
        drain_seconds: how long it answers on when it is told to stop, while its probes say so.
    """

    http_address: BindAddress
    kubeconfig: Path | None = None
    context: str | None = None
    namespaces: tuple[str, ...] = ()
    grpc_address: BindAddress | None = None
    bind_address: BindAddress | None = None
    unlinked_uid: UnlinkedUidPolicy = UnlinkedUidPolicy.BIND
    uid_sources: tuple[UidSource, ...] = ()
    endpoint_header: str = ENDPOINT_HEADER
    temporary_links: bool = False
    bindings_per_second: float = 100.0
    requests_per_second: float | None = None
    token_audience: str | None = None
    allowed_users: tuple[str, ...] = ()
    tls: TlsFiles | None = None
    default_route: RouteKey | None = None
    drain_seconds: float = 0.0
