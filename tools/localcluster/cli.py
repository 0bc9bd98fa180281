"""The command `localcluster`."""

import json
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from localcluster import images, providers, status
from localcluster.cluster import LocalCluster, stop_named
from localcluster.components import IPV6_POD_RANGE, POD_RANGE
from localcluster.errors import AlreadyRunningError, LocalClusterError
from localcluster.node.prerequisites import missing_prerequisites
from localcluster.programs import build as build_programs
from localcluster.programs import build_node
from localcluster.progress import PlainProgress, Progress, TerminalProgress
from localcluster.state import cluster_folder, folders, read_record

MINUTE = 60
HOUR = 3600

app = typer.Typer(
    help="A real Kubernetes control plane on loopback, started in seconds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ClusterName = Annotated[str, typer.Option(help="The cluster's name: several clusters can run at the same time.")]
KubernetesVersion = Annotated[
    str | None,
    typer.Option(
        "--kubernetes",
        envvar=providers.KUBERNETES_VARIABLE,
        help="The version of Kubernetes, like 1.31, for the provider 'builtin'; by default the newest.",
    ),
]


class Output(StrEnum):
    """The output format of `status`."""

    TABLE = "table"
    JSON = "json"


@app.command()
def up(  # noqa: PLR0913, PLR0917 - its options
    name: ClusterName = "default",
    nodes: Annotated[
        int | None,
        typer.Option(min=1, help="The number of nodes; by default 3, or 1 real one."),
    ] = None,
    provider: Annotated[
        providers.ProviderName | None,
        typer.Option(help="The provider; by default the one that the environment implies."),
    ] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="The kubeconfig of an existing cluster.")] = None,
    pod_range: Annotated[
        str,
        typer.Option(help=f"The addresses of pods. A real node with IPv6: {IPV6_POD_RANGE}, or both with a comma."),
    ] = POD_RANGE,
    kubernetes: KubernetesVersion = None,
) -> None:
    """Start a cluster that runs until `down`; a running one is left as it is."""
    try:
        cluster = LocalCluster.start(
            name,
            nodes=nodes,
            provider=provider,
            kubeconfig=kubeconfig,
            pod_range=pod_range,
            kubernetes=kubernetes,
            progress=_progress(),
        )
    except AlreadyRunningError:
        record = read_record(cluster_folder(name))
        if record is None:
            raise
        typer.echo(f"Cluster {name} is running already at {record.server}.")
        typer.echo(f"export KUBECONFIG={record.kubeconfig}")
        return
    cluster.outlive_owner()
    typer.echo(f"Cluster {name} ({cluster.provider}, {cluster.version}) is ready at {cluster.server}.")
    typer.echo(f"export KUBECONFIG={cluster.kubeconfig}")


