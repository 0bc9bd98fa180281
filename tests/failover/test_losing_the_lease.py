"""A leader that loses its Lease, or may have lost it, ends before another may write."""

import signal
from datetime import UTC, datetime, timedelta

import pytest

from failover.pair import LEASE, LONG, SHORT_TIMES, STOPPED_LEADING, ElectionTimes, OperatorPair, received_after
from localcluster import LocalCluster
from support.service import Service
from support.waiting import eventually, stays

#: Between the moment at which a leader has to end and the one at which another may lead there is time for a process
#: that a busy machine lets wait.
ROOMY = ElectionTimes(6, 2.5, 0.5)

#: How the API server goes away.
WAYS = {"frozen": signal.SIGSTOP} | ({"dead": signal.SIGKILL} if LONG else {})


def test_a_lease_that_is_deleted_is_made_anew_by_the_leader(pair: OperatorPair, game: Service) -> None:
    leader, standby = pair.start(SHORT_TIMES)
    game.start()
    holder = pair.holder()
    pair.admin.run("delete", "lease", LEASE).expect_success()
    eventually(lambda: pair.holder() == holder, "the leader holds it again")
    game.await_bound(game.link("alice"))
    stays(lambda: not standby.is_leader, "the other stands by", seconds=SHORT_TIMES.duration + 1)
    assert leader.operator.is_running
    assert not leader.errors()
    assert not standby.writes("leases")


def test_a_leader_whose_lease_somebody_else_takes_ends_and_says_who(pair: OperatorPair, game: Service) -> None:
    leader, standby = pair.start(SHORT_TIMES)
    game.start()
    renewed = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    taken = {"holderIdentity": "a-stranger", "leaseDurationSeconds": 1, "renewTime": renewed, "acquireTime": renewed}
    pair.admin.patch("lease", LEASE, {"spec": taken}).expect_success()
    assert leader.operator.wait() == 1
    assert leader.errors() == [(STOPPED_LEADING, "a-stranger has taken it")]
    # The stranger does not renew it, so it is free once its own second has passed.
    standby.await_leading()
    game.await_bound(game.link("alice"))
    assert not standby.errors()


@pytest.mark.parametrize("number", WAYS.values(), ids=WAYS)
def test_while_the_api_server_is_away_the_leader_ends_before_another_may_lead(
    audited_cluster: LocalCluster, pair: OperatorPair, game: Service, number: signal.Signals
) -> None:
    leader, standby = pair.start(ROOMY)
    game.start()
    server = audited_cluster.part("apiserver")
    server.kill(number)
    try:
        assert leader.operator.wait() == 1
        ended = datetime.now(UTC)
    finally:
        if number == signal.SIGSTOP:
            server.kill(signal.SIGCONT)
        else:
            server.restart()
    event, why = leader.errors()[-1]
    assert event == STOPPED_LEADING
    assert why.startswith(f"not renewed within {ROOMY.deadline:g} s: "), why
    standby.await_leading()
    game.await_bound(game.link("alice"))
    renewed = [each.received for each in leader.lease_writes() if each.received < ended]
    assert ended - renewed[-1] < timedelta(seconds=ROOMY.duration), "another could have led already"
    assert standby.operator.is_running
    # What lay in the sockets of the frozen server reaches it when it goes on, after the leader's end: nothing can call
    # that back, but it comes before the request by which another takes the Lease.
    taken = next(each.received for each in standby.lease_writes() if each.received > renewed[-1])
    assert not received_after(leader.writes(), taken)
