"""Where new users go while some pods have no fresh load."""

from collections import Counter

import pytest

from support.service import Service

pytestmark = pytest.mark.usefixtures("operator")


def start(service: Service, links: tuple[int, ...], **load: object) -> None:
    """Creates a service with a pod for each number, and binds this number of users to it."""
    service.start(len(links), load=load)
    users = {f"old-{pod}-{number}": {"podIndex": pod} for pod, carried in enumerate(links) for number in range(carried)}
    service.link_each(users)
    service.await_all_bound(sum(links))
    service.await_status(links=sum(links))


def burst(service: Service, number: int) -> dict[int, int]:
    """Creates links at the same time; returns how many of them each pod got."""
    names = service.link_all(f"new-{user}" for user in range(number))
    pods = Counter(service.await_bound(name)["podIndex"] for name in names)
    return dict(sorted(pods.items()))


def test_first_pod_that_reports_its_load_gets_no_users_while_others_carry_fewer(service: Service) -> None:
    start(service, (20, 10, 10))
    service.report(0, 4, 4)
    service.await_pod(0, loadState=4)
    service.await_condition(
        "LoadFresh",
        "False",
        "LoadStale",
        "no fresh load from 2 of 3 pods that serve users: game-1 (compared by its links) has not reported its load, "
        "game-2 (compared by its links) has not reported its load",
    )
    assert burst(service, 20) == {1: 10, 2: 10}
    service.await_status(bestPodIndex=0)


def test_first_report_after_all_loads_were_stale_attracts_no_more_users_than_others(service: Service) -> None:
    start(service, (4, 4, 4), staleAfterSeconds=60)
    for pod in (1, 2):
        service.report(pod, 9, 9, age_seconds=120)
    service.report(0, 1, 1)
    service.await_pod(0, loadState=1)
    service.await_pod(1, loadStale=True)
    service.await_pod(2, loadStale=True)
    assert burst(service, 6) == {0: 2, 1: 2, 2: 2}


def test_share_of_fresh_loads_decides_whether_a_stale_pod_takes_users(service: Service) -> None:
    start(service, (1, 1, 0), staleAfterSeconds=60)
    for pod in (0, 1):
        service.report(pod, 1, 1)
    service.report(2, 0, 0, age_seconds=120)
    service.await_pod(2, loadStale=True)
    service.await_status(bestPodIndex=0)
    service.edit_route(load={"minFreshPercent": 67})
    service.await_status(bestPodIndex=2)
    assert service.await_bound(service.link("new"))["podIndex"] == 2
