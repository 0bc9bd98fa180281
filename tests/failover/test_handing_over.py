"""One operator ends, in whatever way, and the other goes on: no link is lost, and none is bound twice."""

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from failover.arrivals import arriving
from failover.pair import DEFAULT_TIMES, LONG, SHORT_TIMES, STOPPED_LEADING, OperatorPair, Replica, received_after
from support.link_recorder import LinkRecorder
from support.service import Service, is_bound
from support.waiting import eventually

log = logging.getLogger(__name__)

#: How many users come in a second.
RATE = 100.0

#: How many times longer everything may take where other tests run beside these: what is promised is held to when these
#: tests have the machine for themselves, and what would be broken is far beyond.
PATIENCE = 1 if LONG else 3

#: What all this is about: nobody waits longer for a pod after a crash.
LEASE_SECONDS = PATIENCE * timedelta(seconds=DEFAULT_TIMES.duration)

#: After a stop in good order the Lease is free at once: what is left is the end of one process and the start of the
#: other's work, far less than the rest of the Lease's time.
STOP_SECONDS = PATIENCE * timedelta(seconds=2)

#: A leader that does not run is frozen for longer than its Lease lasts.
FROZEN, FROZEN_SECONDS = (DEFAULT_TIMES, 30.0) if LONG else (SHORT_TIMES, 6.0)


def now() -> datetime:
    """The time of the machine, which is the API server's, too."""
    return datetime.now(UTC)


def await_each_bound_once(game: Service, recorder: LinkRecorder, names: Sequence[str]) -> None:
    """Wait until all are bound, and see that each was given one pod, by one write."""
    eventually(
        lambda: sum(is_bound(version.object) for version in recorder.latest()) == len(names),
        f"all {len(names)} links are bound",
    )
    links = {link["metadata"]["name"]: link for link in game.links()}
    assert links.keys() == set(names)
    for name, path in recorder.all_pods().items():
        pod = links[name]["spec"]["podIndex"]
        assert path == [None, pod], f"{name} was on several pods: {path}"
        assert links[name]["metadata"]["generation"] == 2, f"{name} was bound several times"
    game.await_status(links=len(names))


def test_bindings_go_on_within_the_leases_time_when_the_leader_is_killed(
    pair: OperatorPair, game: Service, recorder: LinkRecorder
) -> None:
    leader, standby = pair.start(DEFAULT_TIMES)
    game.start()
    with arriving(game, RATE) as users:
        eventually(lambda: len(leader.bindings()) > RATE, "the leader is at work")
        renewals = len(leader.lease_writes())
        eventually(lambda: len(leader.lease_writes()) > renewals, "the Lease was renewed just now")
        time.sleep(DEFAULT_TIMES.retry / 2)  # at the middle of the moments at which a leader can die
        killed = now()
        leader.operator.kill()
        resumed = standby.await_binding(killed) - killed
        rate = users.rate
        names = users.stop()
    await_each_bound_once(game, recorder, names)
    log.info("bindings went on after %s, at %.0f creations a second", resumed, rate)
    assert resumed <= LEASE_SECONDS
    assert_it_wrote_nothing_in_the_others_time(leader, standby)
    assert not standby.errors()


def test_a_leader_that_is_stopped_releases_the_lease_and_bindings_go_on_at_once(
    pair: OperatorPair, game: Service, recorder: LinkRecorder
) -> None:
    leader, standby = pair.start(DEFAULT_TIMES)
    game.start()
    with arriving(game, RATE) as users:
        eventually(lambda: len(leader.bindings()) > RATE, "the leader is at work")
        told = now()
        leader.operator.stop()
        bound = standby.await_binding(told)
        rate = users.rate
        names = users.stop()
    await_each_bound_once(game, recorder, names)
    released = leader.lease_writes()[-1].received
    log.info(
        "bindings went on after %s, %s after the release, at %.0f creations a second",
        bound - told,
        bound - released,
        rate,
    )
    assert leader.writes()[-1].resource == "leases", "something was written after the release"
    assert_it_wrote_nothing_in_the_others_time(leader, standby)
    assert bound - told <= STOP_SECONDS
    assert not leader.errors()
    assert not standby.errors()


def test_a_leader_that_was_frozen_writes_nothing_when_it_runs_again_and_ends(
    pair: OperatorPair, game: Service, recorder: LinkRecorder
) -> None:
    leader, standby = pair.start(FROZEN)
    game.start()
    with arriving(game, RATE) as users:
        eventually(lambda: len(leader.bindings()) > RATE, "the leader is at work")
        frozen = now()
        leader.operator.freeze()
        time.sleep(FROZEN_SECONDS)
        standby.await_binding(frozen)
        thawed = now()
        leader.operator.thaw()
        assert leader.operator.wait() == 1
        names = users.stop()
    await_each_bound_once(game, recorder, names)
    ((event, why),) = leader.errors()
    assert event == STOPPED_LEADING
    assert why.endswith("has taken it") or why.startswith("not renewed within"), why
    assert not received_after(leader.writes(), thawed)
    assert_it_wrote_nothing_in_the_others_time(leader, standby)


def assert_it_wrote_nothing_in_the_others_time(former: Replica, present: Replica) -> None:
    """By the API server's account, all that one wrote came before the other began."""
    begun = present.lease_writes()[0].received
    assert not received_after(former.writes(), begun)
    assert not [entry for entry in present.writes() if entry.resource != "leases" and entry.received < begun]
