"""The options and arguments that several commands share, spelled as kubectl spells them."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from statefulroute.api.limits import INT32_MAX
from statefulroute.cli import completion
from statefulroute.cli.dry_run import DryRun
from statefulroute.cli.durations import parse_duration
from statefulroute.cli.logs import LogFormat, LogLevel
from statefulroute.cli.output.formats import FORMATS, OutputFormat
from statefulroute.monitoring.tls_protocol import TlsVersion


class ReportOutput(StrEnum):
    """The output formats of streams and reports."""

    TABLE = "table"
    JSON = "json"


# Of the processes, and of commands that write links.
BindAddressOption = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Where to serve /healthz, /readyz and /metrics; not served by default."),
]
MetricsAddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="Where to serve /metrics over TLS, instead of at --bind-address; not by default."
    ),
]
MetricsTlsCertificateOption = Annotated[
    Path | None, typer.Option(help="The certificate of --metrics-address, in PEM; it is reloaded when it changes.")
]
MetricsTlsKeyOption = Annotated[Path | None, typer.Option(help="The key of the certificate, in PEM.")]
MetricsTlsMinVersionOption = Annotated[TlsVersion, typer.Option(help="The lowest version of TLS of --metrics-address.")]
MetricsTlsCipherSuitesOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME",
        help="The cipher suites of TLS 1.2 of --metrics-address, as IANA names them; by default those of OpenSSL with "
        "forward secrecy.",
    ),
]
MetricsAuthenticationOption = Annotated[
    bool,
    typer.Option(
        "--metrics-authentication",
        help="Serve /metrics only to clients with a bearer token whose user may get the path /metrics, by RBAC.",
    ),
]
ProfilingAddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Where to serve profiles of this process at /debug/profile, a loopback address; not by default.",
    ),
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
def _parse_output(value: str | OutputFormat) -> OutputFormat:
    """Parses a value of `--output`; the default value is parsed already."""
    if isinstance(value, OutputFormat):
        return value
    try:
        return OutputFormat.parse(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _complete_output(incomplete: str) -> list[str]:
    return [name for name in FORMATS if name.startswith(incomplete)]


OutputOption = Annotated[
    OutputFormat,
    typer.Option(
        "--output",
        "-o",
        metavar="FORMAT",
        parser=_parse_output,
        autocompletion=_complete_output,
        help="The output format: table, wide, json, yaml, name, jsonpath=TEMPLATE, jsonpath-as-json=TEMPLATE or "
        "custom-columns=NAME:PATH,...; jsonpath-file=FILE and custom-columns-file=FILE read the template.",
    ),
]
ReportOutputOption = Annotated[ReportOutput, typer.Option("--output", "-o", help="The output format.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Continue with every change, until Ctrl-C.")]
Selector = Annotated[
    str | None,
    typer.Option("--selector", "-l", metavar="SELECTOR", help="Only objects with these labels: key=value, !key, ..."),
]
SortBy = Annotated[
    str | None,
    typer.Option("--sort-by", metavar="PATH", help="Sort by the values at this path, for example .metadata.name."),
]
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
def _parse_seconds(value: str | float) -> float:
    """Parses a duration; a default value is a number already."""
    try:
        return parse_duration(str(value))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def whole_seconds(minimum: int) -> Callable[[str | int], int]:
    """Returns a parser of durations of whole seconds, of at least a number of seconds."""

    def parse(value: str | int) -> int:
        seconds = _parse_seconds(value)
        if not seconds.is_integer() or not minimum <= seconds <= INT32_MAX:
            raise typer.BadParameter(f"{value!r} is not a number of whole seconds from {minimum} to {INT32_MAX}")
        return int(seconds)

    return parse


def timeout_option(help_text: str, minimum: float = 0) -> Any:  # noqa: ANN401 - as typer returns it
    """Returns the option --timeout of a command, a duration."""

    def parse(value: str | float) -> float:
        seconds = _parse_seconds(value)
        if seconds < minimum:
            raise typer.BadParameter(f"{value!r} is less than {minimum:g} s")
        return seconds

    return typer.Option("--timeout", parser=parse, metavar="DURATION", help=help_text)


Ttl = Annotated[
    int | None,
    typer.Option(
        "--ttl",
        parser=whole_seconds(1),
        metavar="DURATION",
        help="Make the link temporary, with this TTL: seconds, or 5m, 1h30m.",
    ),
]
IfLinkedTo = Annotated[
    str | None,
    typer.Option(
        "--if-linked-to",
        metavar="POD",
        help="Only if the link is to this pod, or with - waits for one; else the exit code is 1.",
        autocompletion=completion.pod_names,
    ),
]
DryRunOption = Annotated[
    DryRun,
    typer.Option(
        "--dry-run",
        help="client: only print the change; server: the API server validates it and does not persist it.",
    ),
]
