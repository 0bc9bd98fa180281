"""A gateway with aiohttp: returns the address of the pod that serves a user.

pip install statefulroute
NAMESPACE=play SERVICE=game python aiohttp_gateway.py
"""

import logging
import os
from collections.abc import AsyncIterator

from aiohttp import web

from statefulroute import ClientDriver, ErrorCode, StatefulRouteError

DRIVER = web.AppKey("driver", ClientDriver)
SERVICE = os.environ.get("SERVICE", "game")

#: The HTTP statuses of errors that the caller can do something about.
STATUSES = {
    ErrorCode.INVALID_PARAMETER: 400,
    ErrorCode.SERVICE_NOT_FOUND: 404,
    ErrorCode.LINK_LIMIT_REACHED: 429,
    ErrorCode.POD_NOT_AVAILABLE: 503,
    ErrorCode.POD_NOT_FOUND: 503,
    ErrorCode.POD_NOT_ROUTABLE: 503,
    ErrorCode.TIMEOUT: 504,
}


async def address(request: web.Request) -> web.Response:
    """Binds the user to a pod at the first request; later requests renew the link, which ends after an hour without."""
    try:
        found = await request.app[DRIVER].bind(request.match_info["uid"], SERVICE, ttl_seconds=3600)
    except StatefulRouteError as error:
        return web.json_response({"error": str(error)}, status=STATUSES.get(error.code, 502))
    return web.json_response({"pod": found.pod, "endpoint": found.endpoint})


async def healthz(request: web.Request) -> web.Response:
    """Fails if the caches are old: a watch receives something about once a minute."""
    seconds = request.app[DRIVER].staleness_seconds
    return web.json_response({"stalenessSeconds": round(seconds)}, status=200 if seconds < 150 else 503)  # noqa: PLR2004


async def run_driver(app: web.Application) -> AsyncIterator[None]:
    """Opens the driver in the server's event loop: after the fork of a worker, and once in each process."""
    if DRIVER not in app:
        app[DRIVER] = await ClientDriver.connect(os.environ.get("NAMESPACE"), services=[SERVICE])
    async with app[DRIVER]:
        yield


def make_app(driver: ClientDriver | None = None) -> web.Application:
    """Returns the application.

    Args:
        driver: a driver that is not started, for tests; None connects by the environment.
    """
    app = web.Application()
    if driver is not None:
        app[DRIVER] = driver
    app.router.add_get("/users/{uid}", address)
    app.router.add_get("/healthz", healthz)
    app.cleanup_ctx.append(run_driver)
    return app


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    web.run_app(make_app(), port=int(os.environ.get("PORT", "8080")))
