"""Verifies the tokens of pods by the public keys of the cluster, and reads the pod's own tokens.

The kubelet projects a token of the pod's ServiceAccount for each audience. It names the pod, and expires. The
cluster's keys are readable by every ServiceAccount, so no right to review tokens is necessary.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import jwt

from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.field_logger import get_logger
from statefulroute.domain.errors import HandOverError

log = get_logger(__name__)

#: The audience of the token by which a pod proves who it is when it sends, and when it receives. They differ, so that a
#: pod cannot receive in the name of one that has sent to it.
SEND_AUDIENCE = "statefulroute.io/hand-over/send"
RECEIVE_AUDIENCE = "statefulroute.io/hand-over/receive"

#: Where the API server publishes its keys.
KEYS_PATH = "/openid/v1/jwks"

#: The API server signs with one of these.
_ALGORITHMS = frozenset({"RS256", "ES256", "ES384", "ES512"})

#: The clocks of two nodes may differ by so much.
_LEEWAY_SECONDS = 30

#: Longer tokens are not parsed. Those of pods have about 1,300 bytes.
MAX_TOKEN_BYTES = 6 * 2**10

#: Keys are read again after this time, and for an unknown key at most as often as the second one says.
_CACHE_SECONDS = 600.0
_MIN_SECONDS = 10.0


class TokenError(Exception):
    """A token does not prove anything. The message has nothing of the token."""


class KeysUnavailableError(Exception):
    """The keys of the cluster could not be read, so nothing can be verified."""


class PodIdentity(NamedTuple):
    """The pod that a token was issued for.

    Attributes:
        namespace: the namespace.
        name: the name of the pod.
        uid: the UID of the Pod object.
    """

    namespace: str
    name: str
    uid: str


class TokenVerifier:
    """Verifies tokens, and caches the keys.

    Args:
        fetch: reads the keys of the cluster, as a JSON Web Key Set.
        clock: returns monotonic seconds.
    """

    def __init__(self, fetch: Callable[[], Awaitable[bytes]], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at: float | None = None
        self._lock = asyncio.Lock()

    async def verify(self, token: str, audience: str) -> PodIdentity:
        """Returns the pod that a token was issued for.

        Args:
            token: the token.
            audience: what the token must be for, and for nothing else.

        Raises:
            TokenError: the token is invalid, or for something else.
            KeysUnavailableError: the keys cannot be read.
        """
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenError("it is too long")
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            raise TokenError("it is malformed") from None
        key = await self._key(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise TokenError("it is signed by an unknown key")
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenError("it has expired") from None
        except jwt.InvalidAudienceError:
            raise TokenError("it is for another audience") from None
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            raise TokenError(f"it is invalid ({type(error).__name__})") from None
        return _identity(claims, audience)

    async def _key(self, key_id: str) -> jwt.PyJWK | None:
        """Returns a key, and reads the keys again if they are old, or if it is unknown."""
        if not self._may_use(key_id):
            async with self._lock:
                if not self._may_use(key_id):
                    await self._read()
        return self._keys.get(key_id)

    def _may_use(self, key_id: str) -> bool:
        """Returns whether the keys need not be read again."""
        if self._read_at is None:
            return False
        age = self._clock() - self._read_at
        return age < (_CACHE_SECONDS if key_id in self._keys else _MIN_SECONDS)

    async def _read(self) -> None:
        try:
            found = jwt.PyJWKSet.from_json((await self._fetch()).decode()).keys
        except (ClusterError, jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            log.warning("cannot read the keys of the cluster", error=str(error))
            raise KeysUnavailableError(str(error)) from error
        self._keys = {key.key_id: key for key in found if key.key_id and key.algorithm_name in _ALGORITHMS}
        self._read_at = self._clock()


def _identity(claims: dict[str, Any], audience: str) -> PodIdentity:
    """Returns the pod of the verified claims.

    Raises:
        TokenError: they are for further audiences, or name no pod.
    """
    if claims["aud"] not in (audience, [audience]):
        raise TokenError("it is for further audiences, too")
    cluster = claims.get("kubernetes.io")
    pod = cluster.get("pod") if isinstance(cluster, dict) else None
    if not isinstance(cluster, dict) or not isinstance(pod, dict):
        raise TokenError("it is not bound to a pod")
    parts = [part for part in (cluster.get("namespace"), pod.get("name"), pod.get("uid")) if isinstance(part, str)]
    if len(parts) != len(PodIdentity._fields) or not all(parts):
        raise TokenError("it is not bound to a pod")
    return PodIdentity(*parts)


def read_token(directory: Path, name: str) -> str:
    """Reads one of the pod's own tokens, which the kubelet replaces from time to time.

    Args:
        directory: the directory of the tokens.
        name: `send` or `receive`.

    Raises:
        HandOverError: there is none.
    """
    path = directory / name
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise HandOverError(
            f"cannot read the token for hand-overs ({error}): mount it, as in docs/reference/drivers.md"
        ) from error
    if not token:
        raise HandOverError(f"cannot read the token for hand-overs (the file {path} is empty)")
    return token
