"""Who asks, whether they may, and how often."""

import hashlib
import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import NamedTuple

import msgspec
import structlog

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import APIError, ClusterError, UnreachableError
from statefulroute.resolver.allowance import Allowance
from statefulroute.resolver.problems import ProblemError, ProblemKind

log = structlog.get_logger(__name__)

_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"

#: For how long a token is let in, or not, without being reviewed again: a deleted account is let in no longer.
_KNOWN_SECONDS, _REFUSED_SECONDS = 60.0, 10.0

#: For how long one is let in that cannot be reviewed, because the API server is away.
_TRUSTED_SECONDS = 900.0

_MAX_TOKENS = 10_000
_MAX_TOKEN_BYTES = 16_384


class _User(msgspec.Struct):
    username: str = ""


class _Status(msgspec.Struct):
    authenticated: bool = False
    user: _User = msgspec.field(default_factory=_User)
    audiences: list[str] | None = None


class _Review(msgspec.Struct):
    status: _Status = msgspec.field(default_factory=_Status)


_review = msgspec.json.Decoder(_Review)


class _Known(NamedTuple):
    """What came of a review: the user, or None, and when it was."""

    user: str | None
    time: float


class Tokens:
    """Knows callers by their bearer tokens, which the API server reviews.

    Args:
        client: how to reach the API server.
        audience: whom the tokens must be for.
        allowed_users: who is let in; none is everybody whom the API server knows.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        client: Client,
        audience: str,
        allowed_users: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._audience = audience
        self._allowed = frozenset(allowed_users)
        self._clock = clock
        self._known: dict[bytes, _Known] = {}

    async def user_of(self, authorization: str | None) -> str:
        """The user of a request.

        Args:
            authorization: the value of its Authorization header.

        Raises:
            ProblemError: there is none that may ask, or it cannot be found out.
        """
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN_BYTES:
            raise ProblemError(
                ProblemKind.NOT_AUTHENTICATED,
                f"send a token of your ServiceAccount for the audience {self._audience!r}, as Authorization: Bearer",
            )
        user = await self._user_of(token)
        if user is None:
            raise ProblemError(
                ProblemKind.NOT_AUTHENTICATED,
                f"the API server does not know this token, or not for the audience {self._audience!r}",
            )
        if self._allowed and user not in self._allowed:
            raise ProblemError(ProblemKind.NOT_ALLOWED, f"{user} is none of the users that are let in (--allow-user)")
        return user

    async def _user_of(self, token: str) -> str | None:
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        known, now = self._known.get(digest), self._clock()
        if known is not None and now - known.time < (_REFUSED_SECONDS if known.user is None else _KNOWN_SECONDS):
            return known.user
        try:
            user = await self._review(token)
        except UnreachableError as error:
            if known is not None and known.user is not None and now - known.time < _TRUSTED_SECONDS:
                return known.user
            raise ProblemError(
                ProblemKind.API_SERVER_AWAY, "the API server cannot be asked whose token it is"
            ) from error
        except ClusterError as error:
            log.warning("a token cannot be reviewed: is it allowed to create tokenreviews?", error=str(error))
            raise ProblemError(ProblemKind.REFUSED, "the API server does not say whose token it is") from error
        if len(self._known) >= _MAX_TOKENS:
            self._known.clear()
        self._known[digest] = _Known(user, now)
        return user

    async def _review(self, token: str) -> str | None:
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }
        try:
            status = _review.decode(await self._client.post(_REVIEWS, msgspec.json.encode(review))).status
        except APIError as error:
            if error.status >= 500:  # noqa: PLR2004 - where the server's errors begin
                raise UnreachableError(str(error)) from error
            raise
        # An API server that knows nothing of audiences answers none, and has then not compared any.
        is_for_us = self._audience in (status.audiences or ())
        return status.user.username if status.authenticated and is_for_us else None


class Callers:
    """Lets callers in.

    Args:
        tokens: knows them by their tokens; None knows them by their certificate or their address.
        requests_per_second: how often one may ask in a second; None is as often as it likes.
    """

    def __init__(self, tokens: Tokens | None = None, requests_per_second: float | None = None) -> None:
        self._tokens = tokens
        self._allowance = Allowance(requests_per_second) if requests_per_second else None
        self.are_all_let_in = tokens is None and self._allowance is None
        """Whether nobody need be looked at."""

    async def admit(self, authorization: str | None, peer: str) -> None:
        """Let a request in.

        Args:
            authorization: the value of its Authorization header.
            peer: who it comes from, where no token says it.

        Raises:
            ProblemError: it may not ask, or not now.
        """
        name = peer if self._tokens is None else await self._tokens.user_of(authorization)
        if self._allowance is not None and (wait := self._allowance.take(name)) > 0:
            raise ProblemError(ProblemKind.TOO_MANY_REQUESTS, f"{name} asks too often: wait", ceil(wait))
