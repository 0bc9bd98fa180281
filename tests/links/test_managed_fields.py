"""A write of a link's spec removes its managedFields, unless the link was applied; `kubectl apply` works as before."""

from collections.abc import Callable
from typing import Any

import pytest

from links.clients import ObservedClient
from links.stored_links import TTL, StoredLinks, StoredSpec
from statefulroute.cluster.client import Client
from statefulroute.cluster.link_store import LinkStore
from support.kubectl import Kubectl
from support.objects import condition, pod_link

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVER_SIDE = "--server-side"


@pytest.fixture
def here(installed: Kubectl, namespace: str) -> Kubectl:
    """A kubectl for the namespace."""
    return installed.within(namespace)


def managers(here: Kubectl, uid: str) -> list[tuple[str, str]]:
    """Returns the manager and the operation of each entry of a link's managedFields."""
    link = here.get_json("podlink", f"game.{uid}", "--show-managed-fields")
    return [(entry["manager"], entry["operation"]) for entry in link["metadata"].get("managedFields", ())]


def spec(here: Kubectl, uid: str) -> dict[str, Any]:
    """Returns the spec of a link."""
    return dict(here.get_json("podlink", f"game.{uid}")["spec"])


def labels(here: Kubectl, uid: str) -> dict[str, str]:
    """Returns the labels of a link."""
    return dict(here.get_json("podlink", f"game.{uid}")["metadata"].get("labels", {}))


def labelled(uid: str, **values: str) -> dict[str, Any]:
    """Returns the manifest of a link without a pod, with labels."""
    link = pod_link(uid=uid)
    return {**link, "metadata": {**link["metadata"], "labels": values}}


async def test_a_move_removes_the_managed_fields_and_no_later_write_adds_them(store: LinkStore, here: Kubectl) -> None:
    await store.set("game", "moved", 1)
    assert managers(here, "moved"), "the API server records the fields of every new link"
    await store.set("game", "moved", 2)
    assert managers(here, "moved") == []
    bound = {"status": {"phase": "Bound", "podIndex": 2, "conditions": [condition()]}}
    here.patch("podlink", "game.moved", bound, "--subresource=status").expect_success()
    here.patch("podlink", "game.moved", {"spec": {"podIndex": 3}}).expect_success()
    assert managers(here, "moved") == []


async def test_a_renewal_removes_the_managed_fields(store: LinkStore, here: Kubectl, stored_links: StoredLinks) -> None:
    stored_links.create("renewed", StoredSpec(pod=1, ttl=TTL, age=TTL - 1))
    assert managers(here, "renewed")
    assert await store.renew("game", "renewed")
    assert managers(here, "renewed") == []


async def test_a_store_can_keep_the_managed_fields(
    client: Client, make_store: Callable[..., LinkStore], here: Kubectl
) -> None:
    store = make_store(client, keep_managed_fields=True)
    await store.set("game", "kept", 1)
    await store.set("game", "kept", 2)
    assert len(managers(here, "kept")) == 1


async def test_a_link_that_is_applied_server_side_keeps_its_managed_fields(store: LinkStore, here: Kubectl) -> None:
    here.apply(labelled("applied", team="games"), SERVER_SIDE, "--field-manager=gitops")
    await store.set("game", "applied", 2)
    assert ("gitops", "Apply") in managers(here, "applied")
    here.apply(labelled("applied"), SERVER_SIDE, "--field-manager=gitops")
    assert labels(here, "applied") == {}, "the apply removes a field that its manager no longer applies"
    assert spec(here, "applied")["podIndex"] == 2


async def test_a_link_that_is_applied_client_side_keeps_its_managed_fields(store: LinkStore, here: Kubectl) -> None:
    here.apply(labelled("local", team="games"))
    await store.set("game", "local", 2)
    assert managers(here, "local") == [("kubectl-client-side-apply", "Update"), ("statefulroute", "Update")]
    here.apply(labelled("local"), SERVER_SIDE)
    assert labels(here, "local") == {}
    assert spec(here, "local")["podIndex"] == 2, "kubectl does not take over the field of another manager"


async def test_an_apply_that_comes_between_the_decision_and_the_write_keeps_its_managed_fields(
    client: Client, make_store: Callable[..., LinkStore], here: Kubectl
) -> None:
    await make_store(client).set("game", "raced", 1)

    async def apply_once(method: str, _: str) -> None:
        if method == "PATCH" and observed.methods.count("PATCH") == 1:
            here.apply(pod_link(uid="raced"), SERVER_SIDE, "--field-manager=gitops")

    observed = ObservedClient(client, before=apply_once)
    await make_store(observed).set("game", "raced", 2)
    assert observed.methods == "GET PATCH GET PATCH"
    assert ("gitops", "Apply") in managers(here, "raced")


async def test_a_server_side_apply_works_on_a_link_without_managed_fields(store: LinkStore, here: Kubectl) -> None:
    await store.set("game", "late", 1)
    await store.set("game", "late", 2)
    apply = ("apply", SERVER_SIDE, "--field-manager=gitops", "--filename=-")
    refused = here.run(*apply, stdin=pod_link(uid="late", podIndex=3))
    assert 'conflict with "before-first-apply"' in refused.stderr
    here.run(*apply, stdin=labelled("late", team="games")).expect_success()
    assert managers(here, "late") == [("gitops", "Apply"), ("before-first-apply", "Update")]
    await store.set("game", "late", 4)
    assert ("gitops", "Apply") in managers(here, "late")
    here.run(*apply, stdin=labelled("late")).expect_success()
    assert labels(here, "late") == {}
    assert spec(here, "late")["podIndex"] == 4


async def test_a_client_side_apply_works_on_a_link_without_managed_fields(store: LinkStore, here: Kubectl) -> None:
    await store.set("game", "edited", 1)
    await store.set("game", "edited", 2)
    here.apply(labelled("edited", team="games"))
    here.apply(labelled("edited"))
    assert labels(here, "edited") == {}
    assert spec(here, "edited")["podIndex"] == 2
