"""The requests that are held, and the uids that they are held for."""

import asyncio
from collections import Counter
from enum import Enum, auto

from statefulroute.domain.keys import RouteKey, link_name
from statefulroute.domain.link import Link


class Stage(Enum):
    """What held requests of a uid wait for."""

    QUEUED = auto()
    """A token for a new link."""
    CREATING = auto()
    """The API server, which creates the link."""
    PENDING = auto()
    """A pod for the link."""
    STARTING = auto()
    """The pod of the link, which the resolver's cache does not show as serving yet."""


class HeldRequest:
    """A held request.

    Attributes:
        caller: the name of its caller.
        creates: whether it creates the link if there is none.
        link: the link with a pod; None if the request creates no link and there is none any more.
    """

    def __init__(self, caller: str, *, creates: bool) -> None:
        self.caller = caller
        self.creates = creates
        self.link: asyncio.Future[Link | None] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        """Ends the wait by an error, unless it has ended."""
        if not self.link.done():
            self.link.set_exception(error)

    def complete(self, link: Link | None) -> None:
        """Ends the wait, unless it has ended."""
        if not self.link.done():
            self.link.set_result(link)

    def close(self) -> None:
        """Ends the wait without a result, unless it has ended."""
        if not self.link.cancel() and not self.link.cancelled():
            self.link.exception()  # marks it as retrieved: the task may have been cancelled at the same time


class HeldUid:
    """A uid of a route, and the requests that are held for it.

    Attributes:
        key: the route.
        uid: the uid.
        link_name: the name of its link.
        ttl_seconds: the TTL of a new link; None is the default.
        stage: what its requests wait for.
        requests: the requests.
        creators: how many of them create the link, by their callers.
        pod_name: the name of its pod in the stage `STARTING`, if it is known.
    """

    def __init__(self, key: RouteKey, uid: str, ttl_seconds: int | None) -> None:
        self.key = key
        self.uid = uid
        self.link_name = link_name(key.name, uid)
        self.ttl_seconds = ttl_seconds
        self.stage = Stage.PENDING
        self.requests: set[HeldRequest] = set()
        self.creators: Counter[str] = Counter()
        self.pod_name: str | None = None

    def add(self, request: HeldRequest) -> None:
        """Adds a request."""
        self.requests.add(request)
        if request.creates:
            self.creators[request.caller] += 1

    def remove(self, request: HeldRequest) -> bool:
        """Removes a request; returns whether it was the last one of its caller that creates the link."""
        self.requests.discard(request)
        if not request.creates:
            return False
        self.creators[request.caller] -= 1
        if self.creators[request.caller]:
            return False
        del self.creators[request.caller]
        return True

    def complete(self, link: Link) -> None:
        """Ends the wait of all requests by the link with its pod."""
        for request in self.requests:
            request.complete(link)

    def fail(self, error: Exception) -> None:
        """Ends the wait of all requests by an error."""
        for request in self.requests:
            request.fail(error)

    def complete_others(self) -> None:
        """Ends the wait of the requests that do not create the link, because there is none."""
        for request in self.requests:
            if not request.creates:
                request.complete(None)
