"""Logs one line for each operation of a driver, and raises its errors as `StatefulRouteError`."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import msgspec

from statefulroute.cluster.errors import APIError, ClusterError
from statefulroute.cluster.field_logger import FieldLogger, get_logger, hash_uids_in_logs, redacted
from statefulroute.domain.errors import ForbiddenError, InternalError, InvalidParameterError, StatefulRouteError
from statefulroute.driver.parts import EventLogger, Logger


def make_logger(logger: Logger | None, name: str, *, hash_uids: bool) -> EventLogger:
    """Returns the logger of a driver.

    Args:
        logger: the logger that the application passes; None is the logger of the logging module with the name.
        name: the name of the driver's module.
        hash_uids: whether to replace uids by hashes, for this logger and for all lines of the library.

    Raises:
        InvalidParameterError: the object is not a logger.
    """
    if hash_uids:
        hash_uids_in_logs()
    if logger is None:
        return get_logger(name)
    if isinstance(logger, logging.Logger | logging.LoggerAdapter):
        return FieldLogger(logger)
    if not (callable(getattr(logger, "info", None)) and callable(getattr(logger, "warning", None))):
        raise InvalidParameterError("logger", "must be a logger of the logging module, or of structlog")
    return _RedactingLogger(logger)


class _RedactingLogger:
    """Redacts the lines for another logger, if a driver of this process hashes uids."""

    def __init__(self, logger: EventLogger) -> None:
        self._logger = logger

    def info(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - log fields have any type
        self._logger.info(event, **redacted(fields))

    def warning(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - as above
        self._logger.warning(event, **redacted(fields))


class OperationFields:
    """The results of an operation, as log fields."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}

    def add(self, **fields: Any) -> None:  # noqa: ANN401 - log fields have any type
        """Adds log fields."""
        self.fields.update(fields)


@contextmanager
def log_operation(log: EventLogger, name: str, **arguments: Any) -> Iterator[OperationFields]:  # noqa: ANN401 - as above
    """Logs the operation in the context when it ends, with the duration of a success or the error of a failure.

    Args:
        log: the logger.
        name: the name of the operation.
        arguments: its arguments, as log fields.

    Raises:
        StatefulRouteError: the operation failed; errors of the cluster are wrapped in an `InternalError`.
    """
    outcome, started_at = OperationFields(), time.perf_counter()
    try:
        yield outcome
    except StatefulRouteError as error:
        log.warning(name, **arguments, code=error.code, error=str(error))
        raise
    except APIError as error:
        failure = forbidden(error) if error.status == HTTPStatus.FORBIDDEN else InternalError(str(error))
        log.warning(name, **arguments, code=failure.code, error=str(error))
        raise failure from error
    except (ClusterError, OSError, msgspec.MsgspecError) as error:  # no response, a port in use, or an invalid response
        log.warning(name, **arguments, code=InternalError.code, error=str(error))
        raise InternalError(str(error)) from error
    else:
        milliseconds = round((time.perf_counter() - started_at) * 1000, 1)
        log.info(name, **arguments, **outcome.fields, milliseconds=milliseconds)


def forbidden(error: APIError) -> ForbiddenError:
    """Returns the error for the caller: what its account may not do, and what to do."""
    return ForbiddenError(f"{error.message}; give the account of this process a Role, as in deploy/rbac")
