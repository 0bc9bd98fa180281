"""Who may use the console: the token, host names, origins, and what a browser may do with its pages."""

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from statefulroute.console.redirect import redirect_file
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
    code = server.access.new_code().text
    for wrong, status in ((server.access.token, 403), ("", 401), ("x/", 401), ("x/api/routes", 401)):
        assert (await client.get(f"/open/{wrong}", allow_redirects=False)).status == status
    first = await client.get(f"/open/{code}", allow_redirects=False)
    page = first.headers["Location"]
    assert (first.status, server.access.token in page) == (303, False)
    assert (await client.get(page)).status == 200


async def test_a_code_that_is_used_twice_closes_what_it_has_opened(
    client: TestClient, server: ConsoleServer, capsys: pytest.CaptureFixture[str]
) -> None:
    code = server.access.new_code().text
    page = (await client.get(f"/open/{code}", allow_redirects=False)).headers["Location"]
    stream = await client.get(f"{page}api/stream")
    second = await client.get(f"/open/{code}", allow_redirects=False)
    assert (second.status, "used twice" in (await second.json())["message"]) == (403, True)
    assert "the address for the browser was used twice" in capsys.readouterr().err
    await stream.read()  # it ends
    assert [(await client.get(each)).status for each in (page, f"{page}api/routes")] == [401, 401]
    third = await client.get(f"/open/{code}", allow_redirects=False)
    assert (third.status, "not valid" in (await third.json())["message"]) == (403, True)
    assert (await client.get(f"/{server.access.token}/")).status == 200


async def test_a_code_is_valid_for_a_minute(client: TestClient, server: ConsoleServer) -> None:
    code = server.access.new_code()
    code.ends -= 60
    response = await client.get(f"/open/{code.text}", allow_redirects=False)
    message = "this address was valid for 60 s only: open the address that the command has printed"
    assert (response.status, await response.json()) == (403, {"message": message})


@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [
        ("", "navigate document", 200),  # the file that opens the console, or a link in a terminal in a web page
        ("", "navigate iframe", 403),
        ("", "no-cors script", 403),
        ("api/routes", "navigate document", 403),
        ("app.js", "no-cors script", 403),
    ],
)
async def test_other_pages_can_lead_to_the_first_page_only(
    client: TestClient, server: ConsoleServer, path: str, kind: str, status: int
) -> None:
    mode, destination = kind.split()
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
    assert (await client.get(f"/{server.access.token}/{path}", headers=headers)).status == status


def test_only_the_user_can_read_the_file_that_opens_the_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with redirect_file('http://127.0.0.1:1/open/x"&') as url:
        path = Path(url.removeprefix("file://"))
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert 'content="0; url=http://127.0.0.1:1/open/x&quot;&amp;"' in path.read_text()
        assert path.parent.parent == tmp_path
    assert not any(tmp_path.iterdir())


def test_the_file_that_opens_the_console_needs_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    with redirect_file("http://127.0.0.1:1/open/x") as url:
        assert Path(url.removeprefix("file://")).exists()


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
