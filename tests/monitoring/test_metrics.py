"""The values of the metrics agree with what an independent client reads from the API server."""

import time
from collections.abc import Callable

import pytest
from pykube.objects import Pod

from support.admission import is_admitted, without_policy
from support.independent_client import PodLink, StatefulRoute
from support.metrics import MonitoredOperator, Scrape
from support.objects import pod_link
from support.promtool import Promtool
from support.service import DENY_NEW_CALLS, NO_ROUTING_STATE, NOT_READY, READY, SHUT_DOWN, Service
from support.waiting import eventually

#: The index of the pod that the tests lose.
LAST = 2

Expect = Callable[[float], None]


def counter(monitored_operator: MonitoredOperator, sample: str, **labels: str) -> Expect:
    """Returns a function that waits until a counter has grown by a number since now."""
    before = monitored_operator.scrape().value(sample, **labels) or 0.0
    return lambda growth: monitored_operator.await_value(before + growth, sample, **labels)


@pytest.fixture(autouse=True)
def _as_before(game: Service, monitored_operator: MonitoredOperator) -> None:
    """Starts each test with a service without links, whose three pods accept all users."""
    game.client.delete_all(PodLink, game.namespace)
    monitored_operator.await_value(0, "statefulroute_links", namespace=game.namespace)
    monitored_operator.await_value(3, "statefulroute_pods", namespace=game.namespace, state="available")


def labels_of(game: Service) -> dict[str, str]:
    return {"namespace": game.namespace, "route": "game"}


def test_bindings_are_counted_by_choice(monitored_operator: MonitoredOperator, game: Service) -> None:
    named = counter(monitored_operator, "statefulroute_bindings_total", **labels_of(game), choice="named")
    chosen = counter(monitored_operator, "statefulroute_bindings_total", **labels_of(game), choice="chosen")
    timed = counter(monitored_operator, "statefulroute_bind_duration_seconds_count")
    game.await_bound(game.link("alice", podIndex=1))
    game.await_bound(game.link("bob", podIndex=1))
    game.await_bound(game.link("carol"))
    named(2)
    chosen(1)
    timed(3)
    monitored_operator.await_value(3, "statefulroute_links", **labels_of(game), phase="Bound")
    monitored_operator.await_value(2, "statefulroute_pod_links", **labels_of(game), pod="game-1")
    monitored_operator.await_value(1, "statefulroute_routes")


def test_a_waiting_link_is_pending_and_its_wait_counts_towards_the_duration(
    monitored_operator: MonitoredOperator, game: Service
) -> None:
    timed = counter(monitored_operator, "statefulroute_bind_duration_seconds_count")
    for pod in range(3):
        game.annotate(pod, DENY_NEW_CALLS)
    monitored_operator.await_value(0, "statefulroute_pods", **labels_of(game), state="available")
    monitored_operator.await_value(3, "statefulroute_pods", **labels_of(game), state="routable")
    before = monitored_operator.scrape().value("statefulroute_bind_duration_seconds_sum") or 0.0
    game.await_link(game.link("alice"), "Pending", "NoAvailablePod")
    started = time.monotonic()
    monitored_operator.await_value(1, "statefulroute_links", **labels_of(game), phase="Pending")
    monitored_operator.await_value(0, "statefulroute_queue_depth")  # the link waits for a pod, and not for the operator
    waited = time.monotonic() - started
    for pod in range(3):
        game.annotate(pod, NO_ROUTING_STATE)
    game.await_bound("game.alice")
    timed(1)
    after = monitored_operator.scrape().value("statefulroute_bind_duration_seconds_sum")
    assert after is not None
    assert after - before >= waited
    monitored_operator.await_value(0, "statefulroute_links", **labels_of(game), phase="Pending")


def test_moves_are_counted_by_reason(monitored_operator: MonitoredOperator, game: Service) -> None:
    moved = counter(monitored_operator, "statefulroute_moves_total", **labels_of(game), reason="Moved")
    lost = counter(monitored_operator, "statefulroute_moves_total", **labels_of(game), reason="PodLost")
    bound = counter(monitored_operator, "statefulroute_bindings_total", **labels_of(game))
    game.await_bound(game.link("alice", podIndex=0))
    game.client.patch(PodLink, "game.alice", game.namespace, {"spec": {"podIndex": LAST}})
    moved(1)
    game.annotate(LAST, SHUT_DOWN)
    game.await_moved("game.alice", LAST)
    lost(1)
    moved(1)
    bound(1)
    game.annotate(LAST, NO_ROUTING_STATE)


