"""The settings of the resolver."""

from dataclasses import dataclass
from pathlib import Path

from statefulroute.domain.keys import RouteKey
from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.monitoring.settings import MetricsEndpoint, ServerTls
from statefulroute.resolver.uid_sources import UidSource
from statefulroute.resolver.unlinked_uid import UnlinkedUidPolicy

#: The header for the picked endpoint in the endpoint-picker protocol of the Gateway API.
ENDPOINT_HEADER = "x-gateway-destination-endpoint"

#: The header for the name of the picked pod, for gateways that pick a pod by matching a header.
POD_HEADER = "x-statefulroute-pod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of the resolver.

    Attributes:
        kubeconfig: the path of a kubeconfig; None uses the one that kubectl uses.
        context: the kubeconfig's context; None is its current one.
        namespaces: the namespaces to serve; none is the whole cluster.
        http_address: the address of the HTTP server for look-ups and ext_authz.
        grpc_address: the address of the gRPC server for ext_authz and ext_proc; None disables it.
        bind_address: the address of the server for probes and metrics; None disables it.
        metrics: where metrics are served over TLS instead; None serves them there.
        profiling_address: where profiles of the process are served, a loopback address; None disables it.
        unlinked_uid: the policy for a gateway's request whose uid is not linked.
        uid_sources: the sources of the uid in a gateway's request, in the order of their use.
        uid_from_response: the header of responses over ext_proc with the uid of a session that the server has begun;
            None reads no responses.
        endpoint_header: the response header for the endpoint.
        temporary_links: whether new links are temporary, with the TTL of their route; each use renews them.
        bindings_per_second: the maximal rate of new links of one route.
        link_changes: whether callers may unlink users and claim them for a pod.
        hold_seconds: how long a request for a uid whose link has no pod yet is held at most; 0 holds none.
        max_held: the maximal number of requests that are held.
        keep_managed_fields: whether the managedFields of links stay; otherwise each write of a spec removes them.
        requests_per_second: the maximal rate of one caller's requests; None is unlimited.
        token_audience: the required audience of callers' bearer tokens; None requires no token.
        allowed_users: the users whose tokens are accepted; none is every authenticated user.
        tls: the TLS files; None serves without TLS.
        default_route: the route of gRPC calls that name none.
        max_age_seconds: the maximal age of the cache that look-ups are answered from; None is unlimited.
        drain_seconds: how long the resolver serves after it is asked to stop, while its probes report it.
    """

    http_address: BindAddress
    kubeconfig: Path | None = None
    context: str | None = None
    namespaces: tuple[str, ...] = ()
    grpc_address: BindAddress | None = None
    bind_address: BindAddress | None = None
    metrics: MetricsEndpoint | None = None
    profiling_address: BindAddress | None = None
    unlinked_uid: UnlinkedUidPolicy = UnlinkedUidPolicy.BIND
    uid_sources: tuple[UidSource, ...] = ()
    uid_from_response: str | None = None
    endpoint_header: str = ENDPOINT_HEADER
    temporary_links: bool = True
    bindings_per_second: float = 100.0
    link_changes: bool = False
    hold_seconds: float = 0.0
    max_held: int = 1000
    keep_managed_fields: bool = False
    requests_per_second: float | None = None
    token_audience: str | None = None
    allowed_users: tuple[str, ...] = ()
    tls: ServerTls | None = None
    default_route: RouteKey | None = None
    max_age_seconds: float | None = None
    drain_seconds: float = 0.0

    @property
    def authenticates(self) -> bool:
        """Whether callers need a token or a client certificate."""
        return self.token_audience is not None or (self.tls is not None and self.tls.client_ca is not None)
