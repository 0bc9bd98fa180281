"""The resolver's process."""

import asyncio

import structlog
import typer
import uvloop

from statefulroute.cli.logs import LogFormat, LogLevel, set_up_logging
from statefulroute.cluster.errors import NotConnectedError
from statefulroute.monitoring.server import NotListeningError
from statefulroute.resolver.process import run
from statefulroute.resolver.settings import Settings
from statefulroute.resolver.tls import UnusableCertificateError

log = structlog.get_logger(__name__)


def run_resolver(settings: Settings, level: LogLevel, log_format: LogFormat | None, *, hash_uids: bool) -> None:
    """Run the resolver until it is told to stop."""
    set_up_logging(level, log_format, hash_uids=hash_uids)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings))
    except (NotConnectedError, NotListeningError, UnusableCertificateError) as error:
        typer.echo(f"statefulroute: {error}", err=True)
        raise typer.Exit(1) from error
    except Exception as error:
        # Python would print it beside the log: in another form, and with uids that are to be hidden.
        log.exception("ended by an unexpected error")
        raise typer.Exit(1) from error
