"""What the served CustomResourceDefinition accepts in the status of a route, if it is of an older version."""

import re
import time
from collections.abc import Callable

from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.vocabulary import ConditionType
from statefulroute.cluster.errors import APIError
from statefulroute.cluster.field_logger import get_logger

log = get_logger(__name__)

#: How long the answers of the API server count, in seconds. After it, an upgraded definition is noticed.
_VALID_SECONDS = 600.0

_CONDITION_TYPE = re.compile(r"status\.conditions\[(\d+)\]\.type")


class ServedDefinition:
    """The condition types that the served definition of StatefulRoute does not know.

    An operator meets an older definition during an upgrade or after a rollback. The API server then refuses a whole
    status because of one condition whose type is new. Without that condition, it accepts the status.

    Args:
        monotonic: returns the seconds since any fixed moment.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._unknown: frozenset[ConditionType] = frozenset()
        self._checked_at: float | None = None

    @property
    def is_checked(self) -> bool:
        """Whether the API server has accepted a status in the last ten minutes."""
        return self._checked_at is not None and self._monotonic() - self._checked_at < _VALID_SECONDS

    def accepted_part(self, status: StatefulRouteStatus) -> StatefulRouteStatus:
        """Returns the status without the conditions that the API server refuses."""
        if not self._unknown:
            return status
        conditions = tuple(each for each in status.conditions if each.type not in self._unknown)
        return status.model_copy(update={"conditions": conditions})

    def status_accepted(self) -> None:
        """Records that the API server has accepted a status."""
        if not self.is_checked:
            self._checked_at = self._monotonic()

    def status_refused(self, status: StatefulRouteStatus, error: APIError) -> bool:
        """Records that the API server has refused a status.

        Returns:
            Whether the accepted part of the status is another one now, so that it can be written instead.
        """
        match = _CONDITION_TYPE.fullmatch(error.field)
        if match is None or int(match[1]) >= len(status.conditions):
            return False
        unknown = status.conditions[int(match[1])].type
        log.warning(
            "the CustomResourceDefinition is older than this operator, so statuses lack a condition: upgrade it",
            condition=unknown,
        )
        self._unknown |= {unknown}
        return True

    def forget_expired(self) -> None:
        """Forgets which types are unknown when the last check is too old."""
        if self._unknown and self._checked_at is not None and not self.is_checked:
            self._unknown = frozenset()
