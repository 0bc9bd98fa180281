"""Authenticates the callers of the resolver by their bearer tokens."""

from collections.abc import Sequence
from math import ceil

import structlog

from statefulroute.cluster.errors import ClusterError, UnreachableError
from statefulroute.cluster.token_reviewer import TokenReviewer, TokenUser, TooManyTokensError, bearer_token
from statefulroute.rest.problems import ProblemError, ProblemKind

log = structlog.get_logger(__name__)


class TokenAuthenticator:
    """Authenticates callers by tokens for an audience.

    Args:
        token_reviewer: finds the users of tokens for the audience.
        allowed_users: the accepted users; none is every authenticated user.
    """

    def __init__(self, token_reviewer: TokenReviewer, allowed_users: Sequence[str] = ()) -> None:
        self._token_reviewer = token_reviewer
        self._allowed = frozenset(allowed_users)

    async def authenticate(self, authorization: str | None, peer: str) -> str:
        """Returns the user of a request.

        Args:
            authorization: the value of its Authorization header.
            peer: the address of the caller.

        Raises:
            ProblemError: the token is missing, refused or not allowed, or cannot be reviewed.
        """
        token, audience = bearer_token(authorization), self._token_reviewer.audience
        if token is None:
            raise ProblemError(
                ProblemKind.NOT_AUTHENTICATED,
                f"send a token of your ServiceAccount for the audience {audience!r}, as Authorization: Bearer",
            )
        user = await self._review(token, peer)
        if user is None:
            raise ProblemError(
                ProblemKind.NOT_AUTHENTICATED,
                f"the API server does not accept this token for the audience {audience!r}",
            )
        if self._allowed and user.name not in self._allowed:
            raise ProblemError(ProblemKind.NOT_ALLOWED, f"{user.name} is not one of the allowed users (--allow-user)")
        return user.name

    async def _review(self, token: str, peer: str) -> TokenUser | None:
        try:
            return await self._token_reviewer.review(token, peer)
        except TooManyTokensError as error:
            raise ProblemError(ProblemKind.TOO_MANY_REQUESTS, str(error), ceil(error.retry_after_seconds)) from error
        except UnreachableError as error:
            raise ProblemError(
                ProblemKind.API_SERVER_AWAY, "the API server is unavailable, and cannot review the token"
            ) from error
        except ClusterError as error:
            log.warning("a token cannot be reviewed: is it allowed to create tokenreviews?", error=str(error))
            raise ProblemError(ProblemKind.REFUSED, "the API server refused to review the token") from error
