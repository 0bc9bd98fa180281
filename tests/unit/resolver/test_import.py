"""Tests that the resolver imports only packages of its extra, and gRPC only if it is enabled."""

import subprocess
import sys

_BLOCKED = """
import sys
for name in {names}:
    sys.modules[name] = None
import {module}
"""

#: The command of the resolver, and what it imports when it runs.
RESOLVER = "statefulroute.cli.commands.resolver, statefulroute.cli.process, statefulroute.resolver.process"


def load(module: str, *without: str) -> subprocess.CompletedProcess[str]:
    program = _BLOCKED.format(names=without, module=module)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_resolver_imports_no_package_of_other_extras() -> None:
    ended = load(RESOLVER, "kopf", "textual", "grpc", "google.protobuf", "opentelemetry")
    assert ended.returncode == 0, ended.stderr


def test_blocked_package_cannot_be_imported() -> None:
    assert "grpc" in load("statefulroute.resolver.grpc.server", "grpc").stderr
