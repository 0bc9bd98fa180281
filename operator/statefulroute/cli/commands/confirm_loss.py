"""`confirm-loss`: lets the operator act on the losses of pods that it has suspended."""

from dataclasses import dataclass
from typing import Any

import msgspec

from statefulroute.api.annotations import LOSS_CONFIRMED_AT
from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.api.vocabulary import ConditionType
from statefulroute.cli.cluster import Cluster, CommandError
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.dry_run import DryRun
from statefulroute.cli.objects import condition
from statefulroute.cli.options import DryRunOption, Route
from statefulroute.cli.output.messages import print_change
from statefulroute.cli.runner import ClusterOptions, run
from statefulroute.cluster.clock import IntervalClock, utc_interval
from statefulroute.domain.times import format_rfc3339


@cluster_command()
def confirm_loss(
    route: Route,
    *,
    dry_run: DryRunOption = DryRun.NONE,
    cluster_options: ClusterOptions,
) -> None:
    """Let the operator move, delete or mark the links of pods that look lost, although there are many.

    Confirms the losses that have begun by now; later ones are suspended again if there are as many.
    """
    run(cluster_options, lambda cluster: confirm_suspended_loss(cluster, route, dry_run=dry_run))


@dataclass(frozen=True, slots=True)
class ShownLoss:
    """A suspended loss as a person has seen it.

    Attributes:
        message: the message of the condition.
        since: since when the condition is true.
    """

    message: str
    since: str


async def confirm_suspended_loss(
    cluster: Cluster,
    route: str,
    *,
    dry_run: DryRun,
    shown: ShownLoss | None = None,
    clock: IntervalClock = utc_interval,
) -> int:
    """Confirm the suspended losses of a service; returns the exit code.

    The time of the confirmation is that of the clock that is ahead: it must not be before the losses began. The
    operator confirms no loss that begins after it has observed the confirmation, whatever its time.

    Args:
        cluster: the cluster and the namespace.
        route: the name of the route.
        dry_run: whether and how to do nothing.
        shown: confirms only this loss; None confirms the present one.
        clock: the time of day.

    Raises:
        CommandError: the loss is not the one that was shown.
    """
    item = await cluster.route(route)
    suspended = condition(item, ConditionType.LOSS_SUSPENDED)
    if suspended.get("status") != "True":
        print_change(f"{route}: no loss is suspended", dry_run=dry_run)
        return 0
    metadata: dict[str, Any] = {"annotations": {LOSS_CONFIRMED_AT: format_rfc3339(clock().latest)}}
    if shown is not None:
        if shown != ShownLoss(suspended["message"], suspended["lastTransitionTime"]):
            raise CommandError(f"{route}: the loss has changed since it was shown: {suspended['message']}")
        metadata["resourceVersion"] = item["metadata"]["resourceVersion"]
    client = cluster.with_dry_run(dry_run).client
    await client.merge_patch(cluster.path(STATEFUL_ROUTE, route), msgspec.json.encode({"metadata": metadata}))
    figures = suspended["message"].partition(":")[0]
    print_change(f"{route}: confirmed that {figures}", dry_run=dry_run)
    return 0
