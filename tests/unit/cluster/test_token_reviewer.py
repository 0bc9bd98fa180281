"""Tests the cache and the limits of token reviews, and the authorization of users."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import APIError, ClusterError, UnreachableError
from statefulroute.cluster.token_reviewer import TokenReviewer, TokenUser, TooManyTokensError, bearer_token
from support.simulated_loop import SimulatedLoop

TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@dataclass
class Reviewer:
    """A fake API server that reviews tokens and rights, and a clock."""

    result: dict[str, Any] | Exception = field(default_factory=dict)
    reviews: int = 0
    concurrent: int = 0
    max_concurrent: int = 0
    now: float = 1000.0
    is_allowed: bool = True
    access_specs: list[dict[str, Any]] = field(default_factory=list)

    async def post(self, path: str, body: bytes) -> bytes:
        review = json.loads(body)
        if path == ACCESS:
            assert (review["apiVersion"], review["kind"]) == ("authorization.k8s.io/v1", "SubjectAccessReview")
            self.access_specs.append(review["spec"])
            return json.dumps({"status": {"allowed": self.is_allowed}}).encode()
        assert path == TOKENS
        assert (review["apiVersion"], review["kind"]) == ("authentication.k8s.io/v1", "TokenReview")
        self.reviews += 1
        self.concurrent += 1
        self.max_concurrent = max(self.max_concurrent, self.concurrent)
        await asyncio.sleep(0)
        self.concurrent -= 1
        if isinstance(self.result, Exception):
            raise self.result
        is_invented = review["spec"]["token"].startswith("invented")
        return json.dumps({"status": {"authenticated": False} if is_invented else self.result}).encode()

    def token_reviewer(self, audience: str | None = "resolver", path: str | None = None) -> TokenReviewer:
        return TokenReviewer(cast("Client", self), audience, path, clock=lambda: self.now)


GOOD = {"authenticated": True, "user": {"username": "gateway"}, "audiences": ["resolver"]}
GATEWAY = TokenUser("gateway")


async def review(token_reviewer: TokenReviewer, bearer: str = "t", peer: str = "10.0.0.1") -> TokenUser | None:
    return await token_reviewer.review(bearer, peer)


async def test_reviews_are_cached_for_a_minute_and_refusals_for_ten_seconds() -> None:
    reviewer = Reviewer(GOOD)
    token_reviewer = reviewer.token_reviewer()
    assert [await review(token_reviewer) for _ in range(3)] == [GATEWAY] * 3
    assert reviewer.reviews == 1
    reviewer.now += 61
    reviewer.result = {"authenticated": False}
    for _ in range(3):
        assert await review(token_reviewer) is None  # the ServiceAccount is deleted
    assert reviewer.reviews == 2
    reviewer.now += 11
    reviewer.result = GOOD
    assert await review(token_reviewer) == GATEWAY


async def test_accepted_token_stays_accepted_during_an_outage_for_a_limited_time() -> None:
    reviewer = Reviewer(GOOD)
    token_reviewer = reviewer.token_reviewer()
    await review(token_reviewer)
    for away in (UnreachableError("no answer"), APIError(503, "ServiceUnavailable", "etcd is away")):
        reviewer.result = away
        reviewer.now += 100
        assert await review(token_reviewer) == GATEWAY
    reviewer.now += 800
    with pytest.raises(UnreachableError):
        await review(token_reviewer)


async def test_unknown_token_is_not_accepted_during_an_outage() -> None:
    with pytest.raises(UnreachableError):
        await review(Reviewer(UnreachableError("no answer")).token_reviewer())


async def test_refused_token_is_not_accepted_during_an_outage() -> None:
    reviewer = Reviewer({"authenticated": False})
    token_reviewer = reviewer.token_reviewer()
    assert await review(token_reviewer) is None
    reviewer.result = UnreachableError("no answer")
    reviewer.now += 11
    with pytest.raises(UnreachableError):
        await review(token_reviewer)


async def test_review_without_audience_is_refused() -> None:
    for audiences in (None, [], ["https://kubernetes.default.svc"]):
        answer = {**GOOD, "audiences": audiences}
        assert await review(Reviewer(answer).token_reviewer()) is None


async def test_audience_of_the_api_server_is_not_named() -> None:
    for audiences in (None, ["https://kubernetes.default.svc"]):
        assert await review(Reviewer({**GOOD, "audiences": audiences}).token_reviewer(None)) == GATEWAY


async def test_forbidden_review_raises() -> None:
    with pytest.raises(APIError, match="no"):
        await review(Reviewer(APIError(403, "Forbidden", "no")).token_reviewer())


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic t", "t", "Bearer " + "t" * 20_000, "Bearer \udcff"]
)
def test_header_without_a_token(header: str | None) -> None:
    assert bearer_token(header) is None


@pytest.mark.parametrize("header", ["Bearer t", "bearer t", "Bearer  t "])
def test_header_with_a_token(header: str) -> None:
    assert bearer_token(header) == "t"


async def test_concurrent_requests_share_one_review() -> None:
    reviewer = Reviewer(GOOD)
    token_reviewer = reviewer.token_reviewer()
    assert await asyncio.gather(*(review(token_reviewer) for _ in range(100))) == [GATEWAY] * 100
    assert reviewer.reviews == 1


async def test_cancelled_request_does_not_cancel_the_review() -> None:
    token_reviewer = Reviewer(GOOD).token_reviewer()
    first, second = (asyncio.create_task(review(token_reviewer)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == GATEWAY


async def test_invented_tokens_are_limited_and_do_not_affect_known_callers() -> None:
    reviewer = Reviewer(GOOD)
    token_reviewer = reviewer.token_reviewer()
    await review(token_reviewer)
    results = await asyncio.gather(
        *(review(token_reviewer, f"invented-{number}") for number in range(100)), return_exceptions=True
    )
    limited = [result for result in results if isinstance(result, TooManyTokensError)]
    assert len(limited) == 100 - 19
    assert min(error.retry_after_seconds for error in limited) > 0
    assert reviewer.reviews == 1 + 19
    reviewer.now += 61
    assert await review(token_reviewer) == GATEWAY  # reviewed again
    assert await review(token_reviewer, "invented", peer="10.0.0.2") is None


async def test_number_of_concurrent_reviews_is_limited() -> None:
    reviewer = Reviewer(GOOD)
    token_reviewer = reviewer.token_reviewer()
    await asyncio.gather(
        *(review(token_reviewer, f"invented-{number}", peer=f"10.0.0.{number}") for number in range(100))
    )
    assert (reviewer.reviews, reviewer.max_concurrent) == (100, 4)


def delay_answers(reviewer: Reviewer, seconds: float) -> None:
    """Lets a reviewer answer after a time from now on."""
    answer = reviewer.post

    async def answer_slowly(path: str, body: bytes) -> bytes:
        await asyncio.sleep(seconds)
        return await answer(path, body)

    reviewer.post = answer_slowly  # type: ignore[method-assign]


def test_slow_reviews_of_invented_tokens_do_not_delay_known_callers() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        reviewer = Reviewer(GOOD)
        token_reviewer = TokenReviewer(cast("Client", reviewer), "resolver", clock=loop.time)
        delay_answers(reviewer, 1)
        assert await review(token_reviewer) == GATEWAY
        invented = []
        for number in range(61 * 20):
            invented.append(asyncio.create_task(review(token_reviewer, f"invented-{number}", peer="10.0.0.2")))
            await asyncio.sleep(0.05)
        started = loop.time()
        assert await review(token_reviewer) == GATEWAY  # reviewed again
        assert loop.time() == pytest.approx(started + 1)
        assert sum(not each.done() for each in invented) <= 20 * 6, "none waits longer than 5 s for its review"
        results = await asyncio.gather(*invented, return_exceptions=True)
        assert {type(result) for result in results} == {type(None), UnreachableError}

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(scenario())


async def test_invented_tokens_do_not_evict_good_ones() -> None:
    reviewer = Reviewer(GOOD)
    token_reviewer = reviewer.token_reviewer()
    await review(token_reviewer)
    for number in range(10_001):
        await review(token_reviewer, f"invented-{number}", peer=f"10.0.{number // 256}.{number % 256}")
    reviewer.result = UnreachableError("no answer")
    reviewer.now += 100
    assert await review(token_reviewer) == GATEWAY


async def test_no_review_is_sent_while_the_api_server_asks_for_a_pause() -> None:
    busy = APIError(429, "TooManyRequests", "later")
    busy.retry_after_seconds = 4.0
    reviewer = Reviewer(GOOD)
    token_reviewer = reviewer.token_reviewer()
    assert await review(token_reviewer, "known") == GATEWAY
    reviewer.now += 61
    reviewer.result = busy
    assert await review(token_reviewer, "known") == GATEWAY, "as in an outage"
    with pytest.raises(UnreachableError):
        await review(token_reviewer, "new")
    assert reviewer.reviews == 2
    reviewer.result = GOOD
    reviewer.now += 6
    assert await review(token_reviewer, "new") == GATEWAY


@pytest.mark.parametrize("answer", [b"<html>", b'{"status":null}', b'{"status":{"authenticated":"yes"}}'])
async def test_response_that_is_not_a_review_is_an_outage(answer: bytes) -> None:
    reviewer = Reviewer(GOOD)
    token_reviewer = reviewer.token_reviewer()
    assert await review(token_reviewer, "known") == GATEWAY

    async def answer_as_a_proxy(_path: str, _body: bytes) -> bytes:
        return answer

    reviewer.post = answer_as_a_proxy  # type: ignore[method-assign]
    reviewer.now += 61
    assert await review(token_reviewer, "known") == GATEWAY
    with pytest.raises(UnreachableError, match="the response is not a review, but of a proxy"):
        await review(token_reviewer, "new")


class HangingReviewer(Reviewer):
    """A fake API server that never answers while it hangs, or never reviews some tokens."""

    is_hanging = False

    async def post(self, path: str, body: bytes) -> bytes:
        if self.is_hanging or json.loads(body)["spec"].get("token", "").startswith("hanging"):
            self.reviews += 1
            await asyncio.Event().wait()
        return await super().post(path, body)


def run_simulated(scenario: Callable[[HangingReviewer, TokenReviewer], Coroutine[Any, Any, None]]) -> None:
    """Runs a scenario in simulated time."""

    async def run() -> None:
        reviewer = HangingReviewer(GOOD)
        clock = asyncio.get_running_loop().time
        await scenario(reviewer, TokenReviewer(cast("Client", reviewer), "resolver", clock=clock))

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(run())


def test_api_server_that_does_not_answer_is_an_outage() -> None:
    async def scenario(reviewer: HangingReviewer, token_reviewer: TokenReviewer) -> None:
        loop = asyncio.get_running_loop()
        assert await review(token_reviewer) == GATEWAY
        await asyncio.sleep(61)
        reviewer.is_hanging, started = True, loop.time()
        assert await review(token_reviewer) == GATEWAY, "it was accepted before"
        assert loop.time() == started + 1
        for _ in range(200):
            assert await review(token_reviewer) == GATEWAY
            await asyncio.sleep(0.25)
        assert loop.time() == started + 1 + 200 * 0.25, "the next callers do not wait"
        assert reviewer.reviews == pytest.approx(1 + 50 / 5, abs=1), "one review at a time, of 5 s each"
        before = loop.time()
        with pytest.raises(UnreachableError):
            await review(token_reviewer, "new")
        assert loop.time() == before + 5
        reviewer.is_hanging = False
        await asyncio.sleep(1)
        assert await review(token_reviewer, "new") == GATEWAY

    run_simulated(scenario)


def test_token_that_is_withdrawn_during_a_slow_review_is_refused_as_soon_as_the_review_ends() -> None:
    async def scenario(reviewer: HangingReviewer, token_reviewer: TokenReviewer) -> None:
        assert await review(token_reviewer) == GATEWAY
        await asyncio.sleep(61)
        reviewer.result = {"authenticated": False}
        delay_answers(reviewer, 3)
        assert await review(token_reviewer) == GATEWAY
        await asyncio.sleep(2.5)
        assert await review(token_reviewer) is None
        assert reviewer.reviews == 2

    run_simulated(scenario)


def test_tokens_that_are_never_reviewed_do_not_delay_the_reviews_of_others() -> None:
    async def scenario(reviewer: HangingReviewer, token_reviewer: TokenReviewer) -> None:
        loop = asyncio.get_running_loop()
        assert await review(token_reviewer) == GATEWAY
        with pytest.raises(UnreachableError):
            await review(token_reviewer, "hanging")
        await asyncio.sleep(61)
        hanging = asyncio.create_task(review(token_reviewer, "hanging"))
        await asyncio.sleep(1)
        started = loop.time()
        assert await review(token_reviewer, "new") == GATEWAY
        assert await review(token_reviewer) == GATEWAY  # reviewed again
        with pytest.raises(UnreachableError):
            await hanging
        assert await review(token_reviewer, "newer") == GATEWAY
        assert loop.time() == started + 4, "only the token that hangs waits"
        assert reviewer.reviews == 2 + 4

    run_simulated(scenario)


ACCOUNT: dict[str, Any] = {
    "username": "system:serviceaccount:monitoring:prometheus",
    "uid": "9c1",
    "groups": ["system:serviceaccounts", "system:authenticated"],
    "extra": {"authentication.kubernetes.io/pod-name": ["prometheus-0"]},
}


async def test_users_are_authorized_for_the_path_with_all_that_identifies_them() -> None:
    reviewer = Reviewer({**GOOD, "user": ACCOUNT})
    token_reviewer = reviewer.token_reviewer(None, "/metrics")
    assert [await review(token_reviewer) for _ in range(3)] == [TokenUser(ACCOUNT["username"])] * 3
    assert reviewer.access_specs == [
        {
            "user": ACCOUNT["username"],
            "uid": "9c1",
            "groups": ACCOUNT["groups"],
            "extra": ACCOUNT["extra"],
            "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
        }
    ]


async def test_user_who_may_not_get_the_path_is_not_allowed_until_the_right_is_granted() -> None:
    reviewer = Reviewer({**GOOD, "user": ACCOUNT}, is_allowed=False)
    token_reviewer = reviewer.token_reviewer(None, "/metrics")
    for _ in range(2):
        assert await review(token_reviewer) == TokenUser(ACCOUNT["username"], is_allowed=False)
    assert len(reviewer.access_specs) == 1
    reviewer.is_allowed = True
    reviewer.now += 11
    assert await review(token_reviewer) == TokenUser(ACCOUNT["username"])


async def test_right_that_was_withdrawn_ends_with_the_cached_review() -> None:
    reviewer = Reviewer({**GOOD, "user": ACCOUNT})
    token_reviewer = reviewer.token_reviewer(None, "/metrics")
    await review(token_reviewer)
    reviewer.is_allowed = False
    reviewer.now += 61
    assert await review(token_reviewer) == TokenUser(ACCOUNT["username"], is_allowed=False)
    reviewer.result = UnreachableError("no answer")
    reviewer.now += 11
    with pytest.raises(ClusterError):
        await review(token_reviewer)  # nor is it allowed in an outage


async def test_refused_token_is_not_authorized() -> None:
    reviewer = Reviewer({"authenticated": False})
    assert await review(reviewer.token_reviewer(None, "/metrics")) is None
    assert reviewer.access_specs == []
