"""One operator stops in any way, and the other continues: no link is lost, and none is bound twice."""

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from failover.arrivals import arriving
from failover.pair import DEFAULT_TIMES, SHORT_TIMES, OperatorPair, Replica, received_after
from support.link_recorder import LinkRecorder
from support.scale import IS_LONG
from support.service import Service, is_bound
from support.waiting import eventually

log = logging.getLogger(__name__)

#: The number of users who arrive in a second.
RATE = 100.0 if IS_LONG else 15.0

#: How many times longer everything may take while other tests run on the machine. The bounds that are promised are
#: enforced only when these tests have the machine to themselves; a defect would exceed the larger bounds, too.
PATIENCE = 1 if IS_LONG else 3

#: The purpose of leader election: after a crash, no user waits longer for a pod.
LEASE_SECONDS = PATIENCE * timedelta(seconds=DEFAULT_TIMES.duration)

#: After a clean stop the Lease is free at once. What remains is the exit of one process and the start of the other's
#: work, which is far less than the rest of the Lease's duration.
STOP_SECONDS = PATIENCE * timedelta(seconds=2)

#: A leader is frozen for longer than its Lease lasts.
FROZEN, FROZEN_SECONDS = (DEFAULT_TIMES, 30.0) if IS_LONG else (SHORT_TIMES, 6.0)


def now() -> datetime:
    """Returns the time of the machine, which is that of the API server, too."""
    return datetime.now(UTC)


def await_each_bound_once(game: Service, recorder: LinkRecorder, names: Sequence[str]) -> None:
    """Waits until all links are bound, and checks that each was bound to one pod by one write."""
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


def test_bindings_continue_within_the_lease_duration_after_the_leader_is_killed(
    pair: OperatorPair, game: Service, recorder: LinkRecorder
) -> None:
    leader, standby = pair.start(DEFAULT_TIMES)
    game.start()
    with arriving(game, RATE) as users:
        eventually(lambda: len(leader.bindings()) > RATE, "the leader works")
        renewals = len(leader.lease_writes())
        eventually(lambda: len(leader.lease_writes()) > renewals, "the Lease has just been renewed")
        time.sleep(DEFAULT_TIMES.retry / 2)  # half a period after a renewal, as on average
        killed = now()
        leader.operator.kill()
        resumed = standby.await_binding(killed) - killed
        rate = users.rate
        names = users.stop()
    await_each_bound_once(game, recorder, names)
    log.info("bindings continued after %s, at %.0f creations a second", resumed, rate)
    assert resumed <= LEASE_SECONDS
    assert_former_leader_wrote_nothing_after_the_next(leader, standby)
    assert not standby.errors()


def test_stopped_leader_releases_the_lease_and_bindings_continue_at_once(
    pair: OperatorPair, game: Service, recorder: LinkRecorder
) -> None:
    leader, standby = pair.start(DEFAULT_TIMES)
    game.start()
    with arriving(game, RATE) as users:
        eventually(lambda: len(leader.bindings()) > RATE, "the leader works")
        stopped = now()
        leader.operator.stop()
        bound = standby.await_binding(stopped)
        rate = users.rate
        names = users.stop()
    await_each_bound_once(game, recorder, names)
    released = leader.lease_writes()[-1].received
    log.info(
        "bindings continued after %s, %s after the release, at %.0f creations a second",
        bound - stopped,
        bound - released,
        rate,
    )
    assert leader.writes()[-1].resource == "leases", "something was written after the release"
    assert_former_leader_wrote_nothing_after_the_next(leader, standby)
    assert bound - stopped <= STOP_SECONDS
    assert not leader.errors()
    assert not standby.errors()


def test_leader_that_was_frozen_writes_nothing_when_it_resumes_and_stands_by(
    pair: OperatorPair, game: Service, recorder: LinkRecorder
) -> None:
    leader, standby = pair.start(FROZEN)
    game.start()
    with arriving(game, RATE) as users:
        eventually(lambda: len(leader.bindings()) > RATE, "the leader works")
        frozen = now()
        leader.operator.freeze()
        time.sleep(FROZEN_SECONDS)
        standby.await_binding(frozen)
        thawed = now()
        leader.operator.thaw()
        _, why = leader.await_losing()
        names = users.stop()
    await_each_bound_once(game, recorder, names)
    assert not leader.errors()
    assert why.endswith("has taken it") or why.startswith("not renewed within"), why
    assert not received_after(leader.writes(), thawed)
    assert_former_leader_wrote_nothing_after_the_next(leader, standby)


def assert_former_leader_wrote_nothing_after_the_next(former: Replica, present: Replica) -> None:
    """Checks in the audit log that all writes of the former leader came before those of the next one."""
    start = present.lease_writes()[0].received
    assert not received_after(former.writes(), start)
    assert not [entry for entry in present.writes() if entry.resource != "leases" and entry.received < start]
