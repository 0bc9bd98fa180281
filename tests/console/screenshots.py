"""Takes the screenshots of the documents: a scripted scene in a local cluster, shown by the console in Chromium.

python tests/console/screenshots.py docs/images
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import Browser, expect
from pykube.objects import StatefulSet

from localcluster import LocalCluster
from support.browser import open_page, running_browser
from support.console_process import running_console
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.operator_process import OperatorProcess
from support.service import Service
from support.waiting import eventually

ROOT = Path(__file__).parents[2]

_NAMES = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "mallory", "niaj")

#: The loads that the pods of the game report, one after the other.
_LOADS = (4, 10, 7, 14, 2, 6, 12, 3, 9, 7, 5, 18)

#: The slots of the documents.
_SLOTS = 240

#: How long the charts fill before the pictures are taken.
_CHART_SECONDS = 65.0


@dataclass(frozen=True)
class Scene:
    """A cluster with some routes: `game` has users and a rollout, and `documents` has slots."""

    kubeconfig: Path
    game: Service
    documents: Service
    cart: Service

    def report_loads(self) -> None:
        """Lets every pod report its load: a report is soon stale."""
        for service, loads in ((self.game, _LOADS), (self.documents, (2, 4, 3)), (self.cart, (9, 12, 8, 11))):
            for pod, load in enumerate(loads):
                service.report(pod, load)


@contextmanager
def _scene(folder: Path) -> Iterator[Scene]:
    with LocalCluster.start(name="screenshots", nodes=3) as cluster:
        kubectl = Kubectl(cluster.kubectl, cluster.kubeconfig, folder / "kubectl-cache")
        kubectl.run("apply", "--filename", str(ROOT / "crds")).expect_success()
        kubectl.run("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all").expect_success()
        kubectl.run("apply", "--filename", str(ROOT / "deploy/admission")).expect_success()
        for namespace in ("play", "shop"):
            kubectl.run("create", "namespace", namespace).expect_success()
        operator = OperatorProcess(cluster.kubeconfig, folder / "operator.log").start()
        try:
            yield _create_services(cluster.kubeconfig, kubectl)
        finally:
            operator.stop()


def _create_services(kubeconfig: Path, kubectl: Kubectl) -> Scene:
    client, play, shop = IndependentClient(kubeconfig), kubectl.within("play"), kubectl.within("shop")
    game, cart = Service(play, client, "game"), Service(shop, client, "cart")
    documents = Service(play, client, "documents")
    game.create_pods(len(_LOADS), updateStrategy={"type": "OnDelete"})
    game.create_route(
        port=7777,
        placement={"maxLinksPerPod": 40},
        rollout={"maxUnavailable": 2},
        disruption={"deadlineSeconds": 2400},
        handOver={"timeoutSeconds": 600},
    )
    documents.create_pods(3)
    documents.create_route(port=8080, slots=_SLOTS, rebalance={"strategy": "Even", "slotsPerMinute": 60})
    cart.create_pods(4)
    cart.create_route(port=8080, placement={"maxLinksPerPod": 20})
    Service(shop, client, "search").create_route(port=8080)
    for service, pods in ((game, len(_LOADS)), (documents, 3), (cart, 4)):
        service.await_pods(pods)
    documents.await_condition("SlotsBound", "True", "SlotsBound", f"all {_SLOTS} slots are bound")
    cart.link_all([f"cart-{number}" for number in range(60)])
    return Scene(kubeconfig, game, documents, cart)


def _bind_users(game: Service) -> list[str]:
    """Binds users so that the pods are differently full; returns their uids."""
    generator = random.Random(5)
    uids = {}
    for pod in range(len(_LOADS)):
        for number in range(generator.randint(6, 38)):
            uids[f"{generator.choice(_NAMES)}-{pod}{number:02}"] = {"podIndex": pod}
    game.link_each(uids)
    return [*uids]


def _move_users(scene: Scene, uids: list[str]) -> None:
    """Moves users for a while, so that the charts and the changes have something to show."""
    generator, end, game = random.Random(7), time.monotonic() + _CHART_SECONDS, scene.game
    while time.monotonic() < end:
        for uid in generator.sample(uids, generator.randint(1, 4)):
            pod = generator.choice([0, 1, 2, 4, 5, 7, 9])
            game.client.patch(PodLink, f"game.{uid}", game.namespace, {"spec": {"podIndex": pod}})
        scene.report_loads()
        time.sleep(2.0)


def _roll_out(game: Service, uids: list[str]) -> None:
    """Starts a rollout that waits for users, drains a pod, and starts a hand-over."""
    game.edit_route(pods=[{"index": 3, "routingState": "DenyNewCall"}])
    template = {"metadata": {"annotations": {"example.com/version": "2"}}}
    game.client.patch(StatefulSet, game.name, game.namespace, {"spec": {"template": template}})
    game.await_closing(len(_LOADS) - 1, "Rollout")
    uid = next(each for each in uids if game.get(f"game.{each}")["spec"]["podIndex"] == 1)
    hand_over = {"podIndex": 2, "startTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    game.client.patch(PodLink, f"game.{uid}", game.namespace, {"spec": {"handOver": hand_over}})


def _add_pod(scene: Scene, pinned: Sequence[str]) -> None:
    """Pins some users to a pod, and adds a pod, to which slots move."""
    documents = scene.documents
    documents.link_each({uid: {"podIndex": 0} for uid in pinned})
    documents.scale(4)
    eventually(lambda: documents.pod_status(3).get("links", 0) >= 20, "20 slots have moved to the new pod", seconds=90)
    scene.report_loads()
    documents.report(3, 1)
    eventually(lambda: documents.condition("LoadFresh")[0] == "True", "all pods report their load")


@dataclass(frozen=True)
class Picture:
    """A picture of a page: the file's name, the end of its address, and the window."""

    name: str
    page: str
    theme: str = "light"
    size: tuple[int, int] = (1280, 860)

    def take(self, browser: Browser, address: str, folder: Path) -> None:
        """Takes the picture."""
        width, height = self.size
        with open_page(browser, f"{address}#{self.page}", theme=self.theme, width=width) as page:
            page.set_viewport_size({"width": width, "height": height})
            expect(page.locator(".card, .tile")).not_to_have_count(0)
            expect(page.locator(".chart canvas")).to_have_count(0 if self.page == "/" else 3)
            page.wait_for_timeout(1_500)  # the next snapshot
            page.screenshot(path=folder / f"{self.name}.png", animations="disabled")


_QUIET = (
    Picture("console-routes", "/", size=(1280, 470)),
    Picture("console-route", "/routes/play/game?pod=game-1"),
)
_ROLLOUT = (Picture("console-rollout", "/routes/play/game", theme="dark"),)
_SLOTS_MOVE = (Picture("console-slots", "/routes/play/documents?pod=documents-3"),)


def main() -> None:
    """Takes all pictures."""
    parser = argparse.ArgumentParser(description="Take the screenshots of the documents.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as temporary,
        _scene(Path(temporary)) as scene,
        running_console(scene.kubeconfig) as console,
        running_browser() as browser,
    ):
        uids = _bind_users(scene.game)
        _move_users(scene, uids)
        for picture in _QUIET:
            picture.take(browser, console.address, folder)
        _roll_out(scene.game, uids)
        for picture in _ROLLOUT:
            picture.take(browser, console.address, folder)
        _add_pod(scene, ["atlas", "report-2026"])
        for picture in _SLOTS_MOVE:
            picture.take(browser, console.address, folder)


if __name__ == "__main__":
    main()
