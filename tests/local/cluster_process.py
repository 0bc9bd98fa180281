"""Runs localcluster and kubectl for the tests, and finds what a cluster leaves."""

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
    """Runs kubectl for one cluster, in one namespace."""

    def __init__(self, cluster: LocalCluster, namespace: str = "default") -> None:
        self._command = [cluster.kubectl, "--kubeconfig", cluster.kubeconfig, "--namespace", namespace]

    def run(self, *arguments: str, manifest: object = None) -> subprocess.CompletedProcess[str]:
        stdin = None if manifest is None else json.dumps(manifest)
        return subprocess.run([*self._command, *arguments], input=stdin, capture_output=True, text=True, check=False)

    def __call__(self, *arguments: str, manifest: object = None) -> str:
        completed = self.run(*arguments, manifest=manifest)
        assert completed.returncode == 0, completed.stderr
        return completed.stdout

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        self("apply", "--filename=-", manifest={"apiVersion": "v1", "kind": "List", "items": [*manifests]})

    def get(self, kind: str, name: str) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self("get", kind, name, "--output=json"))
        return result

    def list(self, kind: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = json.loads(self("get", kind, "--output=json"))["items"]
        return result

    def has(self, kind: str, name: str) -> bool:
        completed = self.run("get", kind, name)
        assert completed.returncode == 0 or "NotFound" in completed.stderr, completed.stderr
        return completed.returncode == 0

    def has_ready(self, pod: str) -> bool:
        result = [each for each in self.list("pods") if each["metadata"]["name"] == pod]
        conditions = [condition for each in result for condition in each["status"].get("conditions", [])]
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def eventually(condition: Callable[[], object]) -> None:
    """Waits until a condition holds; the deadline only ends a failing test."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.05)


def command_lines_naming(folder: Path) -> list[str]:
    """Returns the command lines of all running processes that contain a folder's path, as those of all parts do."""
    shown = subprocess.run(["ps", "-axww", "-o", "command="], capture_output=True, text=True, check=True)  # noqa: S607
    return [line for line in shown.stdout.splitlines() if str(folder) in line]


def python(program: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Starts a Python program that can import the package."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(PACKAGE), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    """Returns the first line of a program's output."""
    assert process.stdout is not None
    return process.stdout.readline()


def killed(process: subprocess.Popen[str]) -> None:
    """Kills a program with SIGKILL, and reaps it."""
    process.kill()
    process.communicate()


def run_localcluster(*arguments: str, **variables: str) -> tuple[int, str, str]:
    """Runs `localcluster`; returns its exit code, output and errors."""
    process = python("from localcluster.cli import main; main()", *arguments, **variables)
    output, errors = process.communicate()
    return process.returncode, output, errors
