"""`set-state`: sets which users a whole service takes."""

from enum import StrEnum
from typing import Annotated

import typer

from statefulroute.api.vocabulary import RoutingState
from statefulroute.cli.cluster import Cluster
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.dry_run import DryRun
from statefulroute.cli.options import DryRunOption, Route
from statefulroute.cli.output.messages import print_change
from statefulroute.cli.routing_states import update_spec
from statefulroute.cli.runner import ClusterOptions, run


class RoutingStateChoice(StrEnum):
    """The routing states that a service can be set to."""

    READY = "Ready"
    DENY_NEW_CALL = "DenyNewCall"
    SHUTDOWN = "Shutdown"


@cluster_command()
def set_state(
    route: Route,
    state: Annotated[
        RoutingStateChoice,
        typer.Argument(help="Ready: all users; DenyNewCall: only those that it has; Shutdown: no users."),
    ],
    *,
    dry_run: DryRunOption = DryRun.NONE,
    cluster_options: ClusterOptions,
) -> None:
    """Set which users a whole service takes."""
    run(
        cluster_options,
        lambda cluster: set_route_state(cluster, route, RoutingState(state), dry_run=dry_run),
    )


async def set_route_state(cluster: Cluster, route: str, state: RoutingState, *, dry_run: DryRun) -> int:
    """Set the routing state of a service; returns the exit code."""
    update = await update_spec(cluster.with_dry_run(dry_run), route, lambda _: {"routingState": state.value})
    previous = update.before["spec"].get("routingState", RoutingState.READY)
    change = "already" if previous == state else f"(was {previous})"
    print_change(f"{route}: {state} {change}", dry_run=dry_run)
    return 0
