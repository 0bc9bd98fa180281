"""Logs one line for each operation of a driver, and raises its errors as `StatefulRouteError`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from statefulroute.cluster.errors import ClusterError
from statefulroute.domain.errors import InternalError, StatefulRouteError
from statefulroute.driver.parts import Logger


class OperationFields:
    """The results of an operation, as log fields."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}

    def add(self, **fields: Any) -> None:  # noqa: ANN401 - log fields have any type
        """Adds log fields."""
        self.fields.update(fields)


@contextmanager
def log_operation(log: Logger, name: str, **arguments: Any) -> Iterator[OperationFields]:  # noqa: ANN401 - as above
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
    except (ClusterError, OSError, msgspec.MsgspecError) as error:  # no response, a port in use, or an invalid response
        log.warning(name, **arguments, code=InternalError.code, error=str(error))
        raise InternalError(str(error)) from error
    else:
        milliseconds = round((time.perf_counter() - started_at) * 1000, 1)
        log.info(name, **arguments, **outcome.fields, milliseconds=milliseconds)
