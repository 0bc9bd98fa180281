"""A leader that has lost its Lease, or may have, stops writing before another operator may write, and stands by."""

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chaos.proxy import FaultProxy
from failover.pair import LEASE, SHORT_TIMES, STOPPED_LEADING, ElectionTimes, OperatorPair, received_after
from failover.test_rights import exercise
from localcluster import LocalCluster
from support.independent_client import StatefulRoute
from support.scale import IS_LONG
from support.service import Service
from support.waiting import eventually, stays

#: Leaves time between the loss of the Lease and the moment at which another may lead, for a process that is delayed on
#: a busy machine.
ROOMY = ElectionTimes(6, 2.5, 0.5)

#: How the API server becomes unavailable.
OUTAGES = {"frozen": signal.SIGSTOP} | ({"dead": signal.SIGKILL} if IS_LONG else {})


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
    assert not standby.lease_writes()


def test_leader_whose_lease_another_holder_takes_stands_by_and_names_it(pair: OperatorPair, game: Service) -> None:
    leader, standby = pair.start(SHORT_TIMES)
    game.start()
    renewed = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    taken = {"holderIdentity": "a-stranger", "leaseDurationSeconds": 1, "renewTime": renewed, "acquireTime": renewed}
    pair.admin.patch("lease", LEASE, {"spec": taken}).expect_success()
    assert leader.await_losing()[1] == "a-stranger has taken it"
    # The other holder does not renew the Lease, so it is free after its duration of one second.
    eventually(lambda: leader.terms + standby.terms > 1, "one of them leads again")
    game.await_bound(game.link("alice"))
    assert leader.operator.is_running
    assert not leader.errors() + standby.errors()


@pytest.mark.parametrize("number", OUTAGES.values(), ids=OUTAGES)
def test_leader_stops_writing_before_another_may_lead_during_an_outage_of_the_api_server(
    audited_cluster: LocalCluster, pair: OperatorPair, game: Service, number: signal.Signals
) -> None:
    leader, standby = pair.start(ROOMY)
    game.start()
    server = audited_cluster.part("apiserver")
    server.kill(number)
    try:
        lost, why = leader.await_losing()
    finally:
        if number == signal.SIGSTOP:
            server.kill(signal.SIGCONT)
        else:
            server.restart()
    assert why.startswith(f"not renewed within {ROOMY.deadline:g} s: "), why
    eventually(lambda: leader.terms + standby.terms > 1, "one of them leads again")
    game.await_bound(game.link("alice"))
    writes = sorted((write.received, write.pod) for each in (leader, standby) for write in each.lease_writes())
    last_renewal = max(time for time, pod in writes if pod == leader.pod and time < lost)
    assert lost - last_renewal < timedelta(seconds=ROOMY.duration), "another could have led already"
    # Requests in the sockets of the frozen server reach it when it resumes, after the leader has stopped. They cannot
    # be called back, but they come before the request by which an operator takes the Lease.
    taken = next(time for time, pod in writes if time > lost)
    if standby.is_leader:
        assert not received_after(leader.writes(), taken)
    assert leader.operator.is_running
    assert not leader.errors() + standby.errors()


def test_leader_keeps_the_lease_while_the_clock_of_the_api_server_is_behind(
    pair: OperatorPair, game: Service, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        proxies = [
            stack.enter_context(FaultProxy(kubeconfig, tmp_path / pod)) for pod, kubeconfig in pair.kubeconfigs.items()
        ]
        pair.kubeconfigs = {pod: proxy.kubeconfig for pod, proxy in zip(pair.kubeconfigs, proxies, strict=True)}
        leader, standby = pair.start(SHORT_TIMES)
        game.start()
        game.await_bound(game.link("before"))
        for proxy in proxies:
            proxy.skew_date(-3600)
        stays(
            lambda: STOPPED_LEADING not in leader.operator.log_text and not standby.is_leader,
            "the leader leads",
            seconds=3 * SHORT_TIMES.duration,
        )
        game.await_bound(game.link("after"))


def test_operators_stay_and_lead_again_after_a_brown_out(
    audited_cluster: LocalCluster, pair: OperatorPair, game: Service
) -> None:
    both = pair.start(SHORT_TIMES)
    game.start()
    game.await_bound(game.link("before"))
    server = audited_cluster.part("apiserver")
    processes = [replica.operator.pid for replica in both]
    for _ in range(4):  # a kubelet would by now wait for minutes before it restarts a container that exits each time
        server.kill(signal.SIGSTOP)
        time.sleep(SHORT_TIMES.deadline + 1)
        server.kill(signal.SIGCONT)
        time.sleep(2)
    assert sum(STOPPED_LEADING in replica.operator.log_text for replica in both), "nobody has lost the Lease"
    assert [replica.operator.pid for replica in both if replica.operator.is_running] == processes
    game.await_bound(game.link("alice"))
    assert not both[0].errors() + both[1].errors()


def test_operator_that_leads_again_does_all_of_its_work(
    audited_cluster: LocalCluster, pair: OperatorPair, new_game: Callable[[], Service]
) -> None:
    game, alone = new_game(), pair.replica(next(iter(pair.kubeconfigs)), *SHORT_TIMES.options)
    alone.operator.start()
    alone.await_leading()
    game.start()
    game.await_bound(game.link("before"))
    game.await_deleted(game.link("expired", podIndex=0, ttlSeconds=1))
    server = audited_cluster.part("apiserver")
    server.kill(signal.SIGSTOP)
    try:
        alone.await_losing()
    finally:
        server.kill(signal.SIGCONT)
    game.kubectl.run("delete", "statefulroute", game.name, "--wait=false").expect_success()
    eventually(lambda: alone.terms == 2, "it leads again")
    eventually(lambda: not game.exists(StatefulRoute, game.name), "its route is deleted")
    exercise(new_game())
    assert not alone.errors()
    alone.operator.stop()
