"""The options that commands for people and processes have in common."""

from pathlib import Path
from typing import Annotated

import typer

from statefulroute.cli.logs import LogFormat, LogLevel

Kubeconfig = Annotated[
    Path | None,
    typer.Option(help="The kubeconfig; without it: $KUBECONFIG, the pod's own account, ~/.kube/config."),
]
Context = Annotated[str | None, typer.Option(help="The kubeconfig's context; without it, the current one.")]
BindAddress = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Where to answer /healthz, /readyz and /metrics; without it, nowhere."),
]
LogLevelOption = Annotated[LogLevel, typer.Option(help="The least level that is logged.")]
LogFormatOption = Annotated[
    LogFormat | None, typer.Option(help="How lines are written; without it: text on a terminal, else json.")
]
