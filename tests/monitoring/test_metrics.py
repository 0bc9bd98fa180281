"""What Prometheus reads: each number is what has happened, as somebody sees it who only asks the API server."""

import time
from collections.abc import Callable

import pytest
from pykube.objects import Pod

from harness.admission import slips_in, unguarded
from harness.objects import pod_link
from harness.patience import eventually
from harness.promtool import Promtool
from harness.scraping import Scraped, Watched
from harness.service import DENIES_NEW_CALLS, SAYS_NOTHING, SHUT_DOWN, Service
from harness.witness import PodLink, StatefulRoute

#: The pod that is lost: the last of three.
LAST = 2

Expect = Callable[[float], None]


def counter(watched: Watched, sample: str, **labels: str) -> Expect:
    """A function that waits until a counter has grown by so much since now."""
    before = watched.scrape().value(sample, **labels) or 0.0
    return lambda growth: watched.await_value(before + growth, sample, **labels)


@pytest.fixture(autouse=True)
def _as_before(game: Service, watched: Watched) -> None:
    """Each test begins with a service that has no links, and whose three pods take everybody."""
    game.witness.delete_all(PodLink, game.namespace)
    watched.await_value(0, "statefulroute_links", namespace=game.namespace)
    watched.await_value(3, "statefulroute_pods", namespace=game.namespace, state="available")


def of(game: Service) -> dict[str, str]:
    return {"namespace": game.namespace, "route": "game"}


def test_a_binding_counts_by_who_has_chosen_the_pod(watched: Watched, game: Service) -> None:
    named = counter(watched, "statefulroute_bindings_total", **of(game), choice="named")
    chosen = counter(watched, "statefulroute_bindings_total", **of(game), choice="chosen")
    timed = counter(watched, "statefulroute_bind_duration_seconds_count")
    game.await_bound(game.link("alice", podIndex=1))
    game.await_bound(game.link("bob", podIndex=1))
    game.await_bound(game.link("carol"))
    named(2)
    chosen(1)
    timed(3)
    watched.await_value(3, "statefulroute_links", **of(game), phase="Bound")
    watched.await_value(2, "statefulroute_pod_links", **of(game), pod="game-1")
    watched.await_value(1, "statefulroute_routes")


def test_a_link_that_waits_is_pending_and_is_timed_when_it_is_bound(watched: Watched, game: Service) -> None:
    timed = counter(watched, "statefulroute_bind_duration_seconds_count")
    for pod in range(3):
        game.annotate(pod, DENIES_NEW_CALLS)
    watched.await_value(0, "statefulroute_pods", **of(game), state="available")
    watched.await_value(3, "statefulroute_pods", **of(game), state="routable")
    before = watched.scrape().value("statefulroute_bind_duration_seconds_sum") or 0.0
    game.await_link(game.link("alice"), "Pending", "NoAvailablePod")
    began = time.monotonic()
    watched.await_value(1, "statefulroute_links", **of(game), phase="Pending")
    watched.await_value(0, "statefulroute_queue_depth")  # it waits for a pod, and not for the operator
    waited = time.monotonic() - began
    for pod in range(3):
        game.annotate(pod, SAYS_NOTHING)
    game.await_bound("game.alice")
    timed(1)
    after = watched.scrape().value("statefulroute_bind_duration_seconds_sum")
    assert after is not None
    assert after - before >= waited
    watched.await_value(0, "statefulroute_links", **of(game), phase="Pending")


def test_a_move_counts_by_its_reason(watched: Watched, game: Service) -> None:
    moved = counter(watched, "statefulroute_moves_total", **of(game), reason="Moved")
    lost = counter(watched, "statefulroute_moves_total", **of(game), reason="PodLost")
    bound = counter(watched, "statefulroute_bindings_total", **of(game))
    game.await_bound(game.link("alice", podIndex=0))
    game.witness.patch(PodLink, "game.alice", game.namespace, {"spec": {"podIndex": LAST}})
    moved(1)
    game.annotate(LAST, SHUT_DOWN)
    game.await_moved("game.alice", LAST)
    lost(1)
    moved(1)
    bound(1)
    game.annotate(LAST, SAYS_NOTHING)


def test_a_removal_counts_by_its_reason(watched: Watched, game: Service) -> None:
    expired = counter(watched, "statefulroute_removals_total", **of(game), reason="Expired")
    lost = counter(watched, "statefulroute_removals_total", **of(game), reason="PodLost")
    game.await_gone(game.link("guest", podIndex=0, ttlSeconds=1))
    expired(1)
    game.on_pod_lost("Release")
    game.await_bound(game.link("alice", podIndex=LAST))
    game.annotate(LAST, SHUT_DOWN)
    game.await_gone("game.alice")
    lost(1)
    game.annotate(LAST, SAYS_NOTHING)


def test_a_link_that_stays_with_a_lost_pod_is_lost(watched: Watched, game: Service) -> None:
    game.on_pod_lost("Keep")
    game.await_bound(game.link("alice", podIndex=LAST))
    game.annotate(LAST, SHUT_DOWN)
    watched.await_value(1, "statefulroute_links", **of(game), phase="Lost")
    watched.await_value(0, "statefulroute_links", **of(game), phase="Bound")
    game.annotate(LAST, SAYS_NOTHING)
    watched.await_value(1, "statefulroute_links", **of(game), phase="Bound")


def test_a_link_that_got_past_the_admission_policy_is_a_rejection(watched: Watched, game: Service) -> None:
    rejected = counter(watched, "statefulroute_rejections_total", reason="NotLocalNamespace")
    with unguarded(game, game.kubectl):
        foreign = pod_link(uid="foreign", namespace="kube-system")
        eventually(lambda: slips_in(game, foreign), "the policy is no longer in force")
        game.await_link("game.foreign", "Rejected", "NotLocalNamespace")
    rejected(1)
    watched.await_value(1, "statefulroute_links", **of(game), phase="Rejected")


