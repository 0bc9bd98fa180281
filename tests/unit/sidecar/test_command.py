"""The options of `statefulroute sidecar`."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from statefulroute import HandOverConfiguration, TLSFiles
from statefulroute.cli.app import app
from statefulroute.cli.commands import sidecar as command
from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.sidecar.settings import Settings


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings of the sidecars that are run; none is."""
    made: list[Settings] = []
    monkeypatch.setattr(command, "run_sidecar", lambda settings, *_: made.append(settings))
    return made


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["sidecar", *arguments])


def test_defaults(made: list[Settings]) -> None:
    assert run().exit_code == 0
    assert made == [Settings(http_address=BindAddress("127.0.0.1", 8470))]


@pytest.mark.parametrize("address", [":8470", "0.0.0.0:8470", "[::]:8470", "10.0.0.7:8470", "localhost.evil:8470"])
def test_an_address_that_other_pods_reach_needs_permission(made: list[Settings], address: str) -> None:
    result = run("--http-address", address)
    assert (result.exit_code, made) == (2, [])
    assert "is no loopback address" in result.output
    assert run("--http-address", address, "--allow-remote").exit_code == 0
    assert str(made[0].http_address) == address


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.3.2.1:1", "localhost:1", "[::1]:1"])
def test_loopback_addresses(made: list[Settings], address: str) -> None:
    assert run("--http-address", address).exit_code == 0
    assert made[0].http_address.is_loopback


def test_all_options(made: list[Settings]) -> None:
    options = {
        "--bind-address": ":8471",
        "--token-file": "/token",
        "--follow-route": "lobby",
        "--fence-after-seconds": "15",
        "--drain-seconds": "1",
        "--state-period-seconds": "2",
        "--workload-period-seconds": "3",
        "--deadline-seconds": "4",
        "--load-host": "127.0.0.1",
        "--max-streams": "5",
        "--hand-over-port": "8477",
        "--hand-over-host": "127.0.0.1",
        "--max-state-bytes": "6",
        "--hand-over-tokens": "/tokens",
        "--hand-over-certificate": "/certificate",
        "--hand-over-key": "/key",
        "--hand-over-ca": "/ca",
        "--hand-over-server-name": "name",
    }
    flags = ("--follow-links", "--keep-managed-fields", "--hash-uids", "--follow-route=lobby")
    assert run(*(f"{name}={value}" for name, value in options.items()), *flags).exit_code == 0
    (settings,) = made
    configuration = settings.configuration
    assert (settings.bind_address, settings.token_file) == (BindAddress(None, 8471), Path("/token"))
    assert (settings.follow_routes, settings.max_streams) == (("lobby",), 5)
    assert (settings.follow_links, settings.keep_managed_fields, settings.hash_uids) == (True, True, True)
    assert (configuration.fence_after_seconds, configuration.drain_seconds) == (15, 1)
    assert (configuration.state_period_seconds, configuration.workload_period_seconds) == (2, 3)
    assert (configuration.deadline_seconds, configuration.listen_host) == (4, "127.0.0.1")
    tls = TLSFiles(certificate=Path("/certificate"), key=Path("/key"), ca=Path("/ca"), server_name="name")
    expected = HandOverConfiguration(
        port=8477, listen_host="127.0.0.1", max_state_bytes=6, tokens=Path("/tokens"), tls=tls
    )
    assert configuration.hand_over == expected


def test_the_files_of_tls_belong_together(made: list[Settings]) -> None:
    result = run("--hand-over-port=8477", "--hand-over-key=/key")
    assert (result.exit_code, made) == (2, [])
    assert "belong together" in result.output


def test_the_sidecar_imports_no_package_of_other_extras() -> None:
    program = (
        "import sys\n"
        "for name in ('kopf', 'textual', 'grpc', 'kubernetes', 'opentelemetry', 'rich'): sys.modules[name] = None\n"
        "import statefulroute.cli.commands.sidecar, statefulroute.cli.process, statefulroute.sidecar.process\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
