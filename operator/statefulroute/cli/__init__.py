"""What people type: the commands, and the entry points of the processes."""

import sys

#: Of which extra each package is that an application does not need.
_EXTRAS = {
    "grpc": "resolver",
    "kopf": "operator",
    "prometheus_client": "resolver",
    "uvloop": "operator",
    "textual": "cli",
    "typer": "cli",
    "yaml": "cli",
}


def main() -> None:
    """The `statefulroute` command."""
    try:
        from statefulroute.cli.app import app  # noqa: PLC0415 - an application installs none of its parts

        app()
    except KeyboardInterrupt:  # before there was a command that could have taken it
        sys.exit(130)
    except ModuleNotFoundError as missing:
        extra = _EXTRAS.get(missing.name or "")
        if extra is None:
            raise
        sys.exit(f"The command is not installed: pip install 'statefulroute[{extra}]'")


def complete() -> None:
    """The `kubectl_complete-statefulroute` command, which kubectl runs to know what it may offer at TAB."""
    from statefulroute.cli.app import app  # noqa: PLC0415 - as above
    from statefulroute.cli.completion import complete_for_kubectl  # noqa: PLC0415

    complete_for_kubectl(app)
