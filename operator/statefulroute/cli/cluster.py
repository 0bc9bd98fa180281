"""The cluster as a command reaches it: objects as they are, page by page, and one sentence for what goes wrong."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from statefulroute.api.group import API_VERSION, POD_LINK, STATEFUL_ROUTE, Kind
from statefulroute.cli.output.messages import print_message
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import (
    APIError,
    ClusterError,
    GoneError,
    NotConnectedError,
    NotFoundError,
    UnreachableError,
    is_outage,
)
from statefulroute.domain.errors import StatefulRouteError
from statefulroute.domain.validation import validate_route

if TYPE_CHECKING:
    from statefulroute.cluster.link_store import LinkStore

#: Objects a page: the first rows come soon, and no more than these are held.
_PAGE = 500

#: Between the end of a watch and the next one.
_PAUSE_SECONDS = 1.0

_UNAUTHORIZED, _FORBIDDEN, _GONE = 401, 403, 410
_NO_RESOURCE = "could not find the requested resource"

#: One object, as the API server gives it.
Object = dict[str, Any]


class CommandError(Exception):
    """What stands in a command's way, as a sentence with the way out; the command ends with the exit code 1."""


class _ListMeta(msgspec.Struct, rename={"resource_version": "resourceVersion", "continue_": "continue"}):
    resource_version: str = ""
    continue_: str = ""


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[Object] | None = None


class _Event(msgspec.Struct):
    type: str
    object: Object


