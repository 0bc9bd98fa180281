"""The short form of `make chaos`: a dozen faults of different kinds, of a fixed seed, and the checker is content."""

import logging
import os
from pathlib import Path

import pytest

from chaos.record import FaultPeriod, Record
from chaos.registry import KINDS
from chaos.run import RECOVERY_SECONDS, ChaosPlan, run
from failover.pair import ElectionTimes

log = logging.getLogger(__name__)

#: `make test` runs two such tests at a time on what may be two cores, where the promise is for a machine that has
#: nothing else to do: an operator that starts then takes ten seconds and more instead of one and a half. A leader that
#: cannot renew its Lease in time for want of a processor is to live on.
BUSY, ROOMY = 6, ElectionTimes(12, 8, 1)

#: The cluster's programs may have to be built first, which takes minutes.
BUILD_SECONDS = 1800

#: Of each family of faults one or two, and each of our processes is hit.
USUAL = (
    "leader: kill -9",
    "leader: 504 after the write",
    "leader: 410 instead of a watch",
    "leader: token rotated",
    "leader: clock +1 h",
    "standby: frozen",
    "resolver: connections are half open",
    "resolver: too little memory",
    "driver: 504 after the write",
    "API server: kill -9",
    "etcd: frozen",
    "pods: lost by tens",
    "links: a flood",
)


@pytest.mark.timeout(BUILD_SECONDS)
def test_no_promise_is_broken_while_everything_fails_in_turn(tmp_path: Path) -> None:
    if os.environ.get("STATEFULROUTE_KUBECONFIG"):
        pytest.skip("the API server and its store are killed: not in STATEFULROUTE_KUBECONFIG's cluster")
    usual = [kind for kind in KINDS if kind.name in USUAL]
    assert len(usual) == len(USUAL)
    usable = [kind for kind in usual if kind.unsupported_reason() is None]
    plan = ChaosPlan(
        seed=1, kinds=usable, rate=30, faults=len(usable), recovery_seconds=RECOVERY_SECONDS * BUSY, times=ROOMY
    )
    findings = run(plan, tmp_path)
    log.info("the report is %s", tmp_path / "report.html")
    assert findings == []
    happened = {trouble.kind for trouble in Record.read(tmp_path / "record.jsonl").all(FaultPeriod)}
    assert happened == {kind.name for kind in usable}
