"""Tests the rates of callers without tokens."""

import pytest

from statefulroute.resolver.authenticator import Authenticator
from statefulroute.rest.problems import ProblemError, ProblemKind


async def test_request_may_count_as_many() -> None:
    authenticator = Authenticator(requests_per_second=1)
    assert await authenticator.admit(None, "10.0.0.1") == "10.0.0.1"
    authenticator.charge("10.0.0.1", 50)
    with pytest.raises(ProblemError) as refused:
        await authenticator.admit(None, "10.0.0.1")
    assert refused.value.kind is ProblemKind.TOO_MANY_REQUESTS
    assert refused.value.retry_seconds == 50
    await authenticator.admit(None, "10.0.0.2")


async def test_requests_that_were_admitted_together_are_charged_one_by_one() -> None:
    authenticator = Authenticator(requests_per_second=2)
    for _ in range(2):
        await authenticator.admit(None, "10.0.0.1")
    authenticator.charge("10.0.0.1", 50)
    with pytest.raises(ProblemError):
        authenticator.charge("10.0.0.1", 50)


async def test_unlimited_rate_charges_nothing() -> None:
    authenticator = Authenticator()
    authenticator.charge("10.0.0.1", 1000)
    await authenticator.admit(None, "10.0.0.1")
