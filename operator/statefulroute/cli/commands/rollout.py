"""`rollout`: shows, pauses and resumes the replacement of pods of older revisions."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

import typer

from statefulroute.api.vocabulary import ClosingReason, ConditionType
from statefulroute.cli.closing_pods import closing_pods
from statefulroute.cli.cluster import Cluster, CommandError, Object
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.disruptions import UNOBSERVED, is_up_to_date, obstacle_message, raise_if_in_vain
from statefulroute.cli.dry_run import DryRun
from statefulroute.cli.objects import condition, is_observed, workload_label
from statefulroute.cli.options import DryRunOption, Route, timeout_option
from statefulroute.cli.output.messages import pluralize, print_change, print_message
from statefulroute.cli.output.wait_display import Progress
from statefulroute.cli.progress_wait import wait_for_progress
from statefulroute.cli.routing_states import update_spec
from statefulroute.cli.runner import ClusterOptions, run
from statefulroute.cluster.clock import utc_now
from statefulroute.cluster.errors import APIError
from statefulroute.domain.keys import STATEFUL_SET


class RolloutAction(StrEnum):
    """What to do with a rollout."""

    STATUS = "status"
    PAUSE = "pause"
    RESUME = "resume"


@cluster_command()
def rollout(  # noqa: PLR0913 - an option each
    action: Annotated[
        RolloutAction,
        typer.Argument(
            metavar="ACTION",
            help="status: show how far it is, and wait until it is done; pause: close no further pod; resume: go on.",
        ),
    ],
    route: Route,
    *,
    watch: Annotated[
        bool, typer.Option("--watch/--no-watch", "-w", help="Of status: wait until the rollout is done.")
    ] = True,
    timeout: Annotated[float, timeout_option("Of status: how long to wait; 0 is without end.")] = 0,
    dry_run: DryRunOption = DryRun.NONE,
    cluster_options: ClusterOptions,
) -> None:
    """Show how far a rollout is, pause it, or resume it."""
    if action is RolloutAction.STATUS:
        run(cluster_options, lambda cluster: show_status(cluster, route, watch=watch, seconds=timeout))
        return
    is_paused = action is RolloutAction.PAUSE
    run(cluster_options, lambda cluster: set_paused(cluster, route, is_paused=is_paused, dry_run=dry_run))


async def set_paused(cluster: Cluster, name: str, *, is_paused: bool, dry_run: DryRun) -> int:
    """Pause or resume the rollout of a route; returns the exit code.

    Raises:
        CommandError: the route has no rollout.
    """

    def change(spec: Object) -> Object:
        if "rollout" not in spec:
            raise _no_rollout(name, spec)
        return {"rollout": {"paused": is_paused}}

    update = await update_spec(cluster.with_dry_run(dry_run), name, change)
    was_paused = update.before["spec"]["rollout"].get("paused", False)
    already = " already" if was_paused == is_paused else ""
    print_change(f"{name}: rollout {'paused' if is_paused else 'resumed'}{already}", dry_run=dry_run)
    return 0


async def show_status(cluster: Cluster, name: str, *, watch: bool, seconds: float) -> int:
    """Print how far the rollout of a route is, and wait until it is done; returns the exit code.

    Args:
        cluster: the cluster and the namespace.
        name: the name of the route.
        watch: whether to wait.
        seconds: for how long; 0 is without end.

    Raises:
        CommandError: the route has no rollout, or the wait was in vain.
    """
    state = _RolloutState(cluster, name)
    progress = await state.measure(await cluster.route(name))
    if not watch:
        print_message(progress.line(utc_now()))
        return 0
    return await wait_for_progress(cluster, name, state.measure, seconds=seconds, goes_on="the rollout goes on")


class _RolloutState:
    """The way to the latest revision.

    Args:
        cluster: the cluster and the namespace.
        route: the name of the route.
    """

    def __init__(self, cluster: Cluster, route: str) -> None:
        self._cluster = cluster
        self._route = route

    async def measure(self, version: Object) -> Progress:
        """Returns how far the rollout is by a version of the route.

        Raises:
            CommandError: the route has no rollout, or nobody carries it out.
        """
        if "rollout" not in version["spec"]:
            raise _no_rollout(self._route, version["spec"])
        rolled_out = condition(version, ConditionType.ROLLED_OUT)
        if not is_up_to_date(rolled_out, version["metadata"]["generation"]):
            return Progress(f"{self._route}: {UNOBSERVED}")
        raise_if_in_vain(self._route, rolled_out)
        workload = await self._stateful_set(version)
        revision = "" if workload is None else workload.get("status", {}).get("updateRevision", "")
        if workload is not None and not (revision and is_observed(workload)):
            message = f"{self._route}: the controller of StatefulSets has not seen the change yet"
            return Progress(message, is_certain=False)
        return self._progress(version, rolled_out, revision)

    def _progress(self, version: Object, rolled_out: dict[str, str], revision: str) -> Progress:
        """Returns how far the rollout is.

        Args:
            version: the route.
            rolled_out: its condition.
            revision: the latest revision of the StatefulSet; empty if it is not known.
        """
        is_true, status = rolled_out["status"] == "True", version["status"]
        partition = version["spec"]["rollout"].get("partition", 0)
        pods = [pod for pod in status.get("pods", ()) if pod.get("index", 0) >= partition]
        updated = sum(pod.get("revision") == revision for pod in pods)
        closing = [pod for pod in closing_pods(version) if pod.reason == ClosingReason.ROLLOUT]
        if not revision:
            return Progress(f"{self._route}: {rolled_out['message']}", 0.0, closing, is_done=is_true)
        total = max(len(pods), status.get("replicas", 0) - partition)
        if is_true and updated == len(pods):
            have = "has" if total == 1 else "have"
            text = f"{self._route}: {pluralize(total, 'pod')} {have} the latest revision {revision}"
            return Progress(text, 1.0, is_done=True)
        text = f"{self._route}: {updated} of {total} pod{'' if total == 1 else 's'} replaced"
        # The operator sees the new revision soon, but the status of the route may stay as it is.
        return Progress(text, updated / total, closing, obstacle_message(rolled_out), is_certain=not is_true)

    async def _stateful_set(self, version: Object) -> Object | None:
        """Returns the StatefulSet of a route; None if it does not exist, or the user may not read it."""
        metadata, reference = version["metadata"], version["spec"].get("workloadRef", {})
        name, api_version = reference.get("name", metadata["name"]), reference.get("apiVersion", STATEFUL_SET[0])
        path = f"/apis/{api_version}/namespaces/{metadata['namespace']}/statefulsets/{name}"
        try:
            return await self._cluster.get(path)
        except APIError as error:
            if error.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN}:
                raise
            return None


def _no_rollout(name: str, spec: Object) -> CommandError:
    workload = workload_label({"metadata": {"name": name}, "spec": spec})
    return CommandError(
        f"{name} has no spec.rollout, so {workload} replaces its pods by its own strategy: "
        f"kubectl rollout status {workload.lower()}"
    )
