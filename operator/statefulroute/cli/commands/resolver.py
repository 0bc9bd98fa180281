"""`resolver`: runs the resolver."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from statefulroute.cli.logs import LogFormat, LogLevel, set_up_logging
from statefulroute.cli.metrics_endpoint import metrics_endpoint
from statefulroute.cli.options import (
    BindAddressOption,
    Context,
    KeepManagedFields,
    Kubeconfig,
    LogFormatOption,
    LogLevelOption,
    MetricsAddressOption,
    MetricsAuthenticationOption,
    MetricsTlsCertificateOption,
    MetricsTlsCipherSuitesOption,
    MetricsTlsKeyOption,
    MetricsTlsMinVersionOption,
    ProfilingAddressOption,
)
from statefulroute.cli.profiling_address import parse_profiling_address
from statefulroute.monitoring.tls_protocol import DEFAULT_PROTOCOL, TlsProtocol, TlsVersion, parse_cipher_suites
from statefulroute.resolver.unlinked_uid import UnlinkedUidPolicy

if TYPE_CHECKING:
    from statefulroute.domain.keys import RouteKey
    from statefulroute.resolver.settings import Settings

# Functions import what the extra `resolver` installs, so that `resolver --help` works without it.

_UID_FROM_HELP = (
    "Where the uid is in a gateway's request: header:NAME, cookie:NAME, query:NAME, mcp-param:NAME, "
    "jwt:CLAIM or jwt:CLAIM@HEADER. May be repeated; the first that is present is used."
)


class LinkLifetime(StrEnum):
    """The lifetimes of new links."""

    PERSISTENT = "persistent"
    TEMPORARY = "temporary"


def resolver(  # noqa: PLR0913 - an option each
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    watch_namespace: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMESPACE", help="Serve this namespace; may be repeated. By default all namespaces."),
    ] = None,
    http_address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to serve lookups, Envoy's ext_authz and nginx.")
    ] = ":8080",
    grpc_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Where to serve Envoy's ext_authz and ext_proc over gRPC; not served by default."
        ),
    ] = None,
    default_route: Annotated[
        str | None,
        typer.Option(metavar="NAMESPACE/NAME", help="The StatefulRoute of gRPC calls that name none."),
    ] = None,
    bind_address: BindAddressOption = None,
    metrics_address: MetricsAddressOption = None,
    metrics_tls_certificate: MetricsTlsCertificateOption = None,
    metrics_tls_key: MetricsTlsKeyOption = None,
    metrics_tls_min_version: MetricsTlsMinVersionOption = TlsVersion.TLS_1_2,
    metrics_tls_cipher_suites: MetricsTlsCipherSuitesOption = None,
    metrics_authentication: MetricsAuthenticationOption = False,
    profiling_address: ProfilingAddressOption = None,
    unknown_uid: Annotated[
        UnlinkedUidPolicy,
        typer.Option(
            help="How to handle a gateway's request whose uid has no link: bind it to a pod, pass it to any available "
            "pod, or refuse it."
        ),
    ] = UnlinkedUidPolicy.BIND,
    uid_from: Annotated[list[str] | None, typer.Option(metavar="PLACE", help=_UID_FROM_HELP)] = None,
    uid_from_response: Annotated[
        str | None,
        typer.Option(
            metavar="HEADER",
            help="Over ext_proc, link the uid in this header of a response to the pod that has sent it, before the "
            "client gets the response, if no link binds the user of the request; for servers that begin sessions and "
            "do not link them, for example mcp-session-id.",
        ),
    ] = None,
    endpoint_header: Annotated[
        str | None,
        typer.Option(help="The response header with the endpoint; by default x-gateway-destination-endpoint."),
    ] = None,
    new_links: Annotated[
        LinkLifetime,
        typer.Option(help="The lifetime of new links: until they are removed, or the default TTL of the route."),
    ] = LinkLifetime.TEMPORARY,
    bindings_per_second: Annotated[
        int, typer.Option(min=1, help="The maximum number of new links of one route per second.")
    ] = 100,
    link_changes: Annotated[
        bool,
        typer.Option(
            "--link-changes",
            help="Let callers unlink users, and claim them for a pod; by default they can only look up, bind and "
            "renew. Authenticate the callers.",
        ),
    ] = False,
    hold_seconds: Annotated[
        float,
        typer.Option(
            min=0,
            max=3600,
            help="How long to hold a request of a user until a pod takes them, instead of failing it with 503; 0 holds "
            "none. New users above the limit wait as well. Gateways must wait longer.",
        ),
    ] = 0,
    max_held: Annotated[
        int, typer.Option(min=1, help="The maximum number of held requests. Others fail with 503 at once.")
    ] = 1000,
    keep_managed_fields: KeepManagedFields = False,
    requests_per_second: Annotated[
        int | None,
        typer.Option(min=1, help="The maximum number of requests of one caller per second; by default no limit."),
    ] = None,
    token_audience: Annotated[
        str | None,
        typer.Option(
            metavar="AUDIENCE", help="Require a bearer token for this audience; by default no token is required."
        ),
    ] = None,
    allow_user: Annotated[
        list[str] | None,
        typer.Option(metavar="USER", help="Admit only tokens of this user; may be repeated."),
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="The server certificate, in PEM; by default no TLS.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The key of the certificate, in PEM.")] = None,
    tls_min_version: Annotated[
        TlsVersion, typer.Option(help="The lowest version of TLS, also of gRPC.")
    ] = TlsVersion.TLS_1_2,
    tls_cipher_suites: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            help="The cipher suites of TLS 1.2, also of gRPC, as IANA names them; by default those of OpenSSL and of "
            "gRPC with forward secrecy.",
        ),
    ] = None,
    client_ca: Annotated[
        Path | None, typer.Option(help="Require a client certificate of these authorities, in PEM.")
    ] = None,
    max_age: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="Fail look-ups with 503 while the last event of the API server is older; by default no limit. In a "
            "quiet cluster, an age of a minute is normal.",
        ),
    ] = None,
    drain_seconds: Annotated[
        float,
        typer.Option(min=0, help="How long to serve requests after SIGTERM, while /readyz fails."),
    ] = 0,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = None,
    hash_uids: Annotated[
        bool, typer.Option("--hash-uids", help="Replace the uids of links by hashes in logs.")
    ] = False,
) -> None:
    """Run the resolver: look up users' pods for gateways, and bind new users, until SIGTERM."""
    from statefulroute.monitoring.bind_address import BindAddress  # noqa: PLC0415
    from statefulroute.monitoring.settings import ServerTls  # noqa: PLC0415
    from statefulroute.resolver.settings import ENDPOINT_HEADER, Settings  # noqa: PLC0415
    from statefulroute.resolver.uid_sources import UidSource  # noqa: PLC0415

    if (tls_certificate is None) is not (tls_key is None):
        raise typer.BadParameter("--tls-certificate and --tls-key belong together: give both or none")
    if client_ca is not None and tls_certificate is None:
        raise typer.BadParameter("--client-ca needs --tls-certificate and --tls-key")
    if allow_user and token_audience is None:
        raise typer.BadParameter("--allow-user needs --token-audience: users are known by their tokens")
    if uid_from_response is not None and grpc_address is None:
        raise typer.BadParameter("--uid-from-response needs --grpc-address: only Envoy's ext_proc sends responses")
    try:
        sources = tuple(map(UidSource.parse, uid_from or ("header:x-user-id",)))
        suites = parse_cipher_suites(tls_cipher_suites, "--tls-cipher-suites")
        metrics_suites = parse_cipher_suites(metrics_tls_cipher_suites, "--metrics-tls-cipher-suites")
        protocol = TlsProtocol(tls_min_version, suites)
        if protocol != DEFAULT_PROTOCOL and tls_certificate is None:
            raise typer.BadParameter("--tls-min-version and --tls-cipher-suites need --tls-certificate and --tls-key")
        settings = Settings(
            kubeconfig=kubeconfig,
            context=context,
            namespaces=tuple(dict.fromkeys(watch_namespace or ())),
            http_address=BindAddress.parse(http_address),
            grpc_address=None if grpc_address is None else BindAddress.parse(grpc_address),
            default_route=None if default_route is None else _parse_route(default_route),
            bind_address=None if bind_address is None else BindAddress.parse(bind_address),
            metrics=metrics_endpoint(
                metrics_address,
                metrics_tls_certificate,
                metrics_tls_key,
                TlsProtocol(metrics_tls_min_version, metrics_suites),
                authenticates=metrics_authentication,
            ),
            profiling_address=parse_profiling_address(profiling_address),
            unlinked_uid=unknown_uid,
            uid_sources=sources,
            uid_from_response=uid_from_response,
            endpoint_header=endpoint_header or ENDPOINT_HEADER,
            temporary_links=new_links is LinkLifetime.TEMPORARY,
            bindings_per_second=bindings_per_second,
            link_changes=link_changes,
            hold_seconds=hold_seconds,
            max_held=max_held,
            keep_managed_fields=keep_managed_fields,
            requests_per_second=requests_per_second,
            token_audience=token_audience,
            allowed_users=tuple(allow_user or ()),
            tls=ServerTls(tls_certificate, tls_key, client_ca, protocol) if tls_certificate and tls_key else None,
            max_age_seconds=max_age,
            drain_seconds=drain_seconds,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    run_resolver(settings, log_level, log_format, hash_uids=hash_uids)


def _parse_route(text: str) -> "RouteKey":
    """Parse NAMESPACE/NAME."""
    from statefulroute.domain.keys import RouteKey  # noqa: PLC0415

    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name:
        raise ValueError(f"{text!r} is not NAMESPACE/NAME of a StatefulRoute; for example play/game")
    return RouteKey(namespace, name)


def run_resolver(settings: "Settings", level: LogLevel, log_format: LogFormat | None, *, hash_uids: bool) -> None:
    """Run the resolver until SIGTERM."""
    import structlog  # noqa: PLC0415

    from statefulroute.cli.process import run_process  # noqa: PLC0415
    from statefulroute.cluster.errors import NotConnectedError  # noqa: PLC0415
    from statefulroute.monitoring.otlp import OtlpUnavailableError  # noqa: PLC0415
    from statefulroute.monitoring.server import BindError  # noqa: PLC0415
    from statefulroute.monitoring.tls import UnusableCertificateError  # noqa: PLC0415
    from statefulroute.resolver.process import run  # noqa: PLC0415

    set_up_logging(level, log_format, hash_uids=hash_uids)
    expected_errors = (NotConnectedError, BindError, UnusableCertificateError, OtlpUnavailableError)
    run_process(lambda: run(settings), expected_errors, structlog.get_logger(__name__))
