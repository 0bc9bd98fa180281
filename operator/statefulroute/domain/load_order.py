"""Pods in the order of their expected loads, which change for all of them with every report."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from operator import itemgetter

#: What sorts pods by index or name.
SortKey = tuple[int, str]

#: A pod with its expected load.
_Expected = tuple[int, SortKey]

_load = itemgetter(0)


class LoadOrder:
    """Pods that are sorted by their expected loads.

    The expected load of a pod is a constant and, for each of some links, a share that is the same for all pods. So the
    pods with the same number of these links stay sorted, whatever the share is.
    """

    def __init__(self) -> None:
        self._pods: dict[int, list[tuple[int, SortKey]]] = {}
        """By number of links, the pods with their constant loads, sorted."""

    def add(self, links: int, load: int, pod: SortKey) -> None:
        """Adds a pod."""
        insort(self._pods.setdefault(links, []), (load, pod))

    def remove(self, links: int, load: int, pod: SortKey) -> None:
        """Removes a pod that was added with the same numbers."""
        pods = self._pods[links]
        del pods[bisect_left(pods, (load, pod))]
        if not pods:
            del self._pods[links]

    def ascending(self, share: Callable[[int], int]) -> Iterator[_Expected]:
        """Yields the pods with the lowest expected load first.

        Args:
            share: returns the expected load of a number of links.
        """
        return merge(*(_expected(pods, share(links)) for links, pods in self._pods.items()))

    def descending(self, share: Callable[[int], int]) -> Iterator[_Expected]:
        """Yields the pods with the highest expected load first, in the opposite order."""
        groups = (_expected(reversed(pods), share(links)) for links, pods in self._pods.items())
        return merge(*groups, reverse=True)

    def count_up_to(self, load: int, share: Callable[[int], int]) -> int:
        """Returns the number of pods with at most an expected load."""
        return sum(bisect_right(pods, load - share(links), key=_load) for links, pods in self._pods.items())


def _expected(pods: Iterable[tuple[int, SortKey]], share: int) -> Iterator[_Expected]:
    return ((load + share, pod) for load, pod in pods)
