"""The command `statefulroute resolver`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from statefulroute.cli.logs import LogLevel
from statefulroute.cli.options import BindAddress, Context, Kubeconfig, LogFormatOption, LogLevelOption
from statefulroute.resolver.unlinked_uid import UnlinkedUidPolicy

if TYPE_CHECKING:
    from statefulroute.domain.keys import RouteKey

_WHERE_UIDS_STAND = (
    "Where a gateway's request says whose it is: header:NAME, cookie:NAME, query:NAME, jwt:CLAIM or jwt:CLAIM@HEADER. "
    "May be repeated; the first that has one counts."
)


class LinkLifetime(StrEnum):
    """How long new links live."""

    PERSISTENT = "persistent"
    TEMPORARY = "temporary"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(resolver)


def resolver(  # noqa: PLR0913 - an option each
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    watch_namespace: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMESPACE", help="Answer for this namespace; may be repeated. Without it, all of the cluster."
        ),
    ] = None,
    http_address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to answer look-ups, Envoy's ext_authz and nginx.")
    ] = ":8080",
    grpc_address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where to answer Envoy's ext_proc over gRPC; without it, nowhere."),
    ] = None,
    default_route: Annotated[
        str | None,
        typer.Option(
            metavar="NAMESPACE/NAME", help="The StatefulRoute of ext_proc calls that name none in their metadata."
        ),
    ] = None,
    bind_address: BindAddress = None,
    unknown_uid: Annotated[
        UnlinkedUidPolicy,
        typer.Option(
            help="What becomes of a gateway's request whose uid is not linked: bind it, pass it to any available pod, "
            "or refuse it."
        ),
    ] = UnlinkedUidPolicy.BIND,
    uid_from: Annotated[list[str] | None, typer.Option(metavar="PLACE", help=_WHERE_UIDS_STAND)] = None,
    endpoint_header: Annotated[
        str | None,
        typer.Option(help="The header that a gateway is told the endpoint in; x-gateway-destination-endpoint."),
    ] = None,
    new_links: Annotated[
        LinkLifetime,
        typer.Option(help="How long new links live: until they are removed, or as long as their route says."),
    ] = LinkLifetime.PERSISTENT,
    bindings_per_second: Annotated[
        int, typer.Option(min=1, help="How many new links of one route are made in a second, at the most.")
    ] = 100,
    requests_per_second: Annotated[
        int | None, typer.Option(min=1, help="How often one caller may ask in a second; without it, no limit.")
    ] = None,
    token_audience: Annotated[
        str | None,
        typer.Option(
            metavar="AUDIENCE", help="Let in only who sends a token for this audience; without it, everybody."
        ),
    ] = None,
    allow_user: Annotated[
        list[str] | None,
        typer.Option(metavar="USER", help="Of those, let in only this user; may be repeated."),
    ] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="The certificate, in PEM; without it, no TLS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, in PEM.")] = None,
    client_ca: Annotated[
        Path | None, typer.Option(help="Let in only who has a certificate of these authorities, in PEM.")
    ] = None,
    drain_seconds: Annotated[
        float,
        typer.Option(min=0, help="How long to answer on when told to stop, while /readyz says so."),
    ] = 0,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = None,
    hash_uids: Annotated[
        bool, typer.Option("--hash-uids", help="Write a hash into logs where there would be the uid of a link.")
    ] = False,
) -> None:
    """Run the resolver: tell gateways which pod holds a user, and bind who is new, until SIGTERM."""
    # A cold `--help` does without the HTTP server and the Kubernetes client.
    from statefulroute.cli.resolver_process import run_resolver  # noqa: PLC0415
    from statefulroute.monitoring.bind_address import BindAddress  # noqa: PLC0415
    from statefulroute.resolver.settings import ENDPOINT_HEADER, Settings, TlsFiles  # noqa: PLC0415
    from statefulroute.resolver.uid_sources import UidSource  # noqa: PLC0415

    if (tls_certificate is None) is not (tls_key is None):
        raise typer.BadParameter("--tls-certificate and --tls-key belong together: give both or none")
    if client_ca is not None and tls_certificate is None:
        raise typer.BadParameter("--client-ca needs --tls-certificate and --tls-key")
    if allow_user and token_audience is None:
        raise typer.BadParameter("--allow-user needs --token-audience: users are known by their tokens")
    try:
        sources = tuple(map(UidSource.parse, uid_from or ("header:x-user-id",)))
        settings = Settings(
            kubeconfig=kubeconfig,
            context=context,
            namespaces=tuple(dict.fromkeys(watch_namespace or ())),
            http_address=BindAddress.parse(http_address),
            grpc_address=None if grpc_address is None else BindAddress.parse(grpc_address),
            default_route=None if default_route is None else _route(default_route),
            bind_address=None if bind_address is None else BindAddress.parse(bind_address),
            unlinked_uid=unknown_uid,
            uid_sources=sources,
            endpoint_header=endpoint_header or ENDPOINT_HEADER,
            temporary_links=new_links is LinkLifetime.TEMPORARY,
            bindings_per_second=bindings_per_second,
            requests_per_second=requests_per_second,
            token_audience=token_audience,
            allowed_users=tuple(allow_user or ()),
            tls=TlsFiles(tls_certificate, tls_key, client_ca) if tls_certificate and tls_key else None,
            drain_seconds=drain_seconds,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    run_resolver(settings, log_level, log_format, hash_uids=hash_uids)


def _route(text: str) -> "RouteKey":
    """Read NAMESPACE/NAME."""
    from statefulroute.domain.keys import RouteKey  # noqa: PLC0415 - as above

    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name:
        raise ValueError(f"{text!r} is not NAMESPACE/NAME of a StatefulRoute; for example play/game")
    return RouteKey(namespace, name)
