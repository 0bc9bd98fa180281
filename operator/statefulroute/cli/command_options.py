"""The options that commands have in common, spelt as kubectl spells them."""

from enum import StrEnum
from typing import Annotated

import typer

from statefulroute.cli import completion


class Output(StrEnum):
    """How a command writes what it found."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", help="Without it, that of the context.", autocompletion=completion.namespace_names
    ),
]
AllNamespaces = Annotated[bool, typer.Option("--all-namespaces", "-A", help="In every namespace.")]
Format = Annotated[Output, typer.Option("--output", "-o", help="How to write it.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Go on with every change, until Ctrl-C.")]
NoHeaders = Annotated[bool, typer.Option("--no-headers", help="Leave out the line with the columns' names.")]
