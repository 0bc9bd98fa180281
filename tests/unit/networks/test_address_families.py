"""Every server listens on all addresses of IPv4 and IPv6, and starts where the machine has only one of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.network_namespace import Families, in_namespace

SERVERS = Path(__file__).with_name("servers.py")

NAMES = {"probes", "look-ups", "picker", "load", "states"}


@pytest.mark.parametrize("families", Families, ids=str)
def test_every_server_answers_at_every_address_of_the_machine(families: Families) -> None:
    command = in_namespace(families, [sys.executable, str(SERVERS), *families.addresses])
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == dict.fromkeys(NAMES, families.addresses)
