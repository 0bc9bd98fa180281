"""A reference model of the operations on links, which the tests compare with a real cluster.

It follows the documentation of the server driver, not its code. It has no requests, versions, caches or conflicts:
each operation is atomic.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

#: A time in seconds.
Time = float


class User(NamedTuple):
    """A user of a service."""

    route: str
    uid: str


@dataclass(frozen=True, slots=True)
class Binding:
    """A link.

    Attributes:
        pod: the index of its pod; None while the operator has not chosen one.
        ttl: the TTL in seconds, from the last renewal; None is persistent.
        renewed: the time of the last renewal; None if it is persistent.
    """

    pod: int | None
    ttl: int | None = None
    renewed: Time | None = None

    def is_expired(self, now: Time) -> bool:
        """Returns whether the link is expired, and so absent."""
        return self.ttl is not None and self.renewed is not None and now >= self.renewed + self.ttl

    def is_renewal_due(self, now: Time) -> bool:
        """Returns whether less than half of the TTL is left: only then is a renewal written."""
        return self.ttl is not None and self.renewed is not None and self.renewed + self.ttl - now < self.ttl / 2


def bound(pod: int | None, ttl: int | None, now: Time) -> Binding:
    """Returns a binding that is made now."""
    return Binding(pod, ttl, None if ttl is None else now)


class Model:
    """The links of all users."""

    def __init__(self, links: Mapping[User, Binding] | None = None) -> None:
        self._links = dict(links or {})

    def copy(self) -> "Model":
        """Returns a copy of the model."""
        return Model(self._links)

    def links(self, now: Time) -> dict[User, Binding]:
        """Returns the active links."""
        return {user: link for user, link in self._links.items() if not link.is_expired(now)}

    def put(self, user: User, link: Binding | None) -> None:
        """Sets or removes a link, as another client does."""
        self._links.pop(user, None)
        if link is not None:
            self._links[user] = link

    def find(self, user: User, now: Time) -> Binding | None:
        """Returns the active link of a user, or None."""
        return self.links(now).get(user)

    def holder(self, user: User, now: Time) -> int | None:
        """Returns the pod that holds a user, or None."""
        link = self.find(user, now)
        return None if link is None else link.pod

    def set(self, user: User, pod: int, ttl: int | None, now: Time) -> int | None:
        """Forces a binding; returns the pod before. An equal binding is only renewed, if that is due."""
        before = self.find(user, now)
        is_set = before is not None and (before.pod, before.ttl) == (pod, ttl)
        if not (is_set and before is not None and not before.is_renewal_due(now)):
            self._links[user] = bound(pod, ttl, now)
        return None if before is None else before.pod

    def try_set(self, user: User, pod: int, ttl: int | None, now: Time) -> tuple[bool, int]:
        """Binds, unless there is a persistent link to another pod; returns whether it did, and the holder."""
        link = self.find(user, now)
        if link is not None and link.ttl is None and link.pod is not None and link.pod != pod:
            return False, link.pod
        self.set(user, pod, ttl, now)
        return True, pod

    def set_if_absent(self, user: User, pod: int, ttl: int | None, now: Time) -> int:
        """Binds a user without a pod; returns the holder. Renews a temporary link, if that is due."""
        link = self.find(user, now)
        if link is None:
            self._links[user] = bound(pod, ttl, now)
            return pod
        if link.pod is None:
            self._links[user] = bound(pod, link.ttl, now)
            return pod
        self.renew(user, now)
        return link.pod

    def compute_if_absent(self, user: User, pod: int, ttl: int | None, now: Time) -> int:
        """Does the same as `set_if_absent`, with a pod that is chosen when it is needed."""
        return self.set_if_absent(user, pod, ttl, now)

    def remove(self, user: User, grace: int | None, now: Time) -> bool:
        """Removes a link, at once or after a grace period; returns whether there was one."""
        link = self.find(user, now)
        if link is None:
            return False
        self.put(user, bound(link.pod, grace, now) if grace else None)
        return True

    def remove_if_linked_to(self, user: User, pod: int, grace: int | None, now: Time) -> bool:
        """Removes a link if it is to the given pod, at once or after a grace period; returns whether it was."""
        link = self.find(user, now)
        if link is None or link.pod is None or link.pod != pod:
            return False
        return self.remove(user, grace, now)

    def renew(self, user: User, now: Time) -> bool:
        """Renews a temporary link, if that is due; returns whether there is a link."""
        link = self.find(user, now)
        if link is not None and link.is_renewal_due(now):
            self._links[user] = bound(link.pod, link.ttl, now)
        return link is not None

    def links_of(self, uid: str, routes: Iterable[str], now: Time) -> dict[str, int]:
        """Returns the pods that hold a user, by service."""
        held = {route: self.holder(User(route, uid), now) for route in routes}
        return {route: pod for route, pod in held.items() if pod is not None}

    def batch_get(self, route: str, uids: Iterable[str], now: Time) -> dict[int, frozenset[str]]:
        """Returns the given users by the pod of a service that holds them."""
        held = {uid: self.holder(User(route, uid), now) for uid in uids}
        return {pod: frozenset(uid for uid in held if held[uid] == pod) for pod in held.values() if pod is not None}


#: An operation: applies itself to the model at a time, and returns the answer.
Effect = Callable[[Model, Time], Any]


def outcomes(model: Model, effects: list[tuple[Effect, Any]], now: Time) -> list[Model]:
    """Returns the possible states after concurrent operations with known answers: one for each consistent order.

    Args:
        model: the state before.
        effects: the operations and their answers.
        now: the time of the operations.

    Returns:
        The states; empty if no order of the operations gives the answers.
    """
    if not effects:
        return [model]
    states: list[Model] = []
    for index, (effect, answer) in enumerate(effects):
        after = model.copy()
        if effect(after, now) == answer:
            states += outcomes(after, effects[:index] + effects[index + 1 :], now)
    return states
