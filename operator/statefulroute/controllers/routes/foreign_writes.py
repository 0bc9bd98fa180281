"""Notices another operator that writes the statuses of routes while this one leads."""

import time
from collections.abc import Callable

import structlog

from statefulroute.cluster.events import EventRecorder
from statefulroute.controllers.leadership import Leadership
from statefulroute.domain.events import foreign_writer_event
from statefulroute.domain.route import Route
from statefulroute.domain.writer import foreign_writer

log = structlog.get_logger(__name__)

#: How often the same operator is logged. The recorder limits events in the same way.
_LOG_SECONDS = 600.0


class ForeignWrites:
    """Counts and reports writes of other operators. Such an operator holds another Lease, or none.

    Args:
        leadership: whether and since when this operator leads, its name, and those of its predecessors.
        recorder: writes events.
        monotonic: returns monotonic seconds.

    Attributes:
        count: how many writes were observed.
    """

    def __init__(
        self, leadership: Leadership, recorder: EventRecorder, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.count = 0
        self._leadership = leadership
        self._recorder = recorder
        self._monotonic = monotonic
        self._logged: dict[str, float] = {}
        """When each operator was logged."""

    def route_changed(self, old: Route | None, new: Route | None) -> None:
        """Listens to the cache of routes."""
        if new is None or not self._leadership.is_leader:
            return
        leadership = self._leadership
        writer = foreign_writer(old, new, leadership.identity, leadership.predecessors, leadership.acquired_version)
        if writer is None:
            return
        self.count += 1
        self._recorder.record(foreign_writer_event(new, writer), new.uid)
        now = self._monotonic()
        self._logged = {name: at for name, at in self._logged.items() if now - at < _LOG_SECONDS}
        if writer not in self._logged:
            self._logged[writer] = now
            log.warning(
                "another operator writes the status of routes: two operators lead",
                operator=writer,
                identity=self._leadership.identity,
                route=new.name,
                namespace=new.namespace,
            )
