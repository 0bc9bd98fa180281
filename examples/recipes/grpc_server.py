"""A server pod with grpc.aio: answers only users that are bound to this pod, and tells the others where they are.

pip install statefulroute grpcio
python grpc_server.py     # in a pod of the StatefulSet
"""

import asyncio
import logging
import os
import signal

import grpc

from statefulroute import ServerDriver, ServerInformation

PORT = os.environ.get("PORT", "7777")


class Rooms(grpc.GenericRpcHandler):
    """The service `play.Rooms`, whose method `Enter` takes and returns bytes. A real one has a .proto file.

    Args:
        driver: the driver of this pod.
        here: the identity of this pod.
    """

    def __init__(self, driver: ServerDriver, here: ServerInformation) -> None:
        self._driver = driver
        self._here = here
        self._users = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Returns the handler of a method."""
        if handler_call_details.method == "/play.Rooms/Enter":
            return grpc.unary_unary_rpc_method_handler(self._enter)
        return None

    async def _enter(self, _: bytes, context: grpc.aio.ServicerContext) -> bytes:
        uid = dict(context.invocation_metadata() or ()).get("x-uid", "")
        here = self._here
        attempt = await self._driver.try_set_linked_pod(here.namespace, uid, here.service, here.pod)
        if not attempt.won:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{uid} is on pod {attempt.holder}")
        self._users += 1
        self._driver.set_load_state(self._users)
        return b"welcome"


async def serve(driver: ServerDriver, address: str, stop: asyncio.Event) -> None:
    """Serves until the event is set. The driver drains the pod while users still reach it."""
    async with driver:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((Rooms(driver, await driver.init()),))
        server.add_insecure_port(address)
        await server.start()
        await stop.wait()
        await driver.stop()
        await server.stop(grace=5)


async def main() -> None:
    """Runs the server until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(ServerDriver.from_environment(), f"[::]:{PORT}", stop)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
