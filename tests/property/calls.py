"""Calls of a LinkStore's operations: drawn by Hypothesis, and applied to a store and to the model."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from property.model import Binding, Model, Time, User
from statefulroute.cluster.link_store import LinkStore
from statefulroute.domain.link import Link

PODS = (0, 1, 2)
SECONDS = (600, 1200)

#: `game` has a StatefulRoute and three pods. `lounge` has none: there, a link without a pod waits forever.
ROUTES = ("game", "lounge")
UIDS = ("alice", "bob", "Zoë 😀")

CLIENTS = 4
"""The number of stores; those with odd numbers have a cache."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation.

    Attributes:
        client: the number of the store.
        operation: the name of the method.
        user: the user; `links_of` uses only the uid, and `batch_get` only the route.
        pod: the index of the pod, if the operation takes one.
        seconds: the TTL or the grace period, if the operation takes one; None is persistent, or at once.
    """

    client: int
    operation: str
    user: User
    pod: int = 0
    seconds: int | None = None

    def effect(self, model: Model, now: Time) -> Any:  # noqa: PLR0911 - one for each operation
        """Applies the call to the model; returns the answer."""
        match self.operation:
            case "get":
                return model.find(self.user, now)
            case "set" | "try_set" | "set_if_absent" | "compute_if_absent":
                return getattr(model, self.operation)(self.user, self.pod, self.seconds, now)
            case "remove":
                return model.remove(self.user, self.seconds, now)
            case "remove_if_linked_to":
                return model.remove_if_linked_to(self.user, self.pod, self.seconds, now)
            case "renew":
                return model.renew(self.user, now)
            case "links_of":
                return model.links_of(self.user.uid, ROUTES, now)
            case "batch_get":
                return model.batch_get(self.user.route, UIDS, now)
        raise AssertionError(self.operation)

    async def make(  # noqa: PLR0911 - one for each operation
        self, store: LinkStore, names: Callable[[str], str], start: datetime
    ) -> Any:
        """Applies the call to a store; returns the answer in the types of the model.

        Args:
            store: the store.
            names: converts a uid of the model to one in the cluster.
            start: the model's time 0.
        """
        route, uid = self.user.route, names(self.user.uid)
        match self.operation:
            case "get":
                return as_binding(await store.get(route, uid, fresh=True), start)
            case "set" | "set_if_absent":
                return await getattr(store, self.operation)(route, uid, self.pod, ttl_seconds=self.seconds)
            case "try_set":
                attempt = await store.try_set(route, uid, self.pod, ttl_seconds=self.seconds)
                return attempt.won, attempt.holder
            case "compute_if_absent":
                return await store.compute_if_absent(route, uid, self._choice(), ttl_seconds=self.seconds)
            case "remove":
                return await store.remove(route, uid, grace_seconds=self.seconds)
            case "remove_if_linked_to":
                return await store.remove_if_linked_to(route, uid, self.pod, grace_seconds=self.seconds)
            case "renew":
                return await store.renew(route, uid)
            case "links_of":
                return await store.links_of(uid, ROUTES)
            case "batch_get":
                held = await store.batch_get(route, map(names, UIDS))
                return {pod: {each for each in UIDS if names(each) in uids} for pod, uids in held.items()}
        raise AssertionError(self.operation)

    def _choice(self) -> Callable[[], Awaitable[int]]:
        async def choose() -> int:
            await asyncio.sleep(0)
            return self.pod

        return choose


def as_binding(link: Link | None, start: datetime) -> Binding | None:
    """Converts a link to the type of the model."""
    if link is None:
        return None
    if link.ttl_seconds is None or link.expire_time is None:
        return Binding(link.pod)
    renewed = link.expire_time - timedelta(seconds=link.ttl_seconds)
    return Binding(link.pod, link.ttl_seconds, (renewed - start).total_seconds())


TAKES_POD_AND_SECONDS = ("set", "try_set", "set_if_absent", "compute_if_absent")
READS = ("links_of", "batch_get")

users = st.builds(User, st.sampled_from(ROUTES), st.sampled_from(UIDS))
lasting = st.none() | st.sampled_from(SECONDS)
_clients, _pods = st.integers(0, CLIENTS - 1), st.sampled_from(PODS)
_graces = lasting | st.just(0)


def calls(user: st.SearchStrategy[User], *, reads: bool) -> st.SearchStrategy[Call]:
    """Returns a strategy for calls.

    Args:
        user: a strategy for the users.
        reads: whether to include the reads that a cache answers.
    """
    return st.one_of(
        *[st.builds(Call, _clients, st.sampled_from(READS), user)] * reads,
        st.builds(Call, _clients, st.sampled_from(TAKES_POD_AND_SECONDS), user, _pods, lasting),
        st.builds(Call, _clients, st.just("remove_if_linked_to"), user, _pods, _graces),
        st.builds(Call, _clients, st.just("remove"), user, seconds=_graces),
        st.builds(Call, _clients, st.sampled_from(("get", "renew")), user),
    )
