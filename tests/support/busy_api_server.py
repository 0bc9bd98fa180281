"""An API server of one route with many links that move: a program, so that its CPU time is its own.

    python busy_api_server.py KUBECONFIG LINKS PODS MOVES_PER_SECOND

It serves what the console reads, and writes a kubeconfig when it listens; if there is one, it listens at the same port.
Links start to move at `POST /start`.
"""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from support.waiting import eventually

_GROUP = "/apis/statefulroute.io/v1alpha1"
_TIME = "2026-01-01T00:00:00Z"

_STEP_SECONDS = 0.1


class BusyServer:
    """The objects and their watches."""

    def __init__(self, links: int, pods: int, moves_per_second: float) -> None:
        self._random = random.Random(3)
        self._pods = pods
        self._placement = [self._random.randrange(pods) for _ in range(links)]
        self._versions = [1] * links
        self._version = 1
        self._moves = moves_per_second
        self._watches: dict[str, list[asyncio.Queue[bytes]]] = {"podlinks": [], "statefulroutes": []}
        self._moving: asyncio.Task[None] | None = None

    def application(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get(f"{_GROUP}/podlinks", self._links),
                web.get(f"{_GROUP}/statefulroutes", self._routes),
                web.get("/apis/events.k8s.io/v1/namespaces/play/events", self._nothing),
                web.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", self._review),
                web.post("/start", self._start),
            ]
        )
        return app

    async def _start(self, _: web.Request) -> web.Response:
        self._moving = asyncio.create_task(self._move())
        return web.json_response({})

    async def _move(self) -> None:
        owed, steps = 0.0, 0
        while True:
            await asyncio.sleep(_STEP_SECONDS)
            owed += self._moves * _STEP_SECONDS
            for _ in range(int(owed)):
                number = self._random.randrange(len(self._placement))
                self._version += 1
                self._placement[number], self._versions[number] = self._random.randrange(self._pods), self._version
                self._publish("podlinks", self._link(number))
            owed %= 1.0
            steps += 1
            if steps % round(1 / _STEP_SECONDS) == 0:
                self._version += 1
                self._publish("statefulroutes", self._route())

    def _publish(self, plural: str, item: dict[str, Any]) -> None:
        line = json.dumps({"type": "MODIFIED", "object": item}).encode() + b"\n"
        for queue in self._watches[plural]:
            queue.put_nowait(line)

    async def _links(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await self._watch(request, "podlinks")
        start, limit = int(request.query.get("continue", "0")), int(request.query.get("limit", "500"))
        end = min(start + limit, len(self._placement))
        following = {"continue": str(end)} if end < len(self._placement) else {}
        return self._list([self._link(number) for number in range(start, end)], following)

    async def _routes(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await self._watch(request, "statefulroutes")
        return self._list([self._route()])

    def _list(self, items: list[dict[str, Any]], following: dict[str, str] | None = None) -> web.Response:
        return web.json_response(
            {"metadata": {"resourceVersion": str(self._version), **(following or {})}, "items": items}
        )

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._watches[plural].append(queue)
        while True:
            await response.write(await queue.get())

    async def _nothing(self, _: web.Request) -> web.Response:
        return self._list([])

    async def _review(self, _: web.Request) -> web.Response:
        return web.json_response({"status": {"allowed": True}})

    def _link(self, number: int) -> dict[str, Any]:
        pod = self._placement[number]
        return {
            "metadata": _metadata(f"game.user-{number:06}", self._versions[number]),
            "spec": {"routeName": "game", "uid": f"user-{number:06}", "podIndex": pod},
            "status": {
                "phase": "Bound",
                "podIndex": pod,
                "podName": f"game-{pod}",
                "observedGeneration": 1,
                "conditions": [_condition("Ready", "Bound")],
            },
        }

    def _route(self) -> dict[str, Any]:
        return {
            "metadata": _metadata("game", self._version),
            "spec": {"port": 80, "placement": {"maxLinksPerPod": 2 * len(self._placement) // self._pods}},
            "status": {
                "observedGeneration": 1,
                "replicas": self._pods,
                "readyReplicas": self._pods,
                "routablePods": self._pods,
                "links": len(self._placement),
                "bestPodName": "game-0",
                "workloadLoad": self._random.randrange(5),
                "conditions": [_condition("Ready", "Routable"), _condition("WorkloadFound", "WorkloadFound")],
                "pods": [*self._pod_statuses()],
            },
        }

    def _pod_statuses(self) -> Iterator[dict[str, Any]]:
        for pod in range(self._pods):
            state = {"serviceState": "Ready", "routingState": "Ready"}
            load = self._random.randrange(6_000)
            yield {"index": pod, "name": f"game-{pod}", **state, "weightedLoadMilli": load, "links": 0}


def _metadata(name: str, version: int) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": "play",
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": _TIME,
    }


def _condition(kind: str, reason: str) -> dict[str, Any]:
    return {"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": _TIME}


async def _serve(kubeconfig: Path, server: BusyServer, port: int) -> None:
    runner = web.AppRunner(server.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    context = {"cluster": "busy", "user": "viewer", "namespace": "play"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "busy",
        "clusters": [{"name": "busy", "cluster": {"server": address}}],
        "users": [{"name": "viewer", "user": {"token": "viewer"}}],
        "contexts": [{"name": "busy", "context": context}],
    }
    unfinished = kubeconfig.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(config))
    unfinished.rename(kubeconfig)
    await asyncio.Event().wait()


def address_in(kubeconfig: Path) -> str:
    """Returns the address of the API server in a kubeconfig."""
    return str(json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"])


@contextmanager
def running_busy_server(kubeconfig: Path, links: int, pods: int, moves_per_second: int) -> Iterator[str]:
    """Returns a context with the program, and the address of its API server."""
    arguments = [str(kubeconfig), str(links), str(pods), str(moves_per_second)]
    with subprocess.Popen([sys.executable, __file__, *arguments]) as process:
        try:
            eventually(kubeconfig.exists, "the API server has written the kubeconfig")
            yield address_in(kubeconfig)
        finally:
            process.kill()


if __name__ == "__main__":
    _path, _links, _pods, _moves = sys.argv[1:]
    _port = int(address_in(Path(_path)).rpartition(":")[2]) if Path(_path).exists() else 0
    asyncio.run(_serve(Path(_path), BusyServer(int(_links), int(_pods), float(_moves)), _port))
