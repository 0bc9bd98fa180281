"""The operator's process."""

import asyncio
import os
from typing import NoReturn

import structlog
import typer
import uvloop

from statefulroute.cli.logs import LogFormat, LogLevel, set_up_logging
from statefulroute.cluster.errors import NotConnectedError
from statefulroute.cluster.lease import NoLeaseNamespaceError
from statefulroute.controllers.leadership import LeadershipLostError
from statefulroute.controllers.monitoring.tracing import NotTracingError
from statefulroute.controllers.operator import run
from statefulroute.controllers.settings import Settings
from statefulroute.monitoring.server import NotListeningError

log = structlog.get_logger(__name__)


def run_operator(settings: Settings, level: LogLevel, log_format: LogFormat | None) -> None:
    """Run the operator until it is told to stop, or must end because it does not lead any more."""
    set_up_logging(level, log_format, hash_uids=settings.pseudonyms is not None)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings, _abandon))
    except (NotConnectedError, NotListeningError, NotTracingError, NoLeaseNamespaceError) as error:
        typer.echo(f"statefulroute: {error}", err=True)
        raise typer.Exit(1) from error
    except Exception as error:
        # Python would print it beside the log: in another form, and with uids that are to be hidden.
        log.exception("ended by an unexpected error")
        raise typer.Exit(1) from error


def _abandon(why: LeadershipLostError) -> NoReturn:
    """End this process as if it were killed, and say why: everything must bear that anyhow."""
    log.error("this operator leads no more, and ends", why=str(why))
    os._exit(1)
