"""Whose a bearer token is: the API server says it, and is asked seldom, whoever sends whatever."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import NamedTuple

import msgspec
import structlog

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import APIError, ClusterError, UnreachableError
from statefulroute.resolver.problems import ProblemError, ProblemKind
from statefulroute.resolver.rate_limiter import RateLimiter

log = structlog.get_logger(__name__)

_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"

#: For how long a token is let in, or not, without being reviewed again: a deleted account is let in no longer.
_ACCEPTED_TTL_SECONDS, _REFUSED_TTL_SECONDS = 60.0, 10.0

#: For how long one is let in that cannot be reviewed, because the API server is away.
_OUTAGE_TTL_SECONDS = 900.0

#: How many of either kind are remembered; beyond that the oldest is forgotten.
_MAX_TOKENS = 10_000
_MAX_TOKEN_BYTES = 16_384

#: How many tokens that nobody has seen are reviewed for one address in a second: anybody can make them up.
_UNKNOWN_TOKENS_PER_SECOND = 20.0

#: How many reviews are under way; the connections that are left are for users and watches.
_MAX_CONCURRENT_REVIEWS = 8


class _User(msgspec.Struct):
    username: str = ""


class _Status(msgspec.Struct):
    authenticated: bool = False
    user: _User = msgspec.field(default_factory=_User)
    audiences: list[str] | None = None


class _Review(msgspec.Struct):
    status: _Status = msgspec.field(default_factory=_Status)


_review = msgspec.json.Decoder(_Review)


class _CachedReview(NamedTuple):
    """Whose a token was when it was reviewed last; None is nobody's that may ask."""

    user: str | None
    time: float


class TokenReviewer:
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
        # Apart, so that tokens that somebody makes up put none out that is good.
        self._accepted: dict[bytes, _CachedReview] = {}
        self._refused: dict[bytes, _CachedReview] = {}
        self._unknown_tokens_limiter = RateLimiter(_UNKNOWN_TOKENS_PER_SECOND, clock)
        self._pending_reviews: dict[bytes, asyncio.Task[str | None]] = {}
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT_REVIEWS)

    async def authenticate(self, authorization: str | None, peer: str) -> str:
        """The user of a request.

        Args:
            authorization: the value of its Authorization header.
            peer: the address that it comes from.

        Raises:
            ProblemError: there is none that may ask, or it cannot be found out.
        """
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or not token.isascii() or len(token) > _MAX_TOKEN_BYTES:
            raise ProblemError(
                ProblemKind.NOT_AUTHENTICATED,
                f"send a token of your ServiceAccount for the audience {self._audience!r}, as Authorization: Bearer",
            )
        user = await self._user_of(token, peer)
        if user is None:
            raise ProblemError(
                ProblemKind.NOT_AUTHENTICATED,
                f"the API server does not know this token, or not for the audience {self._audience!r}",
            )
        if self._allowed and user not in self._allowed:
            raise ProblemError(ProblemKind.NOT_ALLOWED, f"{user} is none of the users that are let in (--allow-user)")
        return user

    async def _user_of(self, token: str, peer: str) -> str | None:
        digest, now = hashlib.sha256(token.encode()).digest(), self._clock()
        known = self._accepted.get(digest)
        if known is not None and now - known.time < _ACCEPTED_TTL_SECONDS:
            return known.user
        if known is None:
            refused = self._refused.get(digest)
            if refused is not None and now - refused.time < _REFUSED_TTL_SECONDS:
                return None
            if digest not in self._pending_reviews and (wait := self._unknown_tokens_limiter.take(peer)) > 0:
                raise ProblemError(
                    ProblemKind.TOO_MANY_REQUESTS, f"{peer} sends too many tokens that nobody knows: wait", ceil(wait)
                )
        try:
            user = await self._review_once(digest, token)
        except UnreachableError as error:
            if known is not None and now - known.time < _OUTAGE_TTL_SECONDS:
                return known.user
            raise ProblemError(
                ProblemKind.API_SERVER_AWAY, "the API server cannot be asked whose token it is"
            ) from error
        except ClusterError as error:
            log.warning("a token cannot be reviewed: is it allowed to create tokenreviews?", error=str(error))
            raise ProblemError(ProblemKind.REFUSED, "the API server does not say whose token it is") from error
        self._remember(digest, _CachedReview(user, now))
        return user

    def _remember(self, digest: bytes, known: _CachedReview) -> None:
        self._accepted.pop(digest, None)
        self._refused.pop(digest, None)
        kind = self._refused if known.user is None else self._accepted
        kind[digest] = known
        if len(kind) > _MAX_TOKENS:
            del kind[next(iter(kind))]

    async def _review_once(self, digest: bytes, token: str) -> str | None:
        """What a review says; requests with the same token wait for the same one."""
        task = self._pending_reviews.get(digest)
        if task is None:
            task = self._pending_reviews[digest] = asyncio.create_task(self._review(token))
            task.add_done_callback(lambda _: self._pending_reviews.pop(digest))
        return await asyncio.shield(task)

    async def _review(self, token: str) -> str | None:
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }
        async with self._slots:
            try:
                status = _review.decode(await self._client.post(_REVIEWS, msgspec.json.encode(review))).status
            except APIError as error:
                if error.status >= 500:  # noqa: PLR2004 - where the server's errors begin
                    raise UnreachableError(str(error)) from error
                raise
        # An API server that knows nothing of audiences answers none, and has then not compared any.
        is_for_us = self._audience in (status.audiences or ())
        return status.user.username if status.authenticated and is_for_us else None
