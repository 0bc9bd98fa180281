"""Users go on reaching their pods while the API server is away."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateways.asking import ask
from gateways.conftest import PICKING, Programs, standing_before
from harness.kubectl import Kubectl
from harness.patience import eventually
from harness.resolver import ResolverProcess
from harness.sizes import links
from harness.witness import Witness
from localcluster import LocalCluster
from localgateways.processes import Gateway
from resolver.place import PORT, Place

BACKEND = Path(__file__).with_name("backend.py")
NAMESPACE = "outage"
AWAY_SECONDS = links(2, 60)

#: The users, and the pod of each.
USERS = {f"user-{each}": each % 3 for each in range(20)}


@pytest.fixture
def addresses(tmp_path: Path) -> Iterator[list[str]]:
    """The addresses of three pods that run."""
    found = [f"127.{16 + os.getpid() % 200}.254.{pod + 1}" for pod in range(3)]
    with ExitStack() as stack:
        for pod, ip in enumerate(found):
            command = [sys.executable, BACKEND, ip, str(PORT), f"game-{pod}", tmp_path / f"{pod}.notes"]
            process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.DEVNULL))
            stack.callback(process.terminate)
        yield found


@pytest.fixture
def gateways(
    gateway_programs: Programs, fragile: LocalCluster, addresses: list[str], tmp_path: Path
) -> Iterator[dict[str, Gateway]]:
    """Gateways before twenty users' pods, and a resolver that knows them."""
    kubectl = Kubectl(fragile.kubectl, fragile.kubeconfig, tmp_path / "kubectl-cache")
    kubectl.run("create", "namespace", NAMESPACE).expect_success()
    place = Place(Witness(fragile.kubeconfig), NAMESPACE)
    place.make()
    for pod, ip in enumerate(addresses):
        place.set_pod(pod, ip=ip)
    for uid, pod in USERS.items():
        place.link(uid, pod)
    resolver = ResolverProcess(fragile.kubeconfig, tmp_path / "resolver.log", *PICKING).start()
    try:
        with standing_before(gateway_programs, tmp_path, NAMESPACE, lambda: addresses, [resolver]) as made:
            yield made
    finally:
        resolver.stop()


def reached(url: str) -> dict[str, tuple[int, str]]:
    """What each user is answered, and by which pod."""
    answers = {uid: ask(url, [("x-user-id", uid)]) for uid in USERS}
    return {uid: (answer.status, answer.pod) for uid, answer in answers.items()}


def test_known_users_reach_their_pods_while_the_api_server_is_away(
    fragile: LocalCluster, gateways: dict[str, Gateway]
) -> None:
    expected = {uid: (200, f"game-{pod}") for uid, pod in USERS.items()}
    for gateway in gateways.values():
        eventually(lambda: reached(gateway.url) == expected, "all reach their pods")  # noqa: B023
    fragile.part("apiserver").kill()
    end = time.monotonic() + AWAY_SECONDS
    while time.monotonic() < end:
        for gateway in gateways.values():
            assert reached(gateway.url) == expected
    for gateway in gateways.values():
        # Nobody can say where a new one belongs: it is told to come again, and reaches no pod.
        new = ask(gateway.url, [("x-user-id", "new")])
        assert (new.status, new.pod) == (503, "")
    fragile.part("apiserver").restart()
    for gateway in gateways.values():
        eventually(lambda: ask(gateway.url, [("x-user-id", "new")]).status == 200, "new users are bound")  # noqa: B023
