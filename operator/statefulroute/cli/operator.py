"""The operator's process."""

import asyncio

import typer
import uvloop

from statefulroute.cli.logs import LogFormat, LogLevel, set_up_logging
from statefulroute.cluster.errors import NotConnectedError
from statefulroute.controllers.operator import Settings, run


def run_operator(settings: Settings, level: LogLevel, log_format: LogFormat | None) -> None:
    """Run the operator until it is told to stop."""
    set_up_logging(level, log_format)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings))
    except NotConnectedError as error:
        typer.echo(f"statefulroute: {error}", err=True)
        raise typer.Exit(1) from error
