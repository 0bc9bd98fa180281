"""The time of a confirmation, which the operator compares with the beginning of losses."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Self, cast

import pytest

from statefulroute.cli.cluster import Cluster, CommandError
from statefulroute.cli.commands.confirm_loss import ShownLoss, confirm_suspended_loss
from statefulroute.cli.dry_run import DryRun
from statefulroute.domain.times import TimeInterval

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class FakeCluster:
    """A fake cluster with a route whose losses are suspended. It is its own client."""

    def __init__(self) -> None:
        self.patches: list[Any] = []
        self.client = self

    def with_dry_run(self, dry_run: bool) -> Self:
        del dry_run
        return self

    def path(self, kind: object, name: str) -> str:
        return f"{kind}/{name}"

    async def route(self, name: str) -> dict[str, Any]:
        message = "3 of 3 pods look lost: no link is moved"
        condition = {"type": "LossSuspended", "status": "True", "reason": "PodsLost", "message": message}
        condition["lastTransitionTime"] = "2026-06-01T11:00:00Z"
        return {"metadata": {"name": name, "resourceVersion": "7"}, "status": {"conditions": [condition]}}

    async def merge_patch(self, path: str, body: bytes) -> None:
        del path
        self.patches.append(json.loads(body))


@pytest.mark.parametrize("behind", [timedelta(), timedelta(hours=1)])
async def test_confirmation_has_the_time_of_the_clock_that_is_ahead(behind: timedelta) -> None:
    cluster = FakeCluster()
    code = await confirm_suspended_loss(
        cast("Cluster", cluster), "game", dry_run=DryRun.NONE, clock=lambda: TimeInterval(NOON - behind, NOON)
    )
    confirmed = {"metadata": {"annotations": {"statefulroute.io/loss-confirmed-at": "2026-06-01T12:00:00Z"}}}
    assert (code, cluster.patches) == (0, [confirmed])


async def test_confirms_only_the_loss_that_was_shown() -> None:
    cluster = FakeCluster()
    present = ShownLoss("3 of 3 pods look lost: no link is moved", "2026-06-01T11:00:00Z")
    others = (
        ShownLoss("2 of 3 pods look lost: no link is moved", present.since),
        ShownLoss(present.message, "earlier"),
    )
    for other in others:
        with pytest.raises(CommandError, match="game: the loss has changed since it was shown: 3 of 3 pods look lost"):
            await confirm_suspended_loss(cast("Cluster", cluster), "game", dry_run=DryRun.NONE, shown=other)
    assert cluster.patches == []
    assert await confirm_suspended_loss(cast("Cluster", cluster), "game", dry_run=DryRun.NONE, shown=present) == 0
    (patch,) = cluster.patches
    assert patch["metadata"]["resourceVersion"] == "7"  # the API server refuses the patch if the route has changed
