"""Helm, as a person types it, with a home of its own."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from support.kubectl import Kubectl, Result

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "statefulroute"

#: A namespace where Pod Security `restricted` is enforced.
RESTRICTED_NAMESPACE = "guarded"

TIMEOUT_SECONDS = 180.0

_KINDS = (
    "pods,replicasets,deployments,jobs,services,serviceaccounts,secrets,configmaps,roles,rolebindings,networkpolicies,"
    "poddisruptionbudgets,horizontalpodautoscalers,clusterroles,clusterrolebindings,customresourcedefinitions,validatingadmissionpolicies,"
    "validatingadmissionpolicybindings"
)


def previous_chart() -> Path:
    """The chart of the release before this one."""
    (archive,) = (Path(__file__).parent / "previous").glob("statefulroute-*.tgz")
    return archive


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

    def within(self, kubeconfig: Path) -> Self:
        """The same Helm for a cluster."""
        return replace(self, kubeconfig=kubeconfig)

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
        values: what every installation of it has.
    """

    helm: Helm
    name: str
    namespace: str
    values: Mapping[str, Any] = field(default_factory=dict)

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

    def leftovers(self, kubectl: Kubectl) -> set[str]:
        """What there is of it in its namespace and for the whole cluster, by its label."""
        label = f"app.kubernetes.io/instance={self.name}"
        return set(kubectl.run("get", _KINDS, f"--selector={label}", "--output=name").expect_success().stdout.split())

    def _with_values(self, verb: str, chart: Path, options: tuple[str, ...]) -> Result:
        given = json.dumps(self.values)
        return self._run(verb, self.name, str(chart), "--wait", "--values=-", *options, stdin=given)

    def _run(self, *arguments: str, stdin: str = "") -> Result:
        place = ("--namespace", self.namespace, "--timeout", "120s")
        return self.helm.run(*arguments, *place, stdin=stdin).expect_success()
