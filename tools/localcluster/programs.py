"""Builds the programs of the control plane from Go source, and keeps them until the source changes."""

import hashlib
import os
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.locks import exclusive
from localcluster.paths import cache_folder, sources_folder
from localcluster.progress import Progress
from localcluster.toolchain import Go, find_go, run_with_progress

KUBERNETES = re.compile(r"^\s*k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)$", re.MULTILINE)
SOURCES = ("go.mod", "go.sum", "*.go")
VERSION_PACKAGE = "k8s.io/component-base/version"
RETAINED_BUILDS = 3
RETAINED_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one program is built.

    Attributes:
        name: The program's name.
        module: The folder of its Go module.
        package: The package to build, relative to the module.
        linker_flags: The flags of the linker, which set the version.
    """

    name: str
    module: Path
    package: str
    linker_flags: str

    @property
    def flags(self) -> Sequence[str]:
        """The flags of `go build`."""
        return ("-trimpath", "-ldflags", self.linker_flags)

    def key(self, go_version: str) -> str:
        """Returns a key of this build: of its sources, flags and toolchain."""
        digest = hashlib.sha256()
        for pattern in SOURCES:
            for file in sorted(self.module.glob(pattern)):
                digest.update(f"{file.name}\0".encode() + file.read_bytes() + b"\0")
        settings = [go_version, self.package, *self.flags]
        settings += [os.environ.get(name, "") for name in ("GOFLAGS", "GOOS", "GOARCH")]
        digest.update("\0".join(settings).encode())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Programs:
    """The built programs."""

    controlplane: Path
    kwok: Path


@dataclass(frozen=True, slots=True)
class NodePrograms:
    """The built programs of a real node; `node` is the kubelet and kube-proxy."""

    node: Path
    coredns: Path
    pause: Path


def kubernetes_version(sources: Path | None = None) -> str:
    """Returns the version of Kubernetes that the control plane is built from, like `v1.37.2`."""
    return _kubernetes(sources or sources_folder())[1]


def recipes(sources: Path) -> tuple[Recipe, Recipe]:
    """Returns how the control plane and kwok are built."""
    return (
        Recipe("controlplane", sources / "controlplane", ".", _version_flags(sources)),
        Recipe("kwok", sources / "kwok", "sigs.k8s.io/kwok/cmd/kwok", "-s -w"),
    )


def node_recipes(sources: Path) -> tuple[Recipe, Recipe, Recipe]:
    """Returns how the programs of a real node are built."""
    return (
        Recipe("node", sources / "node", ".", _version_flags(sources)),
        Recipe("coredns", sources / "coredns", ".", "-s -w"),
        Recipe("pause", sources / "pause", ".", "-s -w"),
    )


def build(progress: Progress) -> Programs:
    """Builds the programs unless they exist.

    Raises:
        LocalClusterError: There is no Go, or the build fails.
    """
    go = find_go(progress)
    controlplane, kwok = (ensure_built(recipe, go, progress) for recipe in recipes(sources_folder()))
    return Programs(controlplane, kwok)


def build_node(progress: Progress) -> NodePrograms:
    """Builds the programs of a real node unless they exist.

    Raises:
        LocalClusterError: There is no Go, or the build fails.
    """
    go = find_go(progress)
    node, coredns, pause = (ensure_built(recipe, go, progress) for recipe in node_recipes(sources_folder()))
    return NodePrograms(node, coredns, pause)


def prune(program: str, folder: Path, now: float) -> None:
    """Removes all but the most recently used builds of a program, unless one may still be in use."""
    builds = sorted(folder.glob(f"{program}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for build_folder in builds[RETAINED_BUILDS:]:
        if now - build_folder.stat().st_mtime > RETAINED_SECONDS:
            shutil.rmtree(build_folder, ignore_errors=True)


def ensure_built(recipe: Recipe, go: Go, progress: Progress) -> Path:
    """Builds one program unless it exists.

    Raises:
        LocalClusterError: The build fails.
    """
    folder = cache_folder() / "programs"
    program = folder / f"{recipe.name}-{recipe.key(go.version)}" / recipe.name
    if not program.exists():
        lock = folder / f"{recipe.name}.lock"
        with exclusive(lock, lambda waited: progress.tick(f"Waiting for another build of {recipe.name}", waited)):
            progress.done()
            if not program.exists():
                _go_build(recipe, go, program, progress)
        prune(recipe.name, folder, time.time())
    program.parent.touch()  # its last use, for `prune`
    return program


def _go_build(recipe: Recipe, go: Go, program: Path, progress: Progress) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in program.parent.glob(f"{program.name}.*"):
        abandoned.unlink(missing_ok=True)
    # A build whose parent was killed may still run: it must not write into ours.
    partial = program.with_name(f"{program.name}.{os.getpid()}")
    if recipe.name == "controlplane":
        progress.info("The first build of the control plane takes some minutes; later starts take seconds.")
    command = [str(go.program), "build", *recipe.flags, "-o", str(partial), recipe.package]
    failure = run_with_progress(
        command,
        f"Building {recipe.name} with {go.version}",
        progress,
        folder=recipe.module,
        environment=go.environment,
    )
    if failure is not None:
        partial.unlink(missing_ok=True)
        raise LocalClusterError(
            f"{recipe.name} could not be built in {recipe.module}: see the message below, and check that Go's "
            f"module proxy can be reached.\n{failure}"
        )
    partial.replace(program)


def _version_flags(sources: Path) -> str:
    """Returns the linker flags that set Kubernetes' version, which its programs report to each other."""
    match = _kubernetes(sources)
    stamps = {
        "gitVersion": match[1],
        "gitMajor": match[2],
        "gitMinor": match[3],
        "gitTreeState": "clean",
    }
    return " ".join(["-s -w", *(f"-X {VERSION_PACKAGE}.{name}={value}" for name, value in stamps.items())])


def _kubernetes(sources: Path) -> re.Match[str]:
    match = KUBERNETES.search((sources / "controlplane" / "go.mod").read_text(encoding="utf-8"))
    if match is None:
        raise LocalClusterError("controlplane/go.mod does not require k8s.io/kubernetes with a version.")
    return match
