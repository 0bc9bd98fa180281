"""Transfers the states of users between drivers of a cluster in memory, without a network."""

import asyncio
from collections.abc import AsyncIterator

from statefulroute.domain.errors import HandOverError
from statefulroute.domain.keys import PodKey
from statefulroute.domain.leaving import sibling_name
from statefulroute.driver.parts import ArrivalAcceptor
from statefulroute.driver.refusals import RefusedError, error_of

#: What takes the users of each pod, by its name.
Acceptors = dict[str, ArrivalAcceptor]


class InMemoryTransfer:
    """Passes states to the drivers of other pods.

    Args:
        pod_name: the name of the pod.
        acceptors: those of all pods.
    """

    def __init__(self, pod_name: str, acceptors: Acceptors) -> None:
        self._pod_name = pod_name
        self._acceptors = acceptors

    async def send(self, service: str, uid: str, to: PodKey, parts: AsyncIterator[bytes]) -> None:
        """Passes the state of a user on, and returns when the other pod has taken it.

        Raises:
            HandOverError: it has not.
        """
        try:
            await self._find(to).take(service, uid, self._pod_name, parts)
        except RefusedError as error:
            raise error_of(error.refusal) from None

    async def withdraw(self, service: str, uid: str, to: PodKey) -> None:
        """Tells another pod that a user will perhaps not arrive. Raises as `send` does."""
        self._find(to).reconsider(service, uid)

    async def serve(self, acceptor: ArrivalAcceptor) -> None:
        """Takes users until it is cancelled."""
        self._acceptors[self._pod_name] = acceptor
        try:
            await asyncio.Event().wait()
        finally:
            del self._acceptors[self._pod_name]

    def _find(self, to: PodKey) -> ArrivalAcceptor:
        acceptor = self._acceptors.get(sibling_name(self._pod_name, to) or "")
        if acceptor is None:
            raise HandOverError(f"no driver of the pod {to!r} receives states")
        return acceptor
