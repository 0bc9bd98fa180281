"""`slots`: shows how the slots of a service are spread over its pods, from the status of its route."""

from statefulroute.api.vocabulary import ConditionType
from statefulroute.cli.cluster import Cluster, CommandError, Object
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.objects import condition, omitted_pods
from statefulroute.cli.options import NoHeaders, OutputOption, Route
from statefulroute.cli.output.formats import TABLE
from statefulroute.cli.output.listing import ListOptions
from statefulroute.cli.output.messages import print_message
from statefulroute.cli.output.pod_documents import pod_document_writer
from statefulroute.cli.output.table import EMPTY, Cell, Table
from statefulroute.cli.output.terminal import Terminal
from statefulroute.cli.runner import ClusterOptions, run

_COLUMNS = ("POD", "SLOTS", "SHARE")

#: The fields of a pod in other formats than tables, as in the status of the route.
_FIELDS = ("name", "index", "slots")

#: The conditions that state what is wrong with the slots.
_CONDITIONS = (ConditionType.SLOTS_BOUND, ConditionType.SLOTS_BALANCED)


@cluster_command()
def slots(
    route: Route, *, output: OutputOption = TABLE, no_headers: NoHeaders = False, cluster_options: ClusterOptions
) -> None:
    """Show how the slots of a service are spread over its pods.

    SHARE is the part of all slots of the service. Slots that are not bound, and pods that are not balanced, are
    reported on the standard error. The other formats print the name, the index and the number of slots of each pod.
    """
    options = ListOptions(output, no_headers=no_headers)
    run(cluster_options, lambda cluster: show_slots(cluster, Terminal(), route, options))


async def show_slots(cluster: Cluster, terminal: Terminal, name: str, options: ListOptions) -> None:
    """Write the number of slots of each pod.

    Raises:
        CommandError: the route does not exist, or has no slots.
    """
    route = await cluster.route(name)
    total = route["spec"].get("slots")
    if total is None:
        raise CommandError(f"{name} has no slots: each user has a link (statefulroute links {name})")
    pods = route.get("status", {}).get("pods", ())
    if not options.output.is_table:
        write = pod_document_writer(terminal, options)
        write([{field: pod[field] for field in _FIELDS if field in pod} for pod in pods])
    elif pods:
        table = Table(terminal, _COLUMNS, no_header=options.no_headers)
        table.write([[pod["name"], _number(pod), _share(pod, total)] for pod in pods])
    for note in _notes(route, total):
        print_message(f"note: {note}", err=True)


def _number(pod: Object) -> str:
    return f"{pod['slots']:,}" if "slots" in pod else EMPTY


def _share(pod: Object, total: int) -> Cell:
    share = pod.get("slots", 0) / total
    return Cell(f"{share:.1%}", "", share)


def _notes(route: Object, total: int) -> list[str]:
    """Returns what the status says of slots that are not bound, and of pods that are not balanced."""
    notes = []
    for condition_type in _CONDITIONS:
        found = condition(route, condition_type)
        if not found:
            notes.append(f"the operator has not written {condition_type} of the {total:,} slots yet")
        elif found["status"] != "True":
            notes.append(f"{condition_type} is {found['status']} ({found['reason']}): {found['message']}")
    if omitted := omitted_pods(route):
        notes.append(f"the status lists {len(route['status']['pods']):,} pods, and {omitted:,} more exist")
    return notes