def test_load_is_told_by_pod_and_by_service_and_a_silent_pod_is_stale(watched: Watched, game: Service) -> None:
    watched.await_value(3, "statefulroute_pods", **of(game), state="stale")
    assert watched.scrape().value("statefulroute_pod_weighted_load", **of(game)) is None
    game.report(0, load_state=2, waiting_tasks=10)
    game.report(1, load_state=2, waiting_tasks=10)
    watched.await_value(7.6, "statefulroute_pod_weighted_load", **of(game), pod="game-0")
    watched.await_value(1, "statefulroute_pods", **of(game), state="stale")
    watched.await_value(7.6, "statefulroute_workload_load", **of(game))
    watched.await_value(1, "statefulroute_workload_state", **of(game), state="Overloaded")
    watched.await_value(1, "statefulroute_workload_state", **of(game))
    game.edit_route(load={"staleAfterSeconds": 5})
    watched.await_value(None, "statefulroute_pod_weighted_load", **of(game))
    watched.await_value(3, "statefulroute_pods", **of(game), state="stale")
    watched.await_value(None, "statefulroute_workload_load", **of(game))
    game.edit_route(load=None)


def test_requests_count_by_what_was_asked_and_answered(watched: Watched, game: Service) -> None:
    acknowledged = counter(watched, "statefulroute_api_requests_total", verb="patch", resource="podlinks/status")
    chosen = counter(watched, "statefulroute_api_requests_total", verb="patch", resource="podlinks", code="200")
    timed = counter(watched, "statefulroute_api_request_duration_seconds_count", verb="create")
    game.await_bound(game.link("alice", podIndex=1))
    game.await_bound(game.link("bob"))
    acknowledged(2)
    chosen(1)
    timed(2)  # an event for each
    now = watched.scrape()
    # How long a watch lasts is no measure.
    assert now.value("statefulroute_api_request_duration_seconds_count", verb="watch") is None
    for resource in ("podlinks", "statefulroutes", "pods", "statefulsets", "nodes"):
        for verb in ("list", "watch"):
            asked = now.value("statefulroute_api_requests_total", verb=verb, resource=resource, code="200")
            assert asked, f"{verb} {resource}"


def test_timers_have_their_turns(watched: Watched, game: Service) -> None:
    del game
    for timer in ("state", "workload"):
        before = watched.scrape().value("statefulroute_timer_lag_seconds_count", timer=timer) or 0
        eventually(lambda timer=timer, before=before: turns(watched, timer) > before, f"the {timer} timer has a turn")
    assert watched.scrape().value("statefulroute_timer_failures_total") == 0


def turns(watched: Watched, timer: str) -> float:
    return watched.scrape().value("statefulroute_timer_lag_seconds_count", timer=timer) or 0


def test_caches_tell_how_much_they_hold_and_how_old_it_is(watched: Watched, game: Service) -> None:
    game.await_bound(game.link("alice"))
    now = watched.scrape()
    links = len(game.witness.all(PodLink, game.namespace))
    assert now.value("statefulroute_cache_objects", resource="podlinks") == links
    assert now.value("statefulroute_cache_synced") == 5
    assert now.value("statefulroute_watch_restarts_total") == 0
    ages = {labels["resource"]: age for labels, age in now.of("statefulroute_cache_age_seconds")}
    assert ages.keys() == {"podlinks", "statefulroutes", "pods", "statefulsets", "nodes"}
    assert all(age >= 0 for age in ages.values())


def test_the_process_tells_which_it_is(watched: Watched) -> None:
    now = watched.scrape()
    assert now.value("statefulroute_leader") == 1
    assert now.value("statefulroute_build_info") == 1
    assert now.value("process_resident_memory_bytes")


def test_prometheus_finds_no_fault_with_it(watched: Watched, game: Service, promtool: Promtool) -> None:
    game.await_bound(game.link("alice"))
    game.report(0, load_state=2)
    watched.await_value(0.6, "statefulroute_pod_weighted_load", **of(game), pod="game-0")
    assert promtool.verdict("check", "metrics", given=only_ours(watched.scrape())) == ""


def only_ours(scraped: Scraped) -> str:
    """Without the metrics that prometheus-client has of each Python."""
    lines = (line for line in scraped.text.splitlines(keepends=True) if "statefulroute_" in line)
    return "".join(lines)


def test_a_route_that_is_gone_has_no_gauges_and_keeps_its_counts_for_a_while(watched: Watched, game: Service) -> None:
    game.make_route("other", workloadRef={"name": "game"})
    watched.await_value(2, "statefulroute_routes")
    watched.await_value(3, "statefulroute_pods", namespace=game.namespace, route="other", state="ready")
    game.witness.delete(StatefulRoute, "other", game.namespace)
    watched.await_value(1, "statefulroute_routes")
    watched.await_value(None, "statefulroute_pods", namespace=game.namespace, route="other")
    assert watched.scrape().value("statefulroute_bindings_total", namespace=game.namespace, route="other") == 0


def test_a_pod_that_is_gone_is_not_told_of(watched: Watched, game: Service) -> None:
    game.scale(2)
    watched.await_value(None, "statefulroute_pod_links", **of(game), pod="game-2")
    game.scale(3)
    watched.await_value(0, "statefulroute_pod_links", **of(game), pod="game-2")
    eventually(lambda: game.exists(Pod, "game-2"), "it is there again")
