"""`completion`: prints the completion script of a shell."""

from enum import StrEnum
from typing import Annotated

import typer
from typer import _completion_classes as completers  # they have no public name

from statefulroute.cli.completion import PROGRAM, VARIABLE


class Shell(StrEnum):
    """The shells that are supported."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_COMPLETERS: dict[Shell, type[completers.BashComplete | completers.ZshComplete | completers.FishComplete]] = {
    Shell.BASH: completers.BashComplete,
    Shell.ZSH: completers.ZshComplete,
    Shell.FISH: completers.FishComplete,
}


def completion(context: typer.Context, shell: Annotated[Shell, typer.Argument(help="The shell.")]) -> None:
    """Print the completion script of a shell; kubectl completes the plugin without it.

    For bash: source <(statefulroute completion bash)
    """
    completer = _COMPLETERS[shell](context.find_root().command, {}, PROGRAM, VARIABLE)
    typer.echo(completer.source().strip())
