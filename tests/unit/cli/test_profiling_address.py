"""Where profiles may be served: on loopback only."""

import sys

import pytest
import typer
from typer.testing import CliRunner

from statefulroute.cli.app import app
from statefulroute.cli.profiling_address import parse_profiling_address
from statefulroute.monitoring.bind_address import BindAddress


def test_no_profiles_are_served_by_default() -> None:
    assert parse_profiling_address(None) is None


@pytest.mark.parametrize("text", ["127.0.0.1:6060", "[::1]:6060", "localhost:6060"])
def test_address_of_loopback_is_accepted(text: str) -> None:
    assert parse_profiling_address(text) == BindAddress.parse(text)


@pytest.mark.parametrize("text", [":6060", "0.0.0.0:6060", "[::]:6060", "10.1.2.3:6060", "pod.example:6060"])
def test_address_that_other_pods_can_reach_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no loopback address: clients are not authenticated"):
        parse_profiling_address(text)


@pytest.mark.parametrize("command", ["operator", "resolver"])
def test_command_explains_what_is_wrong(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--profiling-address", ":6060"], env={"COLUMNS": "400"})
    assert result.exit_code == 2
    assert "--profiling-address :6060 is no loopback address" in result.output


def test_other_systems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(typer.BadParameter, match="needs Linux"):
        parse_profiling_address("127.0.0.1:6060")
