"""Sends the states of users to other pods."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from statefulroute.cluster.errors import ClusterError
from statefulroute.domain.errors import HandOverError
from statefulroute.domain.keys import PodKey
from statefulroute.domain.leaving import sibling_name
from statefulroute.driver.hand_over_configuration import HandOverConfiguration
from statefulroute.driver.parts import ServerInformation
from statefulroute.driver.refusals import Refusal, error_of
from statefulroute.driver.transfer.peers import Peers
from statefulroute.driver.transfer.receiver import ARRIVALS_PATH, IDENTITY_PATH
from statefulroute.driver.transfer.tls import TLSContexts
from statefulroute.driver.transfer.tokens import (
    MAX_TOKEN_BYTES,
    RECEIVE_AUDIENCE,
    KeysUnavailableError,
    PodIdentity,
    TokenError,
    TokenVerifier,
    read_token,
)

#: The other pod is in the same cluster.
_CONNECT_SECONDS = 5.0
_IDENTITY_SECONDS = 5.0

#: The maximal size of a response that is read.
_MAX_RESPONSE_BYTES = MAX_TOKEN_BYTES + 1024

#: Idle connections are closed before the other pod closes them.
_KEEPALIVE_SECONDS = 5.0


class _Identity(msgspec.Struct):
    token: str


class _Problem(msgspec.Struct):
    code: str = ""


_identity = msgspec.json.Decoder(_Identity)
_problem = msgspec.json.Decoder(_Problem)


class Sender:
    """Sends states. No byte of a state leaves the pod before the other one has proved who it is.

    Args:
        server: the identity of the pod.
        configuration: the port and the limits.
        verifier: verifies the tokens of other pods.
        peers: reads other pods.
        tls: the TLS contexts; None sends without TLS.
    """

    def __init__(
        self,
        server: ServerInformation,
        configuration: HandOverConfiguration,
        verifier: TokenVerifier,
        peers: Peers,
        tls: TLSContexts | None,
    ) -> None:
        self._pod = server
        self._configuration = configuration
        self._verifier = verifier
        self._peers = peers
        self._tls = tls
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        self._session._retry_connection = False  # noqa: SLF001 - a state is sent once; there is no public setting

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()

    async def send(self, service: str, uid: str, to: PodKey, parts: AsyncIterator[bytes]) -> None:
        """Sends the state of a user, and returns when the other pod has taken it.

        Raises:
            HandOverError: it has not, or this is not known.
        """
        await self._request("PUT", service, uid, to, parts)

    async def withdraw(self, service: str, uid: str, to: PodKey) -> None:
        """Tells another pod that a user will perhaps not arrive. Raises as `send` does."""
        await self._request("DELETE", service, uid, to, None)

    async def _request(
        self, method: str, service: str, uid: str, to: PodKey, parts: AsyncIterator[bytes] | None
    ) -> None:
        origin = await self._find(to)
        token = read_token(self._configuration.tokens, "send")
        url = URL(f"{origin}{ARRIVALS_PATH}/{_segment(service)}/{_segment(uid)}", encoded=True)
        try:
            async with self._session.request(
                method, url, data=parts, headers={"Authorization": f"Bearer {token}"}, **self._options()
            ) as response:
                if response.status not in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
                    raise _refusal(response.status, await _read(response))
        except (aiohttp.ClientError, OSError) as error:
            raise _broken(error) from error

    async def _find(self, to: PodKey) -> URL:
        """Returns the address of a pod that has proved who it is.

        Raises:
            HandOverError: it has not, or does not exist.
        """
        name = sibling_name(self._pod.pod_name, to)
        try:
            peer = None if name is None else await self._peers.read(name)
        except (ClusterError, msgspec.MsgspecError) as error:
            raise HandOverError(f"cannot read the new pod: {error}") from error
        if name is None or peer is None or not peer.ip:
            raise HandOverError(f"the new pod {to!r} does not exist, or has no IP address yet")
        host = f"[{peer.ip}]" if ":" in peer.ip else peer.ip
        origin = URL(f"{'http' if self._tls is None else 'https'}://{host}:{self._configuration.port}")
        expected = PodIdentity(self._pod.namespace, name, peer.uid)
        try:
            identity = await self._verifier.verify(await self._read_identity(origin), RECEIVE_AUDIENCE)
        except TokenError as error:
            raise HandOverError(f"the token of the new pod does not prove who it is: {error}") from error
        except KeysUnavailableError as error:
            raise HandOverError(f"cannot verify the new pod, without the keys of the cluster: {error}") from error
        if identity != expected:
            raise HandOverError(f"{origin.host} is not the pod {name!r}, but another one")
        return origin

    async def _read_identity(self, origin: URL) -> str:
        try:
            return await self._request_identity(origin)
        except HandOverError as error:
            if not isinstance(error.__cause__, aiohttp.ServerDisconnectedError | ConnectionResetError):
                raise
        # The other pod had closed the idle connection.
        return await self._request_identity(origin)

    async def _request_identity(self, origin: URL) -> str:
        try:
            async with self._session.get(
                origin.with_path(IDENTITY_PATH), **self._options(_IDENTITY_SECONDS)
            ) as response:
                body = await _read(response)
                if response.status != HTTPStatus.OK:
                    raise _refusal(response.status, body)
                return _identity.decode(body).token
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _broken(error) from error
        except msgspec.MsgspecError as error:
            raise HandOverError("the new pod has not answered as a driver does") from error

    def _options(self, seconds: float | None = None) -> dict[str, Any]:
        """Returns the options of a request."""
        options: dict[str, Any] = {
            "allow_redirects": False,
            "timeout": aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS),
        }
        if self._tls is not None:
            options |= {"ssl": self._tls.client, "server_hostname": self._tls.server_name}
        return options


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Returns the body of a response, up to a limit."""
    body = b""
    async for part in response.content.iter_any():
        body += part
        if len(body) > _MAX_RESPONSE_BYTES:
            raise HandOverError("the new pod has not answered as a driver does")
    return body


def _segment(text: str) -> str:
    """Returns a text as one segment of a path. Dots are encoded, too: `.` and `..` would be other paths."""
    return quote(text, safe="").replace(".", "%2E")


def _refusal(status: int, body: bytes) -> HandOverError:
    try:
        return error_of(Refusal(_problem.decode(body).code))
    except (msgspec.MsgspecError, ValueError):
        return HandOverError(f"the new pod has answered with status {status}")


def _broken(error: Exception) -> HandOverError:
    return HandOverError(f"the connection to the new pod has failed: {str(error) or type(error).__name__}")
