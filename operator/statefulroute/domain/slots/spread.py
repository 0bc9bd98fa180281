"""How many slots each pod has: where new slots go, and which moves balance the pods."""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from statefulroute.domain.keys import PodKey, pod_sort_key


class SlotMove(NamedTuple):
    """A move of one slot, whichever it is.

    Attributes:
        origin: the pod that has one slot less.
        target: the pod that has one more.
    """

    origin: PodKey
    target: PodKey


def fewest_first(pods: Iterable[PodKey], counts: Mapping[PodKey, int]) -> PodKey | None:
    """Returns the pod with the fewest slots; the first of equal ones, and None if there is no pod."""
    return min(pods, key=lambda pod: (counts.get(pod, 0), pod_sort_key(pod)), default=None)


def spread_slots(
    slots: Iterable[int], pods: Iterable[PodKey], counts: Mapping[PodKey, int], most: int | None = None
) -> Iterator[tuple[int, PodKey]]:
    """Yields each slot with the pod that has the fewest slots by then; nothing if there is no pod.

    Args:
        slots: the slots that have no pod.
        pods: the pods that take slots.
        counts: how many slots each pod has; a pod without an entry has none.
        most: how many slots a pod gets at most; None is any number.
    """
    heap = [(counts.get(pod, 0), pod_sort_key(pod), pod) for pod in pods]
    heapq.heapify(heap)
    for slot in slots if heap else ():
        count, rank, pod = heap[0]
        if most is not None and count >= most:
            return
        heapq.heapreplace(heap, (count + 1, rank, pod))
        yield slot, pod


def balance_slots(pods: Iterable[PodKey], counts: Mapping[PodKey, int]) -> Iterator[SlotMove]:
    """Yields the fewest moves after which the number of slots of every pod differs from the mean by at most one.

    Each move goes from the pod with the most slots to that with the fewest, so that the pods are closest to the mean
    also if only the first moves are made. There are no fewer moves: each one lessens both the slots above the upper
    bound and those that are missing below the lower bound by at most one, and the larger of the two is their number.

    Args:
        pods: the pods that take slots.
        counts: how many slots each pod has; a pod without an entry has none. Slots of other pods do not count.
    """
    fewest = [(counts.get(pod, 0), pod_sort_key(pod), pod) for pod in pods]
    most = [(-count, rank, pod) for count, rank, pod in fewest]
    heapq.heapify(fewest)
    heapq.heapify(most)
    quotient, remainder = divmod(sum(count for count, _, _ in fewest), len(fewest) or 1)
    lowest, highest = quotient if remainder else quotient - 1, quotient + 1
    # Each heap has outdated entries of pods that gave or took slots, but never before the true ones: the fewest are
    # only taken from by pods with more, and the other way round.
    while fewest and (-most[0][0] > highest or fewest[0][0] < lowest):
        given, origin_rank, origin = most[0]
        taken, target_rank, target = fewest[0]
        heapq.heapreplace(most, (given + 1, origin_rank, origin))
        heapq.heapreplace(fewest, (taken + 1, target_rank, target))
        yield SlotMove(origin, target)
