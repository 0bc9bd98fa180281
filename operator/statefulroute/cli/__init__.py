"""The command line: the `statefulroute` command, and the processes of the operator and the resolver."""

import sys

from statefulroute.cli.windows_streams import adapt_streams

#: The packages that the extras `operator`, `resolver` and `cli` install, and an application does not need.
PACKAGES_OF_EXTRAS = frozenset(
    {
        "colorama",
        "google",
        "grpc",
        "grpc_health",
        "kopf",
        "prometheus_client",
        "rich",
        "structlog",
        "textual",
        "typer",
        "uvloop",
    }
)

#: The subcommands with an extra of their own; `cli` is that of the others.
_EXTRAS = ("operator", "resolver")

#: Precedes a line that kubectl's completion shows to the user as it is.
_ACTIVE_HELP = "_activeHelp_ "

_NO_FILES = ":4"


def main() -> None:
    """Run the `statefulroute` command."""
    try:
        adapt_streams()
        from statefulroute.cli.app import app  # noqa: PLC0415 - an application does not install the packages it needs

        app()
    except KeyboardInterrupt:  # before a command runs that handles it
        sys.exit(130)
    except ModuleNotFoundError as missing:
        subcommand = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
        sys.exit(_installation_hint(missing, subcommand if subcommand in _EXTRAS else "cli"))


def complete() -> None:
    """Run the `kubectl_complete-statefulroute` command, which kubectl calls for shell completion."""
    try:
        adapt_streams()
        from statefulroute.cli.app import app  # noqa: PLC0415 - as above
        from statefulroute.cli.completion import complete_for_kubectl  # noqa: PLC0415

        complete_for_kubectl(app)
    except ModuleNotFoundError as missing:
        hint = _installation_hint(missing, "cli")
        sys.stderr.write(f"{hint}\n")
        sys.stdout.write(f"{_ACTIVE_HELP}{hint}\n{_NO_FILES}\n")  # kubectl ignores it if the exit code is not 0


def _installation_hint(missing: ModuleNotFoundError, extra: str) -> str:
    """Returns how to install a package of an extra; raises the error if it is another package."""
    if (missing.name or "").partition(".")[0] not in PACKAGES_OF_EXTRAS:
        raise missing
    return f"The command is not installed: pip install 'statefulroute[{extra}]'"
