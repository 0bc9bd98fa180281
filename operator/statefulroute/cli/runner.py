"""Runs commands against a cluster, and turns errors into one message and an exit code."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import typer

from statefulroute.cli.cluster import Cluster, CommandError
from statefulroute.cli.output.messages import log_to_stderr, print_message, reset_warnings
from statefulroute.cli.system_certificates import without_system_certificates
from statefulroute.cli.windows_streams import is_closed_pipe
from statefulroute.cluster.errors import (
    APIError,
    ClusterError,
    KindNotInstalledError,
    NotConnectedError,
    UnreachableError,
)
from statefulroute.domain.errors import StatefulRouteError

_UNAUTHORIZED, _FORBIDDEN = 401, 403
_INTERRUPTED = 130

#: How often a request is sent while the API server is too busy for it, as by kubectl.
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """The options that select the cluster and the namespace of a command.

    Attributes:
        kubeconfig: the kubeconfig; None selects the same one as kubectl.
        context: the context of the kubeconfig; None is the current one.
        namespace: the namespace; None is that of the context.
        all_namespaces: whether the command works in all namespaces.
        keep_managed_fields: whether the managedFields of links stay when the command writes them.
        as_user: the user that requests are made as; None is that of the kubeconfig.
        as_group: the groups of this user; None are those of the kubeconfig.
        as_uid: the uid of this user; None is that of the kubeconfig.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None
    all_namespaces: bool = False
    keep_managed_fields: bool = False
    as_user: str | None = None
    as_group: Sequence[str] | None = None
    as_uid: str | None = None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Cluster]:
        """Connect to the cluster.

        Raises:
            NotConnectedError: no cluster is configured.
        """
        # aiohttp takes half of the start of a command, and `--help` and completion of options do without it.
        with without_system_certificates():
            from statefulroute.cluster.client import Client  # noqa: PLC0415
        from statefulroute.cluster.connection import connect  # noqa: PLC0415
        from statefulroute.cluster.impersonation import Impersonation  # noqa: PLC0415

        impersonation = Impersonation(user=self.as_user or "", uid=self.as_uid or "", groups=tuple(self.as_group or ()))
        async with (
            connect(self.kubeconfig, self.context, impersonation) as connection,
            Client(connection, attempts=_ATTEMPTS) as client,
        ):
            namespace = None if self.all_namespaces else self.namespace or connection.namespace
            yield Cluster(client, namespace, keep_managed_fields=self.keep_managed_fields)


def run(options: ClusterOptions, work: Callable[[Cluster], Awaitable[int | None]]) -> None:
    """Run a command; an error is printed as one message.

    Args:
        options: select the cluster and the namespace.
        work: the work of the command, which returns the exit code; None is 0.

    Raises:
        typer.Exit: the exit code is not 0.
    """

    async def connect_and_work() -> int:
        async with options.connect() as cluster:
            log_to_stderr()
            _warn_of_other_clocks()
            code = await work(cluster) or 0
        sys.stdout.flush()  # a closed pipe raises here, and not at the exit of the interpreter
        return code

    try:
        code = asyncio.run(connect_and_work())
    except (CommandError, StatefulRouteError, ClusterError, msgspec.DecodeError) as error:
        print_message(f"error: {error_message(error)}", err=True)
        code = 1
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except OSError as error:
        if not is_closed_pipe(error):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    finally:
        reset_warnings()
    if code:
        raise typer.Exit(code)


def _warn_of_other_clocks() -> None:
    """Prints a warning if this machine's clock and the API server's differ."""
    from statefulroute.cluster.clock import process_clock  # noqa: PLC0415 - as in `connect`

    def warn(seconds: float) -> None:
        direction = "behind" if seconds > 0 else "ahead of"
        print_message(
            f"warning: the clock of this machine is {abs(seconds):,.0f} s {direction} the API server's: temporary "
            "links end when they have ended by both",
            err=True,
        )

    process_clock.on_difference = warn


def error_message(error: Exception) -> str:
    """Returns what is wrong, and how to fix it."""
    match error:
        case UnreachableError():
            return f"the API server does not answer ({error}): is the cluster up, and is this the right --context?"
        case NotConnectedError():
            return f"{error}, and a context of it with --context"
        case APIError():
            return _api_error_message(error)
        case msgspec.DecodeError():
            return f"the response is not that of an API server ({error}): check --context, and the server in it"
        case _:
            return str(error)


def _api_error_message(error: APIError) -> str:
    if error.status == _UNAUTHORIZED:
        return "the API server does not accept your credentials: log in again, or choose another --context"
    if error.status == _FORBIDDEN:
        return (
            f"you do not have the permission: request it, or choose another --namespace or --context: {error.message}"
        )
    if isinstance(error, KindNotInstalledError):
        return f"{error.message}, or choose another --context"
    return error.message
