"""`drain`: stops a pod from taking new users, and can wait until it has none."""

import asyncio
import sys
from typing import Annotated

import typer

from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.api.vocabulary import RoutingState
from statefulroute.cli.cluster import Cluster, CommandError, Object
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.dry_run import DryRun
from statefulroute.cli.hand_overs import hands_over_when_shut_down
from statefulroute.cli.objects import is_observed, omitted_pods
from statefulroute.cli.options import DryRunOption, Pod, Route, timeout_option
from statefulroute.cli.output.messages import pluralize, print_change, print_message
from statefulroute.cli.output.terminal import ProgressBar, Terminal
from statefulroute.cli.routing_states import find_pod_state, find_pod_status, set_pod_state
from statefulroute.cli.runner import ClusterOptions, run
from statefulroute.domain.keys import PodKey

#: How often the links of a pod that the status of the route does not list are counted.
_COUNT_SECONDS = 5.0


@cluster_command()
def drain(  # noqa: PLR0913 - an option each
    route: Route,
    pod: Pod,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until no user remains; Ctrl-C does not stop the drain.")
    ] = False,
    timeout: Annotated[float, timeout_option("How long to wait; 0 is without end.")] = 0,
    shutdown: Annotated[
        bool,
        typer.Option(
            "--shutdown",
            help="Take no users at all: they are moved or released by onPodLost, or handed over if the route says so.",
        ),
    ] = False,
    dry_run: DryRunOption = DryRun.NONE,
    cluster_options: ClusterOptions,
) -> None:
    """Stop a pod from taking new users; it keeps the users that it has."""
    state = RoutingState.SHUTDOWN if shutdown else RoutingState.DENY_NEW_CALL
    run(
        cluster_options,
        lambda cluster: drain_pod(cluster, route, pod, state, wait_seconds=timeout if wait else None, dry_run=dry_run),
    )


async def drain_pod(  # noqa: PLR0913 - an option each
    cluster: Cluster, route: str, pod: str, state: RoutingState, *, wait_seconds: float | None, dry_run: DryRun
) -> int:
    """Set the routing state of a pod, and wait until it has no users; returns the exit code."""
    update, names, key = await set_pod_state(cluster.with_dry_run(dry_run), route, pod, state)
    name = names.pod_name(key)
    previous = find_pod_state(update.before, names, key)
    change = " already" if previous == state else f" (was {previous})" if previous else ""
    users = _count_users(update.before, name)
    hands_over = state is RoutingState.SHUTDOWN and hands_over_when_shut_down(update.after)
    remaining = f", {_remaining(users, hands_over=hands_over)}" if users and wait_seconds is None else ""
    print_change(f"{name}: {state}{change}{remaining}", dry_run=dry_run)
    if names.is_missing(key):
        print_message(f"note: {route} has no {name} now", err=True)
    if wait_seconds is None or not dry_run.is_persistent:
        return 0
    wait = _DrainWait(cluster, route, name, key, update.after["metadata"]["generation"])
    return await wait.run(wait_seconds)


def _count_users(route: Object, name: str) -> int | None:
    """Returns the number of users of a pod; None if the status of the route does not list the pod and may omit it."""
    pod = find_pod_status(route, name)
    if pod is None:
        return None if omitted_pods(route) else 0
    return int(pod.get("links", 0))


def _remaining(users: int, *, hands_over: bool) -> str:
    """Returns how many users remain on a pod, and whether it hands them over to other pods."""
    verb = "is" if users == 1 else "are"
    return pluralize(users, "user") + (
        f" {verb} handed over" if hands_over else " remain" + ("s" if users == 1 else "")
    )


class _DrainWait:
    """The wait until a pod has no users.

    Args:
        cluster: the cluster and the namespace.
        route: the name of the route.
        pod: the name of the pod.
        key: the key of the pod.
        generation: the generation of the route whose spec drains the pod.
    """

    def __init__(self, cluster: Cluster, route: str, pod: str, key: PodKey, generation: int) -> None:
        self._cluster = cluster
        self._route = route
        self._pod = pod
        self._key = key
        self._generation = generation
        self._progress = _DrainProgress(pod)

    async def run(self, seconds: float) -> int:
        """Wait until no user remains, for some seconds or without end (0); returns the exit code.

        Raises:
            CommandError: users remain after the timeout, or the route was deleted.
        """
        try:
            async with asyncio.timeout(seconds or None):
                await self._wait()
        except TimeoutError:
            self._progress.clear()
            raise CommandError(f"{self._progress} after {seconds:g} s; the drain continues") from None
        except asyncio.CancelledError:
            self._progress.clear()
            revert = f"statefulroute undrain {self._route} {self._pod}"
            print_message(f"{self._progress}; the drain continues (revert it: {revert})", err=True)
            raise
        print_message(f"{self._pod}: no user remains")
        return 0

    async def _wait(self) -> None:
        """Wait until the operator counts no users, or if its status does not list the pod, until there are no links."""
        async for version in self._cluster.follow_object(STATEFUL_ROUTE, self._route):
            if version is None:
                raise CommandError(f"the route {self._route!r} was deleted meanwhile")
            if not is_observed(version) or version["metadata"]["generation"] < self._generation:
                continue
            while (users := _count_users(version, self._pod)) is None:
                if not await self._count_links():
                    return
                await asyncio.sleep(_COUNT_SECONDS)
                version = await self._cluster.route(self._route)  # noqa: PLW2901 - the watch may have no other version
            status = find_pod_status(version, self._pod) or {}
            self._progress.show(users, hands_over=bool(status.get("handingOver")))
            if not users:
                return

    async def _count_links(self) -> int:
        """Returns the number of links of the pod in the route, and show it."""
        field = "podIndex" if isinstance(self._key, int) else "podName"
        selector = f"spec.routeName={self._route},spec.{field}={self._key}"
        number = sum([len(page) async for page in self._cluster.link_pages(selector)])
        self._progress.show(number, hands_over=False)
        return number


class _DrainProgress:
    """Shows the number of remaining users: a bar on a terminal, else a line for each change."""

    def __init__(self, pod: str) -> None:
        self.users: int | None = None
        self._hands_over = False
        self._pod = pod
        self._max_users = 1
        self._terminal = Terminal(stream=sys.stdout)
        self._bar = ProgressBar(self._terminal)

    def show(self, users: int, *, hands_over: bool) -> None:
        """Show the number of users, and whether the pod hands them over, if that has changed."""
        if (users, hands_over) == (self.users, self._hands_over):
            return
        self.users, self._hands_over = users, hands_over
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
        return f"{self._pod}: {_remaining(self.users, hands_over=self._hands_over)}"
