"""How commands say a sentence: a uid may stand in it, and that is anybody's text."""

import typer

from statefulroute.cli.output.printable import printable


def print_message(sentence: str, *, err: bool = False) -> None:
    """Say a sentence, which stays one line and can do nothing else to a terminal.

    Args:
        sentence: what is said.
        err: whether it goes to the standard error.
    """
    typer.echo(printable(sentence), err=err)
