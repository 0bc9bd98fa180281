"""Tests the maximum age of the cache."""

from typing import Any

import pytest

from statefulroute.domain.errors import ServiceNotFoundError
from statefulroute.domain.keys import RouteKey
from statefulroute.resolver.cache import ResolverCache
from statefulroute.rest.problems import ProblemError, ProblemKind

_CLIENT: Any = None  # the watches do not run


@pytest.mark.parametrize("kind", ["links", "routes", "endpoints"])
def test_reads_fail_while_one_kind_is_too_old(kind: str) -> None:
    failures: list[None] = []
    cache = ResolverCache(_CLIENT, ("play",), max_age_seconds=30, on_too_old=lambda: failures.append(None))
    with pytest.raises(ServiceNotFoundError):
        cache.route(RouteKey("play", "game"))
    (reflector,) = getattr(cache, kind).reflectors
    reflector.last_update_at -= 31
    with pytest.raises(ProblemError, match="the last event of the API server came 31 s ago, and --max-age is 30 s"):
        cache.route(RouteKey("play", "game"))
    assert len(failures) == 1
    reflector.last_update_at += 31
    with pytest.raises(ServiceNotFoundError):
        cache.route(RouteKey("play", "game"))


def test_age_is_unlimited_by_default() -> None:
    cache = ResolverCache(_CLIENT)
    cache.links.reflectors[0].last_update_at -= 1_000_000
    with pytest.raises(ServiceNotFoundError):
        cache.route(RouteKey("play", "game"))


def test_problem_has_the_age_and_asks_to_retry() -> None:
    cache = ResolverCache(_CLIENT, max_age_seconds=30)
    cache.routes.reflectors[0].last_update_at -= 45
    with pytest.raises(ProblemError) as refused:
        cache.route(RouteKey("play", "game"))
    assert refused.value.kind is ProblemKind.TOO_OLD
    assert refused.value.headers["Age"] == "45"
    assert refused.value.headers["Retry-After"] == "1"
