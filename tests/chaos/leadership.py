"""Finds the holder of the Lease at each write of an operator, from the API server's audit log."""

from collections.abc import Iterator

from chaos.record import Process, Record, Write

#: The resources that only the holder may write. Events hold no state, and access reviews change nothing.
_OWNED = ("podlinks", "statefulroutes", "pods", "statefulsets", "deployments", "replicasets")


def writes_without_lease(record: Record) -> Iterator[tuple[Write, str, str]]:
    """Yields the writes of operators that did not hold the Lease, each with its process and the holder at that time.

    Rejected writes change nothing and do not count.
    """
    lives = {
        each.credential: f"{each.name} in life {each.start_number}"
        for each in record.all(Process)
        if each.name.startswith("operator")
    }
    holder = ""
    for write in sorted(record.all(Write), key=lambda each: each.received):
        process = lives.get(write.credential)
        if process is None or write.code >= 400:
            continue
        if write.resource == "leases":
            holder = process
        elif write.resource.partition("/")[0] in _OWNED and process != holder:
            yield write, process, holder


def terms(record: Record) -> list[tuple[float, str]]:
    """Returns the start of each operator's terms as the holder of the Lease."""
    lives = {each.credential: each.name for each in record.all(Process)}
    starts: list[tuple[float, str]] = []
    for write in sorted(record.all(Write), key=lambda each: each.received):
        if write.resource == "leases" and write.code < 400:
            name = lives.get(write.credential, "somebody")
            if not starts or starts[-1][1] != name:
                starts.append((write.received, name))
    return starts
