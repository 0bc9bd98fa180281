"""What leaves a request: the events that a client may ask for again, and those for the clients of other replicas."""

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from mcp.server.streamable_http import EventCallback, EventId, EventMessage, EventStore, StreamId
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    PromptsListChanged,
    ResourcesListChanged,
    ServerEvent,
    ToolsListChanged,
)
from mcp_types import JSONRPCMessage

#: The events that the tools publish.
_EVENTS: Mapping[str, type[ServerEvent]] = {
    each.__name__: each for each in (PromptsListChanged, ResourcesListChanged, ToolsListChanged)
}


class Events(EventStore):
    """Keeps all events of all streams in memory, so that a client can go on with a stream at this pod."""

    def __init__(self) -> None:
        self._events: list[tuple[StreamId, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: StreamId, message: JSONRPCMessage | None) -> EventId:
        """Keeps an event; its id is its number."""
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id: EventId, send_callback: EventCallback) -> StreamId | None:
        """Sends the later events of the same stream; returns the stream."""
        if not last_event_id.isdecimal() or not 0 < int(last_event_id) <= len(self._events):
            return None
        number = int(last_event_id)
        stream, _ = self._events[number - 1]
        for later, (other, message) in enumerate(self._events[number:], start=number + 1):
            if other == stream and message is not None:
                await send_callback(EventMessage(message, str(later)))
        return stream


class ReplicaBus(InMemorySubscriptionBus):
    """Publishes events to the listeners of all replicas, by a socket of each in a folder that they share.

    It stands for Redis or NATS: a request and the stream with what it changes may be at different replicas.

    Args:
        folder: the folder.
        name: the name of this replica.
    """

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__()
        self._folder = folder
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)
        self._socket.bind(str(folder / f"{name}.bus"))
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Receives events from now on."""
        asyncio.get_running_loop().add_reader(self._socket, self._receive)

    async def publish(self, event: ServerEvent) -> None:
        """Sends an event to all replicas, also to this one."""
        for replica in self._folder.glob("*.bus"):
            self._socket.sendto(json.dumps(type(event).__name__).encode(), str(replica))

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Calls a function with each event; returns what ends that."""
        return super().subscribe(listener)

    def _receive(self) -> None:
        event = _EVENTS[json.loads(self._socket.recv(1024))]()
        task = asyncio.ensure_future(super().publish(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
