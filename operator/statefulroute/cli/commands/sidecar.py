"""`sidecar`: runs the sidecar of a server pod."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from statefulroute.cli.logs import LogFormat, LogLevel, set_up_logging
from statefulroute.cli.options import BindAddressOption, KeepManagedFields, LogFormatOption, LogLevelOption

if TYPE_CHECKING:
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
    max_streams: Annotated[int, typer.Option(min=1, help="The maximum number of open streams of events.")] = 16,
    keep_managed_fields: KeepManagedFields = False,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = None,
    hash_uids: Annotated[
        bool, typer.Option("--hash-uids", help="Replace the uids of links by hashes in logs.")
    ] = False,
) -> None:
    """Run the sidecar of a server pod: its driver for programs in any language, until SIGTERM."""
    from statefulroute.driver.parts import Configuration  # noqa: PLC0415
    from statefulroute.monitoring.bind_address import BindAddress  # noqa: PLC0415
    from statefulroute.sidecar.settings import Settings  # noqa: PLC0415

    try:
        address = BindAddress.parse(http_address)
        probes = None if bind_address is None else BindAddress.parse(bind_address)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    _check_reach(address, allow_remote=allow_remote)
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
        ),
        follow_routes=tuple(dict.fromkeys(follow_route or ())),
        follow_links=follow_links,
        keep_managed_fields=keep_managed_fields,
        hash_uids=hash_uids,
        max_streams=max_streams,
    )
    run_sidecar(settings, log_level, log_format)


def _check_reach(address: "BindAddress", *, allow_remote: bool) -> None:
    """Refuse an address that other pods can reach, unless it is permitted."""
    from statefulroute.sidecar.settings import is_loopback  # noqa: PLC0415

    if not allow_remote and not is_loopback(address):
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
