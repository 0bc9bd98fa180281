"""What the operations on links promise, in as few words as possible: the model that a real cluster is compared with.

Written after the promises of the server driver, and not after the code that keeps them. It knows nothing of
requests, versions, caches or conflicts: each operation happens in one moment.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

#: A moment, in seconds.
Moment = float


class User(NamedTuple):
    """Whom a link binds, and in which service."""

    route: str
    uid: str


@dataclass(frozen=True, slots=True)
class Binding:
    """A link.

    Attributes:
        pod: the index of its pod; None while the choice is left to somebody else.
        ttl: the seconds that it lives after it was renewed; None is persistent.
        renewed: when it was renewed last; None where it is persistent.
    """

    pod: int | None
    ttl: int | None = None
    renewed: Moment | None = None

    def is_over(self, now: Moment) -> bool:
        """Whether it is absent for everybody: from the very moment that its time is over."""
        return self.ttl is not None and self.renewed is not None and now >= self.renewed + self.ttl

    def is_half_over(self, now: Moment) -> bool:
        """Whether less than half of its time is left: only then is a renewal written."""
        return self.ttl is not None and self.renewed is not None and self.renewed + self.ttl - now < self.ttl / 2


def bound(pod: int | None, ttl: int | None, now: Moment) -> Binding:
    """A binding that is made now."""
    return Binding(pod, ttl, None if ttl is None else now)


class Model:
    """All links there are."""

    def __init__(self, links: Mapping[User, Binding] | None = None) -> None:
        self._links = dict(links or {})

    def copy(self) -> "Model":
        """Another model that holds the same."""
        return Model(self._links)

    def links(self, now: Moment) -> dict[User, Binding]:
        """Everything that is there."""
        return {user: link for user, link in self._links.items() if not link.is_over(now)}

    def put(self, user: User, link: Binding | None) -> None:
        """What somebody else does to a link, by hand."""
        self._links.pop(user, None)
        if link is not None:
            self._links[user] = link

    def find(self, user: User, now: Moment) -> Binding | None:
        """The link of a user."""
        return self.links(now).get(user)

    def holder(self, user: User, now: Moment) -> int | None:
        """The pod that holds a user."""
        link = self.find(user, now)
        return None if link is None else link.pod

    def set(self, user: User, pod: int, ttl: int | None, now: Moment) -> int | None:
        """Force the binding; gives the pod before. What is set already is only renewed, if that is due."""
        before = self.find(user, now)
        is_set = before is not None and (before.pod, before.ttl) == (pod, ttl)
        if not (is_set and before is not None and not before.is_half_over(now)):
            self._links[user] = bound(pod, ttl, now)
        return None if before is None else before.pod

    def try_set(self, user: User, pod: int, ttl: int | None, now: Moment) -> tuple[bool, int]:
        """Bind, unless a persistent link to another pod is there; gives whether it is bound so, and the holder."""
        link = self.find(user, now)
        if link is not None and link.ttl is None and link.pod is not None and link.pod != pod:
            return False, link.pod
        self.set(user, pod, ttl, now)
        return True, pod

    def set_if_absent(self, user: User, pod: int, ttl: int | None, now: Moment) -> int:
        """Bind a user whom no pod holds; gives the holder. A temporary link is renewed, if that is due."""
        link = self.find(user, now)
        if link is None:
            self._links[user] = bound(pod, ttl, now)
            return pod
        if link.pod is None:
            self._links[user] = bound(pod, link.ttl, now)
            return pod
        self.renew(user, now)
        return link.pod

    def compute_if_absent(self, user: User, pod: int, ttl: int | None, now: Moment) -> int:
        """The same, where the pod is a choice that is made when it is needed."""
        return self.set_if_absent(user, pod, ttl, now)

    def remove(self, user: User, grace: int | None, now: Moment) -> bool:
        """Remove, at once or after a grace; gives whether there was a link."""
        link = self.find(user, now)
        if link is None:
            return False
        self.put(user, None if grace is None else bound(link.pod, grace, now))
        return True

    def remove_if_linked_to(self, user: User, pod: int, now: Moment) -> bool:
        """Remove a link to that very pod; gives whether it was one."""
        link = self.find(user, now)
        if link is None or link.pod is None or link.pod != pod:
            return False
        self.put(user, None)
        return True

    def renew(self, user: User, now: Moment) -> bool:
        """Have a temporary link live on, if that is due; gives whether there is a link."""
        link = self.find(user, now)
        if link is not None and link.is_half_over(now):
            self._links[user] = bound(link.pod, link.ttl, now)
        return link is not None

    def links_of(self, uid: str, routes: Iterable[str], now: Moment) -> dict[str, int]:
        """The pods that hold a user, by service."""
        held = {route: self.holder(User(route, uid), now) for route in routes}
        return {route: pod for route, pod in held.items() if pod is not None}

    def batch_get(self, route: str, uids: Iterable[str], now: Moment) -> dict[int, frozenset[str]]:
        """Those of some users whom each pod of a service holds."""
        held = {uid: self.holder(User(route, uid), now) for uid in uids}
        return {pod: frozenset(uid for uid in held if held[uid] == pod) for pod in held.values() if pod is not None}


#: One operation as the model carries it out at a moment; gives its answer.
Effect = Callable[[Model, Moment], Any]


def outcomes(model: Model, effects: list[tuple[Effect, Any]], now: Moment) -> list[Model]:
    """Every state that operations at the same time can leave behind, given their answers: one for each order.

    Args:
        model: what was there before.
        effects: the operations and the answers that were given.
        now: when they happened.

    Returns:
        The states; none when the answers fit no order.
    """
    if not effects:
        return [model]
    found: list[Model] = []
    for index, (effect, answer) in enumerate(effects):
        after = model.copy()
        if effect(after, now) == answer:
            found += outcomes(after, effects[:index] + effects[index + 1 :], now)
    return found
