"""Which operator has written the status of a route: two that work on the same routes undo each other's choices."""

from collections.abc import Container

from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.domain.route import Route


def foreign_writer(
    old: Route | None, new: Route | None, identity: str, predecessors: Container[str], since_version: int
) -> str | None:
    """Returns the name of another operator that has written a new version of a route's status; None if there is none.

    A definition of an earlier version drops the name of the writer, and then no other operator is noticed.

    Args:
        old: the previous version of the route that this operator knows.
        new: the new version.
        identity: the name of this operator, which leads.
        predecessors: the operators that held the Lease before: their last writes may be observed late.
        since_version: the resource version at which this operator began to lead. Older writes may be observed late as
            well, those of a predecessor that this operator has never seen or of a restored etcd.
    """
    if old is None or new is None or old.uid != new.uid or new.resource_version <= since_version:
        return None
    writer = new.status.operator
    if not writer or writer == identity or writer in predecessors:
        return None
    return writer if _written_fields(old) != _written_fields(new) else None


def _written_fields(route: Route) -> StatefulRouteStatus:
    """Returns the status without the generation, which kopf may write alone."""
    return route.status.model_copy(update={"observed_generation": None})
