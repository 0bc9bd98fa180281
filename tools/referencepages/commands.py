"""The page of all commands, with their arguments and options as `--help` prints them."""

from collections.abc import Iterator
from typing import Any

import typer

from referencepages.markdown import code, head, prose, table
from statefulroute.cli.app import LazyCommand, app

_NAME = "kubectl statefulroute"


def commands_page() -> str:
    """Returns the page, in Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    program = typer.main.get_command(app)
    commands = program.commands.items()  # type: ignore[attr-defined]  # typer hides the classes of its groups
    yield head("Commands", "the commands")
    yield "[The command line](cli.md) describes what the commands do. `kubectl statefulroute` and `statefulroute` are"
    yield "the same command; `COMMAND --help` prints what this page contains.\n"
    yield from table(
        ("command", "purpose"), ((f"[`{name}`](#{name})", each.get_short_help_str(200)) for name, each in commands)
    )
    yield "These options may precede the name of a command, and each command has `--help`:\n"
    yield from _options(program, _NAME)
    for name, command in commands:
        yield from _section(name, command.load() if isinstance(command, LazyCommand) else command)


def _section(name: str, command: Any) -> Iterator[str]:  # noqa: ANN401 - typer hides the classes of its commands
    context = command.context_class(command, info_name=f"{_NAME} {name}")
    yield f"## {name}\n"
    yield f"{prose(str(command.help))}\n"
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"    {_NAME} {name} {usage}\n"
    yield from table(("argument", "description"), _records(command, context, "argument"))
    yield from _options(command, f"{_NAME} {name}")


def _options(command: Any, name: str) -> Iterator[str]:  # noqa: ANN401 - as above
    context = command.context_class(command, info_name=name)
    yield from table(("option", "description"), _records(command, context, "option"))


def _records(command: Any, context: Any, kind: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - as above
    """Yields the name and the description of each argument or option, as `--help` prints them."""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if parameter.param_type_name == kind and record is not None and record[0] != "--help":
            yield code(record[0]), prose(record[1])
