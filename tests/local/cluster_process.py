"""How the tests drive a cluster and look at what it leaves."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from localcluster import LocalCluster

PACKAGE = Path(__file__).parents[2] / "tools"
DEADLINE_SECONDS = 60.0


class Kubectl:
    """Speaks to one cluster, in one namespace."""

    def __init__(self, cluster: LocalCluster, namespace: str = "default") -> None:
        self._command = [cluster.kubectl, "--kubeconfig", cluster.kubeconfig, "--namespace", namespace]

    def run(self, *arguments: str, manifest: object = None) -> subprocess.CompletedProcess[str]:
        given = None if manifest is None else json.dumps(manifest)
        return subprocess.run([*self._command, *arguments], input=given, capture_output=True, text=True, check=False)

    def __call__(self, *arguments: str, manifest: object = None) -> str:
        done = self.run(*arguments, manifest=manifest)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        self("apply", "--filename=-", manifest={"apiVersion": "v1", "kind": "List", "items": [*manifests]})

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("get", kind, name, "--output=json"))
        return found

    def list(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self("get", kind, "--output=json"))["items"]
        return found

    def has(self, kind: str, name: str) -> bool:
        done = self.run("get", kind, name)
        assert done.returncode == 0 or "NotFound" in done.stderr, done.stderr
        return done.returncode == 0

    def has_ready(self, pod: str) -> bool:
        found = [each for each in self.list("pods") if each["metadata"]["name"] == pod]
        conditions = [condition for each in found for condition in each["status"].get("conditions", [])]
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def eventually(condition: Callable[[], object]) -> None:
    """Wait for something that must come to pass; the deadline only ends a failing test."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.05)


def command_lines_naming(folder: Path) -> list[str]:
    """The command lines of all living processes that name a folder: every part of a cluster names its own."""
    shown = subprocess.run(["ps", "-axww", "-o", "command="], capture_output=True, text=True, check=True)  # noqa: S607
    return [line for line in shown.stdout.splitlines() if str(folder) in line]


def python(program: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start a Python program that can import the package."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(PACKAGE), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    """What a program says first."""
    assert process.stdout is not None
    return process.stdout.readline()


def killed(process: subprocess.Popen[str]) -> None:
    """Kill a program in a way that it cannot notice, and reap it."""
    process.kill()
    process.communicate()


def run_localcluster(*arguments: str, **variables: str) -> tuple[int, str, str]:
    """Run `localcluster`: its exit code, output and errors."""
    process = python("from localcluster.cli import main; main()", *arguments, **variables)
    output, errors = process.communicate()
    return process.returncode, output, errors
