"""Authenticates bearer tokens by TokenReview; caches reviews and limits their rate."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import NamedTuple

import msgspec
import structlog

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import APIError, ClusterError, UnreachableError, is_outage
from statefulroute.cluster.retry_after import retry_pause
from statefulroute.domain.rate_limiter import RateLimiter
from statefulroute.rest.problems import ProblemError, ProblemKind

log = structlog.get_logger(__name__)

_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"

#: How long the review of an accepted or refused token is cached. The first limits how long a token of a deleted
#: account is still accepted.
_ACCEPTED_TTL_SECONDS, _REFUSED_TTL_SECONDS = 60.0, 10.0

#: How long an accepted token stays accepted while the API server is unavailable.
_OUTAGE_TTL_SECONDS = 900.0

#: The maximal number of cached reviews of accepted, and of refused, tokens; beyond it the oldest is removed.
_MAX_TOKENS = 10_000
_MAX_TOKEN_BYTES = 16_384

#: The maximal rate of reviews of unknown tokens from one address, because any client can invent tokens.
_UNKNOWN_TOKENS_PER_SECOND = 20.0

#: The maximal number of concurrent reviews; the remaining connections are for bindings and watches.
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
    """The result of a token's last review.

    Attributes:
        user: the user of the token; None if the token was refused.
        time: when the token was reviewed, in monotonic seconds.
    """

    user: str | None
    time: float


class TokenReviewer:
    """Authenticates callers by their bearer tokens, by TokenReviews of the API server.

    Args:
        client: the client of the API server.
        audience: the required audience of tokens.
        allowed_users: the accepted users; none is every authenticated user.
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
        # Separate caches, so that invented tokens do not evict good ones.
        self._accepted: dict[bytes, _CachedReview] = {}
        self._refused: dict[bytes, _CachedReview] = {}
        self._unknown_tokens_limiter = RateLimiter(_UNKNOWN_TOKENS_PER_SECOND, clock)
        self._pending_reviews: dict[bytes, asyncio.Task[str | None]] = {}
        self._no_review_before = 0.0
        """Until when the API server asks not to review tokens, by the clock."""
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT_REVIEWS)

    async def authenticate(self, authorization: str | None, peer: str) -> str:
        """Returns the user of a request.

        Args:
            authorization: the value of its Authorization header.
            peer: the address of the caller.

        Raises:
            ProblemError: the token is missing, refused or not allowed, or cannot be reviewed.
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
                f"the API server does not accept this token for the audience {self._audience!r}",
            )
        if self._allowed and user not in self._allowed:
            raise ProblemError(ProblemKind.NOT_ALLOWED, f"{user} is not one of the allowed users (--allow-user)")
        return user

    async def _user_of(self, token: str, peer: str) -> str | None:
        digest, now = hashlib.sha256(token.encode()).digest(), self._clock()
        accepted = self._accepted.get(digest)
        if accepted is not None and now - accepted.time < _ACCEPTED_TTL_SECONDS:
            return accepted.user
        if accepted is None:
            refused = self._refused.get(digest)
            if refused is not None and now - refused.time < _REFUSED_TTL_SECONDS:
                return None
            if digest not in self._pending_reviews and (wait := self._unknown_tokens_limiter.take(peer)) > 0:
                raise ProblemError(
                    ProblemKind.TOO_MANY_REQUESTS, f"{peer} sends too many unknown tokens: wait", ceil(wait)
                )
        try:
            user = await self._review_once(digest, token)
        except UnreachableError as error:
            if accepted is not None and now - accepted.time < _OUTAGE_TTL_SECONDS:
                return accepted.user
            raise ProblemError(
                ProblemKind.API_SERVER_AWAY, "the API server is unavailable, and cannot review the token"
            ) from error
        except ClusterError as error:
            log.warning("a token cannot be reviewed: is it allowed to create tokenreviews?", error=str(error))
            raise ProblemError(ProblemKind.REFUSED, "the API server refused to review the token") from error
        self._remember(digest, _CachedReview(user, now))
        return user

    def _remember(self, digest: bytes, review: _CachedReview) -> None:
        self._accepted.pop(digest, None)
        self._refused.pop(digest, None)
        reviews = self._refused if review.user is None else self._accepted
        reviews[digest] = review
        if len(reviews) > _MAX_TOKENS:
            del reviews[next(iter(reviews))]

    async def _review_once(self, digest: bytes, token: str) -> str | None:
        """Reviews a token; concurrent requests with the same token share one review."""
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
            if self._clock() < self._no_review_before:
                raise UnreachableError("the API server is too busy to review tokens")
            try:
                status = _review.decode(await self._client.post(_REVIEWS, msgspec.json.encode(review))).status
            except APIError as error:
                self._no_review_before = self._clock() + retry_pause(0.0, error.retry_after_seconds)
                if is_outage(error):
                    raise UnreachableError(str(error)) from error
                raise
        # An API server without support for audiences returns none, and has not compared them.
        is_for_us = self._audience in (status.audiences or ())
        return status.user.username if status.authenticated and is_for_us else None
