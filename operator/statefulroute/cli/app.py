"""The commands."""

from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from statefulroute.api.rbac import DEFAULT_LEASE_NAME
from statefulroute.cli.commands import changing, reading, resolver
from statefulroute.cli.logs import LogLevel
from statefulroute.cli.options import BindAddress, Context, Kubeconfig, LogFormatOption, LogLevelOption

app = typer.Typer(
    name="statefulroute",
    help="Sticky, stateful routing on Kubernetes: bindings of users to pods as API objects.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # a cold `--help` does without rich, which takes longer than all the rest
)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(installed_version("statefulroute"))


@app.command()
def operator(  # noqa: PLR0913 - an option each
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    watch_namespace: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMESPACE", help="Serve this namespace; may be repeated. Without it, all of the cluster."
        ),
    ] = None,
    parallel_writes: Annotated[
        int, typer.Option(min=1, max=256, help="How many links of one route are written at the same time.")
    ] = 32,
    moves_per_second: Annotated[
        int, typer.Option(min=1, help="How many links of lost pods are moved in a second, at the most.")
    ] = 200,
    bind_address: BindAddress = None,
    leader_elect: Annotated[
        bool, typer.Option("--leader-elect/--no-leader-elect", help="Work only while holding the Lease.")
    ] = True,
    lease_name: Annotated[str, typer.Option(help="The Lease's name.")] = DEFAULT_LEASE_NAME,
    lease_namespace: Annotated[
        str | None, typer.Option(help="The Lease's namespace; without it, the account's or the context's.")
    ] = None,
    lease_duration_seconds: Annotated[
        int, typer.Option(min=1, help="For how long a holder that does not renew it any more holds the others off.")
    ] = 15,
    renew_deadline_seconds: Annotated[
        float, typer.Option(help="How long after its last renewal the holder may write.")
    ] = 10,
    retry_period_seconds: Annotated[float, typer.Option(help="How often it is renewed, or tried for.")] = 2,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = None,
    hash_uids: Annotated[
        bool,
        typer.Option("--hash-uids", help="Write a hash into logs and traces where there would be the uid of a link."),
    ] = False,
) -> None:
    """Run the operator: bind PodLinks and keep StatefulRoutes' status, until SIGTERM."""
    # A cold `--help` does without kopf and the Kubernetes client.
    from statefulroute.cli.commands.operator import run_operator  # noqa: PLC0415
    from statefulroute.cli.redaction import uid_redactor  # noqa: PLC0415
    from statefulroute.cluster.lease import LeaseTimes  # noqa: PLC0415
    from statefulroute.controllers.leadership import LeaderElectionSettings  # noqa: PLC0415
    from statefulroute.controllers.settings import Settings  # noqa: PLC0415
    from statefulroute.monitoring.bind_address import BindAddress  # noqa: PLC0415

    try:
        times = LeaseTimes(lease_duration_seconds, renew_deadline_seconds, retry_period_seconds)
        address = None if bind_address is None else BindAddress.parse(bind_address)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    settings = Settings(
        kubeconfig=kubeconfig,
        context=context,
        parallel_writes=parallel_writes,
        moves_per_second=moves_per_second,
        namespaces=tuple(dict.fromkeys(watch_namespace or ())),
        leader_election=LeaderElectionSettings(lease_name, lease_namespace, times) if leader_elect else None,
        bind_address=address,
        uid_redactor=uid_redactor() if hash_uids else None,
    )
    run_operator(settings, log_level, log_format)


resolver.register(app)
reading.register(app)
changing.register(app)
