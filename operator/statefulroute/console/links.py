"""The links of all routes in memory, by route and pod."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from heapq import nsmallest
from itertools import chain
from typing import TypeVar

from statefulroute.cli.link_changes import LinkState
from statefulroute.domain.keys import PodKey, RouteKey, is_slot_link_name

T = TypeVar("T")

#: Links in these phases are with a pod that is not lost; the operator has not seen those without a phase yet.
_BOUND = frozenset({"", "Bound", "HandingOver"})


#: Separates the name of a link, which cannot contain it, and the uid in a cursor.
_CURSOR = "/"


class RouteLinks:
    """The links of one route.

    Attributes:
        states: the number of links in each phase, with the reason of their Ready condition.
        slots: the number of links of slots of each pod; None is for those that wait for a pod.
    """

    __slots__ = ("_by_pod", "slots", "states")

    def __init__(self) -> None:
        self._by_pod: dict[PodKey | None, dict[str, LinkState]] = {}
        self.states: Counter[tuple[str, str]] = Counter()
        self.slots: Counter[PodKey | None] = Counter()

    def __len__(self) -> int:
        return sum(map(len, self._by_pod.values()))

    def __iter__(self) -> Iterator[LinkState]:
        return chain.from_iterable(links.values() for links in self._by_pod.values())

    def add(self, link: LinkState) -> None:
        """Add a version of a link."""
        self._by_pod.setdefault(link.pod, {})[link.name] = link
        _count(self.states, (link.phase, link.reason), 1)
        if is_slot_link_name(link.name):
            _count(self.slots, link.pod, 1)

    def remove(self, link: LinkState) -> None:
        """Remove a version of a link that was added."""
        links = self._by_pod[link.pod]
        del links[link.name]
        if not links:
            del self._by_pod[link.pod]
        _count(self.states, (link.phase, link.reason), -1)
        if is_slot_link_name(link.name):
            _count(self.slots, link.pod, -1)

    def of_pod(self, pod: PodKey | None) -> Mapping[str, LinkState]:
        """Returns the links of a pod by their names; None is for the links that wait for a pod."""
        return self._by_pod.get(pod, {})

    def counts(self) -> dict[PodKey | None, int]:
        """Returns the number of links of each pod that has any; None is for the links that wait for a pod."""
        return {pod: len(links) for pod, links in self._by_pod.items()}

    def names(self) -> dict[PodKey, str]:
        """Returns the names of the pods that have links, as far as a link states the name."""
        named = ((pod, next((link.pod_name for link in links.values()), None)) for pod, links in self._by_pod.items())
        return {pod: name for pod, name in named if pod is not None and name}

    def troubles(self) -> list[tuple[str, str, int]]:
        """Returns the phases and reasons of the links that are not bound, with their numbers."""
        return sorted((phase, reason, count) for (phase, reason), count in self.states.items() if phase not in _BOUND)


def _count(counter: Counter[T], key: T, step: int) -> None:
    """Count something up or down; what there is none of has no entry."""
    counter[key] += step
    if not counter[key]:
        del counter[key]


class LinkIndex:
    """The links of all routes.

    Args:
        changed: is called with the key of a route after each change of its links.
    """

    def __init__(self, changed: Callable[[RouteKey], None]) -> None:
        self._routes: dict[RouteKey, RouteLinks] = {}
        self._changed = changed

    def __len__(self) -> int:
        return sum(map(len, self._routes.values()))

    def replace(self, old: LinkState | None, new: LinkState | None) -> None:
        """Replace a version of a link by another; None is no link."""
        if old is not None:
            self._remove(old)
        if new is not None:
            key = RouteKey(new.namespace, new.route)
            self._routes.setdefault(key, RouteLinks()).add(new)
            self._changed(key)

    def _remove(self, link: LinkState) -> None:
        key = RouteKey(link.namespace, link.route)
        links = self._routes[key]
        links.remove(link)
        if not links.states:
            del self._routes[key]
        self._changed(key)

    def routes(self) -> list[RouteKey]:
        """Returns the keys of the routes that links name."""
        return [*self._routes]

    def of_route(self, key: RouteKey) -> RouteLinks:
        """Returns the links of a route."""
        return self._routes.get(key) or RouteLinks()

    def of_uid(self, uid: str, limit: int) -> list[LinkState]:
        """Returns links of all routes whose uid contains a text, by uid, namespace and route.

        Args:
            uid: the text, in lower case or not.
            limit: the maximum number of links.
        """
        wanted = uid.casefold()
        found = (link for links in self._routes.values() for link in links if wanted in link.subject.casefold())
        return nsmallest(limit, found, key=lambda link: (link.subject, link.namespace, link.route))


def page_of(
    links: RouteLinks, *, pod: PodKey | None, search: str, after: str, limit: int
) -> tuple[list[LinkState], int]:
    """Returns a page of the links of a route, by uid or slot, and the number of all links that are selected.

    Args:
        links: the links of the route.
        pod: only the links of this pod; None is for all links.
        search: only links whose uid contains this text.
        after: only links after the one with this cursor (`cursor_of`); empty for the first page.
        limit: the maximum number of links.
    """
    selected = links if pod is None else links.of_pod(pod).values()
    wanted = search.casefold()
    matching = [link for link in selected if wanted in link.subject.casefold()] if wanted else [*selected]
    name, _, subject = after.partition(_CURSOR)
    following = (link for link in matching if _order(link) > (subject, name)) if after else matching
    return nsmallest(limit, following, key=_order), len(matching)


def _order(link: LinkState) -> tuple[str, str]:
    """Returns the place of a link in lists: slot 3 and the user `slot/3` have different names."""
    return link.subject, link.name


def cursor_of(link: LinkState) -> str:
    """Returns what tells the end of a page whose last link is this one."""
    return f"{link.name}{_CURSOR}{link.subject}"
