"""The operator's process."""

import os
from typing import NoReturn

import structlog

from statefulroute.cli.logs import LogFormat, LogLevel, set_up_logging
from statefulroute.cli.process import run_process
from statefulroute.cluster.errors import NotConnectedError
from statefulroute.cluster.lease import LeaseNamespaceNotFoundError
from statefulroute.controllers.leadership import LeadershipLostError
from statefulroute.controllers.monitoring.tracing import TracingUnavailableError
from statefulroute.controllers.operator import run
from statefulroute.controllers.settings import Settings
from statefulroute.monitoring.server import BindError

log = structlog.get_logger(__name__)


def run_operator(settings: Settings, level: LogLevel, log_format: LogFormat | None) -> None:
    """Run the operator until it is told to stop, or must end because it does not lead any more."""
    set_up_logging(level, log_format, hash_uids=settings.uid_redactor is not None)
    told = (NotConnectedError, BindError, TracingUnavailableError, LeaseNamespaceNotFoundError)
    run_process(lambda: run(settings, _abandon), told, log)


def _abandon(why: LeadershipLostError) -> NoReturn:
    """End this process as if it were killed, and say why: everything must bear that anyhow."""
    log.error("this operator leads no more, and ends", why=str(why))
    os._exit(1)
