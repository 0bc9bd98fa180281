"""Who may use the console: the token, host names, origins, and what a browser may do with its pages."""

import re
from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from statefulroute.console.security import Access
from statefulroute.console.server import ConsoleServer
from support.console import console_server, synced_watcher

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens on it

PATHS = ("", "api/routes", "api/stream", "api/health", "api/checks", "style.css", "vendor/preact.mjs", "nothing")


@pytest_asyncio.fixture
async def server() -> ConsoleServer:
    return console_server(synced_watcher())


@pytest_asyncio.fixture
async def client(server: ConsoleServer) -> AsyncIterator[TestClient]:
    async with TestClient(TestServer(server.application())) as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", ["", "wrong/", "wrong/../", "open/", "open%2fx/"])
async def test_no_path_is_served_without_the_token(client: TestClient, path: str, token: str) -> None:
    response = await client.get(f"/{token}{path}")
    assert response.status in {401, 403}  # 403 is the response to a code
    assert "open the" in (await response.json())["message"]


async def test_token_can_be_used_again(client: TestClient, server: ConsoleServer) -> None:
    for _ in range(2):
        response = await client.get(f"/{server.access.token}/")
        assert (response.status, response.content_type) == (200, "text/html")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:{port}"}, 200),
        ({"Host": "evil.example:{port}"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "10.0.0.1:{port}"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
    ids=str,
)
async def test_refuses_other_names_and_pages_of_other_sites(
    client: TestClient, server: ConsoleServer, headers: Mapping[str, str], status: int
) -> None:
    own = {name: value.replace("{port}", str(client.port)) for name, value in headers.items()}
    response = await client.get(f"/{server.access.token}/api/health", headers=own)
    assert response.status == status


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://evil.example"}], ids=str)
async def test_refuses_writes_that_are_not_from_its_own_page(
    client: TestClient, server: ConsoleServer, headers: Mapping[str, str]
) -> None:
    response = await client.post(f"/{server.access.token}/api/routes", headers=headers)
    assert response.status in {401, 403}


async def test_code_opens_the_console_once(client: TestClient, server: ConsoleServer) -> None:
    code = server.access.new_code()
    first = await client.get(f"/open/{code}", allow_redirects=False)
    assert (first.status, first.headers["Location"]) == (303, f"/{server.access.token}/")
    for again, status in ((code, 403), (server.access.token, 403), ("", 401), ("x/", 401), ("x/api/routes", 401)):
        assert (await client.get(f"/open/{again}", allow_redirects=False)).status == status


@pytest.mark.parametrize("path", [path for path in PATHS if path != "api/checks"])  # it asks the API server
async def test_every_response_forbids_inline_scripts_and_other_sites(
    client: TestClient, server: ConsoleServer, path: str
) -> None:
    for token in (server.access.token, "wrong"):
        async with client.get(f"/{token}/{path}") as response:
            policy = dict(each.split(" ", 1) for each in response.headers["Content-Security-Policy"].split("; "))
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
            assert (policy["frame-ancestors"], policy["trusted-types"]) == ("'none'", "'none'")
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert response.headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("path", ["../server.py", "..%2fserver.py", "vendor/..%2f..%2f__init__.py", "vendor"])
async def test_serves_no_file_outside_of_its_folder(client: TestClient, server: ConsoleServer, path: str) -> None:
    response = await client.get(f"/{server.access.token}/{path}")
    assert response.status in {401, 404}


@pytest.mark.parametrize(
    ("listens_on", "header", "is_own"),
    [
        ("127.0.0.1", "127.0.0.1:80", True),
        ("127.0.0.1", "LOCALHOST:80", True),
        ("127.0.0.1", "[::1]:80", True),
        ("::1", "[::1]:80", True),
        ("127.0.0.5", "127.0.0.5:80", True),
        ("127.0.0.1", "127.0.0.5:80", False),
        ("127.0.0.1", "192.168.0.1:80", False),
        (EVERYWHERE, "192.168.0.1:80", True),
        (EVERYWHERE, "[fd00::1]:80", True),
        (EVERYWHERE, "evil.example:80", False),
        ("console.example", "console.example:80", True),
        ("console.example", "evil.example:80", False),
    ],
)
def test_host_names_that_no_name_server_can_forge(listens_on: str, header: str, is_own: bool) -> None:
    assert Access(listens_on).is_own_host(header) is is_own


def test_each_console_has_a_token_of_its_own() -> None:
    tokens = {Access("127.0.0.1").token for _ in range(10)}
    assert len(tokens) == 10
    assert all(re.fullmatch(r"[\w-]{43}", token) for token in tokens)
