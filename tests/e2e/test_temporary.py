"""Temporary links are deleted when they expire: not earlier, in every state, and no other links."""

from datetime import UTC, datetime, timedelta

import pytest

from support.admission import is_admitted, without_policy
from support.independent_client import PodLink
from support.kubectl import Kubectl
from support.objects import pod_link
from support.service import Service
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")

EXPIRED = ("Normal", "Expired", "its time was over")

#: Longer than any of these tests may take.
LONG = timedelta(hours=1)


def test_expired_link_is_deleted_and_has_an_event(shared_service: Service) -> None:
    name = shared_service.link("fleeting", podIndex=1, ttlSeconds=3)
    expire_time = shared_service.await_bound(name)["expireTime"]
    shared_service.await_deleted(name)
    shared_service.await_events(name, ("Normal", "Bound", "bound to pod 'game-1'"), EXPIRED)
    event = next(item for item in shared_service.events() if item["reason"] == "Expired")
    assert at(event["eventTime"]) >= at(expire_time)


def test_renewed_link_is_not_deleted(shared_service: Service) -> None:
    name = shared_service.link("renewed", podIndex=1, ttlSeconds=3)
    renewed = datetime.now(UTC).replace(microsecond=0) + LONG
    shared_service.kubectl.patch("podlink", name, {"spec": {"renewTime": renewed.isoformat()}}).expect_success()
    await_other_expiry(shared_service, "after-renewed")
    assert at(shared_service.await_bound(name)["expireTime"]) == renewed + timedelta(seconds=3)


def test_link_that_becomes_persistent_is_not_deleted(shared_service: Service) -> None:
    name = shared_service.link("settled", podIndex=1, ttlSeconds=3, renewTime=datetime.now(UTC).isoformat())
    shared_service.kubectl.patch("podlink", name, {"spec": {"ttlSeconds": None, "renewTime": None}}).expect_success()
    await_other_expiry(shared_service, "after-settled")
    assert "expireTime" not in shared_service.await_bound(name)


def test_link_that_becomes_temporary_is_deleted(shared_service: Service) -> None:
    name = shared_service.link("guest", podIndex=1)
    shared_service.await_bound(name)
    shared_service.kubectl.patch("podlink", name, {"spec": {"ttlSeconds": 1}}).expect_success()
    shared_service.await_deleted(name)


def test_link_that_had_expired_before_its_creation_is_deleted(shared_service: Service) -> None:
    shared_service.await_deleted(
        shared_service.link("late", podIndex=1, ttlSeconds=60, renewTime="2026-01-01T00:00:00Z")
    )


def test_expired_link_without_a_route_is_deleted(shared_service: Service) -> None:
    name = Service(shared_service.kubectl, shared_service.client, "nowhere").link("alice", ttlSeconds=2)
    shared_service.await_link(name, "Pending", "RouteNotFound")
    shared_service.await_deleted(name)
    shared_service.await_events(name, EXPIRED)


def test_expired_link_into_another_namespace_is_deleted(shared_service: Service, installed: Kubectl) -> None:
    foreign = pod_link(uid="foreign", namespace="kube-system", ttlSeconds=20)
    with without_policy(shared_service, installed):
        eventually(lambda: is_admitted(shared_service, foreign), "the link is stored")
        shared_service.await_link("game.foreign", "Rejected", "NotLocalNamespace")
        past = {"spec": {"renewTime": "2026-01-01T00:00:00Z"}}
        shared_service.kubectl.patch("podlink", "game.foreign", past).expect_success()
        shared_service.await_deleted("game.foreign")


def test_expired_link_with_a_foreign_finalizer_is_gone_once_the_finalizer_is(shared_service: Service) -> None:
    name = shared_service.link("held", podIndex=1, ttlSeconds=3)
    hold = {"metadata": {"finalizers": ["example.com/hold"]}}
    shared_service.client.patch(PodLink, name, shared_service.namespace, hold)
    eventually(lambda: "deletionTimestamp" in shared_service.get(name)["metadata"], "its deletion has started")
    await_other_expiry(shared_service, "after-held")
    shared_service.client.patch(PodLink, name, shared_service.namespace, {"metadata": {"finalizers": None}})
    shared_service.await_deleted(name)


def await_other_expiry(service: Service, uid: str) -> None:
    """Creates a link that expires after all existing ones, and waits until it is deleted."""
    service.await_deleted(service.link(uid, podIndex=0, ttlSeconds=3))


def at(text: str) -> datetime:
    """Parses a time of Kubernetes."""
    return datetime.fromisoformat(text)
