"""The commands."""

from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from statefulroute.cli.logs import LogFormat, LogLevel
from statefulroute.cli.people import changing, reading

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
def operator(  # noqa: PLR0913, PLR0917 - an option each
    kubeconfig: Annotated[
        Path | None,
        typer.Option(help="The kubeconfig; without it: $KUBECONFIG, the pod's own account, ~/.kube/config."),
    ] = None,
    context: Annotated[str | None, typer.Option(help="The kubeconfig's context; without it, the current one.")] = None,
    parallel_writes: Annotated[
        int, typer.Option(min=1, max=256, help="How many links of one route are written at the same time.")
    ] = 16,
    moves_per_second: Annotated[
        int, typer.Option(min=1, help="How many links of lost pods are moved in a second, at the most.")
    ] = 200,
    log_level: Annotated[LogLevel, typer.Option(help="The least level that is logged.")] = LogLevel.INFO,
    log_format: Annotated[
        LogFormat | None, typer.Option(help="How lines are written; without it: text on a terminal, else json.")
    ] = None,
) -> None:
    """Run the operator: bind PodLinks and keep StatefulRoutes' status, until SIGTERM."""
    # A cold `--help` does without kopf and the Kubernetes client.
    from statefulroute.cli.operator import run_operator  # noqa: PLC0415
    from statefulroute.controllers.operator import Settings  # noqa: PLC0415

    settings = Settings(
        kubeconfig=kubeconfig, context=context, parallel_writes=parallel_writes, moves_per_second=moves_per_second
    )
    run_operator(settings, log_level, log_format)


reading.register(app)
changing.register(app)
