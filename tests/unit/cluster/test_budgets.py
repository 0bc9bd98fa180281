"""The requests for PodDisruptionBudgets."""

import asyncio
from typing import Any

import pytest

from statefulroute.cluster.budgets import BudgetClient
from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import APIError, UnreachableError
from statefulroute.domain.disruption.budgets import Budget, Owner
from statefulroute.domain.selector import Selector
from unit.cluster.fake_api import FakeAPI
from unit.cluster.objects import metadata, page

PATH = "/apis/policy/v1/namespaces/games/poddisruptionbudgets"
OCCUPIED = Selector.parse("app=game,statefulroute.io/occupied=true")
ROUTE = {"apiVersion": "statefulroute.io/v1alpha1", "kind": "StatefulRoute", "name": "game", "uid": "uid-of-game"}
SPEC = {
    "maxUnavailable": 0,
    "unhealthyPodEvictionPolicy": "AlwaysAllow",
    "selector": {"matchLabels": {"app": "game", "statefulroute.io/occupied": "true"}},
}


def budget(name: str, spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"metadata": metadata(name, **more), "spec": spec, "status": {"disruptionsAllowed": 0}}


async def test_budgets_are_listed_with_what_the_operator_compares(api: FakeAPI, client: Client) -> None:
    reading = asyncio.create_task(BudgetClient(client).list("games"))
    call = await api.call()
    assert (call.method, call.path) == ("GET", PATH)
    near = {"matchExpressions": [{"key": "a", "operator": "Near", "values": ["b"]}]}
    call.respond(
        page(
            [
                budget("own", SPEC, ownerReferences=[ROUTE]),
                budget("changed", {**SPEC, "maxUnavailable": 1}, ownerReferences=[ROUTE]),
                budget("theirs", {"minAvailable": "50%", "selector": {}}, ownerReferences=[{"kind": "Game"}]),
                budget("nothing", {"maxUnavailable": "0%"}),
                budget("later", {"selector": near}),
            ],
            7,
        )
    )
    owners = frozenset({Owner("game", "uid-of-game")})
    assert await reading == (
        Budget("own", OCCUPIED, owners, uid="uid-of-own"),
        Budget("changed", OCCUPIED, owners, is_as_made=False, uid="uid-of-changed"),
        Budget("theirs", Selector(), is_as_made=False, uid="uid-of-theirs"),
        Budget("nothing", None, is_as_made=False, uid="uid-of-nothing"),
        Budget("later", None, is_as_made=False, uid="uid-of-later"),
    )


async def test_budget_is_created_as_it_is_read(api: FakeAPI, client: Client) -> None:
    owners = frozenset({Owner("game", "uid-of-game"), Owner("chat", "uid-of-chat")})
    creating = asyncio.create_task(BudgetClient(client).create("games", Budget("own", OCCUPIED, owners)))
    call = await api.call()
    assert (call.method, call.path) == ("POST", PATH)
    assert call.json == {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": "own",
            "labels": {"app.kubernetes.io/managed-by": "statefulroute"},
            "ownerReferences": [{**ROUTE, "name": "chat", "uid": "uid-of-chat"}, ROUTE],
        },
        "spec": SPEC,
    }
    call.respond({})
    await creating


@pytest.mark.parametrize("code", [200, 404])
async def test_exactly_one_budget_is_deleted_if_it_exists(api: FakeAPI, client: Client, code: int) -> None:
    deleting = asyncio.create_task(BudgetClient(client).delete("games", "own", "uid-of-own"))
    call = await api.call()
    assert (call.method, call.path) == ("DELETE", f"{PATH}/own")
    assert call.json["preconditions"] == {"uid": "uid-of-own"}
    if code == 404:
        call.respond_error(404, "NotFound", "no")
    else:
        call.respond({})
    await deleting


async def test_refusal_and_malformed_list_are_errors(api: FakeAPI, client: Client) -> None:
    reading = asyncio.create_task(BudgetClient(client).list("games"))
    (await api.call()).respond_error(403, "Forbidden", "you may not")
    with pytest.raises(APIError, match="you may not"):
        await reading
    reading = asyncio.create_task(BudgetClient(client).list("games"))
    (await api.call()).respond({**page([], 1), "items": [{"metadata": {}}]})
    with pytest.raises(UnreachableError, match="not a list of budgets"):
        await reading
