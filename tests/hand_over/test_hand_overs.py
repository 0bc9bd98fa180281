"""Users are handed over and lose nothing, while the operator, servers and the API server are killed and suspended."""

import logging
import os
import time
from pathlib import Path

import pytest

from hand_over.faults import KINDS, Faults
from hand_over.figures import hand_overs, lines
from hand_over.mover import Mover
from hand_over.record import Answered, Record
from hand_over.rules import check
from hand_over.system import ACCOUNT, PORT, Parts, System, running
from support.kubectl import Kubectl
from support.rbac import apply_role, create_account
from support.scale import scaled
from support.service import is_bound
from support.waiting import eventually

SEED = int(os.environ.get("STATEFULROUTE_SEED", "1"))
PODS, USERS = 6, scaled(12, 60)
QUIET, WITH_FAULTS = scaled(20, 1000), scaled(20, 9000)
QUIET_AT_ONCE, AT_ONCE = 2, scaled(4, 8)
PATIENCE = scaled(240, 7200)
FAULT_PAUSES = (0.2, scaled(1, 4))

#: Without faults, no hand-over takes too long, however busy the machine is; with faults, some do.
LONG_TIMEOUT, SHORT_TIMEOUT = {"timeoutSeconds": 300}, {"timeoutSeconds": 5}

ROUTE = {"port": PORT, "handOver": LONG_TIMEOUT, "onPodLost": {"action": "Rebind", "graceSeconds": 3600}}

log = logging.getLogger(__name__)

pytestmark = pytest.mark.timeout(scaled(900, 9000))


def test_users_lose_nothing_when_they_are_handed_over(parts: Parts, here: Kubectl, tmp_path: Path) -> None:
    service, uids = parts.service, [f"user-{number}" for number in range(USERS)]
    template = service.pod_template()
    template["spec"]["serviceAccountName"] = ACCOUNT
    with create_account(here, ACCOUNT, apply_role(here, "server")):
        service.create_pods(PODS, template=template)
        service.create_route(**ROUTE)
        service.await_pods(PODS)
        service.link_each({uid: {"podIndex": number % PODS} for number, uid in enumerate(uids)})
        service.await_all_bound(USERS)
        with running(parts, PODS, USERS, tmp_path) as system:
            record = hand_over(system)
    for line in lines(record):
        log.info("seed %s: %s", SEED, line)
    violations = check(record)
    for violation in violations[:50]:
        log.error("%s", violation)
    assert violations == []
    assert hand_overs(record) >= QUIET + WITH_FAULTS


def hand_over(system: System) -> Record:
    """Hands users over, without faults and then with faults, and returns the record."""
    mover = Mover(system.parts.cluster, system.service, PODS, system.hurry, SEED)
    try:
        eventually(
            lambda: len({each.uid for each in system.entries() if isinstance(each, Answered)}) == USERS, "all write"
        )
        mover.run(QUIET, QUIET_AT_ONCE, PATIENCE)
        quiet_until = time.monotonic()
        system.service.edit_route(handOver=SHORT_TIMEOUT)
        faults = Faults(system, SEED, FAULT_PAUSES)
        with faults.during():
            mover.run(WITH_FAULTS, AT_ONCE, PATIENCE)
            while faults.number < len(KINDS):
                mover.run(1, AT_ONCE, PATIENCE)
        eventually(lambda: is_settled(system), "no user is handed over any more")
        eventually(lambda: has_answered_all(system), "the last pod of each user has answered the user")
        system.users.finish()
        held = {server.index: server.users() or [] for server in system.servers}
    finally:
        mover.stop()
    return Record(entries=system.entries(), links=mover.versions, held=held, quiet_until=quiet_until)


def has_answered_all(system: System) -> bool:
    """Returns whether the last answer of each user is from the pod that holds the user."""
    last = {each.uid: each.pod for each in system.entries() if isinstance(each, Answered)}
    return last == {link["spec"]["uid"]: link["spec"]["podIndex"] for link in system.service.links()}


def is_settled(system: System) -> bool:
    """Returns whether everything runs, and each link is bound, and not handed over."""
    system.revive()
    return all(is_bound(link) and "handOver" not in link["spec"] for link in system.service.links())