@app.command()
def down(
    name: ClusterName = "default",
    every: Annotated[bool, typer.Option("--all", help="Stop every cluster.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Stop a cluster and remove everything it left; an existing cluster is only released."""
    names = [folder.name for folder in folders()] if every else [name]
    stopped = [cluster for cluster in names if stop_named(cluster)]
    for cluster in stopped:
        typer.echo(f"Cluster {cluster} is gone.")
    if not stopped:
        typer.echo("No cluster is running." if every else f"No cluster named {name} is running.")


@app.command("status")
def show_status(
    output: Annotated[Output, typer.Option("--output", "-o", help="The output format.")] = Output.TABLE,
) -> None:
    """Show every cluster, and clean up what crashed ones left."""
    clusters = status.all_clusters()
    if output is Output.JSON:
        typer.echo(json.dumps([asdict(cluster) for cluster in clusters], indent=2))
    elif not clusters:
        typer.echo("No cluster is running: start one with `localcluster up`.")
    else:
        Console().print(_table(clusters))


@app.command()
def kubeconfig(name: ClusterName = "default") -> None:
    """Print the path of a cluster's kubeconfig."""
    typer.echo(str(LocalCluster.attach(name).kubeconfig))


@app.command()
def load(
    archives: Annotated[list[Path], typer.Argument(help="Archives of images, as `docker save` writes them.")],
    name: ClusterName = "default",
) -> None:
    """Load images into the node of a cluster of the provider 'node'."""
    cluster = LocalCluster.attach(name)
    for archive in archives:
        cluster.load_image(archive.absolute())


@app.command()
def build(kubernetes: KubernetesVersion = None) -> None:
    """Build the programs, and those of a real node if this machine supports one, and print their paths."""
    progress = _progress()
    programs = build_programs(progress, kubernetes)
    built = [program for program in (programs.controlplane, programs.kwok, programs.kubectl) if program]
    if not kubernetes and not missing_prerequisites():
        node = build_node(progress)
        built += [node.node, node.coredns, node.pause]
    for program in built:
        typer.echo(str(program))


@app.command()
def image(  # noqa: PLR0913 - an option each
    tag: Annotated[str, typer.Argument(help="The image's name and tag.")],
    *,
    file: Annotated[Path, typer.Option(help="Its Dockerfile.")] = Path("Dockerfile"),
    build_arg: Annotated[list[str] | None, typer.Option(help="A build argument, as NAME=VALUE.")] = None,
    build_context: Annotated[
        list[str] | None, typer.Option(help="A folder instead of a stage of the Dockerfile, as STAGE=FOLDER.")
    ] = None,
    debian_base: Annotated[
        bool, typer.Option("--debian-base", help="Make the base image from Debian's packages, without a registry.")
    ] = False,
    archive: Annotated[Path | None, typer.Option(help="Also write the image into this file.")] = None,
    platform: Annotated[images.Platform | None, typer.Option(help="The platform that it is for.")] = None,
) -> None:
    """Build an image of the working folder with Docker, Podman or Buildah, whichever is installed."""
    builder, progress = images.find_builder(), _progress()
    arguments, contexts = (
        dict(each.partition("=")[::2] for each in given or ()) for given in (build_arg, build_context)
    )
    if debian_base:
        arguments["BASE_IMAGE"] = images.debian_base(builder, progress, platform)
        if platform:
            arguments.setdefault("COMPILER_IMAGE", images.debian_base(builder, progress))
    images.build(builder, images.ImageBuild(Path(), file, tag, arguments, platform, contexts), progress)
    if archive is not None:
        images.save(builder, tag, archive)
    typer.echo(f"{tag} is built by {builder}{f' and written to {archive}' if archive else ''}.")


def main() -> None:
    """Runs the command; prints errors as one sentence."""
    try:
        app()
    except LocalClusterError as error:
        typer.echo(f"localcluster: {error}", err=True)
        sys.exit(1)


def _progress() -> Progress:
    console = Console(stderr=True)
    if console.is_terminal:
        return TerminalProgress(console)
    return PlainProgress(lambda line: typer.echo(line, err=True))


def _table(clusters: list[status.Status]) -> Table:
    table = Table("NAME", "PROVIDER", "STATE", "NODES", "AGE", "ADDRESS", "PARTS", box=None)
    for cluster in clusters:
        ended = [f"{part} {state}" for part, state in (cluster.parts or {}).items() if state != "running"]
        running = f"{len(cluster.parts or {})} running" if cluster.parts else "-"
        table.add_row(
            cluster.name,
            cluster.provider or "-",
            cluster.state,
            f"{cluster.nodes_ready}/{cluster.nodes}",
            _age(cluster.age_seconds),
            cluster.server or "-",
            ", ".join(ended) or running,
        )
    return table


def _age(seconds: int) -> str:
    if seconds < MINUTE:
        return f"{seconds}s"
    return f"{seconds // MINUTE}m" if seconds < HOUR else f"{seconds // HOUR}h{seconds % HOUR // MINUTE}m"
