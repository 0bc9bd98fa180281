"""Tests the problems of callers whose tokens are not accepted."""

from typing import cast

import pytest

from statefulroute.cluster.errors import APIError, UnreachableError
from statefulroute.cluster.token_reviewer import TokenReviewer, TokenUser, TooManyTokensError
from statefulroute.resolver.token_authenticator import TokenAuthenticator
from statefulroute.rest.problems import ProblemError, ProblemKind


class Reviewer:
    """A token reviewer with one result."""

    audience = "resolver"

    def __init__(self, result: TokenUser | Exception | None) -> None:
        self._result = result
        self.reviewed: list[tuple[str, str]] = []

    async def review(self, token: str, peer: str) -> TokenUser | None:
        self.reviewed.append((token, peer))
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


def authenticator(reviewer: Reviewer, *allowed_users: str) -> TokenAuthenticator:
    return TokenAuthenticator(cast("TokenReviewer", reviewer), allowed_users)


async def test_caller_is_the_user_of_its_token() -> None:
    reviewer = Reviewer(TokenUser("gateway"))
    assert await authenticator(reviewer, "gateway").authenticate("Bearer t", "10.0.0.1") == "gateway"
    assert reviewer.reviewed == [("t", "10.0.0.1")]


@pytest.mark.parametrize("header", [None, "", "Bearer ", "Basic t"])
async def test_invalid_authorization_header_is_not_reviewed(header: str | None) -> None:
    reviewer = Reviewer(TokenUser("gateway"))
    with pytest.raises(ProblemError, match="send a token of your ServiceAccount for the audience 'resolver'"):
        await authenticator(reviewer).authenticate(header, "10.0.0.1")
    assert reviewer.reviewed == []


@pytest.mark.parametrize(
    ("result", "kind", "retry_seconds"),
    [
        (None, ProblemKind.NOT_AUTHENTICATED, None),
        (TokenUser("other"), ProblemKind.NOT_ALLOWED, None),
        (TooManyTokensError("10.0.0.1", 2.5), ProblemKind.TOO_MANY_REQUESTS, 3),
        (UnreachableError("no answer"), ProblemKind.API_SERVER_AWAY, 1),
        (APIError(403, "Forbidden", "no"), ProblemKind.REFUSED, None),
    ],
    ids=str,
)
async def test_problem_of_a_token(
    result: TokenUser | Exception | None, kind: ProblemKind, retry_seconds: int | None
) -> None:
    with pytest.raises(ProblemError) as error:
        await authenticator(Reviewer(result), "gateway").authenticate("Bearer t", "10.0.0.1")
    assert (error.value.kind, error.value.retry_seconds) == (kind, retry_seconds)
