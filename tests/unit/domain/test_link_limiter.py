"""The limit of the links of a route."""

import pytest

from statefulroute.domain.errors import ErrorCode, LinkLimitReachedError
from statefulroute.domain.link_limiter import LinkLimiter
from statefulroute.domain.route import Route
from unit.domain.builders import route


def limiter(current_route: Route | None, links: int) -> LinkLimiter:
    """Returns the limiter of a route with a number of links."""
    return LinkLimiter(lambda _: current_route, lambda _: links)


def test_refuses_links_from_the_limit_on() -> None:
    limited = route(links={"max": 10})
    limiter(limited, 9).check(limited.key)
    for links in (10, 11):
        with pytest.raises(LinkLimitReachedError) as refused:
            limiter(limited, links).check(limited.key)
        assert refused.value.code is ErrorCode.LINK_LIMIT_REACHED
        assert str(refused.value) == (
            "StatefulRoute 'game' takes no new users: it has as many links as its spec.links.max allows (10)"
        )


@pytest.mark.parametrize("known", [True, False])
def test_limits_no_route_without_a_limit(*, known: bool) -> None:
    unlimited = route()
    limiter(unlimited if known else None, 1_000_000).check(unlimited.key)


def test_links_that_are_being_created_count() -> None:
    limited = route(links={"max": 2})
    limits = limiter(limited, 0)
    with limits.creating(limited.key), limits.creating(limited.key):
        with pytest.raises(LinkLimitReachedError):
            limits.check(limited.key)
        with pytest.raises(LinkLimitReachedError), limits.creating(limited.key):
            pytest.fail("a third link is created")
    limits.check(limited.key)


def test_a_failed_creation_does_not_count() -> None:
    limited = route(links={"max": 1})
    limits = limiter(limited, 0)
    with pytest.raises(TimeoutError), limits.creating(limited.key):
        raise TimeoutError
    limits.check(limited.key)
