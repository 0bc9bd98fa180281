"""`top`: shows pods and moves live on the whole terminal."""

from typing import TYPE_CHECKING

from statefulroute.cli.cluster import Cluster, CommandError
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.options import OptionalRoute
from statefulroute.cli.output.terminal import Terminal
from statefulroute.cli.runner import ClusterOptions, run
from statefulroute.cluster.clock import utc_now

if TYPE_CHECKING:
    from statefulroute.cli.change_watcher import ChangeWatcher
    from statefulroute.cli.output.screen import ScreenState


@cluster_command(all_namespaces=True)
def top(
    route: OptionalRoute = None,
    *,
    cluster_options: ClusterOptions,
) -> None:
    """Watch pods and moves on the whole terminal."""
    run(cluster_options, lambda cluster: show_top(cluster, Terminal(), route))


async def show_top(cluster: Cluster, terminal: Terminal, route: str | None) -> None:
    """Show pods and changes until the user presses q.

    Raises:
        CommandError: the output is not a terminal, or the route does not exist.
    """
    if not terminal.is_terminal:
        raise CommandError("top needs a terminal: use `pods --watch` or `events` without one")
    # Imported here because `top --help` needs neither the HTTP client nor textual.
    from statefulroute.cli.change_watcher import watch_changes  # noqa: PLC0415
    from statefulroute.cli.output.screen import ScreenState, TopApp  # noqa: PLC0415

    state = ScreenState(cluster.namespace or "all namespaces", {})

    def on_warning(warning: str) -> None:
        state.warning = f"{utc_now():%H:%M:%S} {warning}"

    async with watch_changes(cluster, route, on_warning) as watcher:
        state.routes = watcher.routes
        await TopApp(state, lambda: _collect_changes(watcher, state)).run_async()


async def _collect_changes(watcher: "ChangeWatcher", state: "ScreenState") -> None:
    while True:
        state.record(await watcher.changes.get())
