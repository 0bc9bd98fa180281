"""The links of a route by the pod that they name."""

from collections.abc import Iterable, Iterator, Mapping

from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link

#: So many names of a pod's links may be outdated, beside as many as there are links.
_MAX_OUTDATED = 64


class LinksByPod:
    """Finds the links of a pod without a look at all links of the route.

    The names of links that have left a pod stay in its list until they are more than the others, which costs less
    memory than a set.

    Args:
        links: the links of the route by name, as a live view.
    """

    def __init__(self, links: Mapping[str, Link]) -> None:
        self._links = links
        self._names: dict[PodKey, list[str]] = {}
        self._outdated: dict[PodKey, int] = {}
        """How many names in each list are of links that have left the pod, or are there twice."""
        for link in links.values():
            self._add(link)

    def link_changed(self, old: Link | None, new: Link | None, links: Mapping[str, Link]) -> None:
        """Handles a change of a link.

        Args:
            old: the link before.
            new: the link now.
            links: all links of the route.
        """
        old_pod, new_pod = old.pod if old else None, new.pod if new else None
        if old_pod == new_pod:
            return
        if new is not None:
            self._add(new)
        if old_pod is not None:
            self._remove(old_pod, links)

    def of_pods(self, pods: Iterable[PodKey], links: Mapping[str, Link]) -> Iterator[Link]:
        """Yields the links that name one of these pods."""
        for pod in pods:
            for name in dict.fromkeys(self._names.get(pod, ())):
                if (link := links.get(name)) is not None and link.pod == pod:
                    yield link

    def _add(self, link: Link) -> None:
        if link.pod is not None:
            self._names.setdefault(link.pod, []).append(link.name)

    def _remove(self, pod: PodKey, links: Mapping[str, Link]) -> None:
        outdated, names = self._outdated.pop(pod, 0) + 1, self._names[pod]
        if outdated == len(names):
            del self._names[pod]
        elif outdated <= _MAX_OUTDATED + len(names) // 2:
            self._outdated[pod] = outdated
        else:
            self._names[pod] = [link.name for link in self.of_pods((pod,), links)]
