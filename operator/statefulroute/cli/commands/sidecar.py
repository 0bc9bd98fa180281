"""`sidecar`: runs the sidecar of a server pod."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from statefulroute.cli.logs import LogFormat, LogLevel, set_up_logging
from statefulroute.cli.options import BindAddressOption, KeepManagedFields, LogFormatOption, LogLevelOption

if TYPE_CHECKING:
    from statefulroute.driver.hand_over_configuration import TLSFiles
    from statefulroute.monitoring.bind_address import BindAddress
    from statefulroute.sidecar.settings import Settings

# Functions import what the extra `sidecar` installs, so that `sidecar --help` works without it.


def sidecar(  # noqa: PLR0913 - an option each
    *,
    http_address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to serve the API: a loopback address.")
    ] = "127.0.0.1:8470",
    allow_remote: Annotated[
        bool,
        typer.Option(
            "--allow-remote",
            help="Permit an --http-address that other pods can reach. They can then bind, move and remove users; "
            "give a --token-file.",
        ),
    ] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Require the token in this file as a bearer token; by default no token is required."
        ),
    ] = None,
    bind_address: BindAddressOption = None,
    follow_route: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROUTE",
            help="Follow the users of this route, too, if the pods serve several; may be repeated. Those of the pod's "
            "own route are followed always.",
        ),
    ] = None,
    follow_links: Annotated[
        bool,
        typer.Option(
            "--follow-links",
            help="Watch all links of the pod's route: a binding then costs one request instead of two, and the pod "
            "receives every change of a link.",
        ),
    ] = False,
    fence_after_seconds: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Send `cut-off` if the API server has not answered for this time; by default never. Use 10 or more.",
        ),
    ] = None,
    drain_seconds: Annotated[float, typer.Option(min=0, help="How long a stop waits for the users to leave.")] = 20,
    state_period_seconds: Annotated[
        float, typer.Option(min=0.1, help="The interval between publications of load and routing state.")
    ] = 30,
    workload_period_seconds: Annotated[
        float,
        typer.Option(min=0.1, help="The interval at which the pod of the first index checks the state of the service."),
    ] = 60,
    deadline_seconds: Annotated[
        float,
        typer.Option(min=0.1, help="The time limit of an operation, and how long the start waits for the API server."),
    ] = 10,
    load_host: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            help="Where to serve the load, if the route reads it over HTTP; by default on all addresses.",
        ),
    ] = "",
    hand_over_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            metavar="PORT",
            help="Send and receive the states of users who are handed over, by this port of all pods of the service; "
            "by default none are sent.",
        ),
    ] = None,
    hand_over_host: Annotated[
        str, typer.Option(metavar="HOST", help="Where to listen for states; by default on all addresses.")
    ] = "",
    max_state_bytes: Annotated[
        int, typer.Option(min=1, help="The maximum size of the state of a user, sent or received.")
    ] = 4 * 2**20,
    hand_over_tokens: Annotated[
        Path,
        typer.Option(metavar="DIRECTORY", help="The directory with the files `send` and `receive`: the pod's tokens."),
    ] = Path("/var/run/secrets/statefulroute.io/hand-over"),
    hand_over_certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The certificate of the pod for states, in PEM; by default states are not encrypted."
        ),
    ] = None,
    hand_over_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key, in PEM.")] = None,
    hand_over_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The authorities of the other pods, in PEM.")
    ] = None,
    hand_over_server_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The DNS name that the certificates of other pods must have; by default each certificate of the "
            "authorities is accepted.",
        ),
    ] = None,
    max_streams: Annotated[int, typer.Option(min=1, help="The maximum number of open streams of events.")] = 16,
    keep_managed_fields: KeepManagedFields = False,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = None,
    hash_uids: Annotated[
        bool, typer.Option("--hash-uids", help="Replace the uids of links by hashes in logs.")
    ] = False,
) -> None:
    """Run the sidecar of a server pod: its driver for programs in any language, until SIGTERM."""
    from statefulroute.driver.hand_over_configuration import HandOverConfiguration  # noqa: PLC0415
    from statefulroute.driver.parts import Configuration  # noqa: PLC0415
    from statefulroute.monitoring.bind_address import BindAddress  # noqa: PLC0415
    from statefulroute.sidecar.settings import Settings  # noqa: PLC0415

    try:
        address = BindAddress.parse(http_address)
        probes = None if bind_address is None else BindAddress.parse(bind_address)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    _check_reach(address, allow_remote=allow_remote)
    hand_over = None
    if hand_over_port is not None:
        hand_over = HandOverConfiguration(
            port=hand_over_port,
            listen_host=hand_over_host,
            max_state_bytes=max_state_bytes,
            tokens=hand_over_tokens,
            tls=_tls_files(hand_over_certificate, hand_over_key, hand_over_ca, hand_over_server_name),
        )
    settings = Settings(
        http_address=address,
        bind_address=probes,
        token_file=token_file,
        configuration=Configuration(
            state_period_seconds=state_period_seconds,
            workload_period_seconds=workload_period_seconds,
            drain_seconds=drain_seconds,
            listen_host=load_host,
            deadline_seconds=deadline_seconds,
            fence_after_seconds=fence_after_seconds,
            hand_over=hand_over,
        ),
        follow_routes=tuple(dict.fromkeys(follow_route or ())),
        follow_links=follow_links,
        keep_managed_fields=keep_managed_fields,
        hash_uids=hash_uids,
        max_streams=max_streams,
    )
    run_sidecar(settings, log_level, log_format)


def _tls_files(
    certificate: Path | None, key: Path | None, ca: Path | None, server_name: str | None
) -> "TLSFiles | None":
    """Return the files for TLS between pods; all of them belong together."""
    from statefulroute.driver.hand_over_configuration import TLSFiles  # noqa: PLC0415

    if certificate is None and key is None and ca is None:
        return None
    if certificate is None or key is None or ca is None:
        raise typer.BadParameter(
            "--hand-over-certificate, --hand-over-key and --hand-over-ca belong together: give all or none"
        )
    return TLSFiles(certificate=certificate, key=key, ca=ca, server_name=server_name)


def _check_reach(address: "BindAddress", *, allow_remote: bool) -> None:
    """Refuse an address that other pods can reach, unless it is permitted."""
    if not allow_remote and not address.is_loopback:
        raise typer.BadParameter(
            f"--http-address {address} is no loopback address: every pod that reaches it could move users. Use "
            "127.0.0.1, [::1] or localhost; or give --allow-remote, and a --token-file"
        )


def run_sidecar(settings: "Settings", level: LogLevel, log_format: LogFormat | None) -> None:
    """Run the sidecar until SIGTERM."""
    import structlog  # noqa: PLC0415

    from statefulroute.cli.process import run_process  # noqa: PLC0415
    from statefulroute.domain.errors import StatefulRouteError  # noqa: PLC0415
    from statefulroute.monitoring.server import BindError  # noqa: PLC0415
    from statefulroute.sidecar.guard import TokenUnreadableError  # noqa: PLC0415
    from statefulroute.sidecar.process import run  # noqa: PLC0415

    set_up_logging(level, log_format, hash_uids=settings.hash_uids)
    expected_errors = (StatefulRouteError, BindError, TokenUnreadableError)
    run_process(lambda: run(settings), expected_errors, structlog.get_logger(__name__))
