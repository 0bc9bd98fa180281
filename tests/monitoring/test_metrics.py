"""What Prometheus reads: each number is what has happened, as somebody sees it who only asks the API server."""

import time
from collections.abc import Callable

import pytest
from pykube.objects import Pod

from support.admission import is_admitted, without_policy
from support.independent_client import PodLink, StatefulRoute
from support.metrics import MonitoredOperator, Scrape
from support.objects import pod_link
from support.promtool import Promtool
from support.service import DENY_NEW_CALLS, NO_ROUTING_STATE, SHUT_DOWN, Service
from support.waiting import eventually

#: The pod that is lost: the last of three.
LAST = 2

Expect = Callable[[float], None]


def counter(monitored_operator: MonitoredOperator, sample: str, **labels: str) -> Expect:
    """A function that waits until a counter has grown by so much since now."""
    before = monitored_operator.scrape().value(sample, **labels) or 0.0
    return lambda growth: monitored_operator.await_value(before + growth, sample, **labels)


@pytest.fixture(autouse=True)
def _as_before(game: Service, monitored_operator: MonitoredOperator) -> None:
    """Each test begins with a service that has no links, and whose three pods take everybody."""
    game.client.delete_all(PodLink, game.namespace)
    monitored_operator.await_value(0, "statefulroute_links", namespace=game.namespace)
    monitored_operator.await_value(3, "statefulroute_pods", namespace=game.namespace, state="available")


def of(game: Service) -> dict[str, str]:
    return {"namespace": game.namespace, "route": "game"}


def test_a_binding_counts_by_who_has_chosen_the_pod(monitored_operator: MonitoredOperator, game: Service) -> None:
    named = counter(monitored_operator, "statefulroute_bindings_total", **of(game), choice="named")
    chosen = counter(monitored_operator, "statefulroute_bindings_total", **of(game), choice="chosen")
    timed = counter(monitored_operator, "statefulroute_bind_duration_seconds_count")
    game.await_bound(game.link("alice", podIndex=1))
    game.await_bound(game.link("bob", podIndex=1))
    game.await_bound(game.link("carol"))
    named(2)
    chosen(1)
    timed(3)
    monitored_operator.await_value(3, "statefulroute_links", **of(game), phase="Bound")
    monitored_operator.await_value(2, "statefulroute_pod_links", **of(game), pod="game-1")
    monitored_operator.await_value(1, "statefulroute_routes")


def test_a_link_that_waits_is_pending_and_is_timed_when_it_is_bound(
    monitored_operator: MonitoredOperator, game: Service
) -> None:
    timed = counter(monitored_operator, "statefulroute_bind_duration_seconds_count")
    for pod in range(3):
        game.annotate(pod, DENY_NEW_CALLS)
    monitored_operator.await_value(0, "statefulroute_pods", **of(game), state="available")
    monitored_operator.await_value(3, "statefulroute_pods", **of(game), state="routable")
    before = monitored_operator.scrape().value("statefulroute_bind_duration_seconds_sum") or 0.0
    game.await_link(game.link("alice"), "Pending", "NoAvailablePod")
    began = time.monotonic()
    monitored_operator.await_value(1, "statefulroute_links", **of(game), phase="Pending")
    monitored_operator.await_value(0, "statefulroute_queue_depth")  # it waits for a pod, and not for the operator
    waited = time.monotonic() - began
    for pod in range(3):
        game.annotate(pod, NO_ROUTING_STATE)
    game.await_bound("game.alice")
    timed(1)
    after = monitored_operator.scrape().value("statefulroute_bind_duration_seconds_sum")
    assert after is not None
    assert after - before >= waited
    monitored_operator.await_value(0, "statefulroute_links", **of(game), phase="Pending")


def test_a_move_counts_by_its_reason(monitored_operator: MonitoredOperator, game: Service) -> None:
    moved = counter(monitored_operator, "statefulroute_moves_total", **of(game), reason="Moved")
    lost = counter(monitored_operator, "statefulroute_moves_total", **of(game), reason="PodLost")
    bound = counter(monitored_operator, "statefulroute_bindings_total", **of(game))
    game.await_bound(game.link("alice", podIndex=0))
    game.client.patch(PodLink, "game.alice", game.namespace, {"spec": {"podIndex": LAST}})
    moved(1)
    game.annotate(LAST, SHUT_DOWN)
    game.await_moved("game.alice", LAST)
    lost(1)
    moved(1)
    bound(1)
    game.annotate(LAST, NO_ROUTING_STATE)


def test_a_removal_counts_by_its_reason(monitored_operator: MonitoredOperator, game: Service) -> None:
    expired = counter(monitored_operator, "statefulroute_removals_total", **of(game), reason="Expired")
    lost = counter(monitored_operator, "statefulroute_removals_total", **of(game), reason="PodLost")
    game.await_deleted(game.link("guest", podIndex=0, ttlSeconds=1))
    expired(1)
    game.set_on_pod_lost("Release")
    game.await_bound(game.link("alice", podIndex=LAST))
    game.annotate(LAST, SHUT_DOWN)
    game.await_deleted("game.alice")
    lost(1)
    game.annotate(LAST, NO_ROUTING_STATE)


def test_a_link_that_stays_with_a_lost_pod_is_lost(monitored_operator: MonitoredOperator, game: Service) -> None:
    game.set_on_pod_lost("Keep")
    game.await_bound(game.link("alice", podIndex=LAST))
    game.annotate(LAST, SHUT_DOWN)
    monitored_operator.await_value(1, "statefulroute_links", **of(game), phase="Lost")
    monitored_operator.await_value(0, "statefulroute_links", **of(game), phase="Bound")
    game.annotate(LAST, NO_ROUTING_STATE)
    monitored_operator.await_value(1, "statefulroute_links", **of(game), phase="Bound")


