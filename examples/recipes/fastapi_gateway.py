"""A gateway with FastAPI: returns the address of the pod that serves a user, and metrics of the driver.

pip install 'statefulroute[metrics]' fastapi uvicorn
NAMESPACE=play SERVICE=game uvicorn fastapi_gateway:app --workers 2
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request, Response
from prometheus_client import make_asgi_app

from statefulroute import ClientDriver, DriverMetrics, ErrorCode, StatefulRouteError

SERVICE = os.environ.get("SERVICE", "game")
METRICS = DriverMetrics()  # once in a process

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


@asynccontextmanager
async def run_driver(app: FastAPI) -> AsyncIterator[None]:
    """Opens the driver in the event loop of the worker; each worker has its own."""
    driver = await ClientDriver.connect(os.environ.get("NAMESPACE"), services=[SERVICE], metrics=METRICS)
    async with driver:
        app.state.driver = driver
        yield


app = FastAPI(lifespan=run_driver)
app.mount("/metrics", make_asgi_app())


@app.get("/users/{uid}")
async def address(uid: str, request: Request) -> dict[str, str | int | None]:
    """Returns the pod of a user from the cache, and binds a new one. A real gateway takes the uid from a token."""
    driver: ClientDriver = request.app.state.driver
    try:
        found = await driver.address_of(uid, SERVICE) or await driver.bind(uid, SERVICE)
    except StatefulRouteError as error:
        raise HTTPException(STATUSES.get(error.code, 502), str(error)) from error
    return {"pod": found.pod, "endpoint": found.endpoint}


@app.get("/healthz")
async def healthz(request: Request, response: Response) -> dict[str, bool]:
    """Fails while a watch does not work."""
    driver: ClientDriver = request.app.state.driver
    response.status_code = 200 if driver.is_healthy else 503
    return {"healthy": driver.is_healthy}
