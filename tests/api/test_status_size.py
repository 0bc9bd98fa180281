"""The API server stores the status of a route with any number of pods, and it stays small."""

import json

import pytest

from statefulroute.api.limits import ROUTE_STATUS_MAX_BYTES
from support.independent_client import IndependentClient, StatefulRoute
from support.kubectl import Kubectl
from support.objects import stateful_route
from unit.domain.large_views import worst_status


@pytest.mark.parametrize("name_length", [20, 253])
def test_status_of_ten_thousand_pods_is_stored(
    here: Kubectl, independent_client: IndependentClient, name_length: int
) -> None:
    here.create(stateful_route())
    namespace = str(here.namespace)
    status = worst_status(10_000, name_length).model_dump(mode="json", by_alias=True, exclude_none=True)
    independent_client.patch_status(StatefulRoute, "game", namespace, status)
    stored = independent_client.get(StatefulRoute, "game", namespace)["status"]
    assert stored["omittedPods"]["count"] == 10_000 - len(stored["pods"])
    assert stored["pods"] == status["pods"]
    assert len(json.dumps(stored, separators=(",", ":"))) <= ROUTE_STATUS_MAX_BYTES