def test_removals_are_counted_by_reason(monitored_operator: MonitoredOperator, game: Service) -> None:
    expired = counter(monitored_operator, "statefulroute_removals_total", **labels_of(game), reason="Expired")
    lost = counter(monitored_operator, "statefulroute_removals_total", **labels_of(game), reason="PodLost")
    game.await_deleted(game.link("guest", podIndex=0, ttlSeconds=1))
    expired(1)
    game.set_on_pod_lost("Release")
    game.await_bound(game.link("alice", podIndex=LAST))
    game.annotate(LAST, SHUT_DOWN)
    game.await_deleted("game.alice")
    lost(1)
    game.annotate(LAST, NO_ROUTING_STATE)


def test_a_link_kept_on_a_lost_pod_counts_as_lost(monitored_operator: MonitoredOperator, game: Service) -> None:
    game.set_on_pod_lost("Keep")
    game.await_bound(game.link("alice", podIndex=LAST))
    game.annotate(LAST, SHUT_DOWN)
    monitored_operator.await_value(1, "statefulroute_links", **labels_of(game), phase="Lost")
    monitored_operator.await_value(0, "statefulroute_links", **labels_of(game), phase="Bound")
    game.annotate(LAST, NO_ROUTING_STATE)
    monitored_operator.await_value(1, "statefulroute_links", **labels_of(game), phase="Bound")


def test_a_link_that_bypassed_the_admission_policy_is_counted_as_rejected(
    monitored_operator: MonitoredOperator, game: Service
) -> None:
    rejected = counter(monitored_operator, "statefulroute_rejections_total", reason="NotLocalNamespace")
    with without_policy(game, game.kubectl):
        foreign = pod_link(uid="foreign", namespace="kube-system")
        eventually(lambda: is_admitted(game, foreign), "the policy is no longer in force")
        game.await_link("game.foreign", "Rejected", "NotLocalNamespace")
    rejected(1)
    monitored_operator.await_value(1, "statefulroute_links", **labels_of(game), phase="Rejected")


def test_load_is_exposed_by_pod_and_by_service_and_a_pod_without_a_report_is_stale(
    monitored_operator: MonitoredOperator, game: Service
) -> None:
    monitored_operator.await_value(3, "statefulroute_pods", **labels_of(game), state="stale")
    assert monitored_operator.scrape().value("statefulroute_pod_weighted_load", **labels_of(game)) is None
    game.report(0, load_state=2, waiting_tasks=10)
    game.report(1, load_state=2, waiting_tasks=10)
    monitored_operator.await_value(7.6, "statefulroute_pod_weighted_load", **labels_of(game), pod="game-0")
    monitored_operator.await_value(1, "statefulroute_pods", **labels_of(game), state="stale")
    monitored_operator.await_value(7.6, "statefulroute_workload_load", **labels_of(game))
    monitored_operator.await_value(1, "statefulroute_workload_state", **labels_of(game), state="Overloaded")
    monitored_operator.await_value(1, "statefulroute_workload_state", **labels_of(game))
    game.edit_route(load={"staleAfterSeconds": 5})
    monitored_operator.await_value(None, "statefulroute_pod_weighted_load", **labels_of(game))
    monitored_operator.await_value(3, "statefulroute_pods", **labels_of(game), state="stale")
    monitored_operator.await_value(None, "statefulroute_workload_load", **labels_of(game))
    game.edit_route(load=None)


def test_requests_are_counted_by_verb_resource_and_code(monitored_operator: MonitoredOperator, game: Service) -> None:
    acknowledged = counter(
        monitored_operator, "statefulroute_api_requests_total", verb="patch", resource="podlinks/status"
    )
    chosen = counter(
        monitored_operator, "statefulroute_api_requests_total", verb="patch", resource="podlinks", code="200"
    )
    timed = counter(monitored_operator, "statefulroute_api_request_duration_seconds_count", verb="create")
    game.await_bound(game.link("alice", podIndex=1))
    game.await_bound(game.link("bob"))
    acknowledged(2)
    chosen(1)
    timed(2)  # one event per link
    now = monitored_operator.scrape()
    # The durations of watches are not observed.
    assert now.value("statefulroute_api_request_duration_seconds_count", verb="watch") is None
    for resource in ("podlinks", "statefulroutes", "pods", "statefulsets", "nodes"):
        for verb in ("list", "watch"):
            requests = now.value("statefulroute_api_requests_total", verb=verb, resource=resource, code="200")
            assert requests, f"{verb} {resource}"


def test_runs_of_timers_are_counted(monitored_operator: MonitoredOperator, game: Service) -> None:
    del game
    for timer in ("state", "workload"):
        before = monitored_operator.scrape().value("statefulroute_timer_lag_seconds_count", timer=timer) or 0
        eventually(
            lambda timer=timer, before=before: count_runs(monitored_operator, timer) > before,
            f"the {timer} timer has run",
        )
    assert monitored_operator.scrape().value("statefulroute_timer_failures_total") == 0


