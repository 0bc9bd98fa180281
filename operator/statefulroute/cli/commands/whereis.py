"""`whereis`: finds the pods that hold a user."""

from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.cli.cluster import Cluster
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.options import NoHeaders, OutputOption, Uid
from statefulroute.cli.output.formats import TABLE
from statefulroute.cli.output.listing import ListOptions
from statefulroute.cli.output.terminal import Terminal
from statefulroute.cli.runner import ClusterOptions, run
from statefulroute.domain.validation import validate_uid


@cluster_command(all_namespaces=True)
def whereis(
    uid: Uid,
    *,
    output: OutputOption = TABLE,
    no_headers: NoHeaders = False,
    cluster_options: ClusterOptions,
) -> None:
    """Find the pods that hold a user.

    The link is read by its name for each service. If no service holds the user, the links of this uid whose route does
    not exist are listed. SERVED is Yes if the pod serves its users
    now, and otherwise the reason why not; ADDRESS is its present address, if it serves them. TO is shown while the user
    is handed over: the pod that the user moves to. In a service with slots, a user without a link is at the pod of a
    slot: SLOT is its number.
    """
    options = ListOptions(output, no_headers=no_headers)

    async def work(cluster: Cluster) -> None:
        user = validate_uid(uid)
        routes = [route async for route in cluster.objects(cluster.path(STATEFUL_ROUTE))]
        # It imports pydantic, which takes as long as the rest of the start.
        from statefulroute.cli.user_search import show_whereis  # noqa: PLC0415

        await show_whereis(cluster, Terminal(), user, routes, options)

    run(cluster_options, work)
