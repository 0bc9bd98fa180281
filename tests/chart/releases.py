"""Helm, as a person types it, with a home of its own."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.kubectl import Result

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "statefulroute"

#: A namespace where Pod Security `restricted` is enforced.
GUARDED = "guarded"

TIMEOUT_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Helm:
    """One version of Helm.

    Attributes:
        program: the Helm to run.
        home: where it keeps its files; the caller's own home is left alone.
        kubeconfig: the cluster; None where no cluster is needed.
    """

    program: Path
    home: Path
    kubeconfig: Path | None = None

    def run(self, *arguments: str, stdin: str = "") -> Result:
        """Run a command to its end, however it ends."""
        folders = {f"HELM_{what}_HOME": str(self.home / what.lower()) for what in ("CACHE", "CONFIG", "DATA")}
        done = subprocess.run(
            [self.program, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
            env={**os.environ, **folders, "KUBECONFIG": str(self.kubeconfig or "/dev/null")},
        )
        return Result((self.program.name, *arguments), done.returncode, done.stdout, done.stderr)

    def render(self, values: Mapping[str, Any] | None = None, *options: str, release: str = "statefulroute") -> Result:
        """Render the chart with these values."""
        return self.run("template", release, str(CHART), "--values=-", *options, stdin=json.dumps(values or {}))


@dataclass(frozen=True, slots=True)
class Release:
    """A release, installed or not.

    Attributes:
        helm: who installs it.
        name: its name.
        namespace: where.
        settings: values that every installation of it has, as `--set` takes them.
    """

    helm: Helm
    name: str
    namespace: str
    settings: tuple[str, ...] = ()

    def install(self, *options: str, chart: Path = CHART) -> Result:
        """Install it, and wait until its pods are Ready."""
        return self._with_values("install", chart, options)

    def upgrade(self, *options: str, chart: Path = CHART) -> Result:
        """Upgrade it, and wait until its pods are Ready."""
        return self._with_values("upgrade", chart, options)

    def rollback(self, revision: int) -> Result:
        """Go back to a revision, and wait until its pods are Ready."""
        return self._run("rollback", self.name, str(revision), "--wait")

    def test(self) -> Result:
        """Run the chart's own test."""
        return self._run("test", self.name)

    def uninstall(self, *options: str) -> Result:
        """Uninstall it, and wait until it is gone."""
        return self._run("uninstall", self.name, "--wait", *options)

    def _with_values(self, verb: str, chart: Path, options: tuple[str, ...]) -> Result:
        values = [part for setting in self.settings for part in ("--set", setting)]
        return self._run(verb, self.name, str(chart), "--wait", *values, *options)

    def _run(self, *arguments: str) -> Result:
        return self.helm.run(*arguments, "--namespace", self.namespace, "--timeout", "120s")
