"""Tests `make demo GATEWAY=envoy`: a gateway in front of servers at the addresses of the pods."""

import subprocess
from pathlib import Path

import pytest

from demo.gateway import ENVOY, GATEWAYS
from support.demo_process import demo
from support.scale import IS_LONG

#: The first test may have to build the control plane.
pytestmark = pytest.mark.timeout(1800)


@pytest.mark.parametrize("gateway", GATEWAYS if IS_LONG else [ENVOY])
def test_users_reach_their_pods_through_the_gateway(runtime: Path, gateway: str) -> None:
    command, environment = demo(runtime, "--gateway", gateway, "--once")
    completed = subprocess.run(
        command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False, timeout=240
    )
    assert (completed.returncode, completed.stderr) == (0, ""), completed.stdout + completed.stderr
    lines = [line.strip() for line in completed.stdout.splitlines()]
    assert "✓ alice reaches game-2, the pod of the link" in lines
    assert "game-2: request 1 of alice" in lines
    assert any(line.startswith("✓ bob reaches game-") for line in lines)
    assert not any((runtime / "statefulroute").iterdir())
