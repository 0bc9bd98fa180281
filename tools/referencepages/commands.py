"""The page of all commands, with their arguments and options as `--help` prints them."""

from collections.abc import Iterator
from typing import Any

import typer

from referencepages.markdown import code, head, prose, table
from statefulroute.cli.app import LazyCommand, app

_NAME = "kubectl statefulroute"

_Record = tuple[str, str]
_COLUMNS = ("option", "description")


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
    yield "## Common options\n"
    yield "These options may precede the name of a command; those of the cluster may also follow it, where its section"
    yield "says so. Each command has `--help`.\n"
    common = list(_records(program, _NAME, "option"))
    yield from table(_COLUMNS, common)
    of_cluster = {record for record in common if record[0] != code("--version")}
    for name, command in commands:
        yield from _section(name, command.load() if isinstance(command, LazyCommand) else command, of_cluster)


def _section(name: str, command: Any, of_cluster: set[_Record]) -> Iterator[str]:  # noqa: ANN401 - typer hides its classes
    full_name = f"{_NAME} {name}"
    usage = " ".join(command.collect_usage_pieces(command.context_class(command, info_name=full_name)))
    yield f"## {name}\n"
    yield f"{prose(str(command.help))}\n"
    yield f"    {full_name} {usage}\n"
    yield from table(("argument", "description"), _records(command, full_name, "argument"))
    options = list(_records(command, full_name, "option"))
    if not of_cluster <= set(options):
        yield from table(_COLUMNS, options)
        return
    yield from table(_COLUMNS, (record for record in options if record not in of_cluster))
    yield "It also has the [options of the cluster](#common-options).\n"


def _records(command: Any, name: str, kind: str) -> Iterator[_Record]:  # noqa: ANN401 - as above
    """Yields the name and the description of each argument or option, as `--help` prints them."""
    context = command.context_class(command, info_name=name)
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if parameter.param_type_name == kind and record is not None and record[0] != "--help":
            yield code(record[0]), prose(record[1])
