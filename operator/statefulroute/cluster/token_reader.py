"""Reads the fencing token of a user whom a pod holds, by a link of the user's own or by that of the user's slot."""

import asyncio
from collections.abc import Awaitable, Callable

from statefulroute.cluster.clock import IntervalClock
from statefulroute.cluster.errors import GoneError
from statefulroute.cluster.link_requests import RETRY_BACKOFF, LinkRequests
from statefulroute.domain.errors import ContendedError
from statefulroute.domain.keys import PodKey, link_name, slot_link_name
from statefulroute.domain.operations import active_link
from statefulroute.domain.slots.lookup import binding_slot

#: Another attempt is necessary if nothing has been written to the store since a link of the user that has expired, and
#: if the store was compacted between the two requests.
_MAX_ATTEMPTS = 8


class TokenReader:
    """Reads fencing tokens.

    Args:
        requests: reads links.
        slots_of: returns the number of slots of a route, or None if it has none; None takes no route to have slots.
        clock: the time of day by both clocks.
    """

    def __init__(
        self,
        requests: LinkRequests,
        slots_of: Callable[[str], Awaitable[int | None]] | None,
        clock: IntervalClock,
    ) -> None:
        self._requests = requests
        self._slots_of = slots_of
        self._clock = clock

    async def read(self, route: str, uid: str, pod: PodKey) -> int | None:
        """Returns a revision of the store at which a pod held a user; None if it does not hold the user.

        Tokens are in the order in which pods hold a user. Whoever holds the user later does so by a change after that
        revision, and gets a token that is not smaller than the revision of the change.

        If the user has a link of its own, the token is the resource version of that link: in that version, it names the
        pod. Otherwise a list at the revision R of the store shows that the user has no link. The link of the slot is
        then read as it was at R, too, because both answers may be wrong together if they are of different times. If it
        names the pod, the pod held the user at R, and R is the token; if not, the pod did not. The resource version of
        the slot's link would not do: a user may have had a link to another pod since.

        A link that has expired before the list is none. What expires later still counts, because it may be renewed
        while the answer is on its way. An expiry is no write, so R has to be greater than the resource version of that
        link, which is the token of its pod.

        Args:
            route: the name of the StatefulRoute.
            uid: the uid of the user.
            pod: the pod.

        Raises:
            ContendedError: no write to the store has followed that of a link of the user that has expired.
            ClusterError: the API server answered with an error.
        """
        for attempt in range(_MAX_ATTEMPTS):
            now = self._clock().earliest  # before R
            stored, revision = await self._requests.read_with_revision(link_name(route, uid))
            own = active_link(stored, now)
            slots = await self._slots_of(route) if own is None and self._slots_of is not None else None
            if (slot := binding_slot(uid, own, slots)) is None:
                return own.resource_version if own is not None and own.pod == pod else None
            try:
                link = await self._requests.read_at_revision(slot_link_name(route, slot), revision)
            except GoneError:  # the store was compacted between the two requests
                if attempt == _MAX_ATTEMPTS - 1:
                    raise
                continue
            if link is None or link.assigned_pod != pod:
                return None
            if stored is None or stored.resource_version < revision:
                return revision
            await asyncio.sleep(RETRY_BACKOFF.delay(attempt))
        raise ContendedError("the link of the user has just expired: try again")
