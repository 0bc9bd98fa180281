"""Logs lines with fields by the logging module, as libraries should: without a handler, nothing is printed."""

import logging
import os
import re
import traceback
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from statefulroute.domain.log_redaction import LogRedactor
    from statefulroute.domain.redaction import UidRedactor

#: The attribute of a log record with the fields of its line.
FIELDS_ATTRIBUTE = "statefulroute"

#: The environment variable with the key of the hashes, which protects them from being guessed.
HASH_KEY = "STATEFULROUTE_HASH_KEY"

#: A value that is shown without quotes.
_PLAIN = re.compile(r"[\w.:/@~+-]+")

#: A logger of the logging module.
StandardLogger: TypeAlias = logging.Logger | logging.LoggerAdapter[Any]

# Without a handler of the application, the logging module would print warnings on the standard error.
logging.getLogger("statefulroute").addHandler(logging.NullHandler())

_redactor: "LogRedactor | None" = None
"""Redacts the lines of this process; None leaves them."""


def uid_redactor() -> "UidRedactor":
    """Returns a redactor with the key in the environment."""
    from statefulroute.domain.redaction import UidRedactor  # noqa: PLC0415 - few processes redact

    return UidRedactor(os.fsencode(os.environ.get(HASH_KEY, "")))


def log_redactor() -> "LogRedactor":
    """Returns a redactor of log lines with the key in the environment."""
    from statefulroute.domain.log_redaction import LogRedactor  # noqa: PLC0415 - slow to import

    return LogRedactor(uid_redactor())


def hash_uids_in_logs() -> None:
    """Replaces uids by hashes in all lines that this process logs by a `FieldLogger` from now on."""
    global _redactor  # noqa: PLW0603 - as the levels and handlers of the logging module, it applies to the process
    _redactor = log_redactor()


@dataclass(frozen=True, slots=True)
class Message:
    """The message of a log record: an event and its fields, formatted only if the line is written.

    Attributes:
        event: the event, a constant text.
        fields: the fields.
    """

    event: str
    fields: MutableMapping[str, Any]

    def __str__(self) -> str:
        """Returns the event, and each field as `name=value`."""
        return " ".join((self.event, *(f"{name}={_text(value)}" for name, value in self.fields.items())))


class FieldLogger:
    """Logs events with fields. The fields are in the message, and in the attribute `statefulroute` of the record.

    Args:
        logger: the logger that receives the lines.
    """

    def __init__(self, logger: StandardLogger) -> None:
        self._logger = logger

    def info(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - log fields have any type
        """Logs an event."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - as above
        """Logs a problem."""
        self._log(logging.WARNING, event, fields)

    def exception(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - as above
        """Logs an error with the traceback of the exception in progress."""
        if _redactor is None:
            self._log(logging.ERROR, event, fields, exc_info=True)
        else:
            self._log(logging.ERROR, event, {**fields, "exception": traceback.format_exc().rstrip()})

    def _log(self, level: int, event: str, fields: MutableMapping[str, Any], *, exc_info: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            line = redacted(fields)
            message: object = Message(event, line)
            extra: dict[str, object] = {FIELDS_ATTRIBUTE: line}
            logger = self._logger
            while isinstance(logger, logging.LoggerAdapter):  # by itself, it would drop the fields
                message, keywords = logger.process(message, {})
                extra = {**(keywords.get("extra") or {}), **extra}
                logger = logger.logger
            # The record names the function that logs, and not this class.
            logger.log(level, message, extra=extra, exc_info=exc_info, stacklevel=3)


def get_logger(name: str) -> FieldLogger:
    """Returns the logger of a module."""
    return FieldLogger(logging.getLogger(name))


def redacted(fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Returns the fields of a line, with hashes instead of uids if `hash_uids_in_logs` was called."""
    return fields if _redactor is None else _redactor.redact(fields)


def take_fields(line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Takes event and fields from the message of a log record into a line of structlog, which has them separately."""
    message = line["_record"].msg
    if isinstance(message, Message):
        line.update(message.fields, event=message.event)
    return line


def _text(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else repr(text)
