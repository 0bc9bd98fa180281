"""What people type: the commands, and the entry points of the processes."""

import sys


def main() -> None:
    """The `statefulroute` command."""
    try:
        from statefulroute.cli.app import app  # noqa: PLC0415 - an application installs none of its parts

        app()
    except ModuleNotFoundError as missing:
        if missing.name not in {"typer", "kopf", "uvloop"}:
            raise
        sys.exit("The command is not installed: pip install 'statefulroute[operator]'")
