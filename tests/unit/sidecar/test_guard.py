"""Requests of web pages, and those without the token, are refused."""

import os
from pathlib import Path

import pytest

from statefulroute.sidecar.guard import TokenFile, TokenUnreadableError
from unit.sidecar.conftest import RunSidecar

EVIL = {"Host": "evil.example:8470"}


@pytest.mark.parametrize("headers", [EVIL, {"Origin": "https://evil.example"}, {"Origin": "null"}])
async def test_web_pages_may_not_use_the_api(run_sidecar: RunSidecar, headers: dict[str, str]) -> None:
    async with run_sidecar() as sidecar:
        for method, path in (
            ("GET", "/v1/users"),
            ("POST", "/v1/server/stop"),
            ("PUT", "/v1/load-state"),
            ("GET", "/v1/events"),
            ("GET", "/openapi.json"),
            ("GET", "/nothing"),
            ("OPTIONS", "/v1/load-state"),
        ):
            status, problem = await sidecar.request(method, path, headers=headers)
            assert (status, problem["type"]) == (403, "tag:statefulroute.io,2026:not-allowed")
        assert sidecar.driver.is_running


async def test_the_token_is_required_if_there_is_one(run_sidecar: RunSidecar, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" secret\n")
    async with run_sidecar(token_file=file) as sidecar:
        for value in ("", "secret", "Bearer", "Bearer ", "Bearer secret2", "Basic secret", "Bearer \udcff"):
            headers = {"Authorization": value}
            status, problem = await sidecar.get("/v1/users", headers=headers)
            assert (status, problem["type"]) == (401, "tag:statefulroute.io,2026:not-authenticated")
        assert (await sidecar.get("/v1/users"))[0] == 401
        assert (await sidecar.get("/v1/users", headers={"Authorization": "bearer secret"}))[0] == 200


def test_the_token_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    token = TokenFile(file)
    assert token.accepts("first")
    file.write_text("second")
    os.utime(file, ns=(1, 1))
    assert (token.accepts("first"), token.accepts("second")) == (False, True)
    file.write_text("")
    os.utime(file, ns=(2, 2))
    assert (token.accepts(""), token.accepts("second")) == (False, True)
    file.unlink()
    assert token.accepts("second")


def test_a_token_that_cannot_be_read_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(TokenUnreadableError, match="--token-file cannot be read"):
        TokenFile(tmp_path / "missing")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(TokenUnreadableError, match="is empty"):
        TokenFile(tmp_path / "empty")
