"""Tests the cache and the limits of token reviews."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import APIError, UnreachableError
from statefulroute.resolver.token_reviewer import TokenReviewer
from statefulroute.rest.problems import ProblemError, ProblemKind


@dataclass
class Reviewer:
    """A fake API server that reviews tokens, and a clock."""

    result: dict[str, Any] | Exception = field(default_factory=dict)
    reviews: int = 0
    concurrent: int = 0
    max_concurrent: int = 0
    now: float = 1000.0

    async def post(self, path: str, body: bytes) -> bytes:
        assert path == "/apis/authentication.k8s.io/v1/tokenreviews"
        spec = json.loads(body)["spec"]
        assert spec["audiences"] == ["resolver"]
        self.reviews += 1
        self.concurrent += 1
        self.max_concurrent = max(self.max_concurrent, self.concurrent)
        await asyncio.sleep(0)
        self.concurrent -= 1
        if isinstance(self.result, Exception):
            raise self.result
        is_invented = spec["token"].startswith("invented")
        return json.dumps({"status": {"authenticated": False} if is_invented else self.result}).encode()

    def token_reviewer(self) -> TokenReviewer:
        return TokenReviewer(cast("Client", self), "resolver", clock=lambda: self.now)


GOOD = {"authenticated": True, "user": {"username": "gateway"}, "audiences": ["resolver"]}


async def authenticate(token_reviewer: TokenReviewer, bearer: str = "t", peer: str = "10.0.0.1") -> str:
    return await token_reviewer.authenticate(f"Bearer {bearer}", peer)


async def problem(token_reviewer: TokenReviewer, bearer: str = "t", peer: str = "10.0.0.1") -> ProblemKind:
    with pytest.raises(ProblemError) as error:
        await authenticate(token_reviewer, bearer, peer)
    return error.value.kind


async def test_reviews_are_cached_for_a_minute_and_refusals_for_ten_seconds() -> None:
    reviewer = Reviewer(GOOD)
    token_reviewer = reviewer.token_reviewer()
    assert [await authenticate(token_reviewer) for _ in range(3)] == ["gateway"] * 3
    assert reviewer.reviews == 1
    reviewer.now += 61
    reviewer.result = {"authenticated": False}
    for _ in range(3):
        assert await problem(token_reviewer) is ProblemKind.NOT_AUTHENTICATED  # the ServiceAccount is deleted
    assert reviewer.reviews == 2
    reviewer.now += 11
    reviewer.result = GOOD
    assert await authenticate(token_reviewer) == "gateway"


async def test_accepted_token_stays_accepted_during_an_outage_for_a_limited_time() -> None:
    reviewer = Reviewer(GOOD)
    token_reviewer = reviewer.token_reviewer()
    await authenticate(token_reviewer)
    for away in (UnreachableError("no answer"), APIError(503, "ServiceUnavailable", "etcd is away")):
        reviewer.result = away
        reviewer.now += 100
        assert await authenticate(token_reviewer) == "gateway"
    reviewer.now += 800
    assert await problem(token_reviewer) is ProblemKind.API_SERVER_AWAY


async def test_unknown_token_is_not_accepted_during_an_outage() -> None:
    assert await problem(Reviewer(UnreachableError("no answer")).token_reviewer()) is ProblemKind.API_SERVER_AWAY


async def test_refused_token_is_not_accepted_during_an_outage() -> None:
    reviewer = Reviewer({"authenticated": False})
    token_reviewer = reviewer.token_reviewer()
    await problem(token_reviewer)
    reviewer.result = UnreachableError("no answer")
    reviewer.now += 11
    assert await problem(token_reviewer) is ProblemKind.API_SERVER_AWAY


async def test_review_without_audience_is_refused() -> None:
    for audiences in (None, [], ["https://kubernetes.default.svc"]):
        answer = {**GOOD, "audiences": audiences}
        assert await problem(Reviewer(answer).token_reviewer()) is ProblemKind.NOT_AUTHENTICATED


async def test_forbidden_review_is_reported() -> None:
    assert await problem(Reviewer(APIError(403, "Forbidden", "no")).token_reviewer()) is ProblemKind.REFUSED


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic t", "t", "Bearer " + "t" * 20_000, "Bearer \udcff"]
)
async def test_invalid_authorization_header_is_not_reviewed(header: str | None) -> None:
    reviewer = Reviewer(GOOD)
    with pytest.raises(ProblemError, match="send a token of your ServiceAccount for the audience 'resolver'"):
        await reviewer.token_reviewer().authenticate(header, "10.0.0.1")
    assert reviewer.reviews == 0


async def test_concurrent_requests_share_one_review() -> None:
    reviewer = Reviewer(GOOD)
    token_reviewer = reviewer.token_reviewer()
    assert await asyncio.gather(*(authenticate(token_reviewer) for _ in range(100))) == ["gateway"] * 100
    assert reviewer.reviews == 1


async def test_cancelled_request_does_not_cancel_the_review() -> None:
    token_reviewer = Reviewer(GOOD).token_reviewer()
    first, second = (asyncio.create_task(authenticate(token_reviewer)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "gateway"


async def test_invented_tokens_are_limited_and_do_not_affect_known_callers() -> None:
    reviewer = Reviewer(GOOD)
    token_reviewer = reviewer.token_reviewer()
    await authenticate(token_reviewer)
    problems = await asyncio.gather(*(problem(token_reviewer, f"invented-{number}") for number in range(100)))
    assert problems.count(ProblemKind.TOO_MANY_REQUESTS) == 100 - 19
    assert reviewer.reviews == 1 + 19
    reviewer.now += 61
    assert await authenticate(token_reviewer) == "gateway"  # reviewed again
    assert await problem(token_reviewer, "invented", peer="10.0.0.2") is ProblemKind.NOT_AUTHENTICATED


async def test_number_of_concurrent_reviews_is_limited() -> None:
    reviewer = Reviewer(GOOD)
    token_reviewer = reviewer.token_reviewer()
    await asyncio.gather(
        *(problem(token_reviewer, f"invented-{number}", peer=f"10.0.0.{number}") for number in range(100))
    )
    assert (reviewer.reviews, reviewer.max_concurrent) == (100, 8)


async def test_invented_tokens_do_not_evict_good_ones() -> None:
    reviewer = Reviewer(GOOD)
    token_reviewer = reviewer.token_reviewer()
    await authenticate(token_reviewer)
    for number in range(10_001):
        await problem(token_reviewer, f"invented-{number}", peer=f"10.0.{number // 256}.{number % 256}")
    reviewer.result = UnreachableError("no answer")
    reviewer.now += 100
    assert await authenticate(token_reviewer) == "gateway"


async def test_no_review_is_sent_while_the_api_server_asks_for_a_pause() -> None:
    busy = APIError(429, "TooManyRequests", "later")
    busy.retry_after_seconds = 4.0
    reviewer = Reviewer(GOOD)
    token_reviewer = reviewer.token_reviewer()
    assert await authenticate(token_reviewer, "known") == "gateway"
    reviewer.now += 61
    reviewer.result = busy
    assert await authenticate(token_reviewer, "known") == "gateway", "as in an outage"
    assert await problem(token_reviewer, "new") is ProblemKind.API_SERVER_AWAY
    assert reviewer.reviews == 2
    reviewer.result = GOOD
    reviewer.now += 6
    assert await authenticate(token_reviewer, "new") == "gateway"
