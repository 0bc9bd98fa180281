"""The options and arguments that several commands share, spelled as kubectl spells them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from statefulroute.api.limits import INT32_MAX
from statefulroute.cli import completion
from statefulroute.cli.logs import LogFormat, LogLevel


class Output(StrEnum):
    """The output formats of lists."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


class ReportOutput(StrEnum):
    """The output formats of streams and reports."""

    TABLE = "table"
    JSON = "json"


class DryRun(StrEnum):
    """The values of `--dry-run`."""

    NONE = "none"
    SERVER = "server"


# Of the processes, and of commands that write links.
BindAddressOption = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Where to serve /healthz, /readyz and /metrics; not served by default."),
]
LogLevelOption = Annotated[LogLevel, typer.Option(help="The lowest level that is logged.")]
LogFormatOption = Annotated[
    LogFormat | None, typer.Option(help="The format of log lines; by default text on a terminal, else json.")
]

KeepManagedFields = Annotated[
    bool,
    typer.Option(
        "--keep-managed-fields",
        help="Keep metadata.managedFields of links; by default each write of a spec removes them, unless the link was "
        "applied by kubectl.",
    ),
]

# Of the connection.
Kubeconfig = Annotated[
    Path | None,
    typer.Option(help="The kubeconfig; by default $KUBECONFIG, the service account of the pod, or ~/.kube/config."),
]
Context = Annotated[
    str | None,
    typer.Option(help="The context of the kubeconfig; by default the current one."),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        help="The namespace; by default that of the context.",
        autocompletion=completion.namespace_names,
    ),
]
AsUser = Annotated[
    str | None, typer.Option("--as", metavar="USER", help="Make requests as this user, who may be a service account.")
]
AsGroup = Annotated[
    list[str] | None, typer.Option("--as-group", metavar="GROUP", help="A group of that user; may be repeated.")
]
AsUid = Annotated[str | None, typer.Option("--as-uid", metavar="UID", help="The uid of that user.")]
AllNamespaces = Annotated[bool, typer.Option("--all-namespaces", "-A", help="In every namespace.")]

# Of the output.
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="The output format.")]
ReportOutputOption = Annotated[ReportOutput, typer.Option("--output", "-o", help="The output format.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Continue with every change, until Ctrl-C.")]
NoHeaders = Annotated[bool, typer.Option("--no-headers", help="Omit the header line.")]

# Of objects.
Route = Annotated[
    str, typer.Argument(metavar="ROUTE", help="The StatefulRoute.", autocompletion=completion.route_names)
]
OptionalRoute = Annotated[
    str | None,
    typer.Argument(metavar="ROUTE", help="Only this StatefulRoute.", autocompletion=completion.route_names),
]
Uid = Annotated[str, typer.Argument(metavar="UID", help="The user (or room, document, session).")]
Pod = Annotated[
    str, typer.Argument(metavar="POD", help="The pod: its index or its name.", autocompletion=completion.pod_names)
]

# Of changes.
Ttl = Annotated[
    int | None,
    typer.Option("--ttl", min=1, max=INT32_MAX, metavar="SECONDS", help="Make the link temporary, with this TTL."),
]
IfLinkedTo = Annotated[
    str | None,
    typer.Option(
        "--if-linked-to",
        metavar="POD",
        help="Only if the link is to this pod; else the exit code is 1.",
        autocompletion=completion.pod_names,
    ),
]
DryRunOption = Annotated[
    DryRun, typer.Option("--dry-run", help="server: the API server validates the change and does not persist it.")
]
