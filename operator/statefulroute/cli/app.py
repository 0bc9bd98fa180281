"""The `statefulroute` application: its commands by name, each imported when it runs."""

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from statefulroute.cli.completion import enable_shell_completion, is_completion_request
from statefulroute.cli.flag_values import spell_flags
from statefulroute.cli.option_order import TakesValue, move_behind_subcommand
from statefulroute.cli.options import AsGroup, AsUid, AsUser, Context, Kubeconfig, Namespace
from statefulroute.cli.plain_values import PlainCommand, PlainGroup

#: Every command with the first sentence of its help. The module of a command is `statefulroute.cli.commands.<name>`
#: unless `_MODULES` names it, and the function in it has the same name; `-` becomes `_`, and a Python keyword has a `_`
#: at its end.
_COMMANDS = {
    "operator": "Run the operator: bind PodLinks and keep the status of StatefulRoutes, until SIGTERM.",
    "resolver": "Run the resolver: look up users' pods for gateways, and bind new users, until SIGTERM.",
    "sidecar": "Run the sidecar of a server pod: its driver for programs in any language, until SIGTERM.",
    "routes": "Show services and their state.",
    "pods": "Show the pods of a service.",
    "links": "Show which user is bound to which pod.",
    "slots": "Show how the slots of a service are spread over its pods.",
    "whereis": "Find the pods that hold a user.",
    "events": "Print bindings and moves as they happen.",
    "top": "Watch pods and moves on the whole terminal.",
    "console": "Watch and change routes in the browser, until Ctrl-C.",
    "link": "Bind a user to a pod, or to a pod that the operator chooses.",
    "move": "Move a user who has a link to another pod; a temporary link keeps its TTL and is renewed.",
    "unlink": "Remove the link of a user, at once or after a grace period.",
    "export": "Write links as lines of JSON: a backup, or a move to another cluster.",
    "import": "Create the links that `export` has written.",
    "drain": "Stop a pod from taking new users; it keeps the users that it has.",
    "undrain": "Let a drained pod take new users again.",
    "scale": "Set the number of pods of a service; pods with users are removed when these have left.",
    "rollout": "Show how far a rollout is, pause it, or resume it.",
    "set-state": "Set which users a whole service takes.",
    "confirm-loss": "Let the operator move, delete or mark the links of pods that look lost, although there are many.",
    "release": "Remove what the operator has written before you uninstall it; links and routes stay.",
    "check": "Find problems and how to fix them; the exit code is 1 if there are any.",
    "completion": "Print the completion script of a shell; kubectl completes the plugin without it.",
}

_KEYWORDS = frozenset({"import"})

#: The modules of the commands that are not in `statefulroute.cli.commands`: the console is a layer above this one.
_MODULES = {"console": "statefulroute.console.command"}


class LazyCommand(TyperCommand):
    """A command that imports its module when it runs, so that `--help` and completion start fast."""

    def load(self) -> Any:  # noqa: ANN401 - typer hides the classes of the click that it contains
        """Returns the real command, with its options."""
        name = str(self.name)
        function = name.replace("-", "_") + ("_" if name in _KEYWORDS else "")
        module = import_module(_MODULES.get(name, f"statefulroute.cli.commands.{function}"))
        single = _new_app()
        single.command(name, cls=PlainCommand)(getattr(module, function))
        return typer.main.get_command(single)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:  # noqa: ANN401 - as above
        """Parse the arguments with the options of the real command, which then also runs."""
        command = self.load()
        return command.make_context(info_name, spell_flags(args, _opposite_flags(command)), parent, **extra)


def _opposite_flags(command: Any) -> dict[str, str]:  # noqa: ANN401 - as above
    """Returns the flags of a command, each with the one that means the opposite; empty if there is none."""
    opposites: dict[str, str] = {}
    for param in command.params:
        if getattr(param, "is_flag", False):
            opposites |= dict.fromkeys(param.opts, next(iter(param.secondary_opts), ""))
            opposites |= dict.fromkeys(param.secondary_opts, param.opts[0])
    return opposites


class Program(PlainGroup):
    """The program with its subcommands."""

    def parse_args(self, context: Any, arguments: list[str]) -> list[str]:  # noqa: ANN401 - as above
        """Parse the arguments; the options of a subcommand may precede its name."""
        return super().parse_args(context, move_behind_subcommand(arguments, self._options_of))

    def _options_of(self, name: str) -> TakesValue | None:
        command = self.commands.get(name)
        if command is None:
            return None
        params = (command.load() if isinstance(command, LazyCommand) else command).params
        return {
            option: not getattr(param, "is_flag", False)
            for param in params
            for option in (*param.opts, *param.secondary_opts)
        } | {"--help": False}


def _new_app(**settings: Any) -> typer.Typer:  # noqa: ANN401 - as typer takes them
    return typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # importing rich takes longer than the rest of a cold `--help`
        **settings,
    )


def _run_by_module() -> None:
    """The function of a lazy command: never called, because `LazyCommand` runs the one of the module."""


app = _new_app(
    name="statefulroute",
    no_args_is_help=True,
    cls=Program,
)


def _print_version(is_wanted: bool) -> None:  # noqa: FBT001 - typer passes the value of the option
    if is_wanted:
        version()
        raise typer.Exit


@app.callback()
def program(  # noqa: PLR0913 - an option each
    *,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    as_user: AsUser = None,
    as_group: AsGroup = None,
    as_uid: AsUid = None,
    print_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Sticky, stateful routing on Kubernetes: bindings of users to pods as API objects.

    The options of a command may also precede its name: statefulroute -n play routes.
    """
    # `Program` passes all but the last one on to the command.
    del namespace, context, kubeconfig, as_user, as_group, as_uid, print_version


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed_version  # noqa: PLC0415 - it takes as long as ten commands' help

    typer.echo(installed_version("statefulroute"))


for _name, _help in _COMMANDS.items():
    app.command(_name, cls=LazyCommand, help=_help)(_run_by_module)

if is_completion_request():
    enable_shell_completion()
