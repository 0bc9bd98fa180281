"""A service grows and shrinks with its users, and rolls out meanwhile, while the operator is killed again and again."""

import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from pykube.objects import Deployment, StatefulSet

from disruptions.figures import most_links, scale_down_seconds, scale_up_seconds
from disruptions.pod_servers import PORT, PodServers, create_pods
from disruptions.record import Record, pod_of
from disruptions.record import replicas as replicas_of
from disruptions.rules import check
from disruptions.users import Killer, Requests, Stay, Users, repeating
from support.independent_client import StatefulRoute
from support.link_recorder import LinkRecorder, ObjectRecorder
from support.operator_process import OperatorProcess
from support.resolver_process import ResolverProcess
from support.scale import IS_LONG, scaled
from support.service import Service
from support.waiting import eventually

SEED = int(os.environ.get("STATEFULROUTE_SEED", "1"))
PODS, LINKS_PER_POD = scaled(3, 10), scaled(3, 100)
STAY = Stay(scaled(1, 15), scaled(2, 60))
KILL_PAUSES = (scaled(3, 5), scaled(6, 20))
WINDOW = 1
MAX_UNAVAILABLE = 3
REQUESTS_PER_SECOND = 40
PATIENCE = 900.0

Workload = type[StatefulSet] | type[Deployment]

log = logging.getLogger(__name__)

ROUTE: dict[str, Any] = {
    "port": PORT,
    "placement": {"maxLinksPerPod": LINKS_PER_POD},
    "autoscaling": {"maxReplicas": PODS + 5, "linksPerPod": LINKS_PER_POD, "scaleDownAfterSeconds": WINDOW},
    "disruption": {},
    "onPodLost": {"action": "Rebind"},
    "statePeriodSeconds": 1,
}

pytestmark = pytest.mark.timeout(3000)


def test_pods_come_and_go_and_are_replaced(
    service: Service, own_operator: OperatorProcess, resolver: ResolverProcess
) -> None:
    create_pods(service, "StatefulSet")
    service.create_route(**ROUTE, rollout={"maxUnavailable": MAX_UNAVAILABLE})
    with run(service, StatefulSet, own_operator, resolver) as (users, links):
        grow(service, StatefulSet, users)
        roll_out(service)
        shrink(service, StatefulSet, users, links)


@pytest.mark.skipif(not IS_LONG, reason="this is a long test: make test-disruptions")
def test_pods_of_a_deployment_come_and_go(
    service: Service, own_operator: OperatorProcess, resolver: ResolverProcess
) -> None:
    create_pods(service, "Deployment")
    service.create_route(**ROUTE, workloadRef={"kind": "Deployment"})
    with run(service, Deployment, own_operator, resolver) as (users, links):
        grow(service, Deployment, users)
        shrink(service, Deployment, users, links)


@contextmanager
def run(
    service: Service, kind: Workload, operator: OperatorProcess, resolver: ResolverProcess
) -> Iterator[tuple[Users, LinkRecorder]]:
    """Runs users, and kills the operator again and again meanwhile; at the end, checks the record."""
    users, killer = Users(service, STAY, SEED), Killer(operator, KILL_PAUSES, SEED)
    requests = Requests(users, service.namespace, resolver.lookups, REQUESTS_PER_SECOND, SEED)
    with ExitStack() as stack:
        stack.callback(requests.close)
        links, pods = LinkRecorder(service.client, service.namespace), PodServers(service)
        workloads = ObjectRecorder(service.client, kind, service.namespace)
        routes = ObjectRecorder(service.client, StatefulRoute, service.namespace)
        for recorder in (links, pods, workloads, routes):
            stack.callback(recorder.stop)
        service.await_pods(1)
        with repeating(users.run_once, requests.run_once, killer.run_once):
            yield users, links
        record = Record(
            links=links.all_versions(),
            pods=pods.all_versions(),
            workload=workloads.versions(service.name),
            route=routes.versions(service.name),
            requests=requests.made,
            left=users.left,
            max_unavailable=MAX_UNAVAILABLE,
            clock_offset=time.time() - time.monotonic(),
        )
    report(record, killer.number)
    violations = check(record)
    for violation in violations[:50]:
        log.error("%s", violation)
    assert violations == []
    assert killer.number > 0


