"""`scale`: sets the number of pods of a service, and can wait until its users have left the pods that are removed."""

from typing import Annotated

import typer

from statefulroute.api.limits import INT32_MAX
from statefulroute.api.vocabulary import ConditionType
from statefulroute.cli.closing_pods import closing_pods
from statefulroute.cli.cluster import Cluster, CommandError, Object
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.disruptions import UNOBSERVED, is_up_to_date, obstacle_message, raise_if_in_vain
from statefulroute.cli.dry_run import DryRun
from statefulroute.cli.objects import condition, workload_label
from statefulroute.cli.options import DryRunOption, Route, timeout_option
from statefulroute.cli.output.messages import pluralize, print_change, print_message
from statefulroute.cli.output.wait_display import Progress
from statefulroute.cli.progress_wait import wait_for_progress
from statefulroute.cli.routing_states import update_spec
from statefulroute.cli.runner import ClusterOptions, run


@cluster_command()
def scale(  # noqa: PLR0913 - an option each
    route: Route,
    number: Annotated[
        int | None, typer.Argument(metavar="REPLICAS", help="The number of pods.", min=0, max=INT32_MAX)
    ] = None,
    *,
    replicas: Annotated[
        int | None, typer.Option(help="The number of pods, as for kubectl scale.", min=0, max=INT32_MAX)
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it has so many pods; Ctrl-C does not stop the scaling.")
    ] = False,
    timeout: Annotated[float, timeout_option("How long to wait; 0 is without end.")] = 0,
    dry_run: DryRunOption = DryRun.NONE,
    cluster_options: ClusterOptions,
) -> None:
    """Set the number of pods of a service; pods with users are removed when these have left."""
    numbers = [each for each in (number, replicas) if each is not None]
    if len(numbers) != 1:
        raise typer.BadParameter("name the number of pods once: scale ROUTE REPLICAS, or --replicas REPLICAS")
    (target,) = numbers
    run(
        cluster_options,
        lambda cluster: scale_route(cluster, route, target, wait_seconds=timeout if wait else None, dry_run=dry_run),
    )


async def scale_route(
    cluster: Cluster, name: str, replicas: int, *, wait_seconds: float | None, dry_run: DryRun
) -> int:
    """Set `spec.replicas` of a route, and wait until its workload has so many pods; returns the exit code.

    Raises:
        CommandError: the operator scales the route by itself, or the wait was in vain.
    """
    if "autoscaling" in (await cluster.route(name))["spec"]:
        raise CommandError(
            f"{name} has spec.autoscaling, so the operator sets its number of pods: change minReplicas and maxReplicas"
        )
    update = await update_spec(cluster.with_dry_run(dry_run), name, lambda _: {"replicas": replicas})
    if update.after["spec"].get("replicas") != replicas:
        raise CommandError("the definition of StatefulRoute is of an earlier version: kubectl apply -f crds")
    before = update.before["spec"].get("replicas")
    change = "already" if before == replicas else "(was not set)" if before is None else f"(was {before})"
    print_change(f"{name}: {pluralize(replicas, 'pod')} {change}", dry_run=dry_run)
    if before is None:
        message = f"note: {name} scales {workload_label(update.after)} from now on: scale the route, not the workload"
        print_message(message, err=True)
    if wait_seconds is None or not dry_run.is_persistent:
        return 0
    undo = "" if before in {None, replicas} else f" (revert it: statefulroute scale {name} {before})"
    scaling = _Scaling(name, replicas, update.after["metadata"]["generation"])
    goes_on = f"the scaling goes on{undo}"
    return await wait_for_progress(cluster, name, scaling.measure, seconds=wait_seconds, goes_on=goes_on)


class _Scaling:
    """The way to a number of pods.

    Args:
        route: the name of the route.
        replicas: the number of pods.
        generation: the generation of the route with this number.
    """

    def __init__(self, route: str, replicas: int, generation: int) -> None:
        self._route = route
        self._replicas = replicas
        self._generation = generation
        self._most_left = 1
        self._adds_pods = False

    async def measure(self, version: Object) -> Progress:
        """Returns how far the scaling is by a version of the route.

        Raises:
            CommandError: another number of pods was set, or the workload cannot be scaled.
        """
        if version["metadata"]["generation"] < self._generation:
            return Progress(f"{self._route}: {UNOBSERVED}")
        if (replicas := version["spec"].get("replicas")) != self._replicas:
            raise CommandError(f"{self._route}: spec.replicas was set to {replicas} meanwhile")
        scaled = condition(version, ConditionType.SCALED)
        if not is_up_to_date(scaled, self._generation):
            return Progress(f"{self._route}: {UNOBSERVED}")
        raise_if_in_vain(self._route, scaled)
        return self._progress(version, scaled)

    def _progress(self, version: Object, scaled: dict[str, str]) -> Progress:
        status, is_scaled = version["status"], scaled["status"] == "True"
        pods, ready = status.get("replicas", 0), status.get("readyReplicas", 0)
        self._adds_pods |= not is_scaled and pods < self._replicas
        closing = closing_pods(version)
        missing = max(0, self._replicas - ready) if self._adds_pods else 0
        left = abs(pods - self._replicas) + sum(pod.links for pod in closing) + missing
        self._most_left = max(self._most_left, left)
        if is_scaled and not missing:
            return Progress(f"{self._route}: {pluralize(self._replicas, 'pod')} as desired", is_done=True)
        text = (
            f"{self._route}: {ready} of {pluralize(self._replicas, 'pod')} Ready"
            if is_scaled
            else f"{self._route}: {pluralize(pods, 'pod')}, {self._replicas} desired"
        )
        return Progress(text, 1 - left / self._most_left, closing, obstacle_message(scaled))