def count_runs(monitored_operator: MonitoredOperator, timer: str) -> float:
    return monitored_operator.scrape().value("statefulroute_timer_lag_seconds_count", timer=timer) or 0


def test_caches_expose_their_size_and_age(monitored_operator: MonitoredOperator, game: Service) -> None:
    game.await_bound(game.link("alice"))
    eventually(
        lambda: (
            monitored_operator.scrape().value("statefulroute_cache_objects", resource="podlinks")
            == game.client.count_everywhere(PodLink)
        ),
        "the cache has all links",
    )
    now = monitored_operator.scrape()
    assert now.value("statefulroute_cache_synced") == 5
    assert now.value("statefulroute_watch_restarts_total") == 0
    ages = {labels["resource"]: age for labels, age in now.samples("statefulroute_cache_age_seconds")}
    assert ages.keys() == {"podlinks", "statefulroutes", "pods", "statefulsets", "nodes"}
    assert all(age >= 0 for age in ages.values())


def test_the_process_exposes_its_version_and_leadership(monitored_operator: MonitoredOperator) -> None:
    now = monitored_operator.scrape()
    assert now.value("statefulroute_leader") == 1
    assert now.value("statefulroute_build_info") == 1
    assert now.value("process_resident_memory_bytes")


def test_promtool_accepts_the_metrics(monitored_operator: MonitoredOperator, game: Service, promtool: Promtool) -> None:
    game.await_bound(game.link("alice"))
    game.report(0, load_state=2)
    monitored_operator.await_value(0.6, "statefulroute_pod_weighted_load", **labels_of(game), pod="game-0")
    assert promtool.run("check", "metrics", given=own_metrics(monitored_operator.scrape())) == ""


def own_metrics(scraped: Scrape) -> str:
    """Returns the metrics without the standard ones of prometheus-client."""
    lines = (line for line in scraped.text.splitlines(keepends=True) if "statefulroute_" in line)
    return "".join(lines)


def test_a_deleted_route_has_no_gauges_and_keeps_its_counters_for_a_while(
    monitored_operator: MonitoredOperator, game: Service
) -> None:
    game.create_route("other", workloadRef={"name": "game"})
    monitored_operator.await_value(2, "statefulroute_routes")
    monitored_operator.await_value(3, "statefulroute_pods", namespace=game.namespace, route="other", state="ready")
    game.client.delete(StatefulRoute, "other", game.namespace)
    monitored_operator.await_value(1, "statefulroute_routes")
    monitored_operator.await_value(None, "statefulroute_pods", namespace=game.namespace, route="other")
    assert (
        monitored_operator.scrape().value("statefulroute_bindings_total", namespace=game.namespace, route="other") == 0
    )


def test_the_limit_of_links_is_exposed(monitored_operator: MonitoredOperator, game: Service) -> None:
    game.edit_route(links={"max": 7})
    monitored_operator.await_value(7, "statefulroute_links_limit", **labels_of(game))
    game.edit_route(links=None)
    monitored_operator.await_value(None, "statefulroute_links_limit", **labels_of(game))


def test_a_deleted_pod_has_no_metrics(monitored_operator: MonitoredOperator, game: Service) -> None:
    game.scale(2)
    monitored_operator.await_value(None, "statefulroute_pod_links", **labels_of(game), pod="game-2")
    game.scale(3)
    monitored_operator.await_value(0, "statefulroute_pod_links", **labels_of(game), pod="game-2")
    eventually(lambda: game.exists(Pod, "game-2"), "the pod exists again")


def test_links_of_a_pod_that_does_not_serve_are_counted(monitored_operator: MonitoredOperator, game: Service) -> None:
    metric, labels = "statefulroute_unserved_links", labels_of(game)
    game.await_bound(game.link("alice", podIndex=LAST))
    monitored_operator.await_value(0, metric, **labels, pod=f"game-{LAST}")
    game.annotate(LAST, NOT_READY)
    monitored_operator.await_value(1, metric, **labels, pod=f"game-{LAST}")
    monitored_operator.await_value(0, metric, **labels, pod="game-0")
    monitored_operator.await_value(1, "statefulroute_links", **labels, phase="Bound")
    game.await_link(game.link("bob", podIndex=7), "Pending", "PodNotFound")
    monitored_operator.await_value(1, metric, **labels, pod="")
    game.annotate(LAST, READY)
    monitored_operator.await_value(0, metric, **labels, pod=f"game-{LAST}")