def grow(service: Service, kind: Workload, users: Users) -> None:
    """Lets users arrive until there are as many as the pods are for, and waits for the pods."""
    users.number = PODS * LINKS_PER_POD
    eventually(lambda: len(users.present()) >= users.number, "all users are there", seconds=PATIENCE)
    eventually(lambda: replicas(service, kind) >= PODS, "there are pods for all users", seconds=PATIENCE)
    await_condition(service, "Scaled", "True")


def roll_out(service: Service) -> None:
    """Changes the template, and waits until all pods have it: users leave, and others arrive."""
    change = {"metadata": {"annotations": {"example.com/version": "2"}}}
    service.client.patch(StatefulSet, service.name, service.namespace, {"spec": {"template": change}})
    generation = service.client.get(StatefulSet, service.name, service.namespace)["metadata"]["generation"]
    eventually(lambda: is_rolled_out(service, generation), "all pods are replaced", seconds=PATIENCE)


def is_rolled_out(service: Service, generation: int) -> bool:
    """Returns whether all pods have the template of a generation of the StatefulSet."""
    status = service.client.get(StatefulSet, service.name, service.namespace).get("status", {})
    is_observed = status.get("observedGeneration", 0) >= generation
    return bool(is_observed and status.get("updatedReplicas") == status["replicas"] == status.get("readyReplicas"))


def shrink(service: Service, kind: Workload, users: Users, links: LinkRecorder) -> None:
    """Lets all users leave but one on each of the last pods, of whom the first half leaves later, the others never."""
    kept: dict[str, str] = {}
    eventually(lambda: keep_users(users, links, kept) > PODS // 2, "users of several pods stay")
    staying = [kept[pod] for pod in sorted(kept, reverse=True)]
    users.number = 0
    eventually(lambda: len(users.present()) == len(staying), "the others have left", seconds=PATIENCE)
    await_condition(service, "Scaled", "False", "WaitingForUsers")
    assert replicas(service, kind) > 1
    users.leave(staying[: len(staying) // 2])
    service.edit_route(disruption={"deadlineSeconds": 1})
    eventually(lambda: replicas(service, kind) == 1, "one pod is left", seconds=PATIENCE)
    await_condition(service, "Scaled", "True")


def keep_users(users: Users, links: LinkRecorder, kept: dict[str, str]) -> int:
    """Lets one user of each pod but the first stay, and returns the number of pods with such a user."""
    bound = [(pod_of(each), each.name) for each in links.latest() if each.phase == "Bound"]
    first = min((pod for pod, _ in bound if pod), default=None)
    for pod, link in bound:
        if pod and pod not in kept and pod != first and users.keep(link):
            kept[pod] = link
    return len(kept)


def await_condition(service: Service, *expected: str) -> None:
    """Waits patiently until a condition has this status and reason."""
    kind, *values = expected
    eventually(lambda: service.condition(kind)[: len(values)] == (*values,), f"{kind} is {values}", seconds=PATIENCE)


def replicas(service: Service, kind: Workload) -> int:
    """Returns the desired number of pods of the workload."""
    return int(service.client.get(kind, service.name, service.namespace)["spec"]["replicas"])


def report(record: Record, kills: int) -> None:
    """Logs figures of the run."""
    paths = [set(map(pod_of, versions)) - {None} for versions in record.links.values()]
    log.info("seed %s: %s links in %s versions", SEED, len(record.links), sum(map(len, record.links.values())))
    log.info(
        "at most %s links at a time, on at most %s pods", most_links(record), max(map(replicas_of, record.workload))
    )
    log.info("%s links moved, at the deadline", sum(len(path) > 1 for path in paths))
    log.info("%s pods removed; the operator was killed %s times", len(list(record.removals())), kills)
    errors = Counter(each.error for each in record.requests if each.error)
    log.info("%s requests; those of users who waited or had left: %s", len(record.requests), dict(errors))
    log.info("pods were added at most %.1f s after the need", max(scale_up_seconds(record, LINKS_PER_POD)))
    if not record.is_deployment:
        seconds = scale_down_seconds(record, LINKS_PER_POD, WINDOW)
        log.info("pods were removed at most %.1f s after they could go", max(seconds))
