"""Whatever a client sends, the sidecar answers with a problem, and goes on."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest
import yarl
from aiohttp import ClientSession, ClientTimeout

from statefulroute import LeaveReason, UserLeft
from statefulroute.sidecar.dispatcher import MAX_BODY_BYTES
from unit.sidecar.conftest import RunningSidecar, RunSidecar

LINK = "/v1/routes/game/links/alice"

#: The paths that take a body, with their methods.
WITH_BODY = [
    ("PUT", "/v1/load-state"),
    ("PUT", "/v1/waiting-tasks"),
    ("PUT", "/v1/routing-state"),
    ("POST", "/v1/server/stop"),
    ("PUT", LINK),
    ("POST", f"{LINK}/claim"),
]

BODIES = [
    b"{",
    b"[]",
    b"null",
    b"1",
    b'"x"',
    b"\xff\xfe",
    b'{"unknown": 1}',
    b'{"loadState": 1e400}',
    b'{"loadState": 99999999999999999999999999}',
    b'{"podIndex": 0, "podName": "game-0"}',
    b'{"podName": "../../pods/x"}',
    b'{"podName": ""}',
    b'{"podIndex": -1}',
    b'{"ttlSeconds": 0}',
    b'{"drainSeconds": "NaN"}',
    b'{"drainSeconds": NaN}',
    b"[" * 5000,
    b'{"a":' * 1000,
]


async def raw(sidecar: RunningSidecar, data: bytes) -> bytes:
    """Sends bytes and returns the first line of the answer."""
    host, _, port = sidecar.host.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    async with asyncio.timeout(20):
        answer = await reader.readline()
    writer.close()
    return answer


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_malformed_bodies(run_sidecar: RunSidecar, method: str, path: str) -> None:
    async with run_sidecar() as sidecar:
        for body in BODIES:
            status, problem = await sidecar.request(
                method, path, data=body, headers={"Content-Type": "application/json"}
            )
            assert (status, problem["status"]) == (400, 400), (body, problem)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert (await sidecar.request(method, path, data=b'{"loadState": 1}', headers=form))[0] == 415
        large = b"{" + b" " * MAX_BODY_BYTES + b"}"
        headers = {"Content-Type": "application/json"}
        assert (await sidecar.request(method, path, data=large, headers=headers))[0] == 413
        assert sidecar.driver.is_running
        assert sidecar.cluster.links("game") == {}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v1/users/",
        "/v1/users/alice/x",
        "/v1/users//token",
        "/v1/users/a/b/token",
        "/v1/links/",
        "/v1/links/a/b",
        "/v1/routes/game/links/",
        "/v1/routes/game/links/alice/nothing",
        "/v1/routes/game/links/alice/claim/more",
        "/v1/routes/../../openapi.json",
        "/v1/../openapi.json",
        "/%2e%2e/openapi.json",
        "/v1%2fusers",
        "/v1/%75sers",
        "/openapi.json/",
        "/healthz",
        "/metrics",
        "/v1/routes/" + "a" * 7000,
    ],
)
async def test_paths_that_do_not_exist(run_sidecar: RunSidecar, path: str) -> None:
    async with run_sidecar() as sidecar:
        url = yarl.URL(f"{sidecar.url}{path}", encoded=True)
        async with sidecar.http.get(url) as response:
            assert response.status == 404
            assert (await response.json(content_type=None))["type"].endswith("no-such-path")


@pytest.mark.parametrize(
    "route", ["..", ".", "%2e%2e", "game%2f..", "game%00", "Game", "game.alice", "%ff", "game%0d%0aX", "a" * 64]
)
async def test_routes_that_are_no_labels(run_sidecar: RunSidecar, route: str) -> None:
    async with run_sidecar() as sidecar:
        for method, path in (
            ("PUT", f"/v1/routes/{route}/links/alice"),
            ("GET", f"/v1/routes/{route}/links/alice"),
            ("GET", f"/v1/routes/{route}/links/alice/address"),
            ("GET", f"/v1/users?route={route}"),
            ("GET", f"/v1/users/alice/token?route={route}"),
        ):
            url = yarl.URL(f"{sidecar.url}{path}", encoded=True)
            async with sidecar.http.request(method, url) as response:
                assert response.status == 400, path
        assert sidecar.cluster.links(route) == {}


@pytest.mark.parametrize(
    "uid", ["%ff", "%c3%28", "%ed%a0%80", "%00", "%0a", "%C2%85", "%7f", "a" * 5000, "%f0%9f%99%82" * 60]
)
async def test_uids_that_are_not_valid(run_sidecar: RunSidecar, uid: str) -> None:
    async with run_sidecar() as sidecar:
        for method, path in (
            ("PUT", f"/v1/routes/game/links/{uid}"),
            ("POST", f"/v1/routes/game/links/{uid}/claim"),
            ("GET", f"/v1/routes/game/links/{uid}"),
            ("DELETE", f"/v1/routes/game/links/{uid}"),
            ("GET", f"/v1/users/{uid}/token"),
            ("GET", f"/v1/links/{uid}"),
        ):
            url = yarl.URL(f"{sidecar.url}{path}", encoded=True)
            async with sidecar.http.request(method, url) as response:
                assert response.status == 400, path
        assert sidecar.cluster.links("game") == {}


@pytest.mark.parametrize(
    "uid", ["%", "%zz", "a%2", "..%2f..%2f", "%252e", "a%2Fb", "%3Fx=1", "%23", "+", "a;b=c", "::"]
)
async def test_uids_that_only_look_odd(run_sidecar: RunSidecar, uid: str) -> None:
    async with run_sidecar() as sidecar:
        url = yarl.URL(f"{sidecar.url}/v1/routes/game/links/{uid}", encoded=True)
        async with sidecar.http.put(url) as response:
            assert response.status == 200
        (stored,) = sidecar.cluster.links("game")
        async with sidecar.http.get(
            yarl.URL(f"{sidecar.url}/v1/users/{quote(stored, safe='')}/token", encoded=True)
        ) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    "query",
    [
        "graceSeconds=-1",
        "graceSeconds=1.5",
        "graceSeconds=",
        "graceSeconds=1&graceSeconds=2",
        "graceSeconds=99999999999999999999",
        "graceseconds=1",
        "ifPodIndex=x",
        "ifPodIndex=%D9%A1",
        "ifPodIndex=0&ifPodName=game-0",
        "ifPodName=",
        "ifPodName=..%2f",
        "x",
    ],
)
async def test_a_wrong_query_removes_nothing(run_sidecar: RunSidecar, query: str) -> None:
    async with run_sidecar() as sidecar:
        assert (await sidecar.request("PUT", LINK))[0] == 200
        status, problem = await sidecar.request("DELETE", f"{LINK}?{query}")
        assert (status, problem["type"].rpartition(":")[2]) == (400, "invalid-parameter")
        assert sidecar.cluster.links("game") == {"alice": 0}


async def test_methods_that_a_path_does_not_have(run_sidecar: RunSidecar) -> None:
    async with run_sidecar() as sidecar:
        for method in ("PATCH", "TRACE", "OPTIONS", "POST", "HEAD"):
            async with sidecar.http.request(method, f"{sidecar.url}{LINK}") as response:
                assert (response.status, response.headers["Allow"]) == (405, "DELETE,GET,PUT")


@pytest.mark.parametrize(
    "data",
    [
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v1/users HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET /v1/users HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"y" * 20_000 + b"\r\n\r\n",
        b"PUT /v1/users HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_what_is_not_http(run_sidecar: RunSidecar, data: bytes) -> None:
    async with run_sidecar() as sidecar:
        answer = await raw(sidecar, data)
        assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
        assert (await sidecar.get("/v1/users"))[0] == 200


async def test_a_request_without_a_host(run_sidecar: RunSidecar) -> None:
    async with run_sidecar() as sidecar:
        answer = await raw(sidecar, b"POST /v1/server/stop HTTP/1.0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.0 403 ")
        assert sidecar.driver.is_running


async def test_many_streams(run_sidecar: RunSidecar) -> None:
    async with run_sidecar(max_streams=3) as sidecar:
        path, open_streams = f"{sidecar.url}/v1/events", []
        for _ in range(3):
            open_streams.append(await sidecar.http.get(path))
            assert open_streams[-1].status == 200
        for _ in range(20):
            status, problem = await sidecar.get("/v1/events")
            assert (status, problem["type"].rpartition(":")[2]) == (503, "too-many-streams")
        open_streams.pop().close()
        async with asyncio.timeout(20):
            while (answer := await sidecar.http.get(path)).status != 200:
                answer.release()
                await asyncio.sleep(0.01)
        assert (await sidecar.get("/v1/users"))[0] == 200
        for each in (answer, *open_streams):
            each.close()


async def test_a_client_that_does_not_read_its_stream(run_sidecar: RunSidecar) -> None:
    """It costs the events that are kept, and learns later that it has missed some."""
    async with run_sidecar(kept_events=10) as sidecar:
        host, _, port = sidecar.host.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(20):
            await reader.readuntil(b"event: state\n")
            # More than the buffers of both sockets hold.
            for number in range(50_000):
                sidecar.components.log.append(UserLeft("game", "u" * 180, LeaveReason.UNBOUND))
                if number % 5 == 0:
                    await asyncio.sleep(0)
            assert (await sidecar.get("/v1/users"))[0] == 200
            received = b""
            while b"event: state\n" not in received.partition(b"event: lost\n")[2]:
                received = received[-100_000:] + await reader.read(100_000)
        writer.close()


async def test_slow_bodies_do_not_block_others(run_sidecar: RunSidecar) -> None:
    async with run_sidecar() as sidecar:
        host, _, port = sidecar.host.rpartition(":")
        slow = [await asyncio.open_connection(host, int(port)) for _ in range(100)]
        for _, writer in slow:
            writer.write(b"PUT /v1/load-state HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{")
        async with ClientSession(timeout=ClientTimeout(total=20)) as other:
            for load in range(20):
                async with other.put(f"{sidecar.url}/v1/load-state", json={"loadState": load}) as response:
                    assert response.status == 204
        for _, writer in slow:
            writer.close()
        assert sidecar.driver.get_load_state() == 19


async def test_concurrent_requests_of_all_kinds(run_sidecar: RunSidecar) -> None:
    async def use(number: int, sidecar: RunningSidecar) -> list[Any]:
        uid = f"user-{number % 7}"
        return [
            await sidecar.request("POST", f"/v1/routes/game/links/{uid}/claim"),
            await sidecar.get("/v1/users"),
            await sidecar.request("DELETE", f"/v1/routes/game/links/{uid}"),
        ]

    async with run_sidecar() as sidecar:
        results = await asyncio.gather(*(use(number, sidecar) for number in range(100)))
        assert {status for answers in results for status, _ in answers} <= {200, 503}
