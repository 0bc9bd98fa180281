"""Sets up the log of a process with structlog: text on a terminal, JSON elsewhere, also for lines of libraries."""

import logging
import sys
from collections.abc import Callable, MutableMapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from statefulroute.cli.output.messages import printable
from statefulroute.cli.output.terminal import stderr_terminal

if TYPE_CHECKING:
    from structlog.typing import Processor


class LogLevel(StrEnum):
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """The formats of log lines."""

    TEXT = "text"
    JSON = "json"


def set_up_logging(level: LogLevel, log_format: LogFormat | None, *, hash_uids: bool = False) -> None:
    """Send log lines of at least a level to the standard error.

    Args:
        level: the lowest level.
        log_format: the format; None is text on a terminal and JSON elsewhere.
        hash_uids: whether to replace the uids of links by hashes.
    """
    import structlog  # noqa: PLC0415 - slow to import, and `--help` does not log

    from statefulroute.cluster.field_logger import log_redactor, take_fields  # noqa: PLC0415 - as above

    as_json = log_format is LogFormat.JSON or (log_format is None and not sys.stderr.isatty())
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks do not show the values of variables, which may be credentials or uids.
    traceback = structlog.tracebacks.ExceptionDictTransformer(show_locals=False) if as_json else None
    renderer: list[Any] = [
        structlog.processors.ExceptionRenderer(traceback) if traceback else structlog.processors.format_exc_info,
        *([_line_processor(log_redactor().redact)] if hash_uids else ()),
        *(
            (structlog.processors.JSONRenderer(default=str),)
            if as_json
            else (
                _escape_unprintable,
                structlog.dev.ConsoleRenderer(
                    colors=stderr_terminal().has_colors, exception_formatter=structlog.dev.plain_traceback
                ),
            )
        ),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_line_processor(take_fields), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # kopf logs several lines per object
    logging.getLogger("kopf").setLevel(max(logging.WARNING, logging.getLogger().level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _escape_unprintable(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that escapes unprintable characters; only a traceback keeps its newlines."""
    for field, value in line.items():
        if isinstance(value, str):
            line[field] = printable(value, keep="\n" if field == "exception" else "")
    return line


def _line_processor(process: Callable[[MutableMapping[str, Any]], MutableMapping[str, Any]]) -> "Processor":
    """Returns a structlog processor that changes the fields of a line."""
    return lambda _logger, _method, line: process(line)
