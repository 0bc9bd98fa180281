"""A simulated API server in a process of its own: many routes with one pod each, over HTTP on loopback.

    python -m measuring.simulated_routes PORT ROUTES NAMESPACES SOURCE

It serves what an operator reads and writes, kopf included. `GET /counts` returns how many requests of each kind it has
received; `GET /expire` ends all watches and answers those of older versions with 410. With the source HTTP, it also
answers for the load of every pod.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from statefulroute.api.annotations import LOAD_STATE, REPORT_TIME, WAITING_TASKS
from statefulroute.api.group import API_VERSION, FINALIZER, GROUP, VERSION

LOAD_PORT = 18081
_DAY = 86_400
_CREATED = "2026-01-01T00:00:00Z"
_FIRST_VERSION = 1_000_000
_BOOKMARK_SECONDS = 30.0

#: The served kinds, with their API versions.
_KINDS = {
    "statefulroutes": ("StatefulRoute", API_VERSION),
    "podlinks": ("PodLink", API_VERSION),
    "pods": ("Pod", "v1"),
    "nodes": ("Node", "v1"),
    "statefulsets": ("StatefulSet", "apps/v1"),
    "leases": ("Lease", "coordination.k8s.io/v1"),
}

Object = dict[str, Any]


class RouteServer:
    """Keeps the objects, and answers requests.

    Args:
        routes: how many routes there are.
        namespaces: how many namespaces they are in.
        source: the source of the pods' loads.
    """

    def __init__(self, routes: int, namespaces: int, source: str) -> None:
        self._counts: Counter[str] = Counter()
        self._version = _FIRST_VERSION
        self._oldest_watchable = 0
        self._stored: dict[str, dict[tuple[str, str], bytes]] = {kind: {} for kind in _KINDS}
        self._versions: dict[str, dict[tuple[str, str], int]] = {kind: {} for kind in _KINDS}
        self._watches: dict[str, list[asyncio.Queue[bytes | None]]] = {kind: [] for kind in _KINDS}
        for number in range(routes):
            for kind, item in _objects(number, f"bench-{number % namespaces}", source):
                self._store(kind, item)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers a request."""
        path, parts = request.path, request.path.strip("/").split("/")
        if path == "/expire":
            self._expire()
        document = dict(self._counts) if path in {"/counts", "/expire"} else _discovery(path)
        if document is not None:
            return _respond(document)
        if "namespaces" in parts and (request.method != "GET" or parts[-1] not in _KINDS):
            return await self._answer(request, parts[parts.index("namespaces") + 1 :])
        if parts[-1] not in _KINDS:
            return _error(404, "NotFound")
        return await self._watch(request, parts[-1]) if "watch" in request.query else self._list(request, parts[-1])

    async def _answer(self, request: web.BaseRequest, parts: list[str]) -> web.StreamResponse:
        """Answers a request for one object."""
        namespace, kind, *names = parts
        self._counts[" ".join([request.method, kind, *names[1:]])] += 1
        if kind not in _KINDS:  # events
            return _respond({"metadata": {"name": "event", "namespace": namespace, "resourceVersion": "1"}}, 201)
        if request.method == "POST":
            created: Object = await request.json()
            created["metadata"] |= {"namespace": namespace, "creationTimestamp": _CREATED}
            return _respond(self._put(kind, created, "ADDED"), 201)
        return await self._write(request, kind, (namespace, names[0]), names[1:])

    async def _write(
        self, request: web.BaseRequest, kind: str, key: tuple[str, str], subresource: list[str]
    ) -> web.StreamResponse:
        stored = self._stored[kind].get(key)
        if stored is None:
            return _error(404, "NotFound")
        if request.method == "GET":
            return _respond(stored)
        before: Object = json.loads(stored)
        change = await request.json()
        if request.method == "PUT":
            return _respond(self._put(kind, change, "MODIFIED"))
        if isinstance(change, list):  # kopf's patch of finalizers
            after = _with_finalizers(before, change)
        else:
            version = change.get("metadata", {}).get("resourceVersion")
            if version not in {None, before["metadata"]["resourceVersion"]}:
                return _error(409, "Conflict")
            if kind == "statefulroutes":
                change = {name: part for name, part in change.items() if (name == "status") == bool(subresource)}
            after = _merged(json.loads(stored), change)
        if after == before:
            return _respond(stored)
        if after.get("spec") != before.get("spec") and "generation" in after["metadata"]:
            after["metadata"]["generation"] += 1
        return _respond(self._put(kind, after, "MODIFIED"))

    def _put(self, kind: str, item: Object, change: str) -> bytes:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        item["metadata"].setdefault("uid", f"uid-{self._version}")
        encoded = self._store(kind, item)
        for watch in self._watches[kind]:
            watch.put_nowait(_event(change, encoded))
        return encoded

    def _store(self, kind: str, item: Object) -> bytes:
        name, api_version = _KINDS[kind]
        key = (item["metadata"].get("namespace", ""), item["metadata"]["name"])
        encoded = json.dumps({"apiVersion": api_version, "kind": name, **item}, separators=(",", ":")).encode()
        self._stored[kind][key] = encoded
        self._versions[kind][key] = int(item["metadata"]["resourceVersion"])
        return encoded

    def _list(self, request: web.BaseRequest, kind: str) -> web.StreamResponse:
        self._counts[f"LIST {kind}"] += 1
        limit, offset = int(request.query.get("limit", "0")), int(request.query.get("continue", "0") or 0)
        selector = request.query.get("fieldSelector", "").removeprefix("metadata.name=")
        items = [item for key, item in self._stored[kind].items() if not selector or key[1] == selector]
        metadata = {"resourceVersion": str(self._version)}
        if limit and offset + limit < len(items):
            metadata["continue"] = str(offset + limit)
        page = b",".join(items[offset : offset + limit] if limit else items)
        name, api_version = _KINDS[kind]
        head = f'{{"apiVersion":"{api_version}","kind":"{name}List","metadata":{json.dumps(metadata)},"items":['
        return _respond(head.encode() + page + b"]}")

    async def _watch(self, request: web.BaseRequest, kind: str) -> web.StreamResponse:
        since = int(request.query.get("resourceVersion", "0") or 0)
        if since < self._oldest_watchable:
            return _error(410, "Expired")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        events: asyncio.Queue[bytes | None] = asyncio.Queue()
        for key, version in self._versions[kind].items():
            if version > since:
                events.put_nowait(_event("MODIFIED", self._stored[kind][key]))
        self._watches[kind].append(events)
        try:
            while (event := await self._next(events, kind)) is not None:
                await response.write(event)
        finally:
            self._watches[kind].remove(events)
        return response

    async def _next(self, events: "asyncio.Queue[bytes | None]", kind: str) -> bytes | None:
        try:
            async with asyncio.timeout(_BOOKMARK_SECONDS):
                return await events.get()
        except TimeoutError:
            name, api_version = _KINDS[kind]
            metadata = {"resourceVersion": str(self._version)}
            bookmark = {"kind": name, "apiVersion": api_version, "metadata": metadata}
            return _event("BOOKMARK", json.dumps(bookmark).encode())

    def _expire(self) -> None:
        """Ends all watches, so that each client has to list again."""
        self._version += 1
        self._oldest_watchable = self._version
        gone = {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}
        for kind, watches in self._watches.items():
            if kind != "leases":
                for watch in watches:
                    watch.put_nowait(_event("ERROR", json.dumps(gone).encode()))
                    watch.put_nowait(None)


