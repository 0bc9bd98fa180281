"""The command line: the `statefulroute` command, and the processes of the operator and the resolver."""

import sys

#: The extra that installs each package which an application does not need.
_EXTRA_BY_PACKAGE = {
    "grpc": "resolver",
    "kopf": "operator",
    "prometheus_client": "resolver",
    "uvloop": "operator",
    "textual": "cli",
    "typer": "cli",
    "yaml": "cli",
}


def main() -> None:
    """Run the `statefulroute` command."""
    try:
        from statefulroute.cli.app import app  # noqa: PLC0415 - an application does not install the packages it needs

        app()
    except KeyboardInterrupt:  # before a command runs that handles it
        sys.exit(130)
    except ModuleNotFoundError as missing:
        extra = _EXTRA_BY_PACKAGE.get(missing.name or "")
        if extra is None:
            raise
        sys.exit(f"The command is not installed: pip install 'statefulroute[{extra}]'")


def complete() -> None:
    """Run the `kubectl_complete-statefulroute` command, which kubectl calls for shell completion."""
    from statefulroute.cli.app import app  # noqa: PLC0415 - as above
    from statefulroute.cli.completion import complete_for_kubectl  # noqa: PLC0415

    complete_for_kubectl(app)
