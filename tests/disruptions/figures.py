"""Figures of a run, for the log."""

from itertools import pairwise

from disruptions.record import Record, replicas


def most_links(record: Record) -> int:
    """Returns how many links there were at most at the same time."""
    return max(number for _, number in _numbers_of_links(record))


def scale_up_seconds(record: Record, links_per_pod: int) -> list[float]:
    """Returns for each pod beyond the first how long after the first user without room it was requested."""
    changes = _numbers_of_links(record)
    seconds = []
    for pods in range(1, max(map(replicas, record.workload))):
        needed = next((at for at, number in changes if number > pods * links_per_pod), None)
        scaled = next((each.seen_at for each in record.workload if replicas(each) > pods), None)
        if needed is not None and scaled is not None:
            seconds.append(scaled - needed)
    return seconds


def scale_down_seconds(record: Record, links_per_pod: int, window: float) -> list[float]:
    """Returns for each pod beyond the first how long after it could go its removal was requested, at the end.

    A StatefulSet's pod can go when the others have room for all users, for as long as `scaleDownAfterSeconds`, and when
    it and those with a higher index are empty.
    """
    changes, seconds = _numbers_of_links(record), []
    for pods in range(1, max(map(replicas, record.workload))):
        needed = max((at for at, number in changes if number > pods * links_per_pod), default=None)
        if needed is None:
            continue
        moments = [
            after.seen_at
            for versions in record.links.values()
            for before, after in pairwise(versions)
            if (before.pod or 0) >= pods and (after.event == "DELETED" or after.pod != before.pod)
        ]
        scaled = 0.0
        for version in reversed(record.workload):
            if replicas(version) > pods:
                break
            scaled = version.seen_at
        seconds.append(scaled - max([needed + window, *moments]))
    return seconds


def _numbers_of_links(record: Record) -> list[tuple[float, int]]:
    """Returns how many links there are, from time to time, in monotonic seconds."""
    steps = [(versions[0].seen_at, 1) for versions in record.links.values()]
    steps += [(versions[-1].seen_at, -1) for versions in record.links.values() if versions[-1].event == "DELETED"]
    numbers, number = [], 0
    for at, step in sorted(steps):
        number += step
        numbers.append((at, number))
    return numbers
