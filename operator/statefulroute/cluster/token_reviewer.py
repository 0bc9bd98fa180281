"""Authenticates bearer tokens by TokenReview, and authorizes their users; caches reviews and limits their rate."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Any, NamedTuple, TypeVar

import msgspec

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import APIError, ClusterError, UnreachableError, is_outage
from statefulroute.cluster.retry_after import retry_pause
from statefulroute.domain.rate_limiter import RateLimiter

_AUTHENTICATION, _AUTHORIZATION = "authentication.k8s.io/v1", "authorization.k8s.io/v1"

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

#: The maximal number of concurrent reviews of unknown tokens, and as many of accepted ones, which do not wait behind
#: invented tokens; the remaining connections are for other requests.
_MAX_CONCURRENT_REVIEWS = 4

#: How long a token may wait until its review begins, how long the API server may take for each request of it, and how
#: long the callers of an unknown token wait for it.
_TIMEOUT_SECONDS = 5.0

#: How long the callers of an accepted token wait for its next review, and for how long none waits after a slow one.
_ACCEPTED_WAIT_SECONDS, _SLOW_SECONDS = 1.0, 10.0


class TooManyTokensError(ClusterError):
    """An address sends too many unknown tokens, which are not reviewed.

    Attributes:
        retry_after_seconds: the pause until the next one is reviewed.
    """

    def __init__(self, peer: str, retry_after_seconds: float) -> None:
        super().__init__(f"{peer} sends too many unknown tokens: wait")
        self.retry_after_seconds = retry_after_seconds


class TokenUser(NamedTuple):
    """The user of a token that the API server has authenticated.

    Attributes:
        name: the username.
        is_allowed: whether the user may get the path of the reviewer; true if it has none.
    """

    name: str
    is_allowed: bool = True


class _UserInfo(msgspec.Struct, omit_defaults=True):
    username: str = ""
    uid: str = ""
    groups: list[str] | None = None
    extra: dict[str, list[str]] | None = None


class _TokenStatus(msgspec.Struct):
    authenticated: bool = False
    user: _UserInfo = msgspec.field(default_factory=_UserInfo)
    audiences: list[str] | None = None


class _TokenReview(msgspec.Struct):
    status: _TokenStatus = msgspec.field(default_factory=_TokenStatus)


class _AccessStatus(msgspec.Struct):
    allowed: bool = False


class _AccessReview(msgspec.Struct):
    status: _AccessStatus = msgspec.field(default_factory=_AccessStatus)


_Review = TypeVar("_Review", _TokenReview, _AccessReview)

_token_review = msgspec.json.Decoder(_TokenReview)
_access_review = msgspec.json.Decoder(_AccessReview)


class _CachedReview(NamedTuple):
    """The result of a token's last review.

    Attributes:
        user: the user of the token; None if the token was refused.
        time: when the token was reviewed, in monotonic seconds.
        slow_at: when the API server has last not answered the next review in time, by the same clock.
    """

    user: TokenUser | None
    time: float
    slow_at: float = -inf


def bearer_token(authorization: str | None) -> str | None:
    """Returns the token of an Authorization header; None if there is none, or none that the API server could issue."""
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    is_token = scheme.lower() == "bearer" and token.isascii() and 0 < len(token) <= _MAX_TOKEN_BYTES
    return token if is_token else None


class TokenReviewer:
    """Finds the users of bearer tokens by TokenReviews of the API server, and what they may do by SubjectAccessReviews.

    Attributes:
        audience: the required audience of tokens; None is that of the API server.

    Args:
        client: the client of the API server.
        audience: that audience.
        path: the path that users have to be allowed to get, as a `nonResourceURL` of RBAC; None authorizes all.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        client: Client,
        audience: str | None = None,
        path: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self.audience = audience
        self._path = path
        self._clock = clock
        # Separate caches, so that invented tokens do not evict good ones.
        self._accepted: dict[bytes, _CachedReview] = {}
        self._refused: dict[bytes, _CachedReview] = {}
        self._unknown_tokens_limiter = RateLimiter(_UNKNOWN_TOKENS_PER_SECOND, clock)
        self._pending_reviews: dict[bytes, asyncio.Task[TokenUser | None]] = {}
        self._no_review_before = 0.0
        """Until when the API server asks not to review tokens, by the clock."""
        self._accepted_slots = asyncio.Semaphore(_MAX_CONCURRENT_REVIEWS)
        self._unknown_slots = asyncio.Semaphore(_MAX_CONCURRENT_REVIEWS)

    async def review(self, token: str, peer: str) -> TokenUser | None:
        """Returns the user of a token; None if the API server does not accept the token.

        Args:
            token: the token.
            peer: the address of the caller.

        Raises:
            TooManyTokensError: the caller sends too many unknown tokens.
            UnreachableError: the API server is unavailable or too busy, and the token was not accepted recently.
            ClusterError: the API server has refused to review the token.
        """
        digest, now = hashlib.sha256(token.encode()).digest(), self._clock()
        accepted = self._accepted.get(digest)
        if accepted is not None and now - accepted.time < _ACCEPTED_TTL_SECONDS:
            return accepted.user
        if accepted is None:
            refused = self._refused.get(digest)
            if refused is not None and now - refused.time < _REFUSED_TTL_SECONDS:
                return refused.user
            if digest not in self._pending_reviews and (wait := self._unknown_tokens_limiter.take(peer)) > 0:
                raise TooManyTokensError(peer, wait)
        task = self._review_once(digest, token, self._unknown_slots if accepted is None else self._accepted_slots)
        if accepted is None or now - accepted.time >= _OUTAGE_TTL_SECONDS:
            return await self._result(digest, task, _TIMEOUT_SECONDS)
        is_slow = now - accepted.slow_at < _SLOW_SECONDS
        try:
            return await self._result(digest, task, 0.0 if is_slow else _ACCEPTED_WAIT_SECONDS)
        except UnreachableError:
            return accepted.user

    def _remember(self, digest: bytes, review: _CachedReview) -> None:
        self._accepted.pop(digest, None)
        self._refused.pop(digest, None)
        is_accepted = review.user is not None and review.user.is_allowed
        reviews = self._accepted if is_accepted else self._refused
        reviews[digest] = review
        if len(reviews) > _MAX_TOKENS:
            del reviews[next(iter(reviews))]

    def _review_once(self, digest: bytes, token: str, slots: asyncio.Semaphore) -> "asyncio.Task[TokenUser | None]":
        """Returns the review of a token that is in progress, or begins one."""
        task = self._pending_reviews.get(digest)
        if task is None:
            task = self._pending_reviews[digest] = asyncio.create_task(self._review(digest, token, slots))
            task.add_done_callback(lambda _: self._end(digest))
        return task

    async def _result(self, digest: bytes, task: "asyncio.Task[TokenUser | None]", seconds: float) -> TokenUser | None:
        """Waits for a review, which goes on if its callers leave; raises UnreachableError if it takes longer."""
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
        self._remember_slow(digest)
        raise UnreachableError(f"the API server has not reviewed the token in {seconds:g} s")

    def _end(self, digest: bytes) -> None:
        task = self._pending_reviews.pop(digest)
        if not task.cancelled():
            task.exception()  # its callers may have left

    def _remember_slow(self, digest: bytes) -> None:
        if (accepted := self._accepted.get(digest)) is not None:
            self._accepted[digest] = accepted._replace(slow_at=self._clock())

    async def _review(self, digest: bytes, token: str, slots: asyncio.Semaphore) -> TokenUser | None:
        """Reviews a token and remembers the result."""
        started = self._clock()
        try:
            async with _slot(slots):
                user = await self._user_of(token)
        except TimeoutError as error:
            self._remember_slow(digest)
            raise UnreachableError(f"the API server has not reviewed the token in {_TIMEOUT_SECONDS:g} s") from error
        self._remember(digest, _CachedReview(user, started))
        return user

    async def _user_of(self, token: str) -> TokenUser | None:
        audiences = {} if self.audience is None else {"audiences": [self.audience]}
        review = await self._create(_AUTHENTICATION, "TokenReview", {"token": token, **audiences})
        status = _decode(_token_review, review).status
        # An API server without support for audiences returns none, and has not compared them.
        is_for_us = self.audience is None or self.audience in (status.audiences or ())
        if not (status.authenticated and is_for_us):
            return None
        return TokenUser(status.user.username, await self._may_get_path(status.user))

    async def _may_get_path(self, user: _UserInfo) -> bool:
        if self._path is None:
            return True
        attributes = {"path": self._path, "verb": "get"}
        spec = {
            "user": user.username,
            "uid": user.uid,
            "groups": user.groups,
            "extra": user.extra,
            "nonResourceAttributes": attributes,
        }
        review = await self._create(_AUTHORIZATION, "SubjectAccessReview", spec)
        return _decode(_access_review, review).status.allowed

    async def _create(self, version: str, kind: str, spec: dict[str, Any]) -> bytes:
        """Sends a review, unless the API server has asked for a pause; returns its response."""
        if self._clock() < self._no_review_before:
            raise UnreachableError("the API server is too busy to review tokens")
        path = f"/apis/{version}/{kind.lower()}s"
        review = msgspec.json.encode({"apiVersion": version, "kind": kind, "spec": spec})
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                return await self._client.post(path, review)
        except APIError as error:
            self._no_review_before = self._clock() + retry_pause(0.0, error.retry_after_seconds)
            if is_outage(error):
                raise UnreachableError(str(error)) from error
            raise


@asynccontextmanager
async def _slot(slots: asyncio.Semaphore) -> AsyncIterator[None]:
    """Takes a slot while the context is open; raises TimeoutError if none is free in time."""
    async with asyncio.timeout(_TIMEOUT_SECONDS):
        await slots.acquire()
    try:
        yield
    finally:
        slots.release()


def _decode(decoder: msgspec.json.Decoder[_Review], review: bytes) -> _Review:
    """Returns a review; raises UnreachableError if it is none, as the response of a proxy."""
    try:
        return decoder.decode(review)
    except msgspec.DecodeError as error:
        raise UnreachableError(f"the response is not a review, but of a proxy: {error}") from error