def _objects(number: int, namespace: str, source: str) -> Iterator[tuple[str, Object]]:
    """Yields a route that no operator has seen, its StatefulSet and its pod."""
    name, uid = f"game-{number}", f"00000000-0000-4000-8000-{number:012}"

    def metadata(kind: str, **more: Any) -> Object:  # noqa: ANN401 - JSON
        manager = {"manager": "bench", "operation": "Update", "fieldsType": "FieldsV1", "time": _CREATED}
        fields: Object = {f"f:{part}": {".": {}, "f:one": {}, "f:two": {}} for part in ("metadata", "spec", "status")}
        common = {"name": name, "namespace": namespace, "uid": f"{kind}-{uid}", "generation": 1}
        versions = {"resourceVersion": str(1000 + number), "creationTimestamp": _CREATED}
        return {**common, **versions, "managedFields": [{**manager, "fieldsV1": fields}], **more}

    spec: Object = {"port": 7777, "load": {"staleAfterSeconds": _DAY}}
    if source == "HTTP":
        spec["load"] |= {"source": "HTTP", "http": {"port": LOAD_PORT}}
    yield "statefulroutes", {"metadata": metadata("route"), "spec": spec}
    container = {"name": "room", "image": "registry.example/room:1", "env": [{"name": "A", "value": "b"}] * 8}
    template = {"spec": {"containers": [container]}}
    spec = {"replicas": 1, "serviceName": name, "template": template}
    yield "statefulsets", {"metadata": metadata("set"), "spec": spec}
    owner = {"kind": "StatefulSet", "name": name, "uid": f"set-{uid}", "controller": True}
    annotations = {LOAD_STATE: "1", WAITING_TASKS: "0", REPORT_TIME: datetime.now(UTC).isoformat()}
    if source == "HTTP":
        annotations = {}
    pod = metadata("pod", name=f"{name}-0", ownerReferences=[owner], annotations=annotations)
    ip = f"127.60.{number // 250}.{number % 250 + 1}"
    status = {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]}
    yield "pods", {"metadata": pod, "spec": {**template["spec"], "nodeName": "node"}, "status": status}
    if number == 0:
        node = {"name": "node", "uid": "node", "resourceVersion": "1", "creationTimestamp": _CREATED}
        yield "nodes", {"metadata": node, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}


