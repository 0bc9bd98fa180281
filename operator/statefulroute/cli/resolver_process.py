"""The resolver's process."""

import structlog

from statefulroute.cli.logs import LogFormat, LogLevel, set_up_logging
from statefulroute.cli.process import run_process
from statefulroute.cluster.errors import NotConnectedError
from statefulroute.monitoring.server import BindError
from statefulroute.resolver.process import run
from statefulroute.resolver.settings import Settings
from statefulroute.resolver.tls import UnusableCertificateError

log = structlog.get_logger(__name__)


def run_resolver(settings: Settings, level: LogLevel, log_format: LogFormat | None, *, hash_uids: bool) -> None:
    """Run the resolver until it is told to stop."""
    set_up_logging(level, log_format, hash_uids=hash_uids)
    told = (NotConnectedError, BindError, UnusableCertificateError)
    run_process(lambda: run(settings), told, log)
