"""What every operation of a driver has in common: one line in the log, and errors of one family."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from statefulroute.cluster.errors import ClusterError
from statefulroute.domain.errors import InternalError, StatefulRouteError
from statefulroute.driver.parts import Logger


class OperationFields:
    """What an operation's line in the log says besides its arguments."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}

    def add(self, **said: Any) -> None:  # noqa: ANN401 - whatever is worth logging
        """Note what came out."""
        self.fields.update(said)


@contextmanager
def log_operation(log: Logger, name: str, **arguments: Any) -> Iterator[OperationFields]:  # noqa: ANN401 - as above
    """Carry out one operation.

    Args:
        log: where its one line goes.
        name: what it is called.
        arguments: what it was called with.

    Raises:
        StatefulRouteError: whatever stands in the way of it.
    """
    outcome, begun = OperationFields(), time.perf_counter()
    try:
        yield outcome
    except StatefulRouteError as error:
        log.warning(name, **arguments, code=error.code, error=str(error))
        raise
    except (ClusterError, OSError, msgspec.MsgspecError) as error:  # no answer, no port, or no Kubernetes
        log.warning(name, **arguments, code=InternalError.code, error=str(error))
        raise InternalError(str(error)) from error
    else:
        milliseconds = round((time.perf_counter() - begun) * 1000, 1)
        log.info(name, **arguments, **outcome.fields, milliseconds=milliseconds)
