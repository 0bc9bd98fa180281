"""Pods in the order of their expected loads, which change for all of them with every report."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from heapq import merge

#: What sorts pods by index or name.
SortKey = tuple[int, str]

#: A pod with its expected load. Of equal loads, the pods that were listed before come first.
_Expected = tuple[int, bool, SortKey]


class LoadOrder:
    """Pods that are sorted by their expected loads.

    The expected load of a pod is a constant and, for each of some links, a share that is the same for all pods. So the
    pods with the same number of these links stay sorted, whatever the share is.

    Args:
        is_listed: whether these pods were listed before.
    """

    def __init__(self, *, is_listed: bool) -> None:
        self._is_unlisted = not is_listed
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
        return merge(*self._groups(share))

    def descending(self, share: Callable[[int], int]) -> Iterator[_Expected]:
        """Yields the pods with the highest expected load first, in the opposite order."""
        groups = (self._expected(reversed(pods), share(links)) for links, pods in self._pods.items())
        return merge(*groups, reverse=True)

    def ascending_with(self, other: "LoadOrder", share: Callable[[int], int]) -> Iterator[_Expected]:
        """Yields these pods and others with the lowest expected load first."""
        return merge(*self._groups(share), *other._groups(share))  # noqa: SLF001 - of the same class

    def _groups(self, share: Callable[[int], int]) -> Iterable[Iterator[_Expected]]:
        return (self._expected(pods, share(links)) for links, pods in self._pods.items())

    def _expected(self, pods: Iterable[tuple[int, SortKey]], share: int) -> Iterator[_Expected]:
        return ((load + share, self._is_unlisted, pod) for load, pod in pods)
