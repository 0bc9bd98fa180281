"""What one control plane and one operator carry, from what a link costs each: arithmetic, and nothing else."""

from dataclasses import dataclass

_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Installation:
    """What links have for themselves: the assumptions.

    Attributes:
        apiserver_cores: of the API server that is written to.
        apiserver_gibibytes: of its memory.
        etcd_cores: of etcd's leader.
        etcd_gibibytes: its quota, `--quota-backend-bytes`.
        operator_gibibytes: of the operator's memory; it has one core, for it is one thread.
        busy: the share of a core or of memory that is used at the most; the rest is for bursts and everything else.
        watches: of all links: each operator and resolver has one.
        history_seconds: for how long etcd keeps old versions: it is told to drop them every five minutes.
        renew_deadline_seconds: after which an operator whose event loop stands still has lost its Lease.
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
        apiserver_write: CPU time of the API server for a write that one watch follows.
        apiserver_event: for each watch more.
        etcd_write: CPU time of etcd.
        stored: bytes in etcd of a link that was made and acknowledged.
        stored_write: bytes in etcd that a later write adds until it is compacted.
        apiserver_bytes: bytes alive on the API server's heap.
        list_seconds: to list 1,000.
        operator_bytes: bytes of the operator's memory, at the peak of its start.
        operator_read: CPU time to read one and to judge it.
        operator_bind: CPU time to acknowledge one that names its pod.
        operator_renewal: to acknowledge a renewal.
        operator_move: to choose a pod, and to acknowledge it.
        stall: milliseconds that the event loop stands still for each link of one route, when that is edited.
    """

    apiserver_write: float
    apiserver_event: float
    etcd_write: float
    stored: float
    stored_write: float
    apiserver_bytes: float
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
        name: what is limited, and of what.
        formula: how it is reckoned, in words.
        maximum: the limit.
    """

    name: str
    formula: str
    maximum: float


def limits_of_links(costs: LinkCosts, installation: Installation) -> list[Limit]:
    """How many links there may be, the lowest limit first."""
    heap = installation.apiserver_gibibytes * _GIB * installation.busy / 2
    found = [
        Limit(
            "etcd's quota",
            "busy x quota / stored",
            installation.busy * installation.etcd_gibibytes * _GIB / costs.stored,
        ),
        Limit("API server's memory", "busy x memory / 2 / live bytes", heap / costs.apiserver_bytes),
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
    return sorted(found, key=lambda limit: limit.maximum)


def limits_of_writes(costs: LinkCosts, installation: Installation) -> list[Limit]:
    """How many writes of links there may be in a second, the lowest limit first."""
    apiserver = costs.apiserver_write + max(0.0, costs.apiserver_event) * (installation.watches - 1)
    kept = installation.busy * installation.etcd_gibibytes * _GIB / 2  # the other half is for the links
    found = [
        Limit(
            "API server's CPU",
            "busy x cores / (write + watches x event)",
            _rate(installation, installation.apiserver_cores, apiserver),
        ),
        Limit("etcd's CPU", "busy x cores / write", _rate(installation, installation.etcd_cores, costs.etcd_write)),
        Limit(
            "etcd's quota",
            "busy x quota / 2 / (history x bytes)",
            kept / installation.history_seconds / costs.stored_write,
        ),
    ]
    return sorted(found, key=lambda limit: limit.maximum)


def limits_of_work(costs: LinkCosts, installation: Installation) -> dict[str, list[Limit]]:
    """How many bindings, renewals and moves there may be in a second. Each is two writes, and work of the operator."""
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
    """How seldom so many temporary links have to be renewed, for all to be renewed in time."""
    return links / limits_of_work(costs, installation)["renewals"][0].maximum


def _rate(installation: Installation, cores: float, milliseconds: float) -> float:
    return installation.busy * cores * 1000 / milliseconds
