"""The drivers for programs without asyncio: the same classes with blocking methods.

All drivers of a process share one event loop in a background thread, in which the asynchronous drivers run. A forked
process gets its own loop, and must make its own drivers.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from statefulroute.domain.address import Address
from statefulroute.driver import client as asynchronous_client
from statefulroute.driver import server as asynchronous_server
from statefulroute.driver.events import Event
from statefulroute.driver.link_cache import MAX_LINKS
from statefulroute.driver.parts import Configuration, Logger

D = TypeVar("D")
R = TypeVar("R")
P = ParamSpec("P")

__all__ = ["Address", "ClientDriver", "ServerDriver"]


class _LoopThread:
    """Runs the event loop of the drivers in a thread, from the first call until the process exits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Runs a coroutine in the loop and returns its result. An interrupt such as Ctrl-C cancels the coroutine."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._get_loop())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _get_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="statefulroute", daemon=True).start()
            return self._loop

    def reset(self) -> None:
        """Discards the loop: its thread does not exist in a forked process."""
        self._lock, self._loop = threading.Lock(), None


_loop = _LoopThread()
os.register_at_fork(after_in_child=_loop.reset)


class _Driver(Generic[D]):
    """Wraps an asynchronous driver, which runs in the loop."""

    def __init__(self, driver: D) -> None:
        self._driver = driver


def _blocking(
    method: Callable[Concatenate[D, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[_Driver[D], P], R]:
    """Makes a coroutine method blocking."""

    @wraps(method)
    def blocking(self: _Driver[D], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return _loop.run(method(self._driver, *args, **kwargs))

    return blocking


def _in_loop(method: Callable[Concatenate[D, P], R]) -> Callable[Concatenate[_Driver[D], P], R]:
    """Makes a plain method run in the loop, because a driver is not thread-safe."""

    @wraps(method)
    def in_loop(self: _Driver[D], /, *args: P.args, **kwargs: P.kwargs) -> R:
        async def call() -> R:
            return method(self._driver, *args, **kwargs)

        return _loop.run(call())

    return in_loop


class ServerDriver(_Driver[asynchronous_server.ServerDriver]):
    """`statefulroute.ServerDriver` for programs without asyncio: `with ServerDriver.from_environment() as driver`."""

    @classmethod
    def from_environment(
        cls,
        *,
        configuration: Configuration | None = None,
        logger: Logger | None = None,
        hash_uids: bool = False,
        follow_links: bool = False,
        keep_managed_fields: bool = False,
    ) -> Self:
        """Returns a driver for the pod of this process, as `statefulroute.ServerDriver.from_environment` does."""

        async def make() -> asynchronous_server.ServerDriver:
            return asynchronous_server.ServerDriver.from_environment(
                configuration=configuration,
                logger=logger,
                hash_uids=hash_uids,
                follow_links=follow_links,
                keep_managed_fields=keep_managed_fields,
            )

        return cls(_loop.run(make()))

    init = _blocking(asynchronous_server.ServerDriver.init)
    start = _blocking(asynchronous_server.ServerDriver.start)
    stop = _blocking(asynchronous_server.ServerDriver.stop)
    close = _blocking(asynchronous_server.ServerDriver.close)
    set_load_state = _in_loop(asynchronous_server.ServerDriver.set_load_state)
    get_load_state = _in_loop(asynchronous_server.ServerDriver.get_load_state)
    set_waiting_tasks = _in_loop(asynchronous_server.ServerDriver.set_waiting_tasks)
    get_waiting_tasks = _in_loop(asynchronous_server.ServerDriver.get_waiting_tasks)
    set_routing_state = _blocking(asynchronous_server.ServerDriver.set_routing_state)
    get_routing_state = _in_loop(asynchronous_server.ServerDriver.get_routing_state)
    set_linked_pod = _blocking(asynchronous_server.ServerDriver.set_linked_pod)
    try_set_linked_pod = _blocking(asynchronous_server.ServerDriver.try_set_linked_pod)
    remove_linked_pod = _blocking(asynchronous_server.ServerDriver.remove_linked_pod)
    remove_linked_pod_with_id = _blocking(asynchronous_server.ServerDriver.remove_linked_pod_with_id)

    @property
    def is_running(self) -> bool:
        """Whether the driver was started and not stopped since."""
        return self._driver.is_running

    def __enter__(self) -> Self:
        _loop.run(self._driver.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _loop.run(self._driver.__aexit__(kind, error, traceback))


class ClientDriver(_Driver[asynchronous_client.ClientDriver]):
    """`statefulroute.ClientDriver` for programs without asyncio: `with ClientDriver.connect() as client`."""

    @classmethod
    def connect(  # noqa: PLR0913 - each has a default
        cls,
        namespace: str | None = None,
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        services: list[str] | None = None,
        max_links: int = MAX_LINKS,
        logger: Logger | None = None,
        hash_uids: bool = False,
        keep_managed_fields: bool = False,
    ) -> Self:
        """Returns a driver with its own connection, as `statefulroute.ClientDriver.connect` does."""
        return cls(
            _loop.run(
                asynchronous_client.ClientDriver.connect(
                    namespace,
                    kubeconfig=kubeconfig,
                    context=context,
                    services=services,
                    max_links=max_links,
                    logger=logger,
                    hash_uids=hash_uids,
                    keep_managed_fields=keep_managed_fields,
                )
            )
        )

    get_linked_pod = _blocking(asynchronous_client.ClientDriver.get_linked_pod)
    get_linked_pod_if_persistent = _blocking(asynchronous_client.ClientDriver.get_linked_pod_if_persistent)
    links_of = _blocking(asynchronous_client.ClientDriver.links_of)
    batch_get = _blocking(asynchronous_client.ClientDriver.batch_get)
    address_of = _blocking(asynchronous_client.ClientDriver.address_of)
    link_if_absent = _blocking(asynchronous_client.ClientDriver.link_if_absent)
    compute_link_if_absent = _blocking(asynchronous_client.ClientDriver.compute_link_if_absent)
    renew = _blocking(asynchronous_client.ClientDriver.renew)
    best_pod = _in_loop(asynchronous_client.ClientDriver.best_pod)
    alive_pods = _in_loop(asynchronous_client.ClientDriver.alive_pods)
    routable_pods = _in_loop(asynchronous_client.ClientDriver.routable_pods)
    is_routable = _in_loop(asynchronous_client.ClientDriver.is_routable)
    is_available = _in_loop(asynchronous_client.ClientDriver.is_available)
    is_workload_ready = _in_loop(asynchronous_client.ClientDriver.is_workload_ready)
    services_of_tag = _in_loop(asynchronous_client.ClientDriver.services_of_tag)

    def events(self) -> Iterator[Event]:
        """Returns a blocking iterator of the changes from now on, as `statefulroute.ClientDriver.events` does."""
        return _iterate(_in_loop(asynchronous_client.ClientDriver.events)(self))

    def __enter__(self) -> Self:
        _loop.run(self._driver.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _loop.run(self._driver.__aexit__(kind, error, traceback))


def _iterate(events: AsyncIterator[Event]) -> Iterator[Event]:
    async def next_event() -> Event | None:
        return await anext(events, None)

    while (event := _loop.run(next_event())) is not None:
        yield event
