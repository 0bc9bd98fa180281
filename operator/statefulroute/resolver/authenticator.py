"""Who asks, whether they may, and how often."""

from math import ceil

from statefulroute.resolver.problems import ProblemError, ProblemKind
from statefulroute.resolver.rate_limiter import RateLimiter
from statefulroute.resolver.token_reviewer import TokenReviewer


class Authenticator:
    """Lets callers in.

    Args:
        token_reviewer: knows them by their tokens; None knows them by their certificate or their address.
        requests_per_second: how often one may ask in a second; None is as often as it likes.
    """

    def __init__(self, token_reviewer: TokenReviewer | None = None, requests_per_second: float | None = None) -> None:
        self._token_reviewer = token_reviewer
        self._rate_limiter = RateLimiter(requests_per_second) if requests_per_second else None
        self.is_open = token_reviewer is None and self._rate_limiter is None
        """Whether nobody need be looked at."""

    async def admit(self, authorization: str | None, peer: str) -> None:
        """Let a request in.

        Args:
            authorization: the value of its Authorization header.
            peer: who it comes from, where no token says it.

        Raises:
            ProblemError: it may not ask, or not now.
        """
        name = peer if self._token_reviewer is None else await self._token_reviewer.authenticate(authorization, peer)
        if self._rate_limiter is not None and (wait := self._rate_limiter.take(name)) > 0:
            raise ProblemError(ProblemKind.TOO_MANY_REQUESTS, f"{name} asks too often: wait", ceil(wait))
