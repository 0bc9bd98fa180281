"""A temporary link ends when its time is over: not before, whatever else is the matter with it, and nobody else's."""

from datetime import UTC, datetime, timedelta

import pytest

from harness.admission import slips_in, unguarded
from harness.kubectl import Kubectl
from harness.objects import pod_link
from harness.patience import eventually
from harness.service import Service
from harness.witness import PodLink

pytestmark = pytest.mark.usefixtures("operator")

EXPIRED = ("Normal", "Expired", "its time was over")

#: As long as any test here may take, and longer.
LONG = timedelta(hours=1)


def test_a_temporary_link_is_deleted_after_its_time_and_an_event_says_so(standing: Service) -> None:
    name = standing.link("fleeting", podIndex=1, ttlSeconds=3)
    expire_time = standing.await_bound(name)["expireTime"]
    standing.await_gone(name)
    standing.await_news(name, ("Normal", "Bound", "bound to pod 'game-1'"), EXPIRED)
    told = next(event for event in standing.events() if event["reason"] == "Expired")
    assert at(told["eventTime"]) >= at(expire_time)


def test_a_temporary_link_that_is_renewed_lives_on(standing: Service) -> None:
    name = standing.link("renewed", podIndex=1, ttlSeconds=3)
    renewed = datetime.now(UTC).replace(microsecond=0) + LONG
    standing.kubectl.patch("podlink", name, {"spec": {"renewTime": renewed.isoformat()}}).expect_success()
    see_one_expire(standing, "after-renewed")
    assert at(standing.await_bound(name)["expireTime"]) == renewed + timedelta(seconds=3)


def test_a_temporary_link_that_is_made_persistent_stays(standing: Service) -> None:
    name = standing.link("settled", podIndex=1, ttlSeconds=3, renewTime=datetime.now(UTC).isoformat())
    standing.kubectl.patch("podlink", name, {"spec": {"ttlSeconds": None, "renewTime": None}}).expect_success()
    see_one_expire(standing, "after-settled")
    assert "expireTime" not in standing.await_bound(name)


def test_a_persistent_link_that_is_made_temporary_ends(standing: Service) -> None:
    name = standing.link("guest", podIndex=1)
    standing.await_bound(name)
    standing.kubectl.patch("podlink", name, {"spec": {"ttlSeconds": 1}}).expect_success()
    standing.await_gone(name)


def test_a_link_that_had_expired_before_it_was_created_is_deleted(standing: Service) -> None:
    standing.await_gone(standing.link("late", podIndex=1, ttlSeconds=60, renewTime="2026-01-01T00:00:00Z"))


def test_an_expired_link_without_a_route_is_deleted(standing: Service) -> None:
    name = Service(standing.kubectl, standing.witness, "nowhere").link("alice", ttlSeconds=2)
    standing.await_link(name, "Pending", "RouteNotFound")
    standing.await_gone(name)
    standing.await_news(name, EXPIRED)


def test_an_expired_link_into_another_namespace_is_deleted(standing: Service, installed: Kubectl) -> None:
    foreign = pod_link(uid="foreign", namespace="kube-system", ttlSeconds=20)
    with unguarded(standing, installed):
        eventually(lambda: slips_in(standing, foreign), "it gets in")
        standing.await_link("game.foreign", "Rejected", "NotLocalNamespace")
        past = {"spec": {"renewTime": "2026-01-01T00:00:00Z"}}
        standing.kubectl.patch("podlink", "game.foreign", past).expect_success()
        standing.await_gone("game.foreign")


def test_an_expired_link_that_somebody_else_holds_with_a_finalizer_ends_with_it(standing: Service) -> None:
    name = standing.link("held", podIndex=1, ttlSeconds=3)
    hold = {"metadata": {"finalizers": ["example.com/hold"]}}
    standing.witness.patch(PodLink, name, standing.namespace, hold)
    eventually(lambda: "deletionTimestamp" in standing.get(name)["metadata"], "its deletion has begun")
    see_one_expire(standing, "after-held")
    standing.witness.patch(PodLink, name, standing.namespace, {"metadata": {"finalizers": None}})
    standing.await_gone(name)


def see_one_expire(service: Service, uid: str) -> None:
    """Make a link that ends later than all that are there already, and see it go."""
    service.await_gone(service.link(uid, podIndex=0, ttlSeconds=3))


def at(text: str) -> datetime:
    """A time as Kubernetes writes it."""
    return datetime.fromisoformat(text)
