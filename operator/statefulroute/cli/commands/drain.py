"""`drain`: stops a pod from taking new users, and can wait until it has none."""

import asyncio
import sys
from typing import Annotated

import typer

from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.api.vocabulary import RoutingState
from statefulroute.cli.cluster import Cluster, CommandError, Object
from statefulroute.cli.objects import is_observed, omitted_pods
from statefulroute.cli.options import Context, DryRun, DryRunOption, Kubeconfig, Namespace, Pod, Route
from statefulroute.cli.output.messages import print_change, print_message
from statefulroute.cli.output.terminal import ProgressBar, Terminal
from statefulroute.cli.routing_states import find_pod_state, find_pod_status, set_pod_state
from statefulroute.cli.runner import ClusterOptions, run


def drain(  # noqa: PLR0913 - an option each
    route: Route,
    pod: Pod,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until no user remains; Ctrl-C does not stop the drain.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait; 0 is without end.")] = 0,
    shutdown: Annotated[
        bool,
        typer.Option("--shutdown", help="Take no users at all: they are moved or released at once, by onPodLost."),
    ] = False,
    dry_run: DryRunOption = DryRun.NONE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Stop a pod from taking new users; it keeps the users that it has."""
    state = RoutingState.SHUTDOWN if shutdown else RoutingState.DENY_NEW_CALL
    run(
        ClusterOptions(kubeconfig, context, namespace),
        lambda cluster: drain_pod(
            cluster, route, pod, state, wait_seconds=timeout if wait else None, dry_run=dry_run is DryRun.SERVER
        ),
    )


async def drain_pod(  # noqa: PLR0913 - an option each
    cluster: Cluster, route: str, pod: str, state: RoutingState, *, wait_seconds: float | None, dry_run: bool
) -> int:
    """Set the routing state of a pod, and wait until it has no users; returns the exit code."""
    update, names, key = await set_pod_state(cluster.with_dry_run(dry_run), route, pod, state)
    name = names.pod_name(key)
    previous = find_pod_state(update.before, names, key)
    change = " already" if previous == state else f" (was {previous})" if previous else ""
    users = _count_users(update.before, name)
    remaining = f", {_remaining(users)}" if users and wait_seconds is None else ""
    print_change(f"{name}: {state}{change}{remaining}", dry_run=dry_run)
    if names.is_missing(key):
        print_message(f"note: {route} has no {name} now", err=True)
    if wait_seconds is None or dry_run:
        return 0
    return await _wait_until_empty(cluster, route, name, update.after["metadata"]["generation"], wait_seconds)


def _count_users(route: Object, name: str) -> int | None:
    """Returns the number of users of a pod; None if the status of the route does not list the pod and may omit it."""
    pod = find_pod_status(route, name)
    if pod is None:
        return None if omitted_pods(route) else 0
    return int(pod.get("links", 0))


def _remaining(users: int) -> str:
    return f"{users:,} user{'s remain' if users != 1 else ' remains'}"


async def _wait_until_empty(cluster: Cluster, route: str, pod: str, generation: int, seconds: float) -> int:
    """Wait until the operator counts no users on a pod; returns the exit code.

    Raises:
        CommandError: users remain after the timeout, or the route was deleted.
    """
    progress = _DrainProgress(pod)
    try:
        async with asyncio.timeout(seconds or None):
            async for version in cluster.watch_object(STATEFUL_ROUTE, route):
                if version is None:
                    raise CommandError(f"the route {route!r} was deleted meanwhile")
                if is_observed(version) and version["metadata"]["generation"] >= generation:
                    # A drained pod is one of the first to be listed, so another version lists it.
                    if (users := _count_users(version, pod)) is not None:
                        progress.show(users)
                    if progress.users == 0:
                        print_message(f"{pod}: no user remains")
                        return 0
    except TimeoutError:
        progress.clear()
        raise CommandError(f"{progress} after {seconds:g} s; the drain continues") from None
    except asyncio.CancelledError:
        progress.clear()
        print_message(f"{progress}; the drain continues (revert it: statefulroute undrain {route} {pod})", err=True)
        raise
    raise CommandError(f"the watch of {route} has ended; the drain continues")


class _DrainProgress:
    """Shows the number of remaining users: a bar on a terminal, else a line for each change."""

    def __init__(self, pod: str) -> None:
        self.users: int | None = None
        self._pod = pod
        self._max_users = 1
        self._terminal = Terminal(stream=sys.stdout)
        self._bar = ProgressBar(self._terminal)

    def show(self, users: int) -> None:
        """Show the number of users, if it has changed."""
        if users == self.users:
            return
        self.users = users
        self._max_users = max(self._max_users, users)
        if not users:
            self.clear()
        elif self._terminal.is_terminal:
            self._bar.show(1 - users / self._max_users, f"{self}", force=True)
        else:
            self._terminal.write_line(f"{self}")
            self._terminal.stream.flush()

    def clear(self) -> None:
        """Remove the bar before another line is printed."""
        self._bar.clear()

    def __str__(self) -> str:
        if self.users is None:
            return f"{self._pod}: the operator has not seen the drain (is it running? statefulroute check)"
        return f"{self._pod}: {_remaining(self.users)}"
