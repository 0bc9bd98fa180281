"""Computes how many links one control plane and one operator can serve, from what a link costs each."""

from dataclasses import dataclass

_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Installation:
    """The resources that are available for links: the assumptions.

    Attributes:
        apiserver_cores: cores of the API server that gets the writes.
        apiserver_gibibytes: its memory.
        etcd_cores: cores of etcd's leader.
        etcd_gibibytes: its quota, `--quota-backend-bytes`.
        operator_gibibytes: memory of the operator; it has one core because it runs one thread.
        busy: the maximum share of a core or of memory that is used; the rest is for bursts and everything else.
        watches: watches of all links: one for each operator and resolver.
        history_seconds: how long etcd keeps old versions: the API server compacts every five minutes.
        renew_deadline_seconds: how long the event loop may block before the operator loses its Lease.
        start_seconds: how long an operator or a resolver may take to read everything.
    """

    apiserver_cores: float = 4
    apiserver_gibibytes: float = 16
    etcd_cores: float = 2
    etcd_gibibytes: float = 8
    operator_gibibytes: float = 2
    busy: float = 0.6
    watches: int = 4
    history_seconds: float = 600
    renew_deadline_seconds: float = 10
    start_seconds: float = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCosts:
    """What a link, a write or an event costs. CPU times are milliseconds.

    Attributes:
        apiserver_write: CPU time of the API server for a write, with one watch.
        apiserver_event: CPU time of the API server for each further watch.
        etcd_write: CPU time of etcd for a write.
        stored: bytes in etcd of a bound link.
        stored_write: bytes in etcd that a later write adds until compaction.
        apiserver_bytes: live bytes on the API server's heap.
        apiserver_lean_bytes: the same of a link without managedFields.
        apiserver_history: live bytes of the watch cache's history, which has at most about 100,000 events.
        list_seconds: seconds to list 1,000 links.
        operator_bytes: bytes of the operator's memory, at the peak of its start.
        operator_read: CPU time to read a link and to decide it.
        operator_bind: CPU time to bind a link that names its pod.
        operator_renewal: CPU time to process a renewal.
        operator_move: CPU time to choose a pod and to bind the link to it.
        stall: milliseconds that an edit of a route blocks the event loop, for each link of the route.
    """

    apiserver_write: float
    apiserver_event: float
    etcd_write: float
    stored: float
    stored_write: float
    apiserver_bytes: float
    apiserver_lean_bytes: float
    apiserver_history: float
    list_seconds: float
    operator_bytes: float
    operator_read: float
    operator_bind: float
    operator_renewal: float
    operator_move: float
    stall: float


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit.

    Attributes:
        name: the resource that sets the limit.
        formula: how the limit is computed, in words.
        maximum: the limit.
    """

    name: str
    formula: str
    maximum: float


def limits_of_links(costs: LinkCosts, installation: Installation) -> list[Limit]:
    """Returns how many links are possible, the lowest limit first."""
    heap = installation.apiserver_gibibytes * _GIB * installation.busy / 2 - costs.apiserver_history
    limits = [
        Limit(
            "etcd's quota",
            "busy x quota / stored",
            installation.busy * installation.etcd_gibibytes * _GIB / costs.stored,
        ),
        Limit(
            "API server's memory, with managedFields",
            "(busy x memory / 2 - history) / live bytes",
            heap / costs.apiserver_bytes,
        ),
        Limit(
            "API server's memory, without managedFields",
            "(busy x memory / 2 - history) / live bytes",
            heap / costs.apiserver_lean_bytes,
        ),
        Limit(
            "operator's memory",
            "busy x memory / bytes at the peak",
            installation.busy * installation.operator_gibibytes * _GIB / costs.operator_bytes,
        ),
        Limit(
            "time of a start",
            "seconds / (list + read and judge)",
            installation.start_seconds / (costs.list_seconds / 1000 + costs.operator_read / 1000),
        ),
        Limit(
            "links of one route: event loop and Lease",
            "busy x renew deadline / stall",
            installation.busy * installation.renew_deadline_seconds * 1000 / costs.stall,
        ),
    ]
    return sorted(limits, key=lambda limit: limit.maximum)


def limits_of_writes(costs: LinkCosts, installation: Installation) -> list[Limit]:
    """Returns how many writes of links per second are possible, the lowest limit first."""
    apiserver = costs.apiserver_write + max(0.0, costs.apiserver_event) * (installation.watches - 1)
    quota = installation.busy * installation.etcd_gibibytes * _GIB / 2  # the other half is for the links
    limits = [
        Limit(
            "API server's CPU",
            "busy x cores / (write + watches x event)",
            _rate(installation, installation.apiserver_cores, apiserver),
        ),
        Limit("etcd's CPU", "busy x cores / write", _rate(installation, installation.etcd_cores, costs.etcd_write)),
        Limit(
            "etcd's quota",
            "busy x quota / 2 / (history x bytes)",
            quota / installation.history_seconds / costs.stored_write,
        ),
    ]
    return sorted(limits, key=lambda limit: limit.maximum)


def limits_of_work(costs: LinkCosts, installation: Installation) -> dict[str, list[Limit]]:
    """Returns the possible bindings, renewals and moves per second. Each takes two writes and operator time."""
    writes = limits_of_writes(costs, installation)[0]
    work = {"bindings": costs.operator_bind, "renewals": costs.operator_renewal, "moves": costs.operator_move}
    return {
        name: sorted(
            (
                Limit(writes.name, "writes / 2", writes.maximum / 2),
                Limit("operator's CPU", f"busy / {name[:-1]}", _rate(installation, 1, milliseconds)),
            ),
            key=lambda limit: limit.maximum,
        )
        for name, milliseconds in work.items()
    }


def renewal_seconds(links: int, costs: LinkCosts, installation: Installation) -> float:
    """Returns the shortest renewal interval in seconds that `links` temporary links can have."""
    return links / limits_of_work(costs, installation)["renewals"][0].maximum


def _rate(installation: Installation, cores: float, milliseconds: float) -> float:
    return installation.busy * cores * 1000 / milliseconds
