"""A simulated API server: keeps a service and its links in this process, and has the interface of a Client.

The work of the operator and the resolver on a response is real; connections, TLS and latency are left out. The server
counts its own CPU time, so that it can be subtracted.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from statefulroute.api.group import API_VERSION
from statefulroute.cluster.errors import ConflictError
from statefulroute.cluster.expiry_clock import ExpiryClock

NAMESPACE, ROUTE = "bench", "game"
TTL_SECONDS = 3600
_CREATED = "2026-01-01T00:00:00Z"


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


class SimulatedServer:
    """Serves one route with its pods and links.

    Args:
        links: how many links there are, all of them bound.
        pods: how many pods there are.
        expire_from: when the first link expires; the others follow. None makes the links persistent.

    Attributes:
        writes: how many writes of links the server has received.
        cpu_seconds: the CPU time of the simulation itself.
        listed_bytes: the size of all pages of links that were requested.
        expiry_clock: the time by which links end.
    """

    def __init__(self, links: int, pods: int, expire_from: datetime | None = None) -> None:
        self.writes = 0
        self.cpu_seconds = 0.0
        self.listed_bytes = 0
        self.expiry_clock = ExpiryClock()
        self._links, self._pods = links, pods
        self._expire_from = expire_from
        self._version = 1_000_000_000
        self._changed: dict[str, dict[str, Any]] = {}
        """Links that have changed since the start, by name."""
        self._watches: dict[str, asyncio.Queue[bytes]] = {}
        self._route: dict[str, Any] = {}

    async def get(self, path: str, params: Mapping[str, str] | None = None, **_: object) -> bytes:
        """Returns a page of a list."""
        with self._excluded_from_cpu_time():
            if path.endswith("/podlinks"):
                page = self._page(int((params or {}).get("continue", "0")), int((params or {})["limit"]))
                self.listed_bytes += len(page)
                return page
            items = [self._item(path, number) for number in range(self._count(path))]
            return _json({"metadata": {"resourceVersion": "999"}, "items": items})

    @asynccontextmanager
    async def watch(self, path: str, _: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Streams the events that the other methods create."""
        events = self._watches.setdefault(path.rpartition("/")[2], asyncio.Queue())

        async def lines() -> AsyncIterator[bytes]:
            while True:
                yield await events.get()

        yield lines()

    async def merge_patch(self, path: str, body: bytes) -> bytes:
        """Writes a link and sends the event."""
        with self._excluded_from_cpu_time():
            self.writes += 1
            name = path.removesuffix("/status").rpartition("/")[2]
            link, change = self.link(name), json.loads(body)
            if change["metadata"]["resourceVersion"] != link["metadata"]["resourceVersion"]:
                raise ConflictError(409, "Conflict", "the object has been modified")
            if "managedFields" in change["metadata"]:
                link["metadata"].pop("managedFields", None)
            for part in ("spec", "status"):
                merged = {**link[part], **change.get(part, {})}
                link[part] = {field: value for field, value in merged.items() if value is not None}
            link["metadata"]["generation"] += "spec" in change
            answer = self._store_and_notify("MODIFIED", name, link)
        await asyncio.sleep(0)  # yields as a real request does
        return answer

    async def delete(self, path: str, _: bytes) -> bytes:
        """Removes a link and sends the event."""
        with self._excluded_from_cpu_time():
            self.writes += 1
            name = path.rpartition("/")[2]
            self._store_and_notify("DELETED", name, self.link(name))
        await asyncio.sleep(0)
        return b'{"kind":"Status","details":{"uid":"uid"}}'

    async def post(self, _: str, __: bytes) -> bytes:
        """Accepts an Event and discards it."""
        return b"{}"

    def create(self, number: int, pod: int | None) -> None:
        """Creates a link as a user does."""
        with self._excluded_from_cpu_time():
            link = json.loads(self._bytes(number))
            link["spec"].pop("podIndex")
            link |= {"status": {}, "spec": link["spec"] | ({} if pod is None else {"podIndex": pod})}
            self._store_and_notify("ADDED", link["metadata"]["name"], link)

    def renew(self, number: int, moment: datetime) -> None:
        """Renews a link as a user does."""
        with self._excluded_from_cpu_time():
            name = f"{ROUTE}.user-{number}"
            link = self.link(name)
            link["spec"]["renewTime"] = _time(moment)
            link["metadata"]["generation"] += 1
            self._store_and_notify("MODIFIED", name, link)

    def edit_route(self, spec: Mapping[str, Any]) -> None:
        """Edits the route as a user does."""
        self._route = {"generation": self._route.get("generation", 1) + 1, "spec": dict(spec)}
        self._version += 1
        route = self._item("/statefulroutes", 0)
        route["metadata"] |= {"resourceVersion": str(self._version), "generation": self._route["generation"]}
        self._watches["statefulroutes"].put_nowait(_event("MODIFIED", _json(route)))

    def link(self, name: str) -> dict[str, Any]:
        """Returns a copy of a link's current state."""
        if name not in self._changed:
            return dict(json.loads(self._bytes(int(name.rpartition("-")[2]))))
        return dict(json.loads(json.dumps(self._changed[name])))

    def _store_and_notify(self, kind: str, name: str, link: dict[str, Any]) -> bytes:
        self._version += 1
        link["metadata"]["resourceVersion"] = str(self._version)
        self._changed[name] = link
        answer = _json(link)
        self._watches["podlinks"].put_nowait(_event(kind, answer))
        return answer

    @contextmanager
    def _excluded_from_cpu_time(self) -> Iterator[None]:
        before = time.process_time()
        yield
        self.cpu_seconds += time.process_time() - before

    def _page(self, start: int, size: int) -> bytes:
        end = min(start + size, self._links)
        token = f'"continue":"{end}",' if end < self._links else ""
        items = b",".join(map(self._bytes, range(start, end)))
        return b'{"metadata":{%s"resourceVersion":"%d"},"items":[%s]}' % (token.encode(), 999_999_999, items)

    def _bytes(self, number: int) -> bytes:
        """Encodes a link as the API server lists it."""
        pod = number % self._pods
        temporary, expires = "", ""
        if self._expire_from is not None:
            end = self._expire_from + timedelta(milliseconds=5 * number)
            temporary = f'"renewTime":"{_time(end - timedelta(seconds=TTL_SECONDS))}","ttlSeconds":{TTL_SECONDS},'
            expires = f'"expireTime":"{_time(end)}",'
        # Written by hand: a million calls of json.dumps would take longer than everything that is measured.
        return (
            f'{{"apiVersion":"{API_VERSION}","kind":"PodLink","metadata":{{"creationTimestamp":"{_CREATED}",'
            f'"generation":1,"managedFields":[{_managed(_SPEC_FIELDS, "")},{_managed(_STATUS_FIELDS, _SUBRESOURCE)}],'
            f'"name":"{ROUTE}.user-{number}","namespace":"{NAMESPACE}","resourceVersion":"{1000 + number}",'
            f'"uid":"00000000-0000-4000-8000-{number:012}"}},"spec":{{"podIndex":{pod},"routeName":"{ROUTE}",'
            f'{temporary}"uid":"user-{number}"}},"status":{{"boundTime":"{_CREATED}","conditions":[{{'
            f'"lastTransitionTime":"{_CREATED}","message":"bound to pod \'{ROUTE}-{pod}\'","observedGeneration":1,'
            f'"reason":"Bound","status":"True","type":"Ready"}}],{expires}"host":"{ROUTE}-{pod}.{ROUTE}.{NAMESPACE}.svc",'
            f'"observedGeneration":1,"phase":"Bound","podIndex":{pod},"podName":"{ROUTE}-{pod}"}}}}'
        ).encode()

    def _count(self, path: str) -> int:
        counts = {"pods": self._pods, "statefulroutes": 1, "statefulsets": 1}
        return counts.get(path.rpartition("/")[2], 0)

    def _item(self, path: str, number: int) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "name": ROUTE,
            "namespace": NAMESPACE,
            "uid": f"uid-{number}",
            "resourceVersion": str(100 + number),
            "generation": 1,
            "creationTimestamp": _CREATED,
        }
        match path.rpartition("/")[2]:
            case "pods":
                owner = {"kind": "StatefulSet", "name": ROUTE, "uid": "uid-0", "controller": True}
                metadata |= {"name": f"{ROUTE}-{number}", "uid": f"pod-{number}", "ownerReferences": [owner]}
                ready = {"type": "Ready", "status": "True"}
                status = {"phase": "Running", "podIP": f"10.0.{number >> 8}.{number & 255}", "conditions": [ready]}
                return {"metadata": metadata, "spec": {}, "status": status}
            case "statefulsets":
                return {"metadata": metadata, "spec": {"replicas": self._pods, "serviceName": ROUTE}}
        names = [
            {"index": index, "name": f"{ROUTE}-{index}", "serviceState": "Ready", "routingState": "Ready"}
            for index in range(self._pods)
        ]
        return {"metadata": metadata, "spec": self._route.get("spec", {"port": 7777}), "status": {"pods": names}}


_SUBRESOURCE = ',"subresource":"status"'
_SPEC_FIELDS = '"f:spec":{".":{},"f:podIndex":{},"f:routeName":{},"f:uid":{}}'
_STATUS_FIELDS = (
    '"f:status":{".":{},"f:boundTime":{},"f:conditions":{".":{},"k:{\\"type\\":\\"Ready\\"}":{".":{},'
    '"f:lastTransitionTime":{},"f:message":{},"f:observedGeneration":{},"f:reason":{},"f:status":{},"f:type":{}}},'
    '"f:host":{},"f:observedGeneration":{},"f:phase":{},"f:podIndex":{},"f:podName":{}}'
)


def _managed(fields: str, subresource: str) -> str:
    return (
        f'{{"apiVersion":"{API_VERSION}","fieldsType":"FieldsV1","fieldsV1":{{{fields}}},"manager":"statefulroute",'
        f'"operation":"Update"{subresource},"time":"{_CREATED}"}}'
    )


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _event(kind: str, item: bytes) -> bytes:
    return b'{"type":"%s","object":%s}' % (kind.encode(), item)


def utc(seconds: float) -> datetime:
    """Converts a Unix time."""
    return datetime.fromtimestamp(seconds, UTC)
