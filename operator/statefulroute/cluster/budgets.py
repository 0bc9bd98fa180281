"""Reads and writes PodDisruptionBudgets."""

from contextlib import suppress
from typing import Any

import msgspec

from statefulroute.api.group import API_VERSION, GROUP, STATEFUL_ROUTE
from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import NotFoundError, UnreachableError
from statefulroute.cluster.pager import list_pages
from statefulroute.domain.disruption.budgets import Budget, Owner
from statefulroute.domain.label_selector import LabelSelector, label_selector
from statefulroute.domain.selector import Selector

#: Marks the budgets of the operator for people; the operator knows them by their owners.
MANAGED_BY = {"app.kubernetes.io/managed-by": "statefulroute"}

_PAGE_SIZE = 500


class _OwnerReference(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""

    @property
    def is_route(self) -> bool:
        return self.kind == STATEFUL_ROUTE.kind and self.api_version.partition("/")[0] == GROUP


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    uid: str = ""
    owner_references: list[_OwnerReference] | None = None


class _Spec(msgspec.Struct, rename="camel"):
    selector: LabelSelector | None = None
    max_unavailable: int | str | None = None
    unhealthy_pod_eviction_policy: str = ""


class _Budget(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)


class _Budgets(msgspec.Struct):
    items: list[_Budget] | None = None


_budgets = msgspec.json.Decoder(_Budgets)


class BudgetClient:
    """Reads and writes the PodDisruptionBudgets of namespaces.

    Args:
        client: the client for the API server.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def list(self, namespace: str) -> tuple[Budget, ...]:
        """Returns the budgets of a namespace.

        Raises:
            ClusterError: they cannot be read.
        """
        path, found = budgets_path(namespace), list[Budget]()
        try:
            async for page in list_pages(self._client, path, page_size=_PAGE_SIZE):
                found.extend(map(_make_budget, _budgets.decode(page).items or ()))
        except ValueError as error:  # an error page of a proxy
            raise UnreachableError(f"GET {path}: the answer is not a list of budgets: {error}") from error
        return tuple(found)

    async def create(self, namespace: str, budget: Budget) -> None:
        """Creates a budget that refuses every eviction of the pods that it selects, unless they are unhealthy.

        Raises:
            ClusterError: the request failed, or its result is unknown.
        """
        await self._client.post(budgets_path(namespace), msgspec.json.encode(_manifest(budget)))

    async def delete(self, namespace: str, name: str, uid: str = "") -> None:
        """Deletes a budget, if it exists.

        Args:
            namespace: the namespace.
            name: its name.
            uid: its `metadata.uid`; empty deletes any budget of the name.

        Raises:
            ClusterError: the request failed, or its result is unknown.
        """
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid} if uid else {}}
        with suppress(NotFoundError):
            await self._client.delete(f"{budgets_path(namespace)}/{name}", msgspec.json.encode(options))


def budgets_path(namespace: str) -> str:
    """Returns the path of the budgets of a namespace."""
    return f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"


def _manifest(budget: Budget) -> dict[str, Any]:
    owners = sorted(budget.owners, key=lambda owner: owner.name)
    references = [
        {"apiVersion": API_VERSION, "kind": STATEFUL_ROUTE.kind, "name": owner.name, "uid": owner.uid}
        for owner in owners
    ]
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": budget.name, "labels": MANAGED_BY, "ownerReferences": references},
        "spec": {
            "maxUnavailable": 0,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": None if budget.selector is None else label_selector(budget.selector),
        },
    }


def _make_budget(budget: _Budget) -> Budget:
    metadata, spec = budget.metadata, budget.spec
    owners = (owner for owner in metadata.owner_references or () if owner.is_route)
    return Budget(
        metadata.name,
        _parse_selector(spec.selector),
        frozenset(Owner(owner.name, owner.uid) for owner in owners),
        is_as_made=spec.max_unavailable == 0 and spec.unhealthy_pod_eviction_policy == "AlwaysAllow",
        uid=metadata.uid,
    )


def _parse_selector(selector: LabelSelector | None) -> Selector | None:
    """Returns a selector; None, which selects nothing, also for one that only a later version understands."""
    try:
        return None if selector is None else selector.parse()
    except ValueError:
        return None
