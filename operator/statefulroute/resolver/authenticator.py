"""Authenticates the callers of the resolver, and limits their request rates."""

import time
from math import ceil

from statefulroute.domain.rate_limiter import RateLimiter
from statefulroute.resolver.token_authenticator import TokenAuthenticator
from statefulroute.rest.problems import ProblemError, ProblemKind


class Authenticator:
    """Authenticates callers and limits their rates.

    Args:
        tokens: authenticates callers by their tokens; None identifies them by certificate or address.
        requests_per_second: the maximal rate of one caller; None is unlimited.
    """

    def __init__(self, tokens: TokenAuthenticator | None = None, requests_per_second: float | None = None) -> None:
        self._tokens = tokens
        self._rate_limiter = RateLimiter(requests_per_second, time.monotonic) if requests_per_second else None
        self.is_open = tokens is None and self._rate_limiter is None
        """Whether every request is admitted, without a check."""

    async def admit(self, authorization: str | None, peer: str) -> str:
        """Admits a request, or raises; returns the name of the caller.

        Args:
            authorization: the value of its Authorization header.
            peer: the name in the caller's certificate, or its address.

        Raises:
            ProblemError: the caller is not authenticated or not allowed, or exceeds its rate.
        """
        name = peer if self._tokens is None else await self._tokens.authenticate(authorization, peer)
        if self._rate_limiter is not None and (wait := self._rate_limiter.take(name)) > 0:
            raise _too_many_requests(name, wait)
        return name

    def charge(self, name: str, requests: int) -> None:
        """Counts an admitted request of a caller as a number of requests.

        The number may exceed the rate: the later requests of the caller then wait until it is worked off.

        Args:
            name: the caller.
            requests: the number, at least 1.

        Raises:
            ProblemError: the caller has exceeded its rate.
        """
        if self._rate_limiter is None:
            return
        self._rate_limiter.give_back(name)
        if (wait := self._rate_limiter.take(name, requests)) > 0:
            raise _too_many_requests(name, wait)


def _too_many_requests(name: str, wait_seconds: float) -> ProblemError:
    return ProblemError(ProblemKind.TOO_MANY_REQUESTS, f"{name} sends too many requests: wait", ceil(wait_seconds))
