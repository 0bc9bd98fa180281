"""A leader that has lost its Lease, or may have, exits before another operator may write."""

import signal
from datetime import UTC, datetime, timedelta

import pytest

from failover.pair import LEASE, LONG, SHORT_TIMES, STOPPED_LEADING, ElectionTimes, OperatorPair, received_after
from localcluster import LocalCluster
from support.service import Service
from support.waiting import eventually, stays

#: Leaves time between the exit of a leader and the moment at which another may lead, for a process that is delayed on
#: a busy machine.
ROOMY = ElectionTimes(6, 2.5, 0.5)

#: How the API server becomes unavailable.
OUTAGES = {"frozen": signal.SIGSTOP} | ({"dead": signal.SIGKILL} if LONG else {})


def test_leader_recreates_a_deleted_lease(pair: OperatorPair, game: Service) -> None:
    leader, standby = pair.start(SHORT_TIMES)
    game.start()
    holder = pair.holder()
    pair.admin.run("delete", "lease", LEASE).expect_success()
    eventually(lambda: pair.holder() == holder, "the leader holds the Lease again")
    game.await_bound(game.link("alice"))
    stays(lambda: not standby.is_leader, "the other stands by", seconds=SHORT_TIMES.duration + 1)
    assert leader.operator.is_running
    assert not leader.errors()
    assert not standby.writes("leases")


def test_leader_whose_lease_another_holder_takes_exits_and_names_it(pair: OperatorPair, game: Service) -> None:
    leader, standby = pair.start(SHORT_TIMES)
    game.start()
    renewed = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    taken = {"holderIdentity": "a-stranger", "leaseDurationSeconds": 1, "renewTime": renewed, "acquireTime": renewed}
    pair.admin.patch("lease", LEASE, {"spec": taken}).expect_success()
    assert leader.operator.wait() == 1
    assert leader.errors() == [(STOPPED_LEADING, "a-stranger has taken it")]
    # The other holder does not renew the Lease, so it is free after its duration of one second.
    standby.await_leading()
    game.await_bound(game.link("alice"))
    assert not standby.errors()


@pytest.mark.parametrize("number", OUTAGES.values(), ids=OUTAGES)
def test_leader_exits_before_another_may_lead_during_an_outage_of_the_api_server(
    audited_cluster: LocalCluster, pair: OperatorPair, game: Service, number: signal.Signals
) -> None:
    leader, standby = pair.start(ROOMY)
    game.start()
    server = audited_cluster.part("apiserver")
    server.kill(number)
    try:
        assert leader.operator.wait() == 1
        exited = datetime.now(UTC)
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
    renewed = [write.received for write in leader.lease_writes() if write.received < exited]
    assert exited - renewed[-1] < timedelta(seconds=ROOMY.duration), "another could have led already"
    assert standby.operator.is_running
    # Requests in the sockets of the frozen server reach it when it resumes, after the exit of the leader. They cannot
    # be called back, but they come before the request by which another operator takes the Lease.
    taken = next(write.received for write in standby.lease_writes() if write.received > renewed[-1])
    assert not received_after(leader.writes(), taken)
