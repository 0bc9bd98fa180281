"""How long a token's review counts, and what an API server's answer is worth."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import APIError, UnreachableError
from statefulroute.resolver.problems import ProblemError, ProblemKind
from statefulroute.resolver.token_reviewer import TokenReviewer


@dataclass
class Reviewer:
    """An API server that reviews tokens, and the time."""

    says: dict[str, Any] | Exception = field(default_factory=dict)
    reviews: int = 0
    under_way: int = 0
    most_under_way: int = 0
    now: float = 1000.0

    async def post(self, path: str, body: bytes) -> bytes:
        assert path == "/apis/authentication.k8s.io/v1/tokenreviews"
        spec = json.loads(body)["spec"]
        assert spec["audiences"] == ["resolver"]
        self.reviews += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if isinstance(self.says, Exception):
            raise self.says
        is_made_up = spec["token"].startswith("made-up")
        return json.dumps({"status": {"authenticated": False} if is_made_up else self.says}).encode()

    def tokens(self) -> TokenReviewer:
        return TokenReviewer(cast("Client", self), "resolver", clock=lambda: self.now)


GOOD = {"authenticated": True, "user": {"username": "gateway"}, "audiences": ["resolver"]}


async def ask(tokens: TokenReviewer, said: str = "t", peer: str = "10.0.0.1") -> str:
    return await tokens.authenticate(f"Bearer {said}", peer)


async def problem(tokens: TokenReviewer, said: str = "t", peer: str = "10.0.0.1") -> ProblemKind:
    with pytest.raises(ProblemError) as error:
        await ask(tokens, said, peer)
    return error.value.kind


async def test_a_review_counts_for_a_minute_and_a_refusal_for_ten_seconds() -> None:
    reviewer = Reviewer(GOOD)
    tokens = reviewer.tokens()
    assert [await ask(tokens) for _ in range(3)] == ["gateway"] * 3
    assert reviewer.reviews == 1
    reviewer.now += 61
    reviewer.says = {"authenticated": False}
    for _ in range(3):
        assert await problem(tokens) is ProblemKind.NOT_AUTHENTICATED  # the account was deleted
    assert reviewer.reviews == 2
    reviewer.now += 11
    reviewer.says = GOOD
    assert await ask(tokens) == "gateway"


async def test_who_was_known_stays_known_while_the_api_server_is_away_but_not_for_ever() -> None:
    reviewer = Reviewer(GOOD)
    tokens = reviewer.tokens()
    await ask(tokens)
    for away in (UnreachableError("no answer"), APIError(503, "ServiceUnavailable", "etcd is away")):
        reviewer.says = away
        reviewer.now += 100
        assert await ask(tokens) == "gateway"
    reviewer.now += 800
    assert await problem(tokens) is ProblemKind.API_SERVER_AWAY


async def test_who_was_never_known_is_not_let_in_while_the_api_server_is_away() -> None:
    assert await problem(Reviewer(UnreachableError("no answer")).tokens()) is ProblemKind.API_SERVER_AWAY


async def test_who_was_refused_stays_refused_while_the_api_server_is_away() -> None:
    reviewer = Reviewer({"authenticated": False})
    tokens = reviewer.tokens()
    await problem(tokens)
    reviewer.says = UnreachableError("no answer")
    reviewer.now += 11
    assert await problem(tokens) is ProblemKind.API_SERVER_AWAY


async def test_an_api_server_that_compares_no_audiences_is_not_believed() -> None:
    for audiences in (None, [], ["https://kubernetes.default.svc"]):
        answer = {**GOOD, "audiences": audiences}
        assert await problem(Reviewer(answer).tokens()) is ProblemKind.NOT_AUTHENTICATED


async def test_a_resolver_that_may_not_review_says_that_it_is_refused() -> None:
    assert await problem(Reviewer(APIError(403, "Forbidden", "no")).tokens()) is ProblemKind.REFUSED


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic t", "t", "Bearer " + "t" * 20_000, "Bearer \udcff"]
)
async def test_what_is_no_token_is_not_sent_on(header: str | None) -> None:
    reviewer = Reviewer(GOOD)
    with pytest.raises(ProblemError, match="send a token of your ServiceAccount for the audience 'resolver'"):
        await reviewer.tokens().authenticate(header, "10.0.0.1")
    assert reviewer.reviews == 0


async def test_requests_with_one_token_wait_for_one_review() -> None:
    reviewer = Reviewer(GOOD)
    tokens = reviewer.tokens()
    assert await asyncio.gather(*(ask(tokens) for _ in range(100))) == ["gateway"] * 100
    assert reviewer.reviews == 1


async def test_a_request_that_is_given_up_takes_the_review_from_nobody() -> None:
    tokens = Reviewer(GOOD).tokens()
    first, second = (asyncio.create_task(ask(tokens)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "gateway"


async def test_who_makes_tokens_up_is_told_to_wait_and_hinders_nobody_who_is_known() -> None:
    reviewer = Reviewer(GOOD)
    tokens = reviewer.tokens()
    await ask(tokens)
    told = await asyncio.gather(*(problem(tokens, f"made-up-{number}") for number in range(100)))
    assert told.count(ProblemKind.TOO_MANY_REQUESTS) == 100 - 19
    assert reviewer.reviews == 1 + 19
    reviewer.now += 61
    assert await ask(tokens) == "gateway"  # reviewed anew
    assert await problem(tokens, "made-up", peer="10.0.0.2") is ProblemKind.NOT_AUTHENTICATED


async def test_only_some_reviews_are_under_way_whoever_asks() -> None:
    reviewer = Reviewer(GOOD)
    tokens = reviewer.tokens()
    await asyncio.gather(*(problem(tokens, f"made-up-{number}", peer=f"10.0.0.{number}") for number in range(100)))
    assert (reviewer.reviews, reviewer.most_under_way) == (100, 8)


async def test_made_up_tokens_put_no_good_one_out() -> None:
    reviewer = Reviewer(GOOD)
    tokens = reviewer.tokens()
    await ask(tokens)
    for number in range(10_001):
        await problem(tokens, f"made-up-{number}", peer=f"10.0.{number // 256}.{number % 256}")
    reviewer.says = UnreachableError("no answer")
    reviewer.now += 100
    assert await ask(tokens) == "gateway"
