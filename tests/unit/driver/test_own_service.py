"""Tests which pods a server driver accepts as those of its service."""

import pytest

from statefulroute.driver.own_service import _owns
from unit.domain.builders import route


@pytest.mark.parametrize(
    ("workload", "owner", "owns"),
    [
        ("StatefulSet", ("StatefulSet", "game"), True),
        ("StatefulSet", ("StatefulSet", "chat"), False),
        ("StatefulSet", ("ReplicaSet", "game-5d4f8c7b9"), False),
        ("Deployment", ("ReplicaSet", "game-5d4f8c7b9"), True),
        ("Deployment", ("ReplicaSet", "game-web-5d4f8c7b9"), False),
        ("Rollout", ("ReplicaSet", "game-5d4f8c7b9"), True),
        ("CloneSet", ("CloneSet", "game"), True),
    ],
)
def test_owner(workload: str, owner: tuple[str, str], owns: bool) -> None:
    assert _owns(route(workloadRef={"kind": workload}), *owner) is owns
