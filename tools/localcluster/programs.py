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
NEWEST = "go.mod"
VERSION_PACKAGE = "k8s.io/component-base/version"
RETAINED_BUILDS = 9  # one of each supported version of Kubernetes, and two more
RETAINED_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one program is built.

    Attributes:
        name: The program's name.
        module: The folder of its Go module.
        package: The package to build, relative to the module.
        linker_flags: The flags of the linker, which set the version.
        mod_file: The file in the module's folder that requires its modules; their hashes are in the `.sum` beside it.
        tags: The build tags.
    """

    name: str
    module: Path
    package: str
    linker_flags: str
    mod_file: str = NEWEST
    tags: Sequence[str] = ()

    @property
    def flags(self) -> Sequence[str]:
        """The flags of `go build`."""
        modules = () if self.mod_file == NEWEST else (f"-modfile={self.mod_file}",)
        tags = ("-tags", ",".join(self.tags)) if self.tags else ()
        return (*modules, *tags, "-trimpath", "-ldflags", self.linker_flags)

    def key(self, go_version: str) -> str:
        """Returns a key of this build: of its sources, flags and toolchain."""
        digest = hashlib.sha256()
        for pattern in (self.mod_file, str(Path(self.mod_file).with_suffix(".sum")), "*.go"):
            for file in sorted(self.module.glob(pattern)):
                digest.update(f"{file.name}\0".encode() + file.read_bytes() + b"\0")
        settings = [go_version, self.package, *self.flags]
        settings += [os.environ.get(name, "") for name in ("GOFLAGS", "GOOS", "GOARCH")]
        digest.update("\0".join(settings).encode())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Programs:
    """The built programs; `kubectl` is None if PyPI has that of the version."""

    controlplane: Path
    kwok: Path
    kubectl: Path | None = None


@dataclass(frozen=True, slots=True)
class NodePrograms:
    """The built programs of a real node; `node` is the kubelet and kube-proxy."""

    node: Path
    coredns: Path
    pause: Path


def kubernetes_versions(sources: Path | None = None) -> dict[str, str]:
    """Returns the minor versions of Kubernetes that the control plane can be built from, like `1.37`, the newest first.

    The value is the version with its patch, like `v1.37.2`.
    """
    return {f"{match[2]}.{match[3]}": match[1] for match in _releases(sources or sources_folder()).values()}


def kubernetes_version(sources: Path | None = None) -> str:
    """Returns the newest version of Kubernetes that the control plane can be built from, like `v1.37.2`."""
    return next(iter(kubernetes_versions(sources).values()))


def recipes(sources: Path, kubernetes: str | None = None) -> tuple[Recipe, Recipe]:
    """Returns how the control plane and kwok are built.

    Args:
        sources: The folder of the Go modules.
        kubernetes: The minor version of Kubernetes, like `1.31`; by default the newest.

    Raises:
        LocalClusterError: The control plane cannot be built from this version.
    """
    mod_file, flags = _release(sources, kubernetes)
    return (
        Recipe("controlplane", sources / "controlplane", ".", flags, mod_file),
        Recipe("kwok", sources / "kwok", "sigs.k8s.io/kwok/cmd/kwok", "-s -w"),
    )


def kubectl_recipe(sources: Path, kubernetes: str | None) -> Recipe | None:
    """Returns how the kubectl of an older version is built; None for the newest, which PyPI has."""
    mod_file, flags = _release(sources, kubernetes)
    if mod_file == NEWEST:
        return None
    return Recipe("kubectl", sources / "controlplane", "k8s.io/kubernetes/cmd/kubectl", flags, mod_file)


def node_recipes(sources: Path) -> tuple[Recipe, Recipe, Recipe]:
    """Returns how the programs of a real node are built, from the newest version of Kubernetes."""
    _, flags = _release(sources, None)
    return (
        Recipe("node", sources / "node", ".", flags),
        Recipe("coredns", sources / "coredns", ".", "-s -w"),
        Recipe("pause", sources / "pause", ".", "-s -w"),
    )


def build(progress: Progress, kubernetes: str | None = None) -> Programs:
    """Builds the programs unless they exist.

    Args:
        progress: Reports the progress.
        kubernetes: The minor version of Kubernetes, like `1.31`; by default the newest.

    Raises:
        LocalClusterError: The control plane cannot be built from this version, there is no Go, or the build fails.
    """
    sources = sources_folder()
    parts, kubectl = recipes(sources, kubernetes), kubectl_recipe(sources, kubernetes)
    go = find_go(progress)
    controlplane, kwok = (ensure_built(recipe, go, progress) for recipe in parts)
    return Programs(controlplane, kwok, ensure_built(kubectl, go, progress) if kubectl else None)


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


def _release(sources: Path, kubernetes: str | None) -> tuple[str, str]:
    """Returns the file of the Go modules of a version of Kubernetes, and the linker flags that set the version.

    The programs of Kubernetes report this version to each other.
    """
    releases = _releases(sources)
    names = {f"{match[2]}.{match[3]}": name for name, match in releases.items()}
    if kubernetes and kubernetes not in names:
        raise LocalClusterError(
            f"The control plane cannot be built from Kubernetes {kubernetes!r}: use one of {', '.join(names)}."
        )
    mod_file = names[kubernetes] if kubernetes else NEWEST
    match = releases[mod_file]
    stamps = {
        "gitVersion": match[1],
        "gitMajor": match[2],
        "gitMinor": match[3],
        "gitTreeState": "clean",
    }
    return mod_file, " ".join(["-s -w", *(f"-X {VERSION_PACKAGE}.{name}={value}" for name, value in stamps.items())])


def _releases(sources: Path) -> dict[str, re.Match[str]]:
    """Returns the version of Kubernetes in each file of Go modules of the control plane, the newest first."""
    found = {}
    for file in (sources / "controlplane").glob("*.mod"):
        match = KUBERNETES.search(file.read_text(encoding="utf-8"))
        if match is None:
            raise LocalClusterError(f"controlplane/{file.name} does not require k8s.io/kubernetes with a version.")
        found[file.name] = match
    return dict(sorted(found.items(), key=lambda item: int(item[1][3]), reverse=True))
