"""Checks whether several operators lead in the same namespaces, by their Leases."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import combinations

from statefulroute.api.annotations import SERVED_NAMESPACES
from statefulroute.api.rbac import DEFAULT_LEASE_NAME, LEASE_LABELS
from statefulroute.cli.checks.results import CheckResult, Level
from statefulroute.cli.cluster import Cluster, Object
from statefulroute.cli.objects import namespaced_name, parse_zoned_time
from statefulroute.cluster.clock import Clock, utc_now

_LEADERS = "leaders"

_LEASES = "/apis/coordination.k8s.io/v1/leases"

#: Leases of operators of this version have the labels; earlier versions wrote none.
_SELECTIONS: tuple[Mapping[str, str], ...] = (
    {"fieldSelector": f"metadata.name={DEFAULT_LEASE_NAME}"},
    {"labelSelector": ",".join(f"{name}={value}" for name, value in LEASE_LABELS.items())},
)

_FIX = (
    "stop one of them, or let them share one Lease (--lease-namespace, --lease-name), or serve different namespaces "
    "(--watch-namespace)"
)


async def check_leaders(cluster: Cluster, clock: Clock = utc_now) -> AsyncIterator[CheckResult]:
    """Check whether two operators lead in the same namespaces: the Leases of all namespaces are compared."""
    leases = {
        namespaced_name(lease): lease
        for selection in _SELECTIONS
        async for lease in cluster.objects(_LEASES, selection)
    }
    for result in find_overlapping_leaders(leases.values(), clock()):
        yield result


def find_overlapping_leaders(leases: Iterable[Object], now: datetime) -> Iterator[CheckResult]:
    """Yield each pair of held Leases whose holders serve the same namespaces.

    It is only a notice if a holder, of an earlier version, has not written which namespaces it serves.
    """
    held = sorted((lease for lease in leases if _is_held(lease, now)), key=namespaced_name)
    has_overlap = False
    for first, second in combinations(held, 2):
        if not _overlap(_served_namespaces(first), _served_namespaces(second)):
            continue
        has_overlap = True
        is_certain = all(_served_namespaces(lease) is not None for lease in (first, second))
        effect = "work on the same routes and undo each other's choices"
        message = (
            f"two operators lead: {_label(first)} and {_label(second)}; "
            f"{'they ' if is_certain else 'if they serve the same namespaces, they '}{effect}"
        )
        level = Level.PROBLEM if is_certain else Level.NOTICE
        yield CheckResult(_LEADERS, level, message, _FIX, 2, namespaced_name(second))
    if not has_overlap:
        message = f"one operator leads: {_label(held[0])}" if len(held) == 1 else _no_overlap_message(len(held))
        yield CheckResult(_LEADERS, Level.OK, message, count=len(held))


def _no_overlap_message(count: int) -> str:
    return f"{count} operators lead, each in its own namespaces" if count else "no operator holds a Lease"


def _is_held(lease: Object, now: datetime) -> bool:
    """Returns whether a Lease has a holder who has renewed it in time."""
    spec, renewed = lease.get("spec", {}), _last_renewal(lease)
    if not spec.get("holderIdentity") or renewed is None:
        return False
    return now <= renewed + timedelta(seconds=spec.get("leaseDurationSeconds") or 0)


def _last_renewal(lease: Object) -> datetime | None:
    """Returns when a Lease was renewed, by the clock of the API server if it is stored, or else of the holder."""
    fields = lease["metadata"].get("managedFields", ())
    renewals = (each for each in fields if "f:renewTime" in each.get("fieldsV1", {}).get("f:spec", {}))
    times = [time for each in renewals if (time := parse_zoned_time(each.get("time")))]
    return max(times, default=parse_zoned_time(lease.get("spec", {}).get("renewTime")))


def _served_namespaces(lease: Object) -> frozenset[str] | None:
    """Returns the namespaces that the holder serves: empty for the whole cluster, and None if they are not known."""
    text = lease["metadata"].get("annotations", {}).get(SERVED_NAMESPACES)
    if not text:
        return None
    return frozenset() if text == "*" else frozenset(text.split(","))


def _overlap(first: frozenset[str] | None, second: frozenset[str] | None) -> bool:
    return not first or not second or bool(first & second)


def _label(lease: Object) -> str:
    return f"{lease['spec']['holderIdentity']} by the Lease {namespaced_name(lease)}"
