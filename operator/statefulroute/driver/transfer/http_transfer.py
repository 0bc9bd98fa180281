"""Joins the sender and the receiver of a pod."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from statefulroute.cluster.client import Client
from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.keys import PodKey
from statefulroute.driver.hand_over_configuration import HandOverConfiguration
from statefulroute.driver.parts import ArrivalAcceptor, ServerInformation
from statefulroute.driver.transfer.peers import Peers
from statefulroute.driver.transfer.receiver import Receiver
from statefulroute.driver.transfer.sender import Sender
from statefulroute.driver.transfer.tls import TLSContexts
from statefulroute.driver.transfer.tokens import KEYS_PATH, TokenVerifier


class HTTPTransfer:
    """Transfers states by HTTP.

    Args:
        client: the client of the API server, for the keys of the cluster and the addresses of pods.
        server: the identity of the pod.
        configuration: the port, the limits and the credentials.

    Raises:
        InvalidParameterError: a file for TLS is missing, or invalid.
    """

    def __init__(self, client: Client, server: ServerInformation, configuration: HandOverConfiguration) -> None:
        try:
            tls = None if configuration.tls is None else TLSContexts(configuration.tls)
        except OSError as error:
            raise InvalidParameterError("hand_over.tls", f"names files that cannot be read: {error}") from error
        peers = Peers(client, server.namespace)
        verifier = TokenVerifier(lambda: client.get(KEYS_PATH))
        self._sender = Sender(server, configuration, verifier, peers, tls)
        self._receiver = Receiver(server, configuration, verifier, peers, tls)

    @classmethod
    def open(
        cls, stack: AsyncExitStack, client: Client, server: ServerInformation, configuration: HandOverConfiguration
    ) -> "HTTPTransfer":
        """Returns a transfer whose connections the stack closes."""
        transfer = cls(client, server, configuration)
        stack.push_async_callback(transfer._sender.close)
        return transfer

    async def send(self, service: str, uid: str, to: PodKey, parts: AsyncIterator[bytes]) -> None:
        """Sends the state of a user, as `Sender.send` does."""
        await self._sender.send(service, uid, to, parts)

    async def withdraw(self, service: str, uid: str, to: PodKey) -> None:
        """Tells another pod that a user will perhaps not arrive, as `Sender.withdraw` does."""
        await self._sender.withdraw(service, uid, to)

    async def serve(self, acceptor: ArrivalAcceptor) -> None:
        """Receives until it is cancelled."""
        await self._receiver.serve(acceptor)