def _merged(value: Object, change: Object) -> Object:
    """Applies a merge patch."""
    for name, part in change.items():
        if part is None:
            value.pop(name, None)
        elif isinstance(part, dict):
            value[name] = _merged(value[name] if isinstance(value.get(name), dict) else {}, part)
        else:
            value[name] = part
    return value


def _with_finalizers(item: Object, operations: list[Object]) -> Object:
    """Applies the JSON patch by which kopf adds its finalizer."""
    metadata = {**item["metadata"]}
    if any("finalizers" in operation["path"] and operation["op"] == "add" for operation in operations):
        metadata["finalizers"] = [FINALIZER]
    return {**item, "metadata": metadata}


def _discovery(path: str) -> Object | None:
    """Returns a document by which clients find the kinds; None for another path."""
    verbs = ["get", "list", "watch", "patch", "create", "delete"]

    def resources(*names: str) -> Object:
        plain = [(name, *_KINDS.get(name.partition("/")[0], (name.title(), ""))) for name in names]
        listed = [
            {"name": name, "singularName": "", "kind": kind, "namespaced": name != "namespaces", "verbs": verbs}
            for name, kind, _ in plain
        ]
        return {"kind": "APIResourceList", "resources": listed}

    group = {"name": GROUP, "versions": [{"groupVersion": API_VERSION, "version": VERSION}]}
    documents: dict[str, Object] = {
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/api/v1": resources("namespaces", "events", "pods", "nodes"),
        "/apis": {"kind": "APIGroupList", "groups": [{**group, "preferredVersion": group["versions"][0]}]},
        f"/apis/{API_VERSION}": resources("statefulroutes", "statefulroutes/status", "podlinks", "podlinks/status"),
        "/apis/apps/v1": resources("statefulsets", "statefulsets/scale"),
    }
    return documents.get(path)


def _respond(value: Object | bytes, status: int = 200) -> web.Response:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return web.Response(body=body, status=status, content_type="application/json")


def _error(code: int, reason: str) -> web.Response:
    return _respond({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason}, code)


def _event(kind: str, item: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), item)


async def _load(_: web.BaseRequest) -> web.StreamResponse:
    return _respond({"loadState": 1, "waitingTasks": 0})


async def _serve(port: int, routes: int, namespaces: int, source: str) -> None:
    servers = [(web.Server(RouteServer(routes, namespaces, source).handle), "127.0.0.1", port)]
    if source == "HTTP":
        servers.append((web.Server(_load), "0.0.0.0", LOAD_PORT))  # noqa: S104 - the pods' addresses are in 127.0.0.0/8
    for server, host, number in servers:
        runner = web.ServerRunner(server, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, host, number, backlog=1024).start()
    sys.stderr.write("serving\n")
    sys.stderr.flush()
    await asyncio.Event().wait()


def main() -> None:
    """Serves until the process is ended."""
    port, routes, namespaces, source = sys.argv[1:5]
    asyncio.run(_serve(int(port), int(routes), int(namespaces), source))


if __name__ == "__main__":
    main()