_list = msgspec.json.Decoder(_List)
_event = msgspec.json.Decoder(_Event)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster, and the namespace that a command works in.

    Attributes:
        client: how to reach it.
        namespace: the namespace; None is all of them.
    """

    client: Client
    namespace: str | None

    def link_store(self) -> "LinkStore":
        """The operations on the links of the namespace.

        Raises:
            SentenceError: it is all namespaces.
        """
        from statefulroute.cluster.link_store import LinkStore  # noqa: PLC0415 - most commands only read

        _log_beside_the_output()
        return LinkStore(self.client, self.one_namespace())

    def one_namespace(self) -> str:
        """The namespace, of commands that work in one.

        Raises:
            SentenceError: it is all namespaces.
        """
        if self.namespace is None:
            raise CommandError("this command works in one namespace: leave out --all-namespaces")
        return self.namespace

    @property
    def namespace_suffix(self) -> str:
        """Where it works, as the end of a sentence that says what is not there."""
        return "" if self.namespace is None else f" in {self.namespace} namespace"

    def path(self, kind: Kind, name: str = "") -> str:
        """Where the objects of one of our kinds are, or one of them."""
        within = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"/apis/{API_VERSION}{within}/{kind.plural}" + (f"/{name}" if name else "")

    async def get(self, path: str) -> Object:
        """One object. Raises as `Client.get` does."""
        found: Object = msgspec.json.decode(await self.client.get(path))
        return found

    async def route(self, name: str) -> Object:
        """A StatefulRoute.

        Raises:
            SentenceError: there is no such route.
            InvalidParameterError: no route can have such a name.
        """
        self.one_namespace()
        validate_route(name)
        try:
            return await self.get(self.path(STATEFUL_ROUTE, name))
        except NotFoundError:
            names = [route["metadata"]["name"] async for route in self.objects(self.path(STATEFUL_ROUTE))]
            there = f"there are {', '.join(names)}" if names else "there is none"
            raise CommandError(
                f"StatefulRoute {name!r} does not exist in namespace {self.namespace!r}: {there}"
            ) from None

    async def objects(self, path: str, params: Mapping[str, str] | None = None) -> AsyncIterator[Object]:
        """Every object below a path, page by page: only one page is held."""
        async for page, _ in self.pages(path, params):
            for item in page:
                yield item

    async def pages(
        self, path: str, params: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[list[Object], str]]:
        """Every page of a list, with the resource version that a watch goes on from."""
        rest = ""
        while True:
            asked = {**(params or {}), "limit": str(_PAGE)} | ({"continue": rest} if rest else {})
            page = _list.decode(await self.client.get(path, asked))
            yield page.items or [], page.metadata.resource_version
            rest = page.metadata.continue_
            if not rest:
                return

    async def watch(
        self, path: str, resource_version: str, params: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[str, Object]]:
        """Every change from a moment on, as its type (ADDED, MODIFIED, DELETED) and the object.

        While the API server does not answer, or says that it cannot now, it is tried again: whoever waits for changes
        waits for it, too.

        Raises:
            SentenceError: so much has changed meanwhile that nobody can tell what.
        """
        is_told = False
        while True:
            asked = {**(params or {}), "resourceVersion": resource_version, "allowWatchBookmarks": "true"}
            try:
                async with self.client.watch(path, asked) as lines:
                    is_told = False
                    async for line in lines:
                        event = _event.decode(line)
                        if event.type == "ERROR":
                            raise _end_of_watch(event.object)
                        resource_version = event.object["metadata"]["resourceVersion"]
                        if event.type != "BOOKMARK":
                            yield event.type, event.object
            except GoneError as error:
                raise CommandError(_BEHIND) from error
            except ClusterError as error:
                if not is_outage(error):
                    raise
                if not is_told:
                    print_message("note: the API server does not answer: trying again", err=True)
                is_told = True
            await asyncio.sleep(_PAUSE_SECONDS)


_BEHIND = "more has changed than the API server remembers: run the command again"


def _end_of_watch(status: Object) -> CommandError:
    if status.get("code") == _GONE:
        return CommandError(_BEHIND)
    return CommandError(f"the watch has ended: {status.get('message', 'run the command again')}")


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Which cluster and namespace a command was told to work in.

    Attributes:
        kubeconfig: the kubeconfig; None looks where kubectl looks.
        context: its context; None is the current one.
        namespace: the namespace; None is that of the context.
        all_namespaces: all namespaces.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None
    all_namespaces: bool = False

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Cluster]:
        """The cluster.

        Raises:
            NotConnectedError: none is configured.
        """
        async with connect(self.kubeconfig, self.context) as connection, Client(connection) as client:
            yield Cluster(client, None if self.all_namespaces else self.namespace or connection.namespace)


def run(target: ClusterOptions, work: Callable[[Cluster], Awaitable[int | None]]) -> None:
    """Carry out a command; what stands in its way is said in one sentence.

    Args:
        target: where.
        work: what the command does with the cluster; gives the exit code, None is 0.

    Raises:
        typer.Exit: the exit code is another than 0.
    """

    async def reach_and_work() -> int:
        async with target.connect() as cluster:
            _log_beside_the_output()
            code = await work(cluster) or 0
        sys.stdout.flush()  # here a pipe that is closed is caught, and not at the interpreter's end
        return code

    try:
        code = asyncio.run(reach_and_work())
    except (CommandError, StatefulRouteError, ClusterError, msgspec.DecodeError) as error:
        print_message(f"error: {error_message(error)}", err=True)
        code = 1
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    finally:
        if (structlog := sys.modules.get("structlog")) is not None:
            structlog.reset_defaults()
    if code:
        raise typer.Exit(code)


def _log_beside_the_output() -> None:
    """What caches warn of must not get into a list of JSON.

    Where nothing is loaded that logs there is nothing to do: structlog takes longer to import than a list to read.
    """
    if (structlog := sys.modules.get("structlog")) is None:
        return
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )


def error_message(error: Exception) -> str:
    """What is wrong, and how to put it right."""
    match error:
        case UnreachableError():
            return f"the API server does not answer ({error}): is the cluster up, and is this the right --context?"
        case NotConnectedError():
            return f"{error}, and a context of it with --context"
        case APIError():
            return _refusal(error)
        case msgspec.DecodeError():
            return (
                f"what answers is no API server ({error}): is this the right --context, and its server the right one?"
            )
        case _:
            return str(error)


def _refusal(error: APIError) -> str:
    if error.status == _UNAUTHORIZED:
        return "the API server does not know you: log in again, or choose another --context"
    if error.status == _FORBIDDEN:
        return (
            f"you have no right to do this, so ask for it, or choose another --namespace or --context: {error.message}"
        )
    if isinstance(error, NotFoundError) and (not error.reason or _NO_RESOURCE in error.message):
        return _no_kinds()
    return error.message


def _no_kinds() -> str:
    return (
        f"this cluster knows no {POD_LINK.kind} and no {STATEFUL_ROUTE.kind}: install their definitions "
        "(kubectl apply -f crds), or choose another --context"
    )