def test_a_link_that_got_past_the_admission_policy_is_a_rejection(
    monitored_operator: MonitoredOperator, game: Service
) -> None:
    rejected = counter(monitored_operator, "statefulroute_rejections_total", reason="NotLocalNamespace")
    with without_policy(game, game.kubectl):
        foreign = pod_link(uid="foreign", namespace="kube-system")
        eventually(lambda: is_admitted(game, foreign), "the policy is no longer in force")
        game.await_link("game.foreign", "Rejected", "NotLocalNamespace")
    rejected(1)
    monitored_operator.await_value(1, "statefulroute_links", **of(game), phase="Rejected")


def test_load_is_told_by_pod_and_by_service_and_a_silent_pod_is_stale(
    monitored_operator: MonitoredOperator, game: Service
) -> None:
    monitored_operator.await_value(3, "statefulroute_pods", **of(game), state="stale")
    assert monitored_operator.scrape().value("statefulroute_pod_weighted_load", **of(game)) is None
    game.report(0, load_state=2, waiting_tasks=10)
    game.report(1, load_state=2, waiting_tasks=10)
    monitored_operator.await_value(7.6, "statefulroute_pod_weighted_load", **of(game), pod="game-0")
    monitored_operator.await_value(1, "statefulroute_pods", **of(game), state="stale")
    monitored_operator.await_value(7.6, "statefulroute_workload_load", **of(game))
    monitored_operator.await_value(1, "statefulroute_workload_state", **of(game), state="Overloaded")
    monitored_operator.await_value(1, "statefulroute_workload_state", **of(game))
    game.edit_route(load={"staleAfterSeconds": 5})
    monitored_operator.await_value(None, "statefulroute_pod_weighted_load", **of(game))
    monitored_operator.await_value(3, "statefulroute_pods", **of(game), state="stale")
    monitored_operator.await_value(None, "statefulroute_workload_load", **of(game))
    game.edit_route(load=None)


def test_requests_count_by_what_was_asked_and_answered(monitored_operator: MonitoredOperator, game: Service) -> None:
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
    timed(2)  # an event for each
    now = monitored_operator.scrape()
    # How long a watch lasts is no measure.
    assert now.value("statefulroute_api_request_duration_seconds_count", verb="watch") is None
    for resource in ("podlinks", "statefulroutes", "pods", "statefulsets", "nodes"):
        for verb in ("list", "watch"):
            asked = now.value("statefulroute_api_requests_total", verb=verb, resource=resource, code="200")
            assert asked, f"{verb} {resource}"


def test_timers_have_their_turns(monitored_operator: MonitoredOperator, game: Service) -> None:
    del game
    for timer in ("state", "workload"):
        before = monitored_operator.scrape().value("statefulroute_timer_lag_seconds_count", timer=timer) or 0
        eventually(
            lambda timer=timer, before=before: turns(monitored_operator, timer) > before,
            f"the {timer} timer has a turn",
        )
    assert monitored_operator.scrape().value("statefulroute_timer_failures_total") == 0


def turns(monitored_operator: MonitoredOperator, timer: str) -> float:
    return monitored_operator.scrape().value("statefulroute_timer_lag_seconds_count", timer=timer) or 0


def test_caches_tell_how_much_they_hold_and_how_old_it_is(monitored_operator: MonitoredOperator, game: Service) -> None:
    game.await_bound(game.link("alice"))
    now = monitored_operator.scrape()
    links = len(game.client.all(PodLink, game.namespace))
    assert now.value("statefulroute_cache_objects", resource="podlinks") == links
    assert now.value("statefulroute_cache_synced") == 5
    assert now.value("statefulroute_watch_restarts_total") == 0
    ages = {labels["resource"]: age for labels, age in now.samples("statefulroute_cache_age_seconds")}
    assert ages.keys() == {"podlinks", "statefulroutes", "pods", "statefulsets", "nodes"}
    assert all(age >= 0 for age in ages.values())


def test_the_process_tells_which_it_is(monitored_operator: MonitoredOperator) -> None:
    now = monitored_operator.scrape()
    assert now.value("statefulroute_leader") == 1
    assert now.value("statefulroute_build_info") == 1
    assert now.value("process_resident_memory_bytes")


def test_prometheus_finds_no_fault_with_it(
    monitored_operator: MonitoredOperator, game: Service, promtool: Promtool
) -> None:
    game.await_bound(game.link("alice"))
    game.report(0, load_state=2)
    monitored_operator.await_value(0.6, "statefulroute_pod_weighted_load", **of(game), pod="game-0")
    assert promtool.run("check", "metrics", given=only_ours(monitored_operator.scrape())) == ""


def only_ours(scraped: Scrape) -> str:
    """Without the metrics that prometheus-client has of each Python."""
    lines = (line for line in scraped.text.splitlines(keepends=True) if "statefulroute_" in line)
    return "".join(lines)


def test_a_route_that_is_gone_has_no_gauges_and_keeps_its_counts_for_a_while(
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


def test_a_pod_that_is_gone_is_not_told_of(monitored_operator: MonitoredOperator, game: Service) -> None:
    game.scale(2)
    monitored_operator.await_value(None, "statefulroute_pod_links", **of(game), pod="game-2")
    game.scale(3)
    monitored_operator.await_value(0, "statefulroute_pod_links", **of(game), pod="game-2")
    eventually(lambda: game.exists(Pod, "game-2"), "it is there again")
