"""Who asks, whether they may, and how often."""

from math import ceil

from statefulroute.resolver.allowance import Allowance
from statefulroute.resolver.problems import ProblemError, ProblemKind
from statefulroute.resolver.tokens import Tokens


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
        name = peer if self._tokens is None else await self._tokens.user_of(authorization, peer)
        if self._allowance is not None and (wait := self._allowance.take(name)) > 0:
            raise ProblemError(ProblemKind.TOO_MANY_REQUESTS, f"{name} asks too often: wait", ceil(wait))
