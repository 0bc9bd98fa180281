"""The next version of the API: both are served, the operator goes on, and the storage is migrated."""

from collections.abc import Iterator

import pytest

from statefulroute.api.group import GROUP, VERSION
from support.kubectl import Kubectl
from support.next_version import NEXT, migrate_storage, next_version, serve, stored_versions
from support.objects import pod_link
from support.operator_process import OperatorProcess
from support.service import Service
from support.waiting import eventually

LINKS = 20
OLD_LINKS, NEW_LINKS = (f"podlinks.{version}.{GROUP}" for version in (VERSION, NEXT))


@pytest.fixture
def linked_game(own_operator: OperatorProcess, installed: Kubectl, game: Service) -> Iterator[Service]:
    """The service with links that are stored in the present version; the next one is served, too."""
    game.link_all([f"user-{number}" for number in range(LINKS)])
    game.await_all_bound(LINKS)
    with next_version(installed):
        yield game
        serve(installed, {VERSION: False, NEXT: True})
    if not own_operator.is_running:
        own_operator.start()


def pods(game: Service) -> dict[str, int]:
    return {link["metadata"]["name"]: link["spec"]["podIndex"] for link in game.links()}


def next_link(uid: str, **spec: object) -> dict[str, object]:
    return pod_link(uid=uid, **spec) | {"apiVersion": f"{GROUP}/{NEXT}"}


def test_objects_are_read_and_written_in_both_versions_and_the_operator_goes_on(
    own_operator: OperatorProcess, linked_game: Service
) -> None:
    game, kubectl = linked_game, linked_game.kubectl
    before = pods(game)
    listed = kubectl.get_json(NEW_LINKS)["items"]
    assert {link["apiVersion"] for link in listed} == {f"{GROUP}/{NEXT}"}
    assert {link["metadata"]["name"]: link["status"]["podIndex"] for link in listed} == before

    kubectl.create(next_link("alice", podIndex=1))
    game.await_bound("game.alice")
    assert kubectl.get_json(OLD_LINKS, "game.alice")["spec"]["podIndex"] == 1
    kubectl.patch(NEW_LINKS, "game.alice", {"spec": {"podIndex": 2}}).expect_success()
    eventually(lambda: game.get("game.alice")["status"].get("podIndex") == 2, "the link has moved to pod 2")
    kubectl.patch(f"statefulroutes.{NEXT}.{GROUP}", "game", {"spec": {"links": {"max": 500}}}).expect_success()
    game.await_observed()
    kubectl.run("scale", f"statefulroutes.{NEXT}.{GROUP}", "game", "--replicas=4").expect_success()
    game.await_pods(4)

    own_operator.restart()
    game.await_bound(game.link("bob"))
    assert pods(game).items() >= before.items()


def test_rules_and_policies_hold_in_the_next_version(linked_game: Service) -> None:
    kubectl = linked_game.kubectl
    other = kubectl.dry_run(next_link("carol", namespace="elsewhere"))
    assert "only local namespace is supported" in other.stderr
    assert kubectl.dry_run(next_link("carol") | {"metadata": {"name": "game.dave"}}).code == 1
    assert kubectl.dry_run(next_link("carol")).code == 0


def test_storage_is_migrated_before_the_old_version_is_removed(
    own_operator: OperatorProcess, installed: Kubectl, linked_game: Service
) -> None:
    before = pods(linked_game)
    assert stored_versions(installed) == {VERSION, NEXT}
    migrate_storage(installed, NEXT)
    assert stored_versions(installed) == {NEXT}
    linked_game.await_bound(linked_game.link("after-the-migration"))
    assert pods(linked_game).items() >= before.items()

    own_operator.stop()
    serve(installed, {NEXT: True})  # an object that was still stored in the old version could not be read now
    listed = linked_game.kubectl.get_json(NEW_LINKS)["items"]
    assert {link["metadata"]["name"] for link in listed} == {*before, "game.after-the-migration"}
