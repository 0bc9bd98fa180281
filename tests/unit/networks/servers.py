"""Starts every server of the project without a host, and prints as JSON which of them answer at which address.

`python servers.py ADDRESS...`
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, cast

import aiohttp
import grpc
import uvloop
from aiohttp import web
from grpc_health.v1 import health_pb2, health_pb2_grpc

from statefulroute.api.load import HTTPLoad
from statefulroute.api.vocabulary import RoutingState
from statefulroute.driver.hand_over_configuration import HandOverConfiguration
from statefulroute.driver.parts import PodReport, ServerInformation
from statefulroute.driver.publishers import LoadEndpoint
from statefulroute.driver.transfer.receiver import Receiver
from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.monitoring.health import Health
from statefulroute.monitoring.server import serve_http, serve_probes_and_metrics
from statefulroute.resolver.grpc.server import serve_grpc

#: The ports in the namespace, in which nothing else listens.
PROBES, LOOKUPS, PICKER, LOAD, STATES = range(8080, 8085)

_TRIES, _PAUSE_SECONDS = 100, 0.05


async def main(addresses: list[str]) -> None:
    """Starts the servers, and asks each at each address."""
    async with AsyncExitStack() as running:
        await running.enter_async_context(serve_probes_and_metrics(BindAddress.parse(f":{PROBES}"), Health(())))
        await running.enter_async_context(serve_http(web.Application(), BindAddress.parse(f":{LOOKUPS}")))
        await running.enter_async_context(serve_grpc(BindAddress.parse(f":{PICKER}"), ()))
        endpoint = LoadEndpoint("", HTTPLoad(port=LOAD, path="/load"))
        await endpoint.update(PodReport(1, 0, RoutingState.READY, datetime(2026, 1, 1, tzinfo=UTC)))
        running.push_async_callback(endpoint.close)
        receiving = asyncio.create_task(_receiver().serve(cast("Any", None)))
        running.callback(receiving.cancel)
        ports = {"probes": PROBES, "look-ups": LOOKUPS, "load": LOAD, "states": STATES}
        answers = {name: [each for each in addresses if await _answers(each, port)] for name, port in ports.items()}
        answers["picker"] = [each for each in addresses if await _is_serving(each)]
    sys.stdout.write(json.dumps(answers))


def _receiver() -> Receiver:
    """Returns a receiver that refuses every request, because none has a token."""
    pod = ServerInformation(namespace="play", service="game", pod_name="game-0", pod=0)
    unused = cast("Any", None)
    return Receiver(pod, HandOverConfiguration(port=STATES), unused, unused, None)


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


async def _answers(address: str, port: int) -> bool:
    """Returns whether an HTTP server responds; one that starts in another task may need a moment."""
    async with aiohttp.ClientSession() as session:
        for _ in range(_TRIES):
            try:
                async with session.get(f"http://{_host(address)}:{port}/"):
                    return True
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(_PAUSE_SECONDS)
    return False


async def _is_serving(address: str) -> bool:
    async with grpc.aio.insecure_channel(f"{_host(address)}:{PICKER}") as channel:
        try:
            response = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        except grpc.aio.AioRpcError:
            return False
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1:]))
